"""Disks that are full, read-only or forbidden, and other programs that lay hands on the trail."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foxora_addon.audit.journal import Journal
from foxora_addon.audit.keeping import Keeping
from foxora_addon.audit.record import body_fields
from foxora_addon.audit.running_file import TrailUnavailable
from foxora_addon.audit.segments import segments_of
from foxora_addon.audit.verification import verify
from foxora_addon.proxy.trail import JournalTrail
from tests.audit.disks import FULL, NOT_ALLOWED, READ_ONLY, CuttingDisk, FailingDisk
from tests.builders import NOON, a_request_of, a_response_of, a_trail, as_it_is, records_of

FAILURES = [
    pytest.param(FailingDisk(FULL, "write"), "No space left on device", id="full"),
    pytest.param(FailingDisk(errno.EDQUOT, "write"), "quota", id="quota"),
    pytest.param(FailingDisk(errno.EIO, "write"), "Input/output error", id="broken"),
    pytest.param(FailingDisk(READ_ONLY, "write"), "Read-only file system", id="read-only"),
    pytest.param(FailingDisk(NOT_ALLOWED, "stat", "open"), "Permission denied", id="forbidden"),
    pytest.param(FailingDisk(0, "short write"), "the disk is full", id="short"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trail.jsonl"


@pytest.mark.parametrize(("disk", "words"), FAILURES)
def test_what_cannot_be_written_is_told_and_it_goes_on_when_the_disk_does(
    path: Path, disk: FailingDisk, words: str
) -> None:
    disk.fails = False
    journal = Journal.open(path, sync="none", wall_clock=lambda: NOON, disk=disk)
    trail = JournalTrail(journal, "refuse", lambda: 0.0)
    assert trail.write(a_request_of("x1"), as_it_is) == "safe"
    disk.fails = True
    with pytest.raises(TrailUnavailable, match=words):
        journal.append(a_request_of("x2"), as_it_is)
    assert trail.write(a_response_of("x1"), as_it_is) == "lost"
    assert trail.write(a_request_of("x3"), as_it_is) == "lost"
    disk.fails = False
    assert trail.write(a_request_of("x4"), as_it_is) == "safe"
    journal.close()

    report = verify(path)
    assert (report.problem, report.records, report.open) == (None, 3, ("x4",))


LIMITED = """
import resource, sys
from pathlib import Path
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.running_file import TrailUnavailable
from tests.builders import NOON, a_request_of, as_it_is

resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, resource.RLIM_INFINITY))
journal = Journal.open(Path(sys.argv[1]), sync="none", wall_clock=lambda: NOON)
written = 0
try:
    for number in range(100):
        journal.append(a_request_of(f"x{number}", b"a" * 500), as_it_is)
        written += 1
except TrailUnavailable as error:
    print(written, error)
try:
    journal.append(a_request_of("again"), as_it_is)
except TrailUnavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append(a_request_of("at last"), as_it_is)
journal.close()
"""


def test_a_file_that_may_not_grow_is_told_and_its_torn_line_is_on_record(path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    written = int(first.split()[0])
    assert "the disk is full" in first
    assert "File too large" in second
    report = verify(path)
    assert (report.problem, report.records) == (None, written + 1)
    assert list(records_of(path))[-1]["recovered"]


def test_what_a_full_disk_cut_again_and_again_is_torn_and_no_forgery(path: Path) -> None:
    disk, torn = CuttingDisk(), 0
    journal = Journal.open(path, sync="none", wall_clock=lambda: NOON, disk=disk)
    journal.append(a_request_of("x1"), as_it_is)
    for most in (50, 0, 20, 90):  # others remove a few bytes now and then
        disk.most, torn = most, torn + most
        with pytest.raises(TrailUnavailable):
            journal.append(a_response_of("x1"), as_it_is)
        report = verify(path)
        assert (report.problem, report.records, report.torn_tail_bytes) == (None, 1, torn)
    journal._abandon()
    disk.most = None
    anew = Journal.open(path, sync="none", wall_clock=lambda: NOON, disk=disk)
    anew.append(a_response_of("x1"), as_it_is)
    anew.close()
    assert [record["recovered"] for record in records_of(path)] == [None, torn]
    assert verify(path).problem is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KB of its own, where this machine lets us mount one."""
    mount, folder = shutil.which("mount"), tmp_path / "disk"
    folder.mkdir()
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    command = [mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_really_full_is_told_and_recovered_from(small_disk: Path) -> None:
    path = small_disk / "trail.jsonl"
    keeping = Keeping(rotate_bytes=65_536)
    journal = Journal.open(path, sync="interval", wall_clock=lambda: NOON, keeping=keeping)
    trail = JournalTrail(journal, "refuse", lambda: 0.0)
    body = os.urandom(300).hex().encode()
    filler = small_disk / "filler"
    filler.write_bytes(bytes(100_000))
    kept = 0
    while trail.write(a_request_of(f"x{kept}", body), as_it_is) == "safe":
        kept += 1
        assert kept < 5_000
    assert kept > 40
    trail.write(a_response_of("x0"), as_it_is)
    filler.unlink()
    assert trail.write(a_request_of("again", body), as_it_is) == "safe"
    journal.close()

    report = verify(path)
    assert (report.problem, report.records) == (None, kept + 2)


def test_a_disk_that_becomes_read_only_is_told_and_recovered_from(small_disk: Path) -> None:
    path = small_disk / "trail.jsonl"
    path.touch()
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True)
    with pytest.raises(TrailUnavailable, match="can't be opened: Read-only file system"):
        Journal.open(path, wall_clock=lambda: NOON)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    journal = Journal.open(path, wall_clock=lambda: NOON)
    journal.append(a_request_of("x1"), as_it_is)
    journal.close()
    assert verify(path).problem is None


def opened(path: Path, said: list[str] | None = None) -> Journal:
    say = (lambda _: None) if said is None else said.append
    return Journal.open(path, sync="none", wall_clock=lambda: NOON, say=say)


def test_logrotate_that_moves_is_followed_and_the_chain_goes_across(path: Path) -> None:
    journal = opened(path)
    for number in range(4):
        journal.append(a_request_of(f"x{number}"), as_it_is)
        for place in (2, 1):
            older = path.with_name(f"trail.jsonl.{place}")
            if older.exists():
                older.rename(path.with_name(f"trail.jsonl.{place + 1}"))
        path.rename(path.with_name("trail.jsonl.1"))
        if number % 2:
            path.touch()  # logrotate's `create`
        journal.append(a_response_of(f"x{number}"), as_it_is)
    journal.close()

    assert len(segments_of(path)) == 4  # the oldest was overwritten, as logrotate does
    report = verify(path)
    assert (report.problem, report.first_seq, report.last_seq) == (None, 2, 8)


def test_a_copy_that_is_cut_is_told_and_what_is_missing_shows(path: Path) -> None:
    said: list[str] = []
    journal = opened(path, said)
    for number in range(3):
        journal.append(a_request_of(f"x{number}"), as_it_is)
    copied = path.read_bytes()
    journal.append(a_response_of("x0"), as_it_is)  # between the copy and the cut
    os.truncate(path, 0)
    path.with_name("trail.jsonl.1").write_bytes(copied)
    for number in (1, 2):
        journal.append(a_response_of(f"x{number}"), as_it_is)
    journal.close()

    assert len(said) == 1
    assert "copytruncate can't be followed" in said[0]
    assert verify(path).problem == "line 1: seq is 5, not 4: 4 missing, or moved"


def test_a_trail_that_was_shortened_while_nobody_wrote_it_is_told(path: Path) -> None:
    journal = opened(path)
    for number in range(4):
        journal.append(a_request_of(f"x{number}"), as_it_is)
    journal.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    said: list[str] = []
    journal = opened(path, said)
    assert list(journal.left_open) == ["x0", "x1", "x2", "x3"]
    journal.append(a_response_of("x0"), as_it_is)
    journal.close()

    assert "ends with record 2, but had come to 4" in said[0]
    assert verify(path).problem == "line 3: seq is 5, not 3: 3 to 4 missing, or moved"


def test_a_trail_that_was_deleted_while_nobody_wrote_it_goes_on(path: Path) -> None:
    journal = opened(path)
    journal.append(a_request_of("x0"), as_it_is)
    journal.close()
    path.unlink()
    said: list[str] = []
    journal = opened(path, said)
    journal.append(a_response_of("x0"), as_it_is)
    journal.close()

    assert len(said) == 1
    report = verify(path)
    assert (report.problem, report.first_seq, report.begun_before) == (None, 2, 1)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"v":1}', "x", '{"v":1,"seq":-1}', "[" * 9_999])
def test_without_a_head_that_can_be_read_what_is_open_is_looked_for(path: Path, text: str) -> None:
    journal = opened(path)
    journal.append(a_request_of("x0"), as_it_is)
    journal.append(a_request_of("x1"), as_it_is)
    journal.append(a_response_of("x0"), as_it_is)
    journal.close()
    path.with_name("trail.jsonl.head").write_text(text)

    journal = opened(path)
    assert list(journal.left_open) == ["x1"]
    journal.close()


@pytest.mark.parametrize(
    "damage",
    [
        {"seq": 99, "hash": "\ud800"},
        {"seq": 99, "hash": "A" * 64},
        {"seq": 10**18},
        {"seq": True},
        {"offset": 2**70},
        {"open": {"x1": 5}},
        {"open": ["x1"]},
    ],
    ids=str,
)
def test_a_head_with_a_member_that_can_not_be_is_none(path: Path, damage: dict[str, Any]) -> None:
    journal = opened(path)
    for exchange in ("x0", "x1"):
        journal.append(a_request_of(exchange), as_it_is)
    journal.append(a_response_of("x0"), as_it_is)
    journal.close()
    change_head(path, damage)

    journal = opened(path)
    assert list(journal.left_open) == ["x1"]
    journal.append(a_response_of("x1"), as_it_is)
    journal.close()
    assert verify(path).problem is None


def change_head(path: Path, members: dict[str, Any]) -> None:
    head = path.with_name("trail.jsonl.head")
    head.write_text(json.dumps(json.loads(head.read_text()) | members))


@pytest.mark.parametrize("size", [10, 300_000])
def test_what_ended_is_not_open_though_the_head_says_so(path: Path, size: int) -> None:
    journal = opened(path)
    for exchange in ("long", "x0", "x1", "x2", "x3"):
        large = a_request_of(exchange) | body_fields(b"a" * size, 1_000_000)
        journal.append(large, as_it_is)
    for exchange in ("x3", "x2"):
        journal.append(a_response_of(exchange), as_it_is)
    journal.close()
    change_head(path, {"open": dict.fromkeys(["long", "x0", "x2", "x3"])})

    journal = opened(path)
    assert sorted(journal.left_open) == ["long", "x0", "x1"]
    journal.close()


def test_what_never_began_is_not_open_though_the_head_says_so(path: Path) -> None:
    a_trail(path)
    change_head(path, {"open": {"nobody": None}})
    journal = opened(path)
    assert not journal.left_open
    journal.close()


def test_a_head_of_another_trail_is_not_believed(path: Path, tmp_path: Path) -> None:
    for name, exchange in (("trail.jsonl", "x0"), ("other.jsonl", "y0")):
        journal = opened(tmp_path / name)
        journal.append(a_request_of(exchange), as_it_is)
        journal.close()
    (tmp_path / "other.jsonl.head").rename(tmp_path / "trail.jsonl.head")
    journal = opened(path)
    assert list(journal.left_open) == ["x0"]
    journal.close()


def test_what_was_torn_in_a_file_that_was_deleted_is_not_told_of_the_next(path: Path) -> None:
    disk = FailingDisk(0, "short write")
    journal = Journal.open(path, sync="none", wall_clock=lambda: NOON, disk=disk)
    with pytest.raises(TrailUnavailable):
        journal.append(a_request_of("x0"), as_it_is)
    disk.fails = False
    path.unlink()
    journal.append(a_request_of("x1"), as_it_is)
    journal.close()

    report = verify(path)
    assert (report.problem, report.records) == (None, 1)


def test_a_record_has_a_line_of_its_own_whatever_else_stands_in_the_file(path: Path) -> None:
    journal = opened(path)
    journal.append(a_request_of("x0"), as_it_is)
    path.unlink()
    path.write_text("no record, and no line break")
    journal.append(a_response_of("x0"), as_it_is)
    journal.close()

    assert path.read_text().startswith("no record, and no line break\n")
    assert [record["seq"] for record in records_of(path)] == [1, 2]
