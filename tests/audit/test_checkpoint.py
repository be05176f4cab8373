"""The proxy's own checkpoints: what was cut off or rewritten shows without anybody's doing."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from foxora_addon.audit.chain import GENESIS, seal
from foxora_addon.audit.checkpoint import CheckpointRules, Checkpoints, CheckpointUnusable
from foxora_addon.audit.disk import Disk
from foxora_addon.audit.head import head_path
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.keys import make_key, public_path
from foxora_addon.audit.signing import signed_heads
from foxora_addon.audit.verification import Kept, verify
from tests.audit.disks import FailingDisk
from tests.builders import NOON, a_request_of, a_response_of, a_trail, as_it_is


@pytest.fixture
def rules(tmp_path: Path) -> CheckpointRules:
    make_key(tmp_path / "audit.key")
    return CheckpointRules(tmp_path / "trail.jsonl.checkpoint", tmp_path / "audit.key")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return a_trail(tmp_path / "trail.jsonl", exchanges=3)


def opened(rules: CheckpointRules, disk: Disk | None = None) -> Checkpoints:
    return Checkpoints.open(rules, lambda: NOON, disk)


def kept(rules: CheckpointRules) -> list[Kept]:
    return signed_heads(rules.file, public_path(rules.key_file))


def sign(rules: CheckpointRules, path: Path) -> None:
    """Sign a trail as the proxy does at its end."""
    report = verify(path)
    opened(rules).close(report.last_seq, report.head)


def rewritten(path: Path) -> None:
    """Write the last record anew, with a chain that is right."""
    *lines, last = path.read_bytes().splitlines(keepends=True)
    record = json.loads(last)
    del record["hash"]
    record["status"] = 500
    line, _ = seal(json.dumps(record, separators=(",", ":")).encode())
    path.write_bytes(b"".join([*lines, line]))


def test_what_is_signed_is_the_trails_head_and_its_owners_alone(
    rules: CheckpointRules, path: Path
) -> None:
    sign(rules, path)
    report = verify(path)
    assert kept(rules) == [Kept(report.last_seq, report.head)]
    assert rules.file.stat().st_mode & 0o777 == 0o600
    assert not rules.file.with_name(f"{rules.file.name}.part").exists()


@pytest.mark.parametrize(
    "change", [rewritten, lambda path: path.write_bytes(path.read_bytes()[:9])]
)
def test_a_tail_that_is_rewritten_or_cut_shows(
    rules: CheckpointRules, path: Path, change: Callable[[Path], object]
) -> None:
    sign(rules, path)
    change(path)
    assert verify(path).problem is None, "the chain alone can't tell"
    assert verify(path, kept(rules)).problem is not None


def test_it_is_due_after_so_many_seconds_or_records(rules: CheckpointRules) -> None:
    checkpoints = opened(CheckpointRules(rules.file, rules.key_file, seconds=60.0, records=10))

    def looked(seq: int, now: float) -> int | None:
        checkpoints.look(seq, "a" * 64, now)
        thread = checkpoints._thread
        if thread is not None:
            thread.join()
        return kept(rules)[-1].seq

    assert looked(1, 1000.0) == 1, "at once, after a start"
    assert looked(2, 1059.9) == 1
    assert looked(10, 1059.9) == 1
    assert looked(11, 1059.9) == 11
    assert looked(12, 1060.1) == 11
    assert looked(12, 1120.0) == 12


def test_a_trail_without_a_record_is_not_signed(rules: CheckpointRules) -> None:
    checkpoints = opened(rules)
    checkpoints.look(0, GENESIS, 1000.0)
    checkpoints.close(0, GENESIS)
    assert not rules.file.exists()


@pytest.mark.parametrize("call", ["open", "rename"])
def test_a_disk_that_fails_leaves_the_last_one_and_is_tried_again(
    rules: CheckpointRules, path: Path, call: str
) -> None:
    sign(rules, path)
    before = rules.file.read_bytes()
    disk = FailingDisk(errno.ENOSPC, call)
    checkpoints = opened(rules, disk)
    checkpoints.close(7, "b" * 64)
    told = checkpoints.failure
    assert told == (f"the checkpoint {rules.file} can't be written: No space left on device")
    assert rules.file.read_bytes() == before
    disk.fails = False
    checkpoints.close(7, "b" * 64)
    assert checkpoints.failure is None
    assert kept(rules)[-1] == Kept(7, "b" * 64)


def test_a_trail_that_was_cut_while_nobody_wrote_it_has_a_gap_for_good(
    rules: CheckpointRules, path: Path
) -> None:
    sign(rules, path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    head_path(path).unlink()  # who cuts the one can take the other away
    said: list[str] = []
    checkpoints = opened(rules)
    journal = Journal.open(path, wall_clock=lambda: NOON, say=said.append, known=checkpoints.known)
    assert checkpoints.compare(path, journal.seq) is None
    journal.append(a_request_of("x9"), as_it_is)
    journal.append(a_response_of("x9"), as_it_is)
    journal.close()
    checkpoints.close(journal.seq, journal.head)

    assert "ends with record 4, but had come to 6" in said[0]
    assert "5 to 6 missing" in (verify(path, kept(rules)).problem or "")


def test_a_trail_that_was_rewritten_while_nobody_wrote_it_stays_so_for_good(
    rules: CheckpointRules, path: Path
) -> None:
    sign(rules, path)
    rewritten(path)
    head_path(path).unlink()
    for _ in range(2):
        checkpoints = opened(rules)
        journal = Journal.open(path, wall_clock=lambda: NOON, known=checkpoints.known)
        told = checkpoints.compare(path, journal.seq)
        journal.append(a_request_of(f"y{journal.seq}"), as_it_is)
        journal.append(a_response_of(f"y{journal.seq - 1}"), as_it_is)
        journal.close()
        checkpoints.close(journal.seq, journal.head)
        assert told is None or "its record 6 is not the one" in told
        assert "record 6 is not the one that was kept" in (verify(path, kept(rules)).problem or "")
    assert [head.seq for head in kept(rules)] == [6, 10]


def test_a_checkpoint_is_not_lost_where_the_writer_went_on_before_it(
    rules: CheckpointRules, path: Path
) -> None:
    sign(rules, path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    head_path(path).unlink()
    journal = Journal.open(path, wall_clock=lambda: NOON)
    checkpoints = opened(rules)
    assert "ends with record 4, but" in (checkpoints.compare(path, journal.seq) or "")
    checkpoints.look(journal.seq, journal.head, 1000.0)
    checkpoints.close(journal.seq, journal.head)
    assert [head.seq for head in kept(rules)] == [6, 4]
    assert "had come to 6: it was cut off" in (verify(path, kept(rules)).problem or "")

    for seq in (5, 6):
        journal.append(a_request_of(f"x{seq}"), as_it_is)
    journal.close()
    checkpoints.close(journal.seq, journal.head)
    assert "record 6 is not the one that was kept" in (verify(path, kept(rules)).problem or "")


def test_a_trail_that_can_not_be_compared_is_told(rules: CheckpointRules, path: Path) -> None:
    sign(rules, path)
    path.rename(path.with_name(f"{path.name}.000000000001.zst"))
    with pytest.raises(CheckpointUnusable, match=r"zst: can't be read: damaged compression"):
        opened(rules).compare(path, 6)


def test_a_trail_that_goes_on_as_it_should_is_no_finding(
    rules: CheckpointRules, path: Path
) -> None:
    sign(rules, path)
    checkpoints = opened(rules)
    journal = Journal.open(path, wall_clock=lambda: NOON, known=checkpoints.known)
    journal.append(a_request_of("x9"), as_it_is)
    journal.close()
    again = opened(rules)
    assert checkpoints.compare(path, journal.seq) is None
    assert again.compare(path, journal.seq) is None
    assert again.known[0] == 6
    assert verify(path, kept(rules)).problem is None


@pytest.mark.parametrize("content", ["a file of somebody's\n", '{"seq": 1}\n'])
def test_a_file_that_is_no_checkpoint_is_never_replaced(
    rules: CheckpointRules, content: str
) -> None:
    rules.file.write_text(content)
    with pytest.raises(
        CheckpointUnusable, match=r"line 1: no signed head.*; no checkpoint is writ"
    ):
        opened(rules)
    assert rules.file.read_text() == content


def test_a_checkpoint_of_another_key_is_never_replaced(
    rules: CheckpointRules, path: Path, tmp_path: Path
) -> None:
    sign(rules, path)
    make_key(tmp_path / "other.key")
    with pytest.raises(CheckpointUnusable, match="changed, or signed with another key"):
        opened(CheckpointRules(rules.file, tmp_path / "other.key"))


def test_a_key_that_is_none_is_told(rules: CheckpointRules) -> None:
    rules.key_file.write_text("nothing")
    with pytest.raises(CheckpointUnusable, match="no Ed25519 private key"):
        opened(rules)
    rules.key_file.unlink()
    with pytest.raises(CheckpointUnusable, match="can't be read: No such file"):
        opened(rules)
