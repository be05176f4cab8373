"""For how many pictures a call asks, which a stream of them does not say."""

from typing import Final

from foxora_addon.api import quick_json
from foxora_addon.api.forms import boundary_of, read_form, texts_of

_MOST: Final = 10
"""OpenAI's API reference, Images: `n` is between 1 and 10."""


def pictures_asked(body: bytes, content_type: str | None) -> int:
    """The `n` of a call's body, JSON or a multipart form; 1 where it names none."""
    boundary = boundary_of(content_type)
    if boundary is not None:
        form = read_form(body, boundary)
        texts = None if form is None else texts_of(form, body, "n")
        text = texts[-1] if texts else ""
        return _count_of(int(text)) if text.isdecimal() and len(text) <= len(str(_MOST)) else 1
    try:
        value = quick_json.read(body)
    except (ValueError, RecursionError):
        return 1
    return _count_of(value.get("n")) if isinstance(value, dict) else 1


def _count_of(value: object) -> int:
    return min(value, _MOST) if type(value) is int and value > 0 else 1
