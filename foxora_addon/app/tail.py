"""`audit tail`: a line an exchange, the last ones first, then each as it ends."""

import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.text import Text

from foxora_addon.app.following import Follower
from foxora_addon.app.printing import console, is_terminal, json_text, write
from foxora_addon.app.say import say
from foxora_addon.app.trail_reading import TrailReading
from foxora_addon.audit.head import Head, read_head
from foxora_addon.presence import is_there
from foxora_addon.reading.cells import COLUMNS, aligned, cells_of, json_of
from foxora_addon.reading.columns import GAP, cell_in, fitted
from foxora_addon.reading.exchanges import Pairing, Recorded
from foxora_addon.reading.filters import Filters
from foxora_addon.reading.grep import Grep
from foxora_addon.reading.records import Record, count_of, light_record_of, record_of

_GLANCE_BYTES: Final = 8_000_000
_STYLES: Final = {"completed": "green", "refused": "yellow", "open": "dim"}


def show_tail(
    path: Path,
    filters: Filters,
    *,
    count: int,
    follows: bool,
    as_json: bool,
) -> int:
    """Print the last exchanges that are wanted; then follow the trail until interrupted."""
    show = _printer(as_json=as_json)
    # Opened first, so that what is written while the end is looked up is not missed.
    follower = Follower(path, record_of if filters.grep else light_record_of, say)
    with closing(follower):
        last = _last(path, filters, count, waits=follows)
        for recorded in last.shown(count):
            show(recorded)
        if follows:
            follower.seen = last.seen
            _follow(follower, last, show)
    return 0


def _last(path: Path, filters: Filters, count: int, *, waits: bool) -> "_Last":
    try:
        return _glance(path, filters, count) or _whole_reading(path, filters, count)
    except FileNotFoundError:
        if not waits:
            raise
        say(f"{path} is not there yet: waiting for it")
        return _Last(filters, count)


def _follow(follower: Follower, last: "_Last", show: Callable[[Recorded], None]) -> None:
    sys.stdout.flush()
    for record in follower.records():
        ended = last.take(record)
        if ended is not None:
            show(ended)
            sys.stdout.flush()


class _Last:
    """The last wanted exchanges so far, those that are open, and the last `seq`.

    `whole` counts the wanted ones that ended since one did whose request was not seen.
    """

    def __init__(self, filters: Filters, count: int) -> None:
        self.seen = self.whole = 0
        self._filters = filters
        self._grep = Grep(filters.grep) if filters.grep else None
        self._pairing = Pairing()
        self._ended: deque[Recorded] = deque(maxlen=count)

    def __len__(self) -> int:
        return len(self._ended)

    def take(self, record: Record, *, found: bool | None = None) -> Recorded | None:
        """Take the next record; the wanted exchange that it ends, or None."""
        self.seen = count_of(record.get("seq")) or self.seen
        if found is None:
            found = self._grep is None or self._grep.finds(record)
        recorded = self._pairing.take(record, found=found)
        if recorded is not None and recorded.request is None:
            self.whole = 0
        if recorded is None or not self._filters.want(recorded):
            return None
        self._ended.append(recorded)
        self.whole += recorded.request is not None
        return recorded

    def shown(self, count: int) -> list[Recorded]:
        """What is shown at first: those that ended, then those that are open."""
        still_open = (each for each in self._pairing.rest() if self._filters.want(each))
        return [*self._ended, *still_open][-count:] if count else []


class _Met(NamedTuple):
    """What is kept of each record that was looked at."""

    exchange: str
    seq: object
    hash: object


def _glance(path: Path, filters: Filters, count: int) -> _Last | None:
    """What the end of the file tells, which is enough for most; None if it isn't."""
    head = read_head(path)  # first, so that it is of a record that is there
    last, met = _Last(filters, count), list[_Met]()
    for line in _last_lines(path):
        if record := record_of(line):
            last.take(record)
            met.append(_Met(record["exchange"], record.get("seq"), record.get("hash")))
    if not met:
        return None
    is_all = met[0].seq == 1
    return last if is_all or (last.whole >= count and _began_here(met, head)) else None


def _began_here(met: Sequence[_Met], head: Head | None) -> bool:
    """Whether all that is open began in these records; the head has what was so before them."""
    return (
        head is not None
        and any((each.seq, each.hash) == (head.seq, head.hash) for each in met)
        and head.open.keys() <= {each.exchange for each in met}
    )


def _whole_reading(path: Path, filters: Filters, count: int) -> _Last:
    last = _Last(filters, count)
    reading = TrailReading(path)
    for record, found in reading.searched(filters):
        last.take(record, found=found)
    reading.say_what_was_skipped()
    return last


def _last_lines(path: Path) -> list[bytes]:
    """The last whole lines of the file that is written; none where it is compressed or absent."""
    if path.suffix in {".zst", ".gz"} or not is_there(path):
        return []
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - _GLANCE_BYTES, 0))
        lines = file.read(_GLANCE_BYTES).splitlines(keepends=True)
    if size > _GLANCE_BYTES:
        del lines[:1]
    return [line for line in lines if line.endswith(b"\n")]


def _printer(*, as_json: bool) -> Callable[[Recorded], None]:
    if as_json:
        return lambda recorded: write(json_text(json_of(recorded)))
    if not is_terminal():
        return lambda recorded: write(
            "  ".join(aligned(cells_of(recorded, is_short=False))).rstrip()
        )
    return Screen(console()).show


class Screen:
    """A terminal with a line an exchange below the names of the columns.

    Where it has become wider or narrower, these stand there anew.
    """

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._width = 0
        self._widths: Mapping[int, int] = {}
        self._fit()

    def show(self, recorded: Recorded) -> None:
        """Show one more."""
        self._fit()
        self._print(_coloured(recorded, self._widths))

    def _fit(self) -> None:
        width = self._screen.width
        if width != self._width:
            self._width, self._widths = width, fitted(COLUMNS, width)
            names = (COLUMNS[i].name.ljust(room) for i, room in self._widths.items())
            self._print(Text((" " * GAP).join(names), style="bold"))

    def _print(self, line: Text) -> None:
        self._screen.print(line, no_wrap=True, crop=False, overflow="ignore")


def _coloured(recorded: Recorded, widths: Mapping[int, int]) -> Text:
    """A line for a screen. An id that is cut short is a prefix that still names it: no ellipsis."""
    line = Text()
    cells = cells_of(recorded, is_short=True)
    for index, width in widths.items():
        column, cell = COLUMNS[index], cells[index]
        style = _STYLES.get(recorded.outcome, "red") if column.name == "outcome" else ""
        if column.name == "exchange":
            line.append(cell[:width], "dim")
        else:
            line.append(cell_in(cell, column, width), style)
            line.append(" " * GAP)
    line.rstrip()
    return line
