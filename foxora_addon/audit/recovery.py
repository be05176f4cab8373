"""Finds out where a trail ends, and which exchanges were open then, when it is opened again.

Both are found from the end: a trail of gigabytes is not read. See `left_open` for the rule.
"""

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from foxora_addon.audit.chain import GENESIS, hash_of_line, object_of, sealed_record_of
from foxora_addon.audit.head import Head
from foxora_addon.audit.segments import (
    BEGINNING_BYTES,
    closed_segments_of,
    first_seq_of,
    has_begun,
    lines_after,
    segments_of,
)

_TAIL_BYTES: Final = 1 << 20
_SEARCHED_BYTES: Final = 1 << 26
_PACKING_SECONDS: Final = 1.0  # from when a file's copy was finished to when the file is deleted
_TIME: Final = re.compile(rb"\"time\":\"([-0-9T:.]{19,26}Z)\"")


class NoTrail(ValueError):  # noqa: N818  # reads as what it says where it is raised
    """A file is there, and holds something else than records."""


class End(NamedTuple):
    """The end of a trail: the last whole record's `seq` and hash, and what stands torn behind it.

    `mid_line`: the file does not end with a line break.
    """

    seq: int = 0
    hash: str = GENESIS
    torn: int = 0
    mid_line: bool = False


def end_of(path: Path) -> End:
    """Where a trail ends, in its file or, if that has no whole record yet, in a closed one.

    Raises `NoTrail`, and OSError.
    """
    with path.open("rb") as stream:
        found = _end_of_file(stream.fileno())
    if found.seq:
        return found
    for segment in reversed(segments_of(path)[:-1]):
        before = _end_of_segment(segment)
        if before.seq:
            torn = found.torn + before.torn
            return End(before.seq, before.hash, torn, found.mid_line)
    return found


def not_kept(path: Path, lines: bytes, seq: int, deleted_at: float) -> tuple[bytes, int]:
    """Of the last records of a file, those that stand in no file of its trail, and `seq` before.

    `seq` is that before `lines`; `deleted_at` is when the file was deleted, in Unix seconds. A copy
    may have taken its place, or logrotate have packed it. Raises `NoTrail`, and OSError.
    """
    end, start = _end_of_copy(path, deleted_at), 0
    for line in lines.splitlines(keepends=True):
        start += len(line)
        if sealed(line.removesuffix(b"\n")) == (end.seq, end.hash):
            return lines[start:], end.seq
    return lines, seq


def _end_of_copy(path: Path, deleted_at: float) -> End:
    """Where a copy ends that stands in the place of a deleted file, or was packed just before."""
    with path.open("rb") as stream:
        found = _end_of_file(stream.fileno())
    ours = frozenset(closed_segments_of(path))  # closed by the writer: the deleted one was not
    moved = [segment for segment in segments_of(path)[:-1] if segment not in ours]
    if found.seq or not moved or moved[-1].stat().st_ctime < deleted_at - _PACKING_SECONDS:
        return found
    return _end_of_segment(moved[-1])


def _end_of_segment(segment: Path) -> End:
    if segment.suffix not in {".zst", ".gz"}:
        with segment.open("rb") as stream:
            return _end_of_file(stream.fileno())
    end, torn = End(), 0
    for _, _, line in lines_after(segment, 0, 0):
        found = sealed(line.removesuffix(b"\n"))
        torn = 0 if found else torn + len(line)
        end = End(*found) if found else End(end.seq, end.hash, torn)
    return end


def _end_of_file(fd: int) -> End:
    """The last whole record of a file, looked for from its end, in growing pieces."""
    size = os.fstat(fd).st_size
    length = min(size, _TAIL_BYTES)
    while size:
        tail = os.pread(fd, length, size - length)
        lines = tail.split(b"\n")
        for index in range(len(lines) - 1, -1, -1):
            whole = index > 0 or length == size
            if whole and (found := sealed(lines[index])) is not None:
                torn = len(b"\n".join(lines[index + 1 :]))
                return End(*found, torn, torn > 0 or index == len(lines) - 1)
        if length == size:
            return _torn_beginning(tail)
        length = min(size, length * 4)
    return End()


def _torn_beginning(data: bytes) -> End:
    """A file whose very first record is torn."""
    if not has_begun(data):
        raise NoTrail
    return End(torn=len(data), mid_line=True)


def sealed(line: bytes) -> tuple[int, str] | None:
    """The `seq` and the hash of a whole record; None if the line is none."""
    digest = hash_of_line(line)
    record = None if digest is None else object_of(line)
    if digest is None or record is None or not isinstance(record.get("seq"), int):
        return None
    return record["seq"], digest


def left_open(path: Path, head: Head | None) -> dict[str, str | None]:
    """The exchanges without a response record, and their accounts.

    What was open when the head was written, and what was written since: as much as a second's
    worth. And in the MiB before that: what ended there does not end again, whatever the head says;
    where that is all of the trail, the head is not asked. Without a head that fits the trail (there
    is none, or it is damaged), those that began in the last 64 MiB; one that stood open for longer
    than that is missed, and `verify` names it.
    """
    if head is not None and _follows(path, head):
        start = max(head.offset - _TAIL_BYTES, 0)
        is_all = head.first == 1 and not start and first_seq_of(segments_of(path)[0]) == 1
        found = {} if is_all else dict(head.open)
        since = lines_after(path, head.first, start)
    else:
        found = {}
        since = _last_lines(path)
    for _, _, line in since:
        if record := sealed_record_of(line.removesuffix(b"\n")):
            exchange = str(record.get("exchange"))
            if record.get("event") == "request":
                found[exchange] = record.get("account")
            else:
                found.pop(exchange, None)
    return found


def _follows(path: Path, head: Head) -> bool:
    """Whether the first record behind the head's place is the one that follows the head."""
    try:
        for _, _, line in lines_after(path, head.first, head.offset):
            if record := sealed_record_of(line.removesuffix(b"\n")):
                return (record.get("seq"), record.get("prev")) == (head.seq + 1, head.hash)
    except OSError:
        return False
    end = end_of(path)
    return (end.seq, end.hash) == (head.seq, head.hash)


def _last_lines(path: Path) -> Iterator[tuple[Path, int, bytes]]:
    """The lines of the last files, 64 MiB of them; compressed ones count as they are."""
    files: list[tuple[Path, int]] = []
    left = _SEARCHED_BYTES
    for segment in reversed(segments_of(path)):
        size = segment.stat().st_size
        files.append((segment, max(size - left, 0)))
        left -= size
        if left <= 0:
            break
    for segment, offset in reversed(files):
        is_packed = segment.suffix in {".zst", ".gz"}
        yield from lines_after(segment, first_seq_of(segment) or 0, 0 if is_packed else offset)


def beginning_of(path: Path) -> tuple[int | None, float | None]:
    """The first record's `seq` and time, in Unix seconds; None where a file has none."""
    first = first_seq_of(path)
    with path.open("rb") as stream:
        found = _TIME.search(stream.read(BEGINNING_BYTES))
    if first is None or found is None:
        return first, None
    try:
        return first, datetime.fromisoformat(found[1].decode()).timestamp()
    except ValueError:  # it is no time
        return first, None
