"""`audit tail -f`: each record once, whatever becomes of the file."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from foxora_addon.app import following
from foxora_addon.app.following import Follower
from foxora_addon.audit.segments import segments_of
from foxora_addon.reading.records import Record, light_record_of
from tests.reading.builders import a_request, line_of

type Step = Callable[[], None]
type Read = Callable[[bytes], Record | None]


class Over(Exception):  # noqa: N818
    """All steps are taken, and each was looked at."""


def lines(first: int, last: int) -> bytes:
    records = ({"v": 1, "seq": n} | _rest(a_request(f"x{n}")) for n in range(first, last + 1))
    return b"".join(map(line_of, records))


def _rest(record: Any) -> Any:
    return {name: value for name, value in record.items() if name not in {"v", "seq"}}


def followed(
    path: Path, *steps: Step, seen: int = 0, read: Read = light_record_of
) -> tuple[list[int], list[str]]:
    """The `seq` of what is followed while a step is taken at each pause; and what was said."""
    waiting: Iterator[Step] = iter((*steps, lambda: None))
    said: list[str] = []
    found: list[int] = []

    def pause() -> None:
        step = next(waiting, None)
        if step is None:
            raise Over
        step()

    follower = Follower(path, read, said.append, pause)
    follower.seen = seen
    with contextlib.suppress(Over), contextlib.closing(follower):
        found.extend(record["seq"] for record in follower.records())
    return found, said


def appending(path: Path, data: bytes) -> Step:
    def append() -> None:
        with path.open("ab") as file:
            file.write(data)

    return append


@pytest.fixture
def path(tmp_path: Path) -> Path:
    trail = tmp_path / "trail.jsonl"
    trail.write_bytes(lines(1, 3))
    return trail


def test_only_what_is_new_is_followed(path: Path) -> None:
    found, said = followed(path, appending(path, lines(4, 5)), appending(path, lines(6, 6)), seen=3)
    assert (found, said) == ([4, 5, 6], [])


def test_what_was_read_otherwise_since_it_was_opened_is_not_given_again(path: Path) -> None:
    found, _ = followed(path, appending(path, lines(4, 6)), seen=5)
    assert found == [6]


def test_a_line_is_given_once_it_is_whole(path: Path) -> None:
    data = lines(4, 4)
    found, _ = followed(path, *(appending(path, data[i : i + 50]) for i in range(0, len(data), 50)))
    assert found == [4]


def test_a_line_that_was_half_written_when_it_began_is_given(path: Path) -> None:
    data = lines(4, 4)
    appending(path, data[:70])()
    found, _ = followed(path, appending(path, data[70:]), seen=3)
    assert found == [4]


def test_a_torn_line_is_passed_over(path: Path) -> None:
    found, _ = followed(path, appending(path, b'{"v":1,"se\n' + lines(4, 4)))
    assert found == [4]


def test_rotation_is_followed(path: Path) -> None:
    def rotate() -> None:
        appending(path, lines(4, 4))()
        path.rename(f"{path}.000000000001")
        path.write_bytes(lines(5, 6))

    assert followed(path, rotate, appending(path, lines(7, 7)), seen=3) == ([4, 5, 6, 7], [])


def test_two_rotations_between_two_looks_lose_nothing(path: Path) -> None:
    def rotate_twice() -> None:
        path.rename(f"{path}.000000000001")
        middle = zstandard.compress(lines(4, 6))
        path.with_name(f"{path.name}.000000000004.zst").write_bytes(middle)
        path.write_bytes(lines(7, 7))

    assert followed(path, rotate_twice, seen=3) == ([4, 5, 6, 7], [])


@pytest.fixture
def rotate_thrice(path: Path) -> Step:
    def rotate() -> None:
        path.rename(f"{path}.000000000001")
        path.with_name(f"{path.name}.000000000004").write_bytes(lines(4, 4))
        last = zstandard.compress(lines(5, 6))
        path.with_name(f"{path.name}.000000000005.zst").write_bytes(last)
        path.write_bytes(lines(7, 7))

    return rotate


def test_a_closed_segment_that_is_removed_before_its_turn_is_passed_over(
    path: Path, rotate_thrice: Step
) -> None:
    def read(line: bytes) -> Record | None:
        record = light_record_of(line)
        if record is not None and record["seq"] == 4:
            path.with_name(f"{path.name}.000000000005.zst").unlink()
        return record

    later = appending(path, lines(8, 8))
    assert followed(path, rotate_thrice, later, seen=3, read=read) == ([4, 7, 8], [])


def test_closed_segments_that_are_removed_as_they_are_listed_are_passed_over(
    path: Path, rotate_thrice: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(trail: Path) -> list[Path]:
        segments = segments_of(trail)
        for segment in segments[:2]:
            segment.unlink()
        return segments

    monkeypatch.setattr(following, "segments_of", listed)
    assert followed(path, rotate_thrice, seen=3) == ([5, 6, 7], [])


def test_a_trail_that_is_moved_away_and_begun_again_later_is_followed(path: Path) -> None:
    def move() -> None:
        path.rename(f"{path}.1")

    def begin() -> None:
        path.write_bytes(lines(4, 4))

    assert followed(path, move, begin, seen=3) == ([4], [])


def test_a_trail_that_is_cut_short_is_followed_from_its_beginning(path: Path) -> None:
    def cut() -> None:
        with path.open("r+b") as file:
            file.truncate(0)
            file.write(lines(4, 4)[:20])

    found, said = followed(path, cut, appending(path, lines(4, 4)[20:]), seen=3)
    assert found == [4]
    assert "cut short" in said[0]


def test_a_new_trail_under_the_same_name_is_told(path: Path) -> None:
    def anew() -> None:
        path.unlink()
        path.write_bytes(lines(1, 2))

    found, said = followed(path, anew, seen=3)
    assert found == [1, 2]
    assert "begins anew" in said[0]


def test_a_trail_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "trail.jsonl"
    assert followed(path, appending(path, lines(1, 2))) == ([1, 2], [])
