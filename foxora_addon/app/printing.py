"""Prints results: for a person at a terminal in tables and colours, for a pipe in plain text."""

import contextlib
import json
import math
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from foxora_addon.reading.texts import one_line, visible_json

STYLES: Final = {
    "heading": "bold",
    "role": "bold cyan",
    "text": "",
    "call": "magenta",
    "result": "blue",
    "note": "dim",
    "fact": "",
    "error": "red",
    "label": "dim",
    "+": "green",
    "-": "red",
}
_STANDARD_PAGER: Final = "less"
_WIDEST: Final = 10_000


class Output(Console):
    """A console that leaves it to its user what becomes of a reader that has left."""

    def on_broken_pipe(self) -> None:
        """Let the BrokenPipeError go on, where rich would exit with status 1."""
        raise  # noqa: PLE0704  # rich calls this as it handles the error


def is_terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty()


def console() -> Console:
    """Standard output; what is printed is taken as it is, and a pipe's lines are never wrapped.

    Nor are they coloured, whatever the environment has for other programs (FORCE_COLOR).
    """
    return Output(
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not is_terminal(),
        force_terminal=None if is_terminal() else False,
    )


def write(text: str) -> None:
    """A line on standard output, as it is."""
    sys.stdout.write(f"{text}\n")


def json_text(value: Any) -> str:
    """One line of JSON; moments are ISO 8601, and what JSON doesn't know is a text.

    Infinity and what is no number are null, and what could command a terminal is escaped.
    """
    try:
        text = _JSON.encode(value)
    except (TypeError, ValueError):
        text = _JSON.encode(_finite(value))
    return visible_json(text)


def _finite(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {_name_of(name): _finite(item) for name, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value


def _name_of(name: object) -> object:
    """A member's name; in a map of DuckDB's it may be a moment, say."""
    return name if isinstance(name, str | int) else str(_plain(name))


def _plain(value: object) -> object:
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return float(value)
        case timedelta():
            return value.total_seconds()
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case _:
            return str(value)


_JSON: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> None:
    """A table; the first `left` columns are texts, the others figures.

    Where that is wider than the terminal, a line for each cell: what is cut is another figure.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    if not is_terminal():
        for line in _aligned([list(headers), *cells], left):
            write(line)
        return
    screen = console()
    table = _table_of(headers, cells, left)
    whole = screen.measure(table, options=screen.options.update(max_width=_WIDEST)).maximum
    if whole <= screen.width:
        screen.print(table)
    else:
        _print_blocks(screen, headers, cells)


def _table_of(headers: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index < left else "right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _print_blocks(screen: Console, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Each row as a block of its own, as `print_facts` has it."""
    width = max(map(len, headers))
    for row in rows:
        for header, cell in zip(headers, row, strict=True):
            screen.print(Text.assemble((f"{header:{width}}  ", STYLES["label"]), cell))
        screen.print()


def _aligned(rows: list[list[str]], left: int) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        pairs = enumerate(zip(row, widths, strict=True))
        parts = (c.ljust(w) if index < left else c.rjust(w) for index, (c, w) in pairs)
        yield "  ".join(parts).rstrip()


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Labels and texts, one pair a line."""
    screen = console()
    for label, text in facts:
        screen.print(Text.assemble((f"{label:12}", STYLES["label"]), text))


@contextlib.contextmanager
def paged() -> Iterator[Console]:
    """A console for a long text: on a terminal that it overfills, it goes through the pager.

    The pager is $PAGER, else less; where there is none, the text is printed as it is.
    """
    screen = console()
    if not is_terminal():
        yield screen
        return
    with screen.capture() as capture:
        yield screen
    text = capture.get()
    if text.count("\n") < screen.height or screen.is_dumb_terminal or not _page(text):
        sys.stdout.write(text)


def _pager() -> list[str]:
    """The words of the pager's command; none where $PAGER is no command."""
    try:
        return shlex.split(os.environ.get("PAGER") or _STANDARD_PAGER)
    except ValueError:  # a quotation that does not end
        return []


def _page(text: str) -> bool:
    command = _pager()
    if not command:
        return False
    surroundings = {"LESS": "FRX", **os.environ}
    try:
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, env=surroundings)  # noqa: S603  # the user's own choice
    except OSError:
        return False
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pager's
    try:
        pager.communicate(text.encode("utf-8", "backslashreplace"))  # left early is fine
    finally:
        signal.signal(signal.SIGINT, interrupt)
    return True
