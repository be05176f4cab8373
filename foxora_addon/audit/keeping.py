"""What becomes of closed segments: compressed, and removed when there are too many or too old ones.

It works from what stands in the folder, so that a crash at any moment leaves it less to do or the
same again: a compressed segment takes its name only when it is whole and on the disk, and its
original goes after that. It runs on a thread of its own; the writer never waits for it.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Literal, NamedTuple

import zstandard

from foxora_addon.audit.disk import Disk
from foxora_addon.audit.segments import closed_segments_of

_TIDY_SECONDS: Final = 3600.0
_DAY_SECONDS: Final = 86_400.0

# A restart counts the last minute's calls, and what their guard adds, by their records: so none of
# these is removed, however few segments are to be kept.
_YOUNG_SECONDS: Final = 120.0

_LEVEL: Final = 3
_PIECE_BYTES: Final = 1 << 20


class Keeping(NamedTuple):
    """When a trail begins a new file, and how long closed ones are kept; None is never, and all.

    One with records of the last minute is kept in any case (see `_YOUNG_SECONDS`).
    """

    rotate_bytes: int | None = None
    rotate_seconds: float | None = None
    compress: Literal["zstd", "none"] = "zstd"
    keep_segments: int | None = None
    keep_days: float | None = None


FOREVER: Final = Keeping()


class _GivenUp(Exception):  # noqa: N818  # reads as what it says where it is raised
    """The program ends while a segment is compressed."""


class Keeper:
    """Tidies up a trail's folder in the background, one pass at a time."""

    def __init__(self, path: Path, disk: Disk, say: Callable[[str], None]) -> None:
        self._path = path
        self._disk = disk
        self._say = say
        self._lock = threading.Lock()
        self._due: tuple[Keeping, float] | None = None
        self._thread: threading.Thread | None = None
        self._tidied_at = 0.0
        self._next_after = _TIDY_SECONDS
        self._is_over = False

    def tidy(self, keeping: Keeping, now: float) -> None:
        """Have a pass made; `now` is in Unix seconds. What is asked for meanwhile is one more."""
        self._tidied_at, self._next_after = now, _YOUNG_SECONDS
        with self._lock:
            self._due = keeping, now
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="foxora-keeper", daemon=True)
                with contextlib.suppress(RuntimeError):  # the program ends: the next start tidies
                    thread.start()
                    self._thread = thread

    def tidy_if_due(self, keeping: Keeping, now: float) -> None:
        """Have a pass made once an hour, for the segments that only become old.

        And one as soon as those are no longer young that were when another was asked for.
        """
        if not 0 <= now - self._tidied_at < self._next_after:
            self.tidy(keeping, now)
            self._next_after = _TIDY_SECONDS

    def close(self) -> None:
        """Give up the pass under way, if there is one: the next start makes it anew."""
        with self._lock:
            self._due, self._is_over = None, True
        self.wait()

    def wait(self) -> None:
        """Return when no pass is under way."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                due, self._due = self._due, None
                if due is None:
                    self._thread = None
                    return
            try:
                tidy(self._path, *due, self._disk, lambda: self._is_over)
            except (OSError, zstandard.ZstdError) as error:
                self._say(f"closed segments of the trail {self._path} stay as they are: {error}")


def tidy(
    path: Path,
    keeping: Keeping,
    now: float,
    disk: Disk,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Remove and compress closed segments as `keeping` says.

    It stops soon after `is_over` says so, with nothing half done that is not done anew. Where
    something fails, all else is done, and then the first OSError or ZstdError is raised.
    """
    segments = closed_segments_of(path)
    whole = {segment.name for segment in segments}
    doubled = [segment for segment in segments if f"{segment.name}.zst" in whole]
    single = [segment for segment in segments if segment not in doubled]
    expired = _expired(single, keeping, now)
    steps: list[Callable[[], None]] = []
    # To compress takes room: where the disk is full there is none before these are gone.
    steps += [partial(disk.unlink, str(segment)) for segment in doubled]
    steps.append(partial(_remove, expired, disk))
    if keeping.compress == "zstd":
        kept = [segment for segment in single[len(expired) :] if segment.suffix != ".zst"]
        steps += [partial(_compress, segment, disk, is_over) for segment in kept]
    failures: list[Exception] = []
    for step in steps:
        if is_over():
            return
        try:
            step()
        except (OSError, zstandard.ZstdError) as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _remove(segments: list[Path], disk: Disk) -> None:
    """Remove segments; where one stays, so do those after it: a trail has no holes."""
    for segment in segments:
        disk.unlink(str(segment))


def _expired(segments: list[Path], keeping: Keeping, now: float) -> list[Path]:
    """The segments to remove, the oldest first; a younger one never goes before an older one.

    One that seems to come from the future, after the clock was set back, is not taken for young.
    """
    excess = 0 if keeping.keep_segments is None else len(segments) - keeping.keep_segments
    old = 0
    if keeping.keep_days is not None:
        limit = now - keeping.keep_days * _DAY_SECONDS
        while old < len(segments) and _written_at(segments[old]) < limit:
            old += 1
    expired = segments[: max(excess, old, 0)]
    while expired and abs(now - _written_at(expired[-1])) < _YOUNG_SECONDS:
        expired.pop()
    return expired


def _written_at(segment: Path) -> float:
    """When its last record was written, in Unix seconds; of a link to nothing, when it was made."""
    try:
        return segment.stat().st_mtime
    except OSError:
        return segment.lstat().st_mtime


def _compress(segment: Path, disk: Disk, is_over: Callable[[], bool]) -> None:
    part = f"{segment}.zst.part"
    with segment.open("rb") as source:
        found = os.fstat(source.fileno())
        try:
            with open(disk.open(part, os.O_TRUNC), "wb") as packed:  # noqa: PTH123  # a descriptor
                _copy_packed(source, packed, is_over)
                packed.flush()
                disk.force(packed.fileno())
        except (OSError, _GivenUp) as error:
            with contextlib.suppress(OSError):
                disk.unlink(part)
            if isinstance(error, _GivenUp):
                return
            raise
    os.utime(part, ns=(found.st_atime_ns, found.st_mtime_ns))  # its age is that of its last record
    disk.rename(part, f"{segment}.zst")
    disk.force_folder(segment.parent)
    disk.unlink(str(segment))


def _copy_packed(source: BinaryIO, packed: BinaryIO, is_over: Callable[[], bool]) -> None:
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    with compressor.stream_writer(packed, closefd=False) as writer:
        while piece := source.read(_PIECE_BYTES):
            if is_over():
                raise _GivenUp
            writer.write(piece)
