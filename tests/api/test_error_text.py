"""Foreign text is one clean line, or described and not passed on."""

from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.error_text import is_page, one_line

TEXT = st.text(st.characters(codec=None))


@given(TEXT, st.integers(1, 40))
def test_a_line_is_bounded_and_has_no_control_characters(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert len(line) <= longest
    assert line == line.strip()
    assert {category(character) for character in line}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})


@given(TEXT, st.integers(1, 40))
def test_cleaning_twice_is_cleaning_once(text: str, longest: int) -> None:
    assert one_line(one_line(text, longest), longest) == one_line(text, longest)


def test_text_that_is_clean_stays_as_it_is() -> None:
    assert one_line("Ça va: 日本語 😀", 100) == "Ça va: 日本語 😀"


@pytest.mark.parametrize("text", ["<!DOCTYPE html>", "x <HTML lang=en>", "<body>", "<head\n>"])
def test_a_page_is_known_by_its_tags(text: str) -> None:
    assert is_page(text)


@pytest.mark.parametrize("text", ["a < b", "<model> is required", "<htmlish>", "html", ""])
def test_angle_brackets_alone_make_no_page(text: str) -> None:
    assert not is_page(text)
