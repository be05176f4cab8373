"""The words of answers, and the counting of tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.mock.wording import (
    gist_of,
    reply_to,
    shortened,
    stretched,
    tokens_of,
    words_of,
)

# Surrogates included: JSON can hold them, UTF-8 cannot.
texts = st.text(st.characters(exclude_categories=()), max_size=200)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("four", 1), ("fiver", 2)])
def test_a_token_is_four_bytes(text: str, tokens: int) -> None:
    assert tokens_of(text) == tokens


def test_tokens_are_counted_in_bytes_not_in_characters() -> None:
    assert tokens_of("\N{FOX FACE}\N{FOX FACE}") == 2


@given(texts, st.integers(1, 50))
def test_a_shortened_text_fills_its_limit_exactly_if_anything_was_cut(text: str, most: int) -> None:
    short, is_cut = shortened(text, most)
    assert is_cut == (tokens_of(text) > most)
    if is_cut:
        assert tokens_of(short) == most
    else:
        assert short == text


@given(texts)
def test_words_joined_are_the_text(text: str) -> None:
    assert "".join(words_of(text)) == text


@given(texts)
def test_a_reply_is_the_same_each_time_and_differs_between_choices(text: str) -> None:
    assert reply_to(text) == reply_to(text)
    assert len({reply_to(text, choice) for choice in range(3)}) == 3


def test_a_reply_refers_to_what_was_said() -> None:
    assert "why is the sky blue?" in reply_to("why is\n the   sky blue?")


def test_a_gist_is_one_short_line() -> None:
    gist = gist_of("line\n" * 10_000)
    assert len(gist) == 90
    assert "\n" not in gist


@given(st.integers(1, 300))
def test_a_stretched_text_has_exactly_so_many_words(words: int) -> None:
    assert len(stretched("You asked for it.", words).split()) == words
