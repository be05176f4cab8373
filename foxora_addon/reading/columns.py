"""Fits the cells of a line into a terminal: columns that stay aligned, clipped, dropped if need be.

Only for terminals: a pipe gets every cell whole.
"""

import unicodedata
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

GAP: Final = 2
_WIDE: Final = frozenset({"W", "F"})
_WITHOUT_WIDTH: Final = frozenset({"Mn", "Me", "Cf"})


class Column(NamedTuple):
    """A column: its least width, and how wide it is where there is room.

    Columns with the highest `rank` go first where there is too little room; those of rank 0 stay.
    `is_figure`: it ends at the column's right.
    """

    name: str
    width: int
    longest: int
    rank: int = 0
    is_figure: bool = False


def fitted(columns: Sequence[Column], room: int) -> dict[int, int]:
    """The width of each column that is shown, by its index, in a terminal of `room` columns.

    No line is longer, unless the columns of rank 0 alone are. Room to spare goes by rank, too.
    """
    by_rank = sorted(range(len(columns)), key=lambda index: columns[index].rank)
    widths = {index: column.width for index, column in enumerate(columns)}
    for index in reversed(by_rank):
        if columns[index].rank and _length(widths) > room:
            del widths[index]
    spare = max(room - _length(widths), 0)
    for index in (index for index in by_rank if index in widths):
        more = min(columns[index].longest - widths[index], spare)
        widths[index], spare = widths[index] + more, spare - more
    return widths


def _length(widths: dict[int, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def cell_in(text: str, column: Column, width: int) -> str:
    """A cell as wide as its column; what does not fit is clipped with an ellipsis."""
    if (needed := columns_of(text)) > width:
        ends = accumulate(map(_columns_of_letter, text))
        text = "".join(letter for letter, end in zip(text, ends, strict=True) if end < width) + "…"
        needed = columns_of(text)
    rest = " " * (width - needed)
    return rest + text if column.is_figure else text + rest


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes: a letter of Chinese has two, an accent none."""
    return len(text) if text.isascii() else sum(map(_columns_of_letter, text))


def _columns_of_letter(letter: str) -> int:
    if unicodedata.east_asian_width(letter) in _WIDE:
        return 2
    return 0 if unicodedata.category(letter) in _WITHOUT_WIDTH else 1
