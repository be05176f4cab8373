"""Rotation by size and age, with the chain across it, and with a crash at any of its calls."""

import contextlib
import os
from pathlib import Path

import pytest

from foxora_addon.audit.disk import Disk
from foxora_addon.audit.head import head_path
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.keeping import Keeping, tidy
from foxora_addon.audit.running_file import TrailUnavailable
from foxora_addon.audit.segments import closed_segments_of, segments_of
from foxora_addon.audit.verification import verify
from tests.audit.disks import FULL, CountingDisk, CuttingDisk, FailingDisk, Killed
from tests.builders import NOON, a_request_of, a_response_of, as_it_is, records_of

SMALL = Keeping(rotate_bytes=3_000, compress="none")
PACKED = Keeping(rotate_bytes=3_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trail.jsonl"


def opened(path: Path, keeping: Keeping = SMALL, disk: Disk | None = None) -> Journal:
    return Journal.open(path, sync="none", wall_clock=lambda: NOON, keeping=keeping, disk=disk)


def write(journal: Journal, exchanges: int, prefix: str = "x") -> None:
    for number in range(exchanges):
        journal.append(a_request_of(f"{prefix}{number}", b"a" * 300), as_it_is)
        journal.append(a_response_of(f"{prefix}{number}"), as_it_is)


def names(path: Path) -> list[str]:
    return [segment.name.removeprefix("trail.jsonl") for segment in segments_of(path)]


def test_by_size_no_file_is_over_it_and_the_chain_goes_across(path: Path) -> None:
    journal = opened(path)
    write(journal, 10)
    journal.close()

    sizes = [segment.stat().st_size for segment in segments_of(path)]
    assert len(sizes) > 4
    assert all(1_500 < size <= 3_000 for size in sizes[:-1])
    report = verify(path)
    assert (report.records, report.segments, report.problem) == (20, len(sizes), None)


def test_a_closed_file_is_named_after_its_first_record(path: Path) -> None:
    journal = opened(path)
    write(journal, 3)
    journal.close()
    starts = [int(name[1:]) for name in names(path)[:-1]]
    firsts = [next(records_of(segment))["seq"] for segment in segments_of(path)[:-1]]
    assert starts == firsts


def test_a_record_larger_than_a_file_may_be_has_one_to_itself(path: Path) -> None:
    journal = opened(path, Keeping(rotate_bytes=400, compress="none"))
    write(journal, 2)
    journal.close()
    assert [len(list(records_of(segment))) for segment in segments_of(path)[:-1]] == [1] * 3


def test_by_age_counted_from_the_first_record_also_after_a_restart(path: Path) -> None:
    now = NOON
    keeping = Keeping(rotate_seconds=60, compress="none")

    def at(seconds: float) -> Journal:
        nonlocal now
        now = NOON + seconds
        return Journal.open(path, sync="none", wall_clock=lambda: now, keeping=keeping)

    journal = at(0)
    journal.append(a_request_of("x1"), as_it_is)
    journal.close()
    journal = at(59)
    journal.append(a_response_of("x1"), as_it_is)
    assert names(path) == [""]
    journal.close()
    journal = at(60)
    journal.append(a_request_of("x2"), as_it_is)
    journal.close()
    assert names(path) == [".000000000001", ""]
    assert verify(path).problem is None


def test_a_clock_that_is_set_back_makes_no_file_older_than_it_may_be(path: Path) -> None:
    now = NOON
    keeping = Keeping(rotate_seconds=60, compress="none")
    journal = Journal.open(path, sync="none", wall_clock=lambda: now, keeping=keeping)
    journal.append(a_request_of("x1"), as_it_is)
    now -= 18_000
    journal.append(a_response_of("x1"), as_it_is)
    now += 59
    journal.append(a_request_of("x2"), as_it_is)
    assert names(path) == [""]
    now += 1
    journal.append(a_response_of("x2"), as_it_is)
    journal.close()
    assert names(path) == [".000000000001", ""]
    assert verify(path).problem is None


def test_only_the_owner_can_read_any_of_the_files(path: Path) -> None:
    journal = opened(path, PACKED)
    write(journal, 6)
    journal.close()
    tidy(path, PACKED, NOON, Disk())
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert {name.rpartition(".")[2] for name in modes} == {"zst", "jsonl", "head"}


def test_the_new_file_is_locked_as_the_old_one_was(path: Path) -> None:
    journal = opened(path)
    write(journal, 5)
    with pytest.raises(TrailUnavailable, match="written by another proxy"):
        opened(path)
    journal.close()


def test_what_was_put_in_the_place_of_the_file_is_not_closed_as_one_of_ours(path: Path) -> None:
    journal = Journal.open(
        path, sync="none", wall_clock=lambda: NOON, keeping=SMALL, follow_seconds=0.05
    )
    write(journal, 1)
    path.rename(path.with_name("trail.jsonl.1"))
    path.symlink_to(path.with_name("elsewhere"))
    journal.append(a_request_of("y", b"a" * 3_000), as_it_is)
    journal.close()

    assert closed_segments_of(path) == []
    opened(path).close()  # nothing is there that can't be read
    assert verify(path).problem is None


@pytest.mark.parametrize("later", [61, -18_000])
@pytest.mark.parametrize("call", ["open", "link", "rename"])
def test_where_it_cannot_be_rotated_the_old_file_goes_on(path: Path, call: str, later: int) -> None:
    said: list[str] = []
    disk = FailingDisk(FULL, call)
    disk.fails = False
    now = NOON
    journal = Journal.open(
        path, sync="none", wall_clock=lambda: now, keeping=SMALL, disk=disk, say=said.append
    )
    disk.fails = True
    write(journal, 8)
    assert names(path) == [""]
    assert len(said) == 1
    assert "can't be rotated, and goes on as it is" in said[0]
    disk.fails = False
    now += later
    write(journal, 1, "y")
    assert len(names(path)) == 2
    journal.close()
    assert verify(path).problem is None


def last_words(path: Path) -> int:
    """How often the calls of a whole life are counted, for a crash at each of them."""
    disk = CountingDisk()
    _live(path, disk)
    return disk.calls


def _live(path: Path, disk: CountingDisk) -> int:
    """A life with rotations; returns how many records were acknowledged."""
    acknowledged = 0
    journal = None
    try:
        journal = opened(path, SMALL, disk)
        for number in range(6):
            journal.append(a_request_of(f"x{number}", b"a" * 700), as_it_is)
            acknowledged += 1
            if number % 2:
                journal.append(a_response_of(f"x{number}"), as_it_is)
                acknowledged += 1
            journal.tend(number * 10.0)
    except Killed:
        pass
    else:
        journal.close()
        return acknowledged
    finally:
        if journal is not None:
            journal._abandon()
    return acknowledged


def test_killed_at_any_call_nothing_acknowledged_is_lost_and_what_was_open_is_known(
    tmp_path: Path,
) -> None:
    calls = last_words(tmp_path / "trail.jsonl")
    assert calls > 30
    for call in range(1, calls + 1):
        folder = tmp_path / str(call)
        folder.mkdir()
        path = folder / "trail.jsonl"
        acknowledged = _live(path, CountingDisk(strikes_at=call))
        events = [(r["event"], r["exchange"]) for r in records_of(path)] if path.exists() else []
        assert len(events) >= acknowledged

        journal = opened(path)
        ended = {exchange for event, exchange in events if event == "response"}
        begun = [exchange for event, exchange in events if event == "request"]
        assert list(journal.left_open) == [exchange for exchange in begun if exchange not in ended]
        for exchange in list(journal.left_open):
            journal.append(a_response_of(exchange), as_it_is)
        write(journal, 2, "after")
        journal.close()
        report = verify(path)
        assert (report.problem, report.open) == (None, ())
        assert report.records >= acknowledged + 4


def test_killed_at_any_call_while_it_tidies_up_no_record_is_lost(tmp_path: Path) -> None:
    keeping = Keeping(rotate_bytes=3_000, keep_segments=2)

    def a_folder(name: str) -> Path:
        path = tmp_path / name / "trail.jsonl"
        path.parent.mkdir()
        journal = opened(path)
        write(journal, 6)
        journal.close()
        return path

    disk = CountingDisk()
    tidy(a_folder("whole"), keeping, NOON, disk)
    for call in range(1, disk.calls + 1):
        path = a_folder(str(call))
        kept = [*records_of(path)][-4:]
        with contextlib.suppress(Killed):
            tidy(path, keeping, NOON, CountingDisk(strikes_at=call))
        assert [*records_of(path)][-4:] == kept
        assert verify(path).problem is None
        tidy(path, keeping, NOON, Disk())
        assert verify(path).problem is None
        assert [file.suffix for file in closed_segments_of(path)] == [".zst", ".zst"]
        assert not list(path.parent.glob("*.part"))


def test_what_a_rotation_leaves_half_done_counts_once(path: Path) -> None:
    journal = opened(path)
    write(journal, 1)
    journal.close()
    os.link(path, path.with_name("trail.jsonl.000000000001"))
    assert len(list(records_of(path))) == 2

    opened(path).close()
    assert names(path) == [""]


def test_killed_right_behind_a_rotation_it_goes_on_from_the_closed_file(path: Path) -> None:
    for keeping in (SMALL, PACKED):
        journal = opened(path, keeping)
        write(journal, 4, keeping.compress)
        journal.close()
        path.rename(path.with_name(f"trail.jsonl.{journal._file.first:012d}"))
        tidy(path, keeping, NOON, Disk())
        path.with_name("trail.jsonl.head").unlink()
        path.write_bytes(b'{"v":1,"se')
    journal = opened(path)
    write(journal, 1, "last")
    journal.close()
    assert verify(path).problem is None
    assert verify(path).records == 18


def test_a_second_writer_that_comes_amid_a_rotation_takes_nothing_away(path: Path) -> None:
    journal = opened(path)
    write(journal, 1)

    class Late(Disk):
        def lock(self, fd: int) -> None:
            if journal.seq < 9:
                write(journal, 4, "y")  # another process does, once this one has opened the file
            super().lock(fd)

    with pytest.raises(TrailUnavailable, match="another proxy"):
        opened(path, disk=Late())
    journal.close()
    report = verify(path)
    assert (report.problem, report.first_seq, report.records) == (None, 1, journal.seq)


def test_records_that_were_torn_in_two_files_are_told_of_by_the_next(path: Path) -> None:
    disk = CuttingDisk()
    journal = opened(path, Keeping(), disk)
    write(journal, 1)
    disk.most = 100
    with pytest.raises(TrailUnavailable):
        write(journal, 1, "y")
    path.rename(path.with_name("trail.jsonl.1"))
    journal.follow_the_path()
    with pytest.raises(TrailUnavailable):
        write(journal, 1, "y")
    journal._abandon()
    disk.most = None
    anew = opened(path, Keeping(), disk)
    write(anew, 1, "z")
    anew.close()
    assert verify(path).problem is None


@pytest.mark.parametrize("kept", [[1], [9], [13], [14], [40], [3, 13, 5], [14, 1]])
def test_a_file_whose_first_record_was_torn_is_closed_under_the_number_of_its_first(
    path: Path, kept: list[int]
) -> None:
    journal = opened(path)
    write(journal, 5)
    before = names(path)[:-1]
    journal.close()
    lines = path.read_bytes().splitlines(keepends=True)
    head_path(path).unlink()
    path.write_bytes(b"")
    for length in kept:
        with path.open("ab") as stream:
            stream.write((b"\n" if stream.tell() else b"") + lines[0][:length])

    for number in range(8):  # each start finds out anew with what the file begins
        journal = opened(path)
        write(journal, 1, f"y{number}")
        journal.close()

    assert names(path)[: len(before)] == before
    for segment in segments_of(path)[:-1]:
        first = next(records_of(segment))["seq"]
        assert segment.name.endswith(f"{first:012d}"), segment.name
    report = verify(path)
    assert (report.problem, report.first_seq, report.records) == (None, 1, report.last_seq)


@pytest.mark.parametrize("cut", [1, 8, 20, 200])
def test_a_file_with_nothing_but_a_torn_record_that_is_moved_away_is_no_part(
    path: Path, cut: int
) -> None:
    disk = CuttingDisk()
    journal = opened(path, Keeping(), disk)
    write(journal, 1)
    path.rename(path.with_name("trail.jsonl.2"))
    disk.most = cut
    with pytest.raises(TrailUnavailable):
        write(journal, 1, "y")
    disk.most = None
    path.rename(path.with_name("trail.jsonl.1"))
    write(journal, 1, "y")
    journal.close()
    report = verify(path)
    assert (report.problem, report.records) == (None, 4)
    assert [record["recovered"] for record in records_of(path)] == [None] * 4


@pytest.mark.parametrize("cut", [8, 200])
def test_a_file_with_nothing_but_a_torn_record_hides_none_that_begins_with_it(
    path: Path, cut: int
) -> None:
    disk = CuttingDisk()
    journal = opened(path, Keeping(), disk)
    write(journal, 1)
    path.rename(path.with_name("trail.jsonl.3"))
    disk.most = cut
    with pytest.raises(TrailUnavailable):
        write(journal, 1, "y")
    disk.most = None
    path.rename(path.with_name("trail.jsonl.2"))
    write(journal, 1, "y")
    path.rename(path.with_name("trail.jsonl.1"))
    write(journal, 1, "z")
    journal.close()
    report = verify(path)
    assert (report.problem, report.records) == (None, 6)
    assert names(path) == [".3", ".1", ""]


def test_what_was_torn_is_told_of_behind_files_with_nothing_but_a_torn_record(path: Path) -> None:
    disk = CuttingDisk()
    journal = opened(path, Keeping(), disk)
    write(journal, 1)
    disk.most = 5
    for number in (3, 2):  # moved away while the disk is full
        with pytest.raises(TrailUnavailable):
            write(journal, 1, "y")
        path.rename(path.with_name(f"trail.jsonl.{number}"))
    disk.most = None
    write(journal, 1, "y")
    journal.close()
    assert [record["recovered"] for record in records_of(path)] == [None, None, 5, None]
    assert verify(path).problem is None


def test_what_was_open_in_a_file_that_is_out_of_reach_is_open_still(path: Path) -> None:
    journal = opened(path, Keeping())
    journal.append(a_request_of("long"), as_it_is)
    write(journal, 1)
    journal.tend(100.0)
    path.rename(path.with_name("elsewhere"))
    journal.append(a_request_of("c"), as_it_is)
    journal._abandon()  # killed before the next head
    assert list(opened(path, Keeping()).left_open) == ["long", "c"]
