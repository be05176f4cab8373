"""Items of a conversation as they are told back: each with an id, and contents in parts."""

from collections.abc import Sequence
from typing import Any

from foxora_addon.mock.answers import json_bytes
from foxora_addon.mock.fields import Json

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
    "compaction": "cmp",
}
_WITH_STATUS = ("message", "function_call", "function_call_output")


def items_of(given: Sequence[Json], token: str) -> list[Json]:
    """The items of a request as they are told; `token` makes the ids of those that have none."""
    return [_item(item, f"{token}_in{place}") for place, item in enumerate(given)]


def octets_of(items: Sequence[Json]) -> int:
    """How long the items are in JSON, each by itself."""
    return sum(len(json_bytes(item)) for item in items)


def _item(given: Json, mark: str) -> Json:
    kind = _text(given.get("type"), "message")
    name = _text(given.get("id"), f"{_PREFIXES.get(kind, 'item')}_{mark}")
    told = {**given, "id": name, "type": kind}
    if kind in _WITH_STATUS:
        told["status"] = given.get("status") or "completed"
    if kind == "message":
        told["content"] = _parts(given)
    return told


def _parts(message: Json) -> list[Any]:
    content = message.get("content")
    if not isinstance(content, str):
        return content if isinstance(content, list) else []
    if message.get("role") != "assistant":
        return [{"type": "input_text", "text": content}]
    return [{"type": "output_text", "text": content, "annotations": [], "logprobs": []}]


def _text(value: Any, usual: str) -> str:
    return value if isinstance(value, str) and value else usual
