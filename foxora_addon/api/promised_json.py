"""Tells whether a body is the JSON that an operation promises (`Operation.answers_json`).

Clients read it without looking: three popular ones fail with an AttributeError on what is none.
"""

from typing import Final

from foxora_addon.api import quick_json


class _NotJson:
    """What stands for the value of a body that has none."""


NOT_JSON: Final = _NotJson()
UNREAD: Final = _NotJson()
"""It is nested more deeply than can be read: nobody here knows what it is."""
_ANSWERS: Final = (dict, list)


def value_of_json(body: bytes) -> object:
    """The value that a body has as JSON; `NOT_JSON` if it is none, or `UNREAD`."""
    try:
        return quick_json.read(body)
    except ValueError:
        return NOT_JSON
    except RecursionError:
        return too_deep(body)


def too_deep(body: bytes) -> object:
    """What stands for the value of a body that is nested too deeply to be read, or cut short."""
    return UNREAD if body.rstrip().endswith((b"}", b"]")) else NOT_JSON


def flaw_of_json(body: bytes, *, may_be_empty: bool, value: object = None) -> str | None:
    """What stands in an answer's place, in words that follow "with"; None: it is JSON.

    `body` is without its content encoding, `value` what `value_of_json` has made of it, if it was
    asked already. A bare text or number is JSON, and no answer.
    """
    if isinstance(value, _ANSWERS):
        return None
    start = body.lstrip()[:1]
    if not start:
        return None if may_be_empty else "an empty body where JSON is due"
    if start == b"<":
        return "a page of HTML or XML where JSON is due"
    if value is None:
        value = value_of_json(body)
    if value is NOT_JSON:
        is_cut = start in (b"{", b"[")
        return "JSON that is not valid or cut short" if is_cut else "text where JSON is due"
    is_one = value is UNREAD or isinstance(value, _ANSWERS)
    return None if is_one else "a bare value where a JSON object is due"
