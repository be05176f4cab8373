"""JSON for what passes with every call: read and written by orjson, ten times as fast.

What orjson won't take goes to Python's own reader and writer, so that nothing is refused here that
those accept: lone surrogates, NaN, UTF-16, numbers as names; nor are whole numbers of any length,
which Python's own takes up to some 4,300 digits.
"""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

import orjson

_MOST_DIGITS: Final = 640
"""Fewer than any limit that Python can be given (`sys.int_info.str_digits_check_threshold`)."""
_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def read(data: bytes | str) -> Any:
    """The value of a JSON text; raises ValueError or RecursionError where it is none."""
    try:
        return orjson.loads(data)
    except ValueError:
        return read_slower(data)


def read_slower(data: bytes | str) -> Any:
    """The same by Python's own reader; a whole number that is too long for that is a float."""
    try:
        return json.loads(data)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:  # a long number: Python says no more of it
        return json.loads(data, parse_int=_number_in)


def _number_in(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def bytes_of(value: Any) -> bytes | None:
    """A value as `text_of` has it, in UTF-8; None for what orjson can't say."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return None


def text_of(value: Any) -> str:
    """A value as compact JSON in which all but ASCII stands as it is, and NaN as null.

    Raises TypeError for what JSON can't say.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return _encode(_finite(value))


def _finite(value: Any) -> Any:
    """The value with null for each number that is infinite, or none at all."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
