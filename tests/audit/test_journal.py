import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxora_addon.audit.head import head_path
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.redaction import Redactor
from foxora_addon.audit.running_file import TrailUnavailable
from foxora_addon.audit.schema import RECORD
from foxora_addon.audit.verification import verify
from tests.audit.disks import NOT_ALLOWED, FailingDisk
from tests.builders import NOON, a_request_of, a_response_of, a_trail, as_it_is, records_of

APPENDING = """
import sys
from pathlib import Path
from foxora_addon.audit.journal import Journal
from tests.builders import NOON, a_request_of, a_response_of, as_it_is

journal = Journal.open(Path(sys.argv[1]), sync="none", wall_clock=lambda: NOON)
print("open", flush=True)
for number in range(1_000_000):
    journal.append(a_request_of(f"{sys.argv[2]}-{number}", b"a" * 500), as_it_is)
    journal.append(a_response_of(f"{sys.argv[2]}-{number}"), as_it_is)
    if number == 20:
        print("busy", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trail.jsonl"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = opened(path)
    yield journal
    journal.close()


def opened(path: Path) -> Journal:
    return Journal.open(path, sync="none", wall_clock=lambda: NOON)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_a_record_is_in_the_file_when_append_returns(journal: Journal, path: Path) -> None:
    assert journal.append(a_request_of("x1"), as_it_is) == 1
    assert journal.append(a_response_of("x1"), as_it_is) == 2

    first, second = (json.loads(line) for line in lines_of(path))
    assert second["prev"] == first["hash"]
    assert first["time"] == "2026-11-23T12:00:00.000000Z"
    for record in (first, second):
        RECORD.validate_python(record)
    assert verify(path).problem is None


def test_only_the_owner_can_read_it(journal: Journal, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("mode", "is_told"), [(0o666, True), (0o604, True), (0o640, False), (0o600, False)]
)
def test_one_that_was_there_keeps_its_mode_and_is_told_of_if_others_may_open_it(
    mode: int, is_told: bool, path: Path
) -> None:
    path.touch()
    path.chmod(mode)
    said: list[str] = []
    journal = Journal.open(path, sync="none", wall_clock=lambda: NOON, say=said.append)
    journal.close()
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert [f"(mode {mode:04o})" in line for line in said] == [True] * is_told


def test_a_second_writer_is_refused_until_the_first_is_done(journal: Journal, path: Path) -> None:
    with pytest.raises(TrailUnavailable, match="written by another proxy"):
        opened(path)

    journal.close()
    opened(path).close()


FORKING = """
import os, sys
from pathlib import Path
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.running_file import TrailUnavailable
from tests.builders import NOON, a_request_of, as_it_is

journal = Journal.open(Path(sys.argv[1]), sync="none", wall_clock=lambda: NOON)
journal.append(a_request_of("before"), as_it_is)
held, holding = os.pipe()
tried, trying = os.pipe()
if (child := os.fork()) == 0:
    os.close(holding)
    try:
        journal.append(a_request_of("child's"), as_it_is)
    except TrailUnavailable:
        os.write(trying, b"!")
        os.read(held, 1)
        journal.close()
        os._exit(0)
    os._exit(1)
os.close(trying)
assert os.read(tried, 1)  # a busy machine may let it wait
journal.append(a_request_of("parent's"), as_it_is)
journal.close()
Journal.open(Path(sys.argv[1]), sync="none", wall_clock=lambda: NOON).close()
os.close(holding)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_writes_no_more_and_keeps_nobody_from_writing(path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", FORKING, str(path)],
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=True,
    )
    assert [record["exchange"] for record in records_of(path)] == ["before", "parent's"]
    assert verify(path).problem is None


def test_to_close_twice_is_to_close_once(path: Path) -> None:
    journal = opened(path)
    journal.close()
    journal.close()


@pytest.mark.parametrize("sync", ["none", "interval", "each"])
def test_each_way_to_sync_writes_the_same(path: Path, sync: str) -> None:
    journal = Journal.open(path, sync=sync, wall_clock=lambda: NOON)  # type: ignore[arg-type]  # parametrized
    journal.append(a_request_of("x1"), as_it_is)
    journal.tend(100.0)
    journal.tend(100.5)
    journal.close()

    assert verify(path).records == 1


def test_reopened_it_goes_on_with_seq_and_chain(path: Path) -> None:
    a_trail(path, exchanges=2)
    journal = opened(path)

    assert journal.append(a_request_of("x2"), as_it_is) == 5
    journal.close()
    assert verify(path).records == 5
    assert verify(path).open == ("x2",)


@pytest.mark.parametrize("kept", [1, 8, 60, 200, -2])
def test_a_torn_last_line_is_closed_off_and_on_record(path: Path, kept: int) -> None:
    a_trail(path, exchanges=1)
    whole = path.read_bytes()
    before = whole + lines_of(path)[-1][:kept]
    path.write_bytes(before)
    journal = opened(path)
    journal.append(a_request_of("x9"), as_it_is)
    journal.append(a_response_of("x9"), as_it_is)
    journal.close()

    assert path.read_bytes().startswith(before + b"\n")
    recovered = [record["recovered"] for record in records_of(path)]
    assert recovered == [None, None, len(before) - len(whole), None]
    assert verify(path).problem is None


def test_a_record_that_lacks_its_line_break_alone_is_whole(path: Path) -> None:
    a_trail(path, exchanges=1)
    path.write_bytes(path.read_bytes()[:-1])
    assert verify(path).records == 2

    journal = opened(path)
    journal.append(a_request_of("x9"), as_it_is)
    journal.close()

    assert [record["recovered"] for record in records_of(path)] == [None, None, None]
    assert verify(path).records == 3


@pytest.mark.parametrize("kept", [1, 10, 100])
def test_a_torn_first_line_is_closed_off(path: Path, kept: int) -> None:
    a_trail(path, exchanges=1)
    path.write_bytes(path.read_bytes()[:kept])
    head_path(path).unlink()

    journal = opened(path)
    assert journal.append(a_request_of("x1"), as_it_is) == 1
    journal.close()

    assert next(records_of(path))["recovered"] == kept
    assert verify(path).problem is None


@pytest.mark.parametrize("text", [b"hello\n", b"{}\n", b'{"seq":1}', b"\n"])
def test_a_file_that_is_no_trail_is_left_alone(path: Path, text: bytes) -> None:
    path.write_bytes(text)

    with pytest.raises(TrailUnavailable, match="is no trail"):
        opened(path)
    assert path.read_bytes() == text


def test_the_last_record_is_found_behind_any_tail(path: Path) -> None:
    a_trail(path, exchanges=1)
    with path.open("ab") as stream:
        stream.write(b"x" * 2_500_000)

    journal = opened(path)
    assert journal.append(a_request_of("x9"), as_it_is) == 3
    journal.close()
    assert verify(path).problem is None


def test_deleted_under_us_it_is_made_again(journal: Journal, path: Path) -> None:
    journal.append(a_request_of("x1"), as_it_is)
    journal.see_to_the_last_records()
    first = json.loads(path.read_bytes())
    path.unlink()
    journal.append(a_response_of("x1"), as_it_is)

    (record,) = records_of(path)
    assert (record["seq"], record["prev"]) == (2, first["hash"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_moved_away_it_is_made_again_and_the_old_one_is_let_go(
    journal: Journal, path: Path
) -> None:
    journal.append(a_request_of("x1"), as_it_is)
    moved = path.rename(path.with_suffix(".1"))
    journal.append(a_response_of("x1"), as_it_is)

    assert len(lines_of(moved)) == len(lines_of(path)) == 1
    opened(moved).close()


def test_whether_it_was_moved_is_asked_as_often_as_was_said(path: Path) -> None:
    times = [NOON]
    journal = Journal.open(path, sync="none", wall_clock=lambda: times[0], follow_seconds=5.0)
    journal.append(a_request_of("x1"), as_it_is)
    moved = path.rename(path.with_suffix(".1"))
    times[0] = NOON + 4.9
    journal.append(a_response_of("x1"), as_it_is)
    assert len(lines_of(moved)) == 2
    times[0] = NOON - 3_600  # the clock was set back
    journal.append(a_request_of("x2"), as_it_is)
    journal.close()
    assert [record["exchange"] for record in records_of(path)] == ["x2"]
    assert len(lines_of(moved)) == 2


@pytest.mark.parametrize("is_moved", [False, True])
def test_nothing_is_written_where_nobody_can_read_it(path: Path, *, is_moved: bool) -> None:
    """Each record is refused, not only the one that looked at the path."""
    disk = FailingDisk(NOT_ALLOWED, "open")
    disk.fails = False
    times = [NOON]
    journal = Journal.open(
        path, sync="none", wall_clock=lambda: times[0], follow_seconds=5.0, disk=disk
    )
    journal.append(a_request_of("x1"), as_it_is)
    journal.see_to_the_last_records()
    path.rename(path.with_suffix(".1")) if is_moved else path.unlink()
    times[0] += 5.0
    disk.fails = True
    for _ in range(3):
        times[0] += 0.001
        with pytest.raises(TrailUnavailable, match="Permission denied"):
            journal.append(a_response_of("x1"), as_it_is)
    disk.fails = False
    assert journal.append(a_response_of("x1"), as_it_is) == 2
    journal.close()
    assert [record["seq"] for record in records_of(path)] == [2]


@pytest.mark.parametrize("what", ["/dev/null", "/dev/full", "a FIFO", "a folder"])
def test_what_takes_its_place_and_is_no_file_is_told_and_gets_no_record(
    journal: Journal, path: Path, what: str
) -> None:
    journal.append(a_request_of("x1"), as_it_is)
    kept = path.rename(path.with_suffix(".1"))
    if what == "a FIFO":
        os.mkfifo(path)
    elif what == "a folder":
        path.mkdir()
    else:
        path.symlink_to(what)
    for _ in range(2):
        with pytest.raises(TrailUnavailable, match=r"is no regular file|Is a directory"):
            journal.append(a_response_of("x1"), as_it_is)

    path.rmdir() if what == "a folder" else path.unlink()
    before = kept.read_bytes()
    assert journal.append(a_response_of("x1"), as_it_is) == 2
    path.write_bytes(before + path.read_bytes())
    assert verify(path).problem is None


def test_a_folder_that_is_gone_is_told(journal: Journal, path: Path) -> None:
    path.unlink()
    path.parent.rename(path.parent.with_name("elsewhere"))

    with pytest.raises(TrailUnavailable, match="can't be opened"):
        journal.append(a_request_of("x1"), as_it_is)
    path.parent.mkdir()
    assert journal.append(a_request_of("x1"), as_it_is) == 1


@given(writes=st.lists(st.integers(0, 900), min_size=1, max_size=6))
@settings(max_examples=60)
def test_short_writes_leave_a_trail_that_verifies(
    tmp_path_factory: pytest.TempPathFactory, writes: list[int]
) -> None:
    path = tmp_path_factory.mktemp("short") / "trail.jsonl"
    real = os.write
    with pytest.MonkeyPatch.context() as patch:
        left = iter(writes)
        journal = opened(path)
        journal.append(a_request_of("x0"), as_it_is)
        patch.setattr(os, "write", lambda fd, data: real(fd, data[: next(left, len(data))]))
        for number in range(1, len(writes) + 2):
            try:
                journal.append(a_request_of(f"x{number}"), as_it_is)
            except TrailUnavailable:
                continue
        journal.close()

    report = verify(path)
    assert report.problem is None
    assert report.torn_tail_bytes == 0
    assert report.records == len(list(records_of(path))) >= 2


@pytest.mark.parametrize("second", [0, 1, 2, 50])
def test_short_writes_behind_a_record_without_its_line_break_are_on_record(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch, second: int
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:-1]))
    journal.append(a_request_of("x1"), as_it_is)
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:second]))
    with pytest.raises(TrailUnavailable, match="disk is full"):
        journal.append(a_response_of("x1"), as_it_is)
    monkeypatch.undo()
    journal.append(a_response_of("x1"), as_it_is)

    assert [record["recovered"] for record in records_of(path)] == [
        None,
        max(second - 1, 0) or None,
    ]
    assert verify(path).problem is None


@pytest.mark.parametrize(
    "key", ["response", "body_encoding", '","body":"', "nfake-secret", "exchange"]
)
def test_no_key_that_a_client_may_choose_breaks_a_record(
    journal: Journal, path: Path, key: str
) -> None:
    redactor = Redactor([])
    text = f"{key} \nfake-secret response".encode()
    journal.append(a_request_of("x1", text), lambda text: redactor.scrub(text, (key,)))
    journal.append(a_response_of("x1", text), lambda text: redactor.scrub(text, (key,)))

    for record in records_of(path):
        RECORD.validate_python(record)
        assert key not in record["body"]
    assert verify(path).problem is None


def test_names_and_texts_of_a_folded_stream_are_redacted(journal: Journal, path: Path) -> None:
    said = {"sk-fake-name": [{"content": "my sk-fake-name"}]}
    fields = a_response_of("x1") | {"message": said, "folded": said}
    redactor = Redactor(["sk-fake-name"])
    journal.append(fields, redactor.scrub)

    assert b"sk-fake-name" not in path.read_bytes()


def test_a_lone_surrogate_is_written_as_what_strict_readers_take(
    journal: Journal, path: Path
) -> None:
    journal.append(a_request_of("x1") | {"model": "\udcff"}, as_it_is)

    assert next(records_of(path))["model"] == "\ufffd"
    assert verify(path).problem is None


@pytest.mark.real_server
def test_killed_at_any_moment_it_leaves_a_trail_that_verifies(path: Path) -> None:
    root = Path(__file__).parents[2]
    for run in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", APPENDING, str(path), str(run)],
            cwd=root,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"open\n"
            assert process.stdout.readline() == b"busy\n"
            process.send_signal(signal.SIGKILL)

    report = verify(path)
    assert report.problem is None
    assert report.exchanges > 60
