"""For how many pictures a call asks, which a stream of them does not say."""

import re
from typing import Final

from foxora_addon.api import quick_json

_MOST: Final = 10
"""OpenAI's API reference, Images: `n` is between 1 and 10."""

_FORM_FIELD: Final = re.compile(
    rb'(?i)content-disposition:[ \t]*form-data;[ \t]*name="?n"?[ \t]*\r\n'
    rb"(?:[^\r\n]{1,200}\r\n){0,4}\r\n([0-9]{1,2})\r\n"
)


def pictures_asked(body: bytes) -> int:
    """The `n` of a call's body, JSON or a multipart form (RFC 7578); 1 where it names none."""
    if body.startswith(b"--"):
        field = _FORM_FIELD.search(body)
        return _count_of(int(field[1])) if field else 1
    try:
        value = quick_json.read(body)
    except (ValueError, RecursionError):
        return 1
    return _count_of(value.get("n")) if isinstance(value, dict) else 1


def _count_of(value: object) -> int:
    return min(value, _MOST) if type(value) is int and value > 0 else 1
