"""The figures of a text are what looking at it piece by piece finds."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.text_figures import Figures, figures_of

_LETTER = rb"[A-Za-z\x80-\xff]"
_MARK = rb"[^A-Za-z0-9\x80-\xff\t-\r\x1c-\x20]"


def counted(pattern: bytes, data: bytes) -> int:
    return len(re.findall(pattern, data))


def looked_for(data: bytes) -> Figures:
    """The same, each by a pattern of its own."""
    return Figures(
        words=counted(_LETTER + b"+", data),
        letters=counted(_LETTER, data),
        camel_humps=counted(rb"[a-z\x80-\xff][A-Z]", data),
        digit_runs=counted(rb"[0-9]+", data),
        digit_fours=counted(rb"[0-9]{4}", data),
        marks=counted(_MARK, data),
        mark_runs=counted(_MARK + b"+", data),
        line_feeds=counted(rb"\n", data),
        spare_spaces=counted(b"  ", data),
    )


@given(
    st.binary(max_size=200) | st.text(st.sampled_from("aB9. \n\té"), max_size=200).map(str.encode)
)
def test_each_figure_is_what_its_pattern_finds(data: bytes) -> None:
    assert figures_of(data) == looked_for(data)


@pytest.mark.parametrize("size", [0, 1, 131_071, 131_072, 131_073, 400_000])
def test_of_a_text_of_any_length(size: int) -> None:
    data = (b"getName(12345);  caf\xc3\xa9\n" * 20_000)[:size]
    assert figures_of(data) == looked_for(data)
