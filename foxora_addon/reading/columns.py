"""Fits the cells of a line into a terminal: columns that stay aligned, clipped, dropped if need be.

Only for terminals: a pipe gets every cell whole.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

GAP: Final = 2


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
    if len(text) > width:
        text = f"{text[: width - 1]}…"
    return text.rjust(width) if column.is_figure else text.ljust(width)
