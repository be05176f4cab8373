"""How many tokens a call used, out of any dialect's `usage` object; knows nothing of prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

# What JSON numbers can hold exactly everywhere; a count above it is nonsense.
_LARGEST: Final = 2**53 - 1


type UsageSource = Literal["reported", "counted", "estimated"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call; None for a figure that is not known.

    `source`: the gateway reported them, or we counted what the answer said, or it is an estimate.
    """

    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    source: UsageSource = "reported"


def usage_of(value: object) -> Usage | None:
    """Return the tokens that a `usage` object reports; None if it holds no readable figure.

    Reads Chat Completions' names (prompt_tokens, completion_tokens) and those of Responses
    (input_tokens, output_tokens). A total that is missing is the sum of both parts, if both are
    there; one that is given stays as it is.
    """
    if not isinstance(value, Mapping):
        return None
    input_tokens = _first_count(value, "prompt_tokens", "input_tokens")
    output_tokens = _first_count(value, "completion_tokens", "output_tokens")
    total_tokens = _first_count(value, "total_tokens")
    if total_tokens is None and input_tokens is not None and output_tokens is not None:
        total_tokens = input_tokens + output_tokens
    usage = Usage(input_tokens, output_tokens, total_tokens)
    return None if usage == Usage(None, None, None) else usage


def _first_count(value: Mapping[object, object], *names: str) -> int | None:
    counts = (_count_of(value.get(name)) for name in names)
    return next((count for count in counts if count is not None), None)


def _count_of(value: object) -> int | None:
    """Return a whole number from 0 up; 12.0 is one, as JSON knows one kind of number, True none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= _LARGEST and value == int(value) else None
