"""The words of the mock's answers, and how tokens are counted in them.

Everything is a function of the request's text alone, so the same call gets the same answer. No
model is imitated, and no tokenizer: a token is four bytes of UTF-8, begun ones counted whole.
"""

import re
import zlib
from collections.abc import Iterator
from itertools import cycle, islice

_BYTES_PER_TOKEN = 4
_WORD = re.compile(r"\s*\S+|\s+")
_GIST_CHARACTERS = 90

_TEMPLATES = (
    "You asked: \u201c{gist}\u201d \u2013 a fine question. This is the mock gateway speaking, "
    "so the answer is kind, quick, and always the same.",
    "About \u201c{gist}\u201d: the mock gateway has read every word, thought for no time at all, "
    "and agrees with you.",
    "Thank you for \u201c{gist}\u201d. No model was asked; "
    "the mock gateway answered by itself, as it always does.",
)
_AFTER_TOOL = (
    "The tool answered \u201c{gist}\u201d. The mock gateway read it and has nothing to add."
)
_FILLER = ("and", "so", "the", "mock", "gateway", "goes", "on", "in", "calm", "even", "words")


def tokens_of(text: str) -> int:
    """The tokens of a text: its UTF-8 bytes by four, rounded up."""
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def shortened(text: str, most_tokens: int | None) -> tuple[str, bool]:
    """The text cut to at most so many tokens, and whether anything was cut. None: no limit."""
    if most_tokens is None or tokens_of(text) <= most_tokens:
        return text, False
    kept = text.encode("utf-8", "replace")[: most_tokens * _BYTES_PER_TOKEN]
    return kept.decode("utf-8", "ignore"), True


def words_of(text: str) -> list[str]:
    """The text in words, each with the white space before it; joined they are the text."""
    return _WORD.findall(text)


def gist_of(text: str) -> str:
    """The text on one line, at most 90 characters."""
    line = " ".join(text[: 8 * _GIST_CHARACTERS].split())
    return line if len(line) <= _GIST_CHARACTERS else line[: _GIST_CHARACTERS - 1] + "\u2026"


def reply_to(text: str, choice: int = 0) -> str:
    """A short reply that refers to a user's text; other choices reply in other words."""
    first = zlib.crc32(text.encode("utf-8", "replace"))
    template = _TEMPLATES[(first + choice) % len(_TEMPLATES)]
    return template.format(gist=gist_of(text) or "nothing")


def reply_to_tool(text: str) -> str:
    """A short reply that refers to what a tool returned."""
    return _AFTER_TOOL.format(gist=gist_of(text) or "nothing")


def stretched(text: str, words: int) -> str:
    """The text cut or filled up to exactly so many words."""
    return " ".join(islice(_endless(text), words))


def _endless(text: str) -> Iterator[str]:
    yield from text.split()
    yield from cycle(_FILLER)
