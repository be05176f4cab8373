"""Reads a trail for a command: all segments as one, torn lines said, progress shown."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from foxora_addon.app.say import say
from foxora_addon.audit.segments import lines_of, segments_of
from foxora_addon.reading.exchanges import Pairing, Recorded
from foxora_addon.reading.filters import Filters
from foxora_addon.reading.grep import Grep
from foxora_addon.reading.ids import Search
from foxora_addon.reading.records import Record, light_record_of, record_of

_SHOW_FROM_BYTES: Final = 32_000_000
_STEP_BYTES: Final = 4_000_000


class TrailReading:
    """One command's reading of a trail; what it skips is said once, at the end.

    `is_quiet`: the command writes to the terminal as it reads, so no progress is drawn.
    """

    def __init__(self, path: Path, *, is_quiet: bool = False) -> None:
        self.path = path
        self._is_quiet = is_quiet
        self._torn = 0
        self._first_torn: tuple[Path, int] | None = None

    def lines(self) -> Iterator[tuple[Path, int, bytes]]:
        """All lines; raises OSError if the trail can't be read."""
        with self._progress() as advance:
            unsaid = 0
            for line in lines_of(self.path):
                yield line
                unsaid += len(line[2])
                if unsaid >= _STEP_BYTES:
                    advance(line[0], unsaid)
                    unsaid = 0

    def records(self, *, is_light: bool = True) -> Iterator[Record]:
        """All records in their order; light ones may lack the body."""
        read = light_record_of if is_light else record_of
        for segment, number, line in self.lines():
            record = read(line)
            if record is None:
                self.note_torn(segment, number, line)
            else:
                yield record

    def exchanges(self, filters: Filters, *, is_light: bool = True) -> Iterator[Recorded]:
        """The exchanges that are wanted, as they end; then those that are open."""
        pairing = Pairing()
        for record, found in self.searched(filters, is_light=is_light):
            recorded = pairing.take(record, found=found)
            if recorded is not None and filters.want(recorded):
                yield recorded
        yield from (recorded for recorded in pairing.rest() if filters.want(recorded))

    def find(self, prefixes: list[str], filters: Filters) -> list[Recorded]:
        """The exchange that each prefix names; raises `Unknown`."""
        searches = [Search(prefix, filters) for prefix in prefixes]
        for _, _, line in self.lines():
            for search in searches:
                search.take(line)
        return [search.found(str(self.path)) for search in searches]

    def note_torn(self, segment: Path, number: int, line: bytes) -> None:
        """Remember a line that holds no record; an empty one is nothing."""
        if line.strip():
            self._torn += 1
            self._first_torn = self._first_torn or (segment, number)

    def say_what_was_skipped(self) -> None:
        """One line on standard error, if any line was torn."""
        if self._first_torn is not None:
            segment, number = self._first_torn
            more = f", and {self._torn - 1} more" if self._torn > 1 else ""
            say(f"skipped what is no record: {segment} line {number}{more} (see audit verify)")

    def searched(self, filters: Filters, *, is_light: bool = True) -> Iterator[tuple[Record, bool]]:
        """All records, each with whether the text that is looked for is in it."""
        if filters.grep is None:
            yield from ((record, True) for record in self.records(is_light=is_light))
            return
        grep = Grep(filters.grep)
        for segment, number, line in self.lines():
            if grep.may_find(line):
                record = record_of(line)
                found = record is not None and grep.finds(record)
            else:
                record, found = (light_record_of if is_light else record_of)(line), False
            if record is None:
                self.note_torn(segment, number, line)
            else:
                yield record, found

    @contextmanager
    def _progress(self) -> Iterator["_Advance"]:
        sizes = _sizes_of(self.path)
        total = sum(sizes.values())
        if self._is_quiet or total < _SHOW_FROM_BYTES or not sys.stderr.isatty():
            yield _Advance(None, sizes)
            return
        columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
        console = Console(file=sys.stderr)
        with Progress(*columns, console=console, transient=True) as progress:
            progress.add_task("reading", total=total)
            yield _Advance(progress, sizes)


class _Advance:
    """Moves the bar on: by bytes in a plain segment, at once for a compressed one."""

    def __init__(self, progress: Progress | None, sizes: dict[Path, int]) -> None:
        self._progress = progress
        self._sizes = sizes
        self._done: dict[Path, int] = {}

    def __call__(self, segment: Path, size: int) -> None:
        if self._progress is not None:
            so_far = self._done.get(segment, 0) + size
            self._done[segment] = min(so_far, self._sizes.get(segment, so_far))
            task = self._progress.task_ids[0]
            self._progress.update(task, completed=sum(self._done.values()))


def _sizes_of(path: Path) -> dict[Path, int]:
    sizes = {}
    for segment in segments_of(path):
        try:
            sizes[segment] = segment.stat().st_size
        except FileNotFoundError:
            continue  # it was rotated away since it was listed
    return sizes
