"""Asks for the usage that a stream reports only if asked, by one member of the request's body.

Decides whether to ask, and whether an error means that the gateway will not have it. Whether the
operator wants it, who is asked again, and what is remembered, are decided elsewhere; what asking
adds to the answer is taken out by `usage_strip`.
"""

import re
from collections.abc import Mapping
from typing import Final

from foxora_addon.api.errors import ApiError
from foxora_addon.api.json_splice import replace_inner_member, with_first_member

# Responses and everything else report their usage by themselves, or have none.
_OPERATIONS: Final = frozenset({"chat", "completions"})

_MENTION: Final = re.compile(r"stream[_\s-]?options|include[_\s-]?usage", re.IGNORECASE)
# What follows is a list of fields that would be accepted: a mention there is no refusal.
_ACCEPTED: Final = re.compile(
    r"expected one of|\b(?<!not )(?:accepted|allowed|supported|valid)"
    r" (?:arguments|fields|keys|parameters|properties)\b",
    re.IGNORECASE,
)


def with_usage_asked(operation: str, body: bytes, request: object) -> bytes | None:
    """Return `body` with `stream_options.include_usage` set to true, and no other byte changed.

    `request` is `body` as `json.loads` reads it. None where there is nothing to do: no stream of
    chat or legacy completions, or a client that asks already; and where the field is not of its
    documented form, which is the gateway's to judge. A client that says false gets a stream
    without usage, as it wants.
    """
    if operation not in _OPERATIONS or not isinstance(request, Mapping):
        return None
    options = request.get("stream_options")
    if request.get("stream") is not True or not _leaves_room(options):
        return None
    if "stream_options" not in request:
        return with_first_member(body, "stream_options", {"include_usage": True})
    try:
        return replace_inner_member(body, "stream_options", "include_usage", value=True)
    except ValueError:
        # A duplicate of the field, which the parsed request does not show, is no object.
        return None


def _leaves_room(options: object) -> bool:
    match options:
        case None | {"include_usage": None | False}:
            return True
        case {"include_usage": _}:
            return False
    return isinstance(options, Mapping)


def refuses_usage(error: ApiError) -> bool:
    """Whether the gateway's `error` says that it does not know, or not take, the field.

    Any mention counts, whatever the words around it, for a client that never sent the field must
    not read of it. A wrong yes costs one more call; so remember a refusal only once the call
    without the field has got a better answer.
    """
    if error.status not in (400, 422):
        return False
    message = _ACCEPTED.split(error.message, maxsplit=1)[0]
    return any(_MENTION.search(text) for text in (message, error.param or "", error.code))
