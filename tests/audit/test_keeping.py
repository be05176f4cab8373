"""What becomes of closed segments."""

import os
from pathlib import Path

import pytest

from foxora_addon.audit.disk import Disk
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.keeping import Keeper, Keeping, tidy
from foxora_addon.audit.segments import closed_segments_of
from foxora_addon.audit.verification import verify
from tests.builders import NOON, a_request_of, a_response_of, as_it_is

DAY = 86_400
HOUR = 3_600


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A trail with four closed segments, each a day apart; the last ended an hour before noon."""
    path = tmp_path / "trail.jsonl"
    journal = Journal.open(
        path, sync="none", wall_clock=lambda: NOON, keeping=Keeping(rotate_bytes=1_800)
    )
    journal.keeping = Keeping(rotate_bytes=1_800, compress="none")
    journal._keeper.wait()
    for number in range(5):
        journal.append(a_request_of(f"x{number}", b"a" * 100), as_it_is)
        journal.append(a_response_of(f"x{number}"), as_it_is)
    journal.close()
    journal._keeper.wait()
    for age, segment in enumerate(reversed(closed_segments_of(path))):
        os.utime(segment, (NOON - HOUR - age * DAY, NOON - HOUR - age * DAY))
    assert len(closed_segments_of(path)) == 4
    return path


def test_closed_segments_are_compressed_keep_their_age_and_verify(path: Path) -> None:
    before = verify(path)
    tidy(path, Keeping(), NOON, Disk())
    segments = closed_segments_of(path)
    assert [segment.suffix for segment in segments] == [".zst"] * 4
    assert [segment.stat().st_mtime for segment in segments] == [
        NOON - HOUR - age * DAY for age in (3, 2, 1, 0)
    ]
    assert verify(path) == before


@pytest.mark.parametrize(
    ("keeping", "left"),
    [
        (Keeping(), 4),
        (Keeping(keep_segments=9), 4),
        (Keeping(keep_segments=2), 2),
        (Keeping(keep_segments=0), 0),
        (Keeping(keep_days=1.5), 2),
        (Keeping(keep_days=100), 4),
        (Keeping(keep_days=0.1), 1),
        (Keeping(keep_days=0.001), 0),
        (Keeping(keep_segments=3, keep_days=1.5), 2),
        (Keeping(keep_segments=1, keep_days=1.5), 1),
    ],
)
def test_too_many_and_too_old_ones_go_the_oldest_first(
    path: Path, keeping: Keeping, left: int
) -> None:
    names = [segment.name for segment in closed_segments_of(path)]
    tidy(path, keeping, NOON, Disk())
    kept = [segment.name.removesuffix(".zst") for segment in closed_segments_of(path)]
    assert kept == names[4 - left :]
    assert verify(path).problem is None


@pytest.mark.parametrize("keeping", [Keeping(keep_segments=0), Keeping(keep_days=1e-6)])
def test_what_a_restart_counts_of_the_last_minute_is_not_removed(
    path: Path, keeping: Keeping
) -> None:
    last_written = NOON - HOUR
    tidy(path, keeping, last_written + 95, Disk())
    assert len(closed_segments_of(path)) == 1
    tidy(path, keeping, last_written + 125, Disk())
    assert not closed_segments_of(path)


def test_what_seems_to_come_from_the_future_is_removed_all_the_same(path: Path) -> None:
    tidy(path, Keeping(keep_segments=0), NOON - 2 * HOUR, Disk())
    assert not closed_segments_of(path)


def test_what_was_too_young_to_be_removed_goes_soon_after(path: Path) -> None:
    keeping, last_written = Keeping(keep_segments=0), NOON - HOUR
    keeper = Keeper(path, Disk(), pytest.fail)
    left = []
    keeper.tidy(keeping, last_written)
    for seconds in (100, 125):
        keeper.tidy_if_due(keeping, last_written + seconds)
        keeper.wait()
        left.append(len(closed_segments_of(path)))
    assert left == [1, 0]


def test_what_is_no_segment_of_ours_is_left_alone(path: Path) -> None:
    others = [path.with_name(f"trail.jsonl{ending}") for ending in (".1", ".bak", "-20261101.gz")]
    for other in others:
        other.write_bytes(b"")
    tidy(path, Keeping(keep_segments=0), NOON, Disk())
    assert all(other.exists() for other in others)
    assert path.exists()


def test_in_the_background_every_call_for_it_is_served(path: Path) -> None:
    keeper = Keeper(path, Disk(), pytest.fail)
    for count in (3, 2, 1):
        keeper.tidy(Keeping(keep_segments=count), NOON)
    keeper.wait()
    assert len(closed_segments_of(path)) == 1


def test_a_clock_that_is_set_back_keeps_nothing_from_being_tidied(path: Path) -> None:
    keeper = Keeper(path, Disk(), pytest.fail)
    keeper.tidy(Keeping(), NOON)
    keeper.wait()
    keeper.tidy_if_due(Keeping(keep_segments=1), NOON - 60.0)
    keeper.wait()
    assert len(closed_segments_of(path)) == 1


def test_a_folder_that_cannot_be_tidied_is_told(path: Path) -> None:
    said: list[str] = []

    class Full(Disk):
        def rename(self, path: str, name: str) -> None:
            raise OSError(28, "No space left on device")

    keeper = Keeper(path, Full(), said.append)
    keeper.tidy(Keeping(), NOON)
    keeper.wait()
    assert len(said) == 1
    assert "stay as they are" in said[0]
    assert verify(path).problem is None


def test_what_is_expired_goes_though_there_is_no_room_to_compress_what_stays(path: Path) -> None:
    class Full(Disk):
        def open(self, path: str, flags: int = 0) -> int:
            raise OSError(28, "No space left on device")

    names = [segment.name for segment in closed_segments_of(path)]
    with pytest.raises(OSError, match="No space"):
        tidy(path, Keeping(keep_segments=2), NOON, Full())
    assert [segment.name for segment in closed_segments_of(path)] == names[2:]


def test_where_an_old_one_can_not_be_removed_no_younger_one_is(path: Path) -> None:
    class Sticky(Disk):
        def unlink(self, path: str) -> None:
            if path.endswith(names[0]):
                raise PermissionError(1, "Operation not permitted")
            super().unlink(path)

    names = [segment.name for segment in closed_segments_of(path)]
    with pytest.raises(PermissionError):
        tidy(path, Keeping(compress="none", keep_segments=1), NOON, Sticky())
    assert [segment.name for segment in closed_segments_of(path)] == names


def test_one_that_can_not_be_read_keeps_no_other_from_being_tidied(path: Path) -> None:
    second = closed_segments_of(path)[1]
    second.unlink()
    second.symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        tidy(path, Keeping(), NOON, Disk())
    assert [segment.suffix for segment in closed_segments_of(path)].count(".zst") == 3
    os.utime(second, (NOON - 9 * DAY,) * 2, follow_symlinks=False)
    tidy(path, Keeping(keep_days=0.5), NOON, Disk())
    assert len(closed_segments_of(path)) == 1
