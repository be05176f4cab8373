"""Columns of a terminal: they fit it, and stay under each other."""

from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.reading.cells import COLUMNS
from foxora_addon.reading.columns import GAP, Column, cell_in, columns_of, fitted

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


def test_letters_that_take_two_columns_or_none_leave_the_next_column_where_it_is() -> None:
    assert cell_in("模型", THREE[0], 6) == "模型  "
    assert cell_in("模型模型", THREE[0], 6) == "模型… "
    assert cell_in("e\u0301a", THREE[0], 4) == "e\u0301a  "
    assert cell_in("模型", Column("n", 4, 4, is_figure=True), 6) == "  模型"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])), st.integers(1, 20))
def test_a_cell_has_the_width_of_its_column_whatever_it_says(text: str, width: int) -> None:
    assert columns_of(cell_in(text, THREE[0], width)) == width


@given(st.integers(40, 400))
def test_no_line_of_tail_is_longer_than_the_terminal(room: int) -> None:
    widths = fitted(COLUMNS, room)
    assert sum(widths.values()) + GAP * (len(widths) - 1) <= room
    assert {"status", "outcome"} <= {COLUMNS[index].name for index in widths}
