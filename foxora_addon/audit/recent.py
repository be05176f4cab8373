"""Reads the end of a trail, newest first, for whoever must remember the last minute after a start.

A trail of gigabytes is not read, nor are bodies kept.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from foxora_addon.audit.chain import sealed_record_of
from foxora_addon.audit.segments import lines_after, segments_of

MOST_READ_BYTES: Final = 1 << 28
_BLOCK_BYTES: Final = 1 << 18
_DROPPED: Final = frozenset({"body", "message", "folded", "http", "prev", "hash"})


def recent_records(
    path: Path, is_enough: Callable[[Mapping[str, Any]], bool], most_bytes: int = MOST_READ_BYTES
) -> list[dict[str, Any]]:
    """The last records of a trail in their order, without their content.

    It is read backwards until `is_enough` says so of a record, which is left out; until its
    beginning, or for `most_bytes`. Torn lines are passed over. Raises OSError.
    """
    found: list[dict[str, Any]] = []
    left = most_bytes
    for line in _all_lines_backwards(path):
        left -= len(line)
        record = sealed_record_of(line)
        if record is not None and (left < 0 or is_enough(record)):
            return found[::-1]
        if record is not None:
            found.append(_without_content(record))
    return found[::-1]


def _without_content(record: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in record.items() if key not in _DROPPED}
    if isinstance(error := record.get("error"), dict):
        kept["error"] = {"retry_after_ms": error.get("retry_after_ms")}
    return kept


class Unpaired:
    """Of records that are read backwards, the exchanges whose end was met and whose request not.

    Their requests lie before, however long ago they began.
    """

    def __init__(self) -> None:
        self._exchanges: set[str] = set()

    def take(self, record: Mapping[str, Any], *, counts: bool) -> bool:
        """Take the next record; whether there is any such exchange, but for this one.

        `counts`: an end of which the request is wanted.
        """
        exchange = str(record.get("exchange"))
        if counts and record.get("event") == "response":
            self._exchanges.add(exchange)
        lacks_any = bool(self._exchanges)
        if record.get("event") == "request":
            self._exchanges.discard(exchange)
        return lacks_any


def recent_lines(path: Path, most_bytes: int) -> Iterator[bytes]:
    """The lines at the end of a trail, the last one first, for so many bytes. Raises OSError."""
    left = most_bytes
    for line in _all_lines_backwards(path):
        left -= len(line)
        if left < 0:
            return
        yield line


def _all_lines_backwards(path: Path) -> Iterator[bytes]:
    for segment in reversed(segments_of(path)):
        yield from _lines_backwards(segment)


def _lines_backwards(segment: Path) -> Iterator[bytes]:
    """The lines of a file without their breaks, the last one first."""
    if segment.suffix in {".zst", ".gz"}:
        lines = [line.rstrip(b"\n") for file, _, line in lines_after(segment, 0, 0)]
        yield from reversed(lines)
        return
    with segment.open("rb") as stream:
        left = os.fstat(stream.fileno()).st_size
        rest = b""
        while left:
            size = min(left, _BLOCK_BYTES)
            left -= size
            first, *others = (os.pread(stream.fileno(), size, left) + rest).split(b"\n")
            yield from reversed(others)
            rest = first
        yield rest
