"""Turns a line of the trail into a record, whole or without what it quotes.

Whether a line is the one that was written is `audit verify`'s business: what counts here is that it
can be read.
"""

import json
from typing import Any, Final

import orjson

type Record = dict[str, Any]

_BODY: Final = b',"body":"'
_BODY_END: Final = b'","body_encoding":"'
_MOST: Final = 2**63
"""JSON has numbers of any length, and Python can neither divide nor format all of them."""
_FOLDED: Final = (b',"message":{', b',"folded":{')


def record_of(line: bytes) -> Record | None:
    """The record on a line; None if the line is torn or holds something else."""
    value = _value_of(line)
    if not isinstance(value, dict) or not isinstance(value.get("exchange"), str):
        return None
    return value if isinstance(value.get("event"), str) else None


def light_record_of(line: bytes) -> Record | None:
    """The same, where `body` may have been left out: it is most of a line.

    Quotes inside a JSON text are escaped, so what is looked for can't stand inside of one. If it
    is a member of something deeper, what is left lacks an end, is no JSON, and is read whole;
    what has a folded stream, which may hold anything, is not cut at all.
    """
    short = line if any(member in line for member in _FOLDED) else _without_body(line)
    return record_of(line) if short is line else record_of(short) or record_of(line)


def _without_body(line: bytes) -> bytes:
    end = line.rfind(_BODY_END)
    start = line.find(_BODY, 0, end) if end > 0 else -1
    return line if start < 0 else line[: start + len(_BODY)] + line[end:]


def _value_of(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except (ValueError, RecursionError):
        pass
    if not line.rstrip().endswith(b"}"):
        return None
    try:  # what the quick reader won't take, the standard one may: a lone surrogate, say
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def text_of(value: Any) -> str | None:
    """A text that is not empty."""
    return value if isinstance(value, str) and value else None


def number_of(value: Any) -> float | None:
    """A number that some measure can have; a truth value is none, nor are NaN and infinity."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if -_MOST <= value <= _MOST else None


def count_of(value: Any) -> int | None:
    """A whole number, in the same bounds; a truth value is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -_MOST <= value <= _MOST else None
