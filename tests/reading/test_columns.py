"""Columns of a terminal: they fit it, and stay under each other."""

from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.reading.cells import COLUMNS
from foxora_addon.reading.columns import GAP, Column, cell_in, fitted

THREE = (Column("a", 4, 8), Column("b", 4, 4, rank=1), Column("c", 4, 6, rank=2))


def test_the_columns_of_the_highest_rank_go_first() -> None:
    assert fitted(THREE, 16) == {0: 4, 1: 4, 2: 4}
    assert fitted(THREE, 15) == {0: 8, 1: 4}
    assert fitted(THREE, 9) == {0: 8}
    assert fitted(THREE, 1) == {0: 4}


def test_room_to_spare_goes_to_those_of_the_lowest_rank_up_to_what_they_can_use() -> None:
    assert fitted(THREE, 18) == {0: 6, 1: 4, 2: 4}
    assert fitted(THREE, 200) == {0: 8, 1: 4, 2: 6}
    assert fitted(THREE[::-1], 18) == {0: 4, 1: 4, 2: 6}


def test_a_cell_fills_its_column_and_is_clipped_with_an_ellipsis() -> None:
    assert cell_in("ab", THREE[0], 4) == "ab  "
    assert cell_in("ab", Column("n", 4, 4, is_figure=True), 4) == "  ab"
    assert cell_in("abcdef", THREE[0], 4) == "abc…"


@given(st.integers(40, 400))
def test_no_line_of_tail_is_longer_than_the_terminal(room: int) -> None:
    widths = fitted(COLUMNS, room)
    assert sum(widths.values()) + GAP * (len(widths) - 1) <= room
    assert {"status", "outcome"} <= {COLUMNS[index].name for index in widths}
