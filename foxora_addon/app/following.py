"""Follows a trail as it grows, through rotation, moves and truncation.

What was seen is told by `seq`, not by files: when the file was changed under us, the trail's newer
segments are read from the first record that was not seen.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from foxora_addon.audit.segments import first_seq_of, lines_of, require_file, segments_of
from foxora_addon.presence import is_there
from foxora_addon.reading.records import Record, count_of

_POLL_SECONDS: Final = 0.2
_CHUNK_BYTES: Final = 1 << 20


def _wait() -> None:
    time.sleep(_POLL_SECONDS)


class Follower:
    """Reads on behind the end that a trail has when this is made.

    `read` makes a record of a line, None if it is torn; `say` gets what a reader must know in one
    line; `pause` waits before the next look, and may end it all by raising. `seen` is the highest
    `seq` that was read otherwise: nothing up to it is given.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[bytes], Record | None],
        say: Callable[[str], None],
        pause: Callable[[], None] = _wait,
    ) -> None:
        self.seen = 0
        self._path = path
        self._read = read
        self._say = say
        self._pause = pause
        self._rest = b""
        self._is_new_file = False
        self._file = self._opened()
        if self._file is not None:
            self._file.seek(_end_of_last_line(self._file))

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def records(self) -> Iterator[Record]:
        """Each new record as it is written, for ever."""
        while True:
            if self._file is None:
                self._reopen()
            yield from self._new_records()
            if self._was_replaced():
                yield from self._new_records()  # what came between the two looks
                yield from self._after_replacement()
            else:
                self._pause()

    def _new_records(self) -> Iterator[Record]:
        while self._file is not None and (data := self._file.read(_CHUNK_BYTES)):
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from self._unseen(lines)

    def _unseen(self, lines: list[bytes]) -> Iterator[Record]:
        for line in lines:
            record = self._read(line) if line.strip() else None
            if record is not None and self._is_unseen(count_of(record.get("seq")) or 0):
                yield record

    def _is_unseen(self, seq: int) -> bool:
        if self._is_new_file and seq <= self.seen:
            self._say(f"{self._path} begins anew")
            self.seen = 0
        self._is_new_file = False
        if seq <= self.seen:
            return False
        self.seen = seq
        return True

    def _was_replaced(self) -> bool:
        """Whether the path is another file now, or this one became shorter."""
        if self._file is None:
            return False
        ours = os.fstat(self._file.fileno())
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return True
        return not os.path.samestat(ours, named) or named.st_size < self._file.tell()

    def _after_replacement(self) -> Iterator[Record]:
        """What the closed segments hold that was not seen; then the file at the path is open."""
        if self._was_truncated():
            self._say(f"{self._path} was cut short: following it from its beginning")
        else:
            for segment in self._unseen_segments():
                yield from self._unseen([line for _, _, line in _lines_of_closed(segment)])
        self.close()
        self._reopen()

    def _was_truncated(self) -> bool:
        if self._file is None or not is_there(self._path):
            return False
        return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())

    def _unseen_segments(self) -> list[Path]:
        """The closed segments that hold what was not seen, but for those that are gone by now."""
        closed = [segment for segment in segments_of(self._path) if segment != self._path]
        found: list[Path] = []
        for segment in reversed(closed):
            try:
                first = first_seq_of(segment)
            except FileNotFoundError:
                continue
            found.append(segment)
            if (first or 0) <= self.seen + 1:
                break
        return found[::-1]

    def _reopen(self) -> None:
        self._rest, self._is_new_file = b"", True
        self._file = self._opened()

    def _opened(self) -> BinaryIO | None:
        try:
            require_file(self._path)
            return self._path.open("rb")
        except FileNotFoundError:
            return None  # it was moved away, and the proxy has not written since


def _end_of_last_line(file: BinaryIO) -> int:
    """Where the last whole line ends; what stands behind it may still be written."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(end - _CHUNK_BYTES, 0)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _lines_of_closed(segment: Path) -> Iterator[tuple[Path, int, bytes]]:
    """Its lines, though it was compressed since it was listed; none if it was removed."""
    for path in (segment, segment.with_name(f"{segment.name}.zst")):
        try:
            yield from lines_of(path)
        except FileNotFoundError:
            continue
        return
