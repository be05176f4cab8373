"""What becomes of the records in a trail that was deleted while it was written."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from foxora_addon.audit.disk import Disk
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.keeping import Keeping
from foxora_addon.audit.running_file import TrailUnavailable
from foxora_addon.audit.segments import closed_segments_of
from foxora_addon.audit.verification import verify
from tests.audit.disks import FULL, FailingDisk
from tests.builders import NOON, a_request_of, a_response_of, as_it_is, records_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trail.jsonl"


def seldom_looking(
    path: Path, disk: Disk | None = None, say: Callable[[str], None] = print
) -> Journal:
    """A journal that looks at its path before its first record, and then no more."""
    return Journal.open(
        path,
        sync="none",
        wall_clock=lambda: NOON,
        follow_seconds=5.0,
        disk=disk,
        say=say,
    )


@pytest.mark.parametrize("how", ["in time", "at a reopening", "at the end"])
def test_what_was_written_where_nobody_can_read_it_is_written_again(path: Path, how: str) -> None:
    journal = seldom_looking(path)
    journal.append(a_request_of("x1"), as_it_is)
    journal.see_to_the_last_records()
    path.unlink()
    journal.append(a_response_of("x1"), as_it_is)
    journal.append(a_request_of("x2"), as_it_is)
    assert not path.exists()
    if how == "in time":
        journal.see_to_the_last_records()
        assert [record["seq"] for record in records_of(path)] == [2, 3]
    elif how == "at a reopening":
        journal.follow_the_path()
    journal.append(a_response_of("x2"), as_it_is)
    journal.close()

    assert [record["seq"] for record in records_of(path)] == [2, 3, 4]
    report = verify(path)
    assert (report.problem, report.first_seq) == (None, 2)
    Journal.open(path, sync="none", wall_clock=lambda: NOON).close()


def test_it_is_no_other_file_where_nothing_was_written_since(path: Path) -> None:
    journal = seldom_looking(path)
    journal.append(a_request_of("x1"), as_it_is)
    journal.see_to_the_last_records()
    path.unlink()
    journal.see_to_the_last_records()
    journal.close()
    assert not path.exists()


def test_what_is_written_again_begins_a_line_of_its_own(path: Path) -> None:
    journal = seldom_looking(path)
    journal.append(a_request_of("x1"), as_it_is)
    path.unlink()
    path.write_text("no record, and no line break")
    journal.close()
    assert path.read_text().startswith("no record, and no line break\n{")
    assert [record["seq"] for record in records_of(path)] == [1]


def test_what_is_written_again_is_named_by_its_first_record(path: Path) -> None:
    journal = seldom_looking(path)
    for number in range(3):
        journal.append(a_request_of(f"x{number}"), as_it_is)
        if not number:
            journal.see_to_the_last_records()
            path.unlink()
    journal.see_to_the_last_records()
    journal.keep(Keeping(rotate_bytes=1, compress="none"))
    journal.append(a_request_of("x9"), as_it_is)
    journal.close()
    assert [file.name for file in closed_segments_of(path)] == ["trail.jsonl.000000000002"]
    assert verify(path).problem is None


def test_what_logrotate_has_packed_is_not_written_again(path: Path) -> None:
    journal = seldom_looking(path)
    journal.append(a_request_of("x1"), as_it_is)
    journal.see_to_the_last_records()
    moved = path.rename(path.with_name("trail.jsonl.1"))
    path.touch(0o600)
    journal.append(a_response_of("x1"), as_it_is)
    path.with_name("trail.jsonl.1.gz").write_bytes(gzip.compress(moved.read_bytes()))
    journal.append(a_request_of("x2"), as_it_is)
    moved.unlink()
    journal.append(a_response_of("x2"), as_it_is)
    journal.close()
    assert [record["seq"] for record in records_of(path)] == [1, 2, 3, 4]
    assert path.read_bytes().count(b"\n") == 2
    assert (verify(path).problem, verify(path).segments) == (None, 2)


def test_what_a_copy_in_its_place_holds_is_not_written_again(path: Path) -> None:
    journal = seldom_looking(path)
    journal.append(a_request_of("x1"), as_it_is)
    journal.see_to_the_last_records()
    journal.append(a_response_of("x1"), as_it_is)
    copy = Path(shutil.copy(path, path.with_name("copy")))
    journal.append(a_request_of("x2"), as_it_is)
    copy.rename(path)
    journal.see_to_the_last_records()
    assert (verify(path).problem, verify(path).records) == (None, 3)

    journal.keep(Keeping(rotate_bytes=1, compress="none"))
    journal.append(a_response_of("x2"), as_it_is)
    journal.close()
    assert [file.name for file in closed_segments_of(path)] == ["trail.jsonl.000000000001"]
    assert (verify(path).problem, verify(path).records) == (None, 4)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_a_copy_that_was_made_in_the_midst_of_a_record_goes_on_there(
    path: Path, share: float
) -> None:
    journal = seldom_looking(path)
    journal.append(a_request_of("x1"), as_it_is)
    journal.see_to_the_last_records()
    seen = path.stat().st_size
    journal.append(a_response_of("x1"), as_it_is)
    written = path.read_bytes()
    copy = path.with_name("copy")
    copy.write_bytes(written[: seen + int((len(written) - seen) * share)])
    copy.rename(path)
    journal.append(a_request_of("x2"), as_it_is)
    journal.close()
    assert path.read_bytes().startswith(written)
    assert (verify(path).problem, verify(path).records) == (None, 3)


@pytest.mark.parametrize(("call", "kept"), [("write", []), ("short write", [2])])
def test_what_cannot_be_written_again_is_told(path: Path, call: str, kept: list[int]) -> None:
    said: list[str] = []
    disk = FailingDisk(FULL, call)
    disk.fails = False
    journal = seldom_looking(path, disk, said.append)
    journal.append(a_request_of("x1"), as_it_is)
    journal.see_to_the_last_records()
    path.unlink()
    for number in range(4):
        journal.append(a_request_of(f"y{number}"), as_it_is)
    disk.fails = True
    journal.see_to_the_last_records()
    assert "its last records went with it" in said[-1]
    disk.fails = False
    journal.append(a_response_of("x1"), as_it_is)
    journal.close()
    assert [record["seq"] for record in records_of(path)] == [*kept, 6]


def test_what_was_torn_is_not_written_again(path: Path) -> None:
    disk = FailingDisk(0, "short write")
    disk.fails = False
    journal = seldom_looking(path, disk)
    journal.append(a_request_of("x1"), as_it_is)
    disk.fails = True
    with pytest.raises(TrailUnavailable):
        journal.append(a_request_of("x2"), as_it_is)
    disk.fails = False
    path.unlink()
    journal.see_to_the_last_records()
    journal.append(a_request_of("x2"), as_it_is)
    journal.close()
    assert verify(path).problem is None
    assert [record["recovered"] for record in records_of(path)] == [None, None]
