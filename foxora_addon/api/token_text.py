"""How many tokens a text is: counted where a tokenizer is at hand, else estimated from its bytes.

The estimate knows kinds of bytes, not words: it is linear in a few figures, each of them one pass
over the bytes in C, and of a long text it reads a sample from all over it. Its weights were
fitted on prose in 45 languages, code, JSON, logs, numbers and identifiers, against the two
encodings of OpenAI's models. tests/api/test_token_text.py holds how well it does.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from operator import mul
from typing import Final, Literal, NamedTuple

from foxora_addon.api.remembered_text import remembering
from foxora_addon.api.text_figures import figures_of

type Encoding = Literal["o200k_base", "cl100k_base"]

# What is counted exactly of the texts of one call, in characters, a shorter text taken for 64 for
# it costs as much: about 5 ms. An estimate reads so many of a text, of a longer one a sample; texts
# of more than a few words are estimated alone, unless they are very long together.
MOST_COUNTED: Final = 65_536
_LEAST_COUNTED: Final = 64
_MOST_READ: Final = 32_768
_SLICES: Final = 64
_LEAST_ALONE: Final = 256
_MOST_ALONE: Final = 131_072

# Up to GPT-4 Turbo and text-embedding-3; everything since, and whatever is unknown, is o200k.
_OLDER: Final = re.compile(r"gpt-4(?![.o])|gpt-3|text-|davinci|babbage")
_MODEL_CHARACTERS: Final = 256

type TextCounter = Callable[[str, Encoding], int]
"""Counts the tokens of a text exactly; any text, also one with lone surrogates."""


def encoding_of(model: str | None) -> Encoding:
    """Return the encoding that a model's tokens are in, by its name; o200k for one unknown."""
    return _encoding_of((model or "")[:_MODEL_CHARACTERS])


@lru_cache(maxsize=1_024)  # a model's name comes again and again
def _encoding_of(model: str) -> Encoding:
    return "cl100k_base" if _OLDER.match(bare_name(model)) else "o200k_base"


def bare_name(model: str | None) -> str:
    """Return a model's name without a router's prefix or the mark of a fine-tuned one."""
    return (model or "")[:_MODEL_CHARACTERS].rpartition("/")[2].removeprefix("ft:")


def text_tokens(texts: Sequence[str], model: str | None, counter: TextCounter | None) -> int:
    """Return the tokens of all the texts; each begins with a token of its own.

    With a `counter` the first `MOST_COUNTED` characters are counted, and the rest estimated and
    corrected by how far the estimate was off so far.
    """
    encoding = encoding_of(model)
    if counter is None:
        return round(_estimate_of_all(texts, encoding))
    texts = [*filter(None, texts)]
    if sum(map(len, texts)) + _LEAST_COUNTED * len(texts) <= MOST_COUNTED:  # as it mostly is
        return sum(map(counter, texts, repeat(encoding)))
    counted, left = _split(texts, MOST_COUNTED)
    tokens = sum(map(counter, counted, repeat(encoding)))
    if not left:
        return tokens
    estimate = _estimate_of_all(counted, encoding)
    return tokens + round(_estimate_of_all(left, encoding) * tokens / max(estimate, 1))


def _split(texts: Sequence[str], most: int) -> tuple[Sequence[str], Sequence[str]]:
    """Return the first `most` characters of the texts, and what is left of them."""
    for place, text in enumerate(texts):
        if most <= 0:
            return texts[:place], texts[place:]
        if len(text) > most:
            return [*texts[:place], text[:most]], [text[most:], *texts[place + 1 :]]
        most -= max(len(text), _LEAST_COUNTED)
    return texts, []


def _all_but(leads: Iterable[int]) -> bytes:
    return bytes(set(range(256)) - set(leads))


_ASCII: Final = bytes(range(0x80))
# The first bytes of a character's UTF-8 tell its script, near enough.
_NO_ACCENT: Final = _all_but(range(0xC3, 0xCA))
_SCRIPTS: Final = (
    _all_but(range(0xCA, 0xCE)),  # phonetic letters and combining marks
    _all_but(range(0xCE, 0xD0)),  # Greek
    _all_but(range(0xD0, 0xD4)),  # Cyrillic
    _all_but(range(0xD4, 0xD6)),  # Armenian
    _all_but(range(0xD6, 0xD8)),  # Hebrew
    _all_but(range(0xD8, 0xE0)),  # Arabic
    _all_but((0xE0,)),  # India's scripts, and Thai
    _all_but((0xE1,)),  # Georgian, Khmer, Ethiopic and others; Vietnamese vowels
    _all_but((0xE3,)),  # kana
    _all_but(range(0xE4, 0xEA)),  # Han
    _all_but(range(0xEA, 0xEE)),  # Hangul
    _all_but((0xEF,)),  # full-width forms, emoji's variation selectors
    _all_but(range(0xF0, 0xF5)),  # emoji
)
_VIETNAMESE: Final = (b"\xe1\xba", b"\xe1\xbb")


class _Weights(NamedTuple):
    """Tokens for each word, letter, ... of a text: the first fields weigh those of `Figures`."""

    words: float
    letters: float
    camel_humps: float
    digit_runs: float
    digit_fours: float
    marks: float
    mark_runs: float
    line_feeds: float
    spare_spaces: float
    letters_near_accents: float  # no English words, so longer ones in tokens
    accents: float
    scripts: tuple[float, ...]  # for each character of _SCRIPTS, besides its bytes as letters


# A Latin language other than English, or Vietnamese, has an accent in 50 letters at least.
_LETTERS_AN_ACCENT: Final = 50

_WEIGHTS: Final[dict[Encoding, _Weights]] = {
    "o200k_base": _Weights(
        *(0.58, 0.1, 1.14, 1.4, 1.71, 0.13, 0.58, 0.77, 0.17, 0.02, 1.03),
        (1.0, 0.1, 0.0, 0.0, 0.13, 0.04, 0.0, 0.3, 0.59, 0.48, 0.27, 1.5, 1.28),
    ),
    "cl100k_base": _Weights(
        *(0.51, 0.12, 0.9, 1.47, 1.71, 0.1, 0.56, 0.61, 0.21, 0.06, 1.47),
        (1.0, 0.72, 0.23, 2.05, 0.84, 0.55, 0.79, 1.64, 0.75, 0.82, 0.78, 1.5, 2.13),
    ),
}


def _estimate_of_all(texts: Sequence[str], encoding: Encoding) -> float:
    """Estimate long texts each by itself, for they may be known, and all others together.

    Very many are estimated by what a sample of them all comes to.
    """
    short, alone, estimate = [], 0, 0.0
    for text in texts:
        if len(text) < _LEAST_ALONE:
            short.append(text)
            continue
        alone += len(text)
        if alone > _MOST_ALONE:
            return _estimate(" ".join(texts), encoding)
        estimate += _known_estimate(text, encoding)
    return estimate + _known_estimate(" ".join(short), encoding) if short else estimate


def _estimate(text: str, encoding: Encoding) -> float:
    sample = _sample_of(text)
    data = sample.encode("utf-8", "replace")
    return len(text) / max(len(sample), 1) * _estimate_bytes(data, _WEIGHTS[encoding])


_known_estimate: Final = remembering(_estimate, 1)


def _sample_of(text: str) -> str:
    """Return slices of a long text from all over it, a short one as it is."""
    if len(text) <= _MOST_READ:
        return text
    starts = (len(text) * place // _SLICES for place in range(_SLICES))
    return "".join(text[start : start + _MOST_READ // _SLICES] for start in starts)


def _estimate_bytes(data: bytes, weights: _Weights) -> float:
    figures = figures_of(data)
    tokens: float = sum(map(mul, weights, figures))
    return tokens if data.isascii() else tokens + _beyond_ascii(data, figures.letters, weights)


def _beyond_ascii(data: bytes, letters: int, weights: _Weights) -> float:
    data = data.translate(None, _ASCII)
    # Where accents are dense they are Vietnamese, whose syllables are mostly a token each.
    vietnamese = sum(map(data.count, _VIETNAMESE))
    accents = max(len(data.translate(None, _NO_ACCENT)) - vietnamese, 0)
    near = min(letters, _LETTERS_AN_ACCENT * accents)
    characters = (len(data.translate(None, others)) for others in _SCRIPTS)
    tokens: float = sum(map(mul, weights.scripts, characters))
    return tokens + weights.letters_near_accents * near + weights.accents * accents
