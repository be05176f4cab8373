"""Which files a trail is kept in, and that its lines come in their order from all of them."""

import gzip
from pathlib import Path

import pytest
import zstandard

from foxora_addon.audit import segments
from foxora_addon.audit.segments import first_seq_of, lines_of, segment_name, segments_of
from tests.builders import a_trail


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return a_trail(tmp_path / "trail.jsonl", exchanges=4)


def cut(path: Path, *places: int) -> list[bytes]:
    """Move the lines before the last of these places into segments; the bodies of all parts."""
    lines = path.read_bytes().splitlines(keepends=True)
    starts = [0, *places]
    parts = [b"".join(lines[a:b]) for a, b in zip(starts, [*places, len(lines)], strict=True)]
    for start, part in zip(starts, parts[:-1], strict=False):
        segment_name(path, start + 1).write_bytes(part)
    path.write_bytes(parts[-1])
    return parts


def packed(data: bytes, name: str) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(data)
    return zstandard.compress(data) if name.endswith(".zst") else data


def all_of(path: Path) -> bytes:
    return b"".join(line for _, _, line in lines_of(path))


def names(path: Path) -> list[str]:
    return [segment.name for segment in segments_of(path)]


def test_a_trail_that_was_never_rotated_is_one_file(path: Path) -> None:
    assert segments_of(path) == [path]
    assert [number for _, number, _ in lines_of(path)] == list(range(1, 9))


def test_segments_come_in_the_order_of_their_records_and_lines_are_numbered_in_each(
    path: Path,
) -> None:
    whole = path.read_bytes()
    cut(path, 3, 5)
    assert names(path) == ["trail.jsonl.000000000001", "trail.jsonl.000000000004", "trail.jsonl"]
    assert all_of(path) == whole
    assert [(file.name[-3:], number) for file, number, _ in lines_of(path)] == [
        *(("001", n) for n in (1, 2, 3)),
        *(("004", n) for n in (1, 2)),
        *(("onl", n) for n in (1, 2, 3)),
    ]


def test_compressed_segments_are_read_as_they_were(path: Path) -> None:
    whole = path.read_bytes()
    first, _, _ = cut(path, 3, 5)
    plain = segment_name(path, 1)
    plain.with_name(plain.name + ".zst").write_bytes(zstandard.compress(first))
    assert all_of(path) == whole  # beside its original it counts once
    plain.unlink()
    assert names(path)[0] == "trail.jsonl.000000000001.zst"
    assert all_of(path) == whole
    assert first_seq_of(segments_of(path)[0]) == 1


def test_a_single_segment_is_a_trail_of_its_own(path: Path) -> None:
    first, _ = cut(path, 3)
    compressed = path.with_name("trail.jsonl.000000000001.zst")
    compressed.write_bytes(zstandard.compress(first))
    assert all_of(compressed) == first
    assert all_of(segment_name(path, 1)) == first


def test_a_segment_of_several_frames_is_read_to_its_end(path: Path) -> None:
    first, _ = cut(path, 4)
    plain = segment_name(path, 1)
    frames = zstandard.compress(first[:100]) + zstandard.compress(first[100:])
    plain.with_name(plain.name + ".zst").write_bytes(frames)
    plain.unlink()
    assert b"".join(line for file, _, line in lines_of(path) if file != path) == first


@pytest.mark.parametrize(
    ("older", "newer"),
    [(".2", ".1"), (".2.gz", ".1"), ("-20261124", "-20261125.gz"), (".10.zst", ".9.gz")],
)
def test_what_logrotate_moved_away_stands_in_its_place(path: Path, older: str, newer: str) -> None:
    whole = path.read_bytes()
    parts = cut(path, 3, 5)
    for first_seq, part, ending in ((1, parts[0], older), (4, parts[1], newer)):
        segment_name(path, first_seq).unlink()
        path.with_name(path.name + ending).write_bytes(packed(part, ending))
    assert names(path) == [path.name + older, path.name + newer, path.name]
    assert all_of(path) == whole


@pytest.mark.parametrize("ending", [".bak", ".state", ".lock", "~", ".000000000001.zst.part", "2"])
def test_other_files_beside_it_are_none_of_it(path: Path, ending: str) -> None:
    path.with_name(path.name + ending).write_bytes(path.read_bytes())
    assert segments_of(path) == [path]


def test_a_copy_of_what_is_written_now_counts_once(path: Path) -> None:
    path.with_name("trail.jsonl.1").write_bytes(path.read_bytes())
    assert segments_of(path) == [path]


def test_a_trail_that_is_between_two_files_has_its_segments(path: Path) -> None:
    first, _ = cut(path, 3)
    path.unlink()
    assert all_of(path) == first


def test_a_trail_without_a_file_is_told(tmp_path: Path) -> None:
    assert segments_of(tmp_path / "none.jsonl") == []
    assert segments_of(tmp_path / "no" / "folder.jsonl") == []
    with pytest.raises(FileNotFoundError):
        next(lines_of(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("ending", [".000000000001.zst", ".1.gz"])
def test_damaged_compression_is_told_with_the_file(path: Path, ending: str) -> None:
    first, _ = cut(path, 4)
    segment_name(path, 1).unlink()
    data = bytearray(packed(first, ending))
    data[len(data) // 2] ^= 0xFF
    data[-3] ^= 0xFF
    damaged = path.with_name(path.name + ending)
    damaged.write_bytes(data)
    with pytest.raises(OSError, match="damaged compression") as raised:
        list(lines_of(damaged))
    assert raised.value.filename == str(damaged)


def test_rotated_while_it_is_read_it_still_comes_whole(path: Path) -> None:
    whole = path.read_bytes()
    cut(path, 3)
    lines = lines_of(path)
    taken = [next(lines)[2]]
    path.rename(segment_name(path, 4))
    path.write_bytes(b'{"v":1,"seq":9,...\n')
    taken += [line for _, _, line in lines]
    assert b"".join(taken) == whole


def test_compressed_while_it_is_read_it_still_comes_whole(path: Path) -> None:
    whole = path.read_bytes()
    _, second, _ = cut(path, 3, 5)
    lines = lines_of(path)
    taken = [next(lines)[2]]
    plain = segment_name(path, 4)
    plain.with_name(plain.name + ".zst").write_bytes(zstandard.compress(second))
    plain.unlink()
    taken += [line for _, _, line in lines]
    assert b"".join(taken) == whole


def test_what_was_removed_since_it_was_listed_is_left_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = cut(path, 3, 5)
    listed = segments_of(path)
    assert first
    segment_name(path, 1).unlink()
    monkeypatch.setattr(segments, "segments_of", lambda _: listed)
    assert all_of(path) == b"".join(others)


def test_an_endless_line_comes_in_pieces_under_one_number(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "_LONGEST_LINE_BYTES", 10)
    path.write_bytes(b"x" * 25 + b"\ny\n")
    assert [(number, len(line)) for _, number, line in lines_of(path)] == [
        (1, 10),
        (1, 10),
        (1, 6),
        (2, 2),
    ]


def test_a_record_may_be_longer_than_what_is_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "_LONGEST_LINE_BYTES", 64)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join((*lines[:2], b"x" * 100 + b"\n", *lines[2:])))
    found = [line for _, _, line in lines_of(path)]
    assert found == [*lines[:2], b"x" * 64, b"x" * 36 + b"\n", *lines[2:]]
