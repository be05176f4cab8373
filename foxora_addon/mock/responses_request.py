"""Reads the body of a Responses request: its items in place of messages, and flat tools.

It knows no stored state: of a conversation it sees what the request itself holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from foxora_addon.mock import fields
from foxora_addon.mock.answers import json_text
from foxora_addon.mock.chat_request import content_tokens, schema_of_format, text_of
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.task import Task
from foxora_addon.mock.tools import toolbox_of
from foxora_addon.mock.wording import tokens_of

_ECHOED: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Fields of a request that its response repeats, and what they are where they are not given."""


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """A valid request; `echo` is what its response repeats of it."""

    model: str
    task: Task
    input_tokens: int
    stream: bool
    echo: Json = field(default_factory=dict)


def parse_responses(body: bytes) -> ResponsesRequest:
    """The request in a body; raises RequestError."""
    json = fields.object_of(body)
    model = fields.required_text(json, "model")
    items = _items(json)
    fields.number(json, "temperature", 0, 2)
    form = fields.mapping(fields.mapping(json, "text"), "format")
    asked = [text_of(item.get("content")) for item in items if item.get("role") == "user"]
    task = Task(
        asked=asked[-1] if asked else "",
        tool_answer=_tool_answer(items),
        called=_called(items),
        toolbox=toolbox_of(json),
        json_schema=schema_of_format(form, "text.format"),
        most_tokens=fields.whole_number(json, "max_output_tokens"),
    )
    tools = tokens_of(json_text(json["tools"])) if json.get("tools") else 0
    return ResponsesRequest(
        model=model,
        task=task,
        input_tokens=content_tokens(json.get("instructions"))
        + sum(content_tokens(item.get("content", item.get("output"))) for item in items)
        + tools,
        stream=fields.flag(json, "stream"),
        echo={name: _given(json.get(name), usual) for name, usual in _ECHOED.items()},
    )


def _items(json: Json) -> list[Json]:
    given = fields.required(json, "input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise RequestError("The 'input' field must be a string or a list of objects.", "input")
    return items


def _tool_answer(items: Sequence[Json]) -> str | None:
    is_answer = bool(items) and items[-1].get("type") == "function_call_output"
    return text_of(items[-1].get("output")) if is_answer else None


def _called(items: Sequence[Json]) -> frozenset[str]:
    """The functions that were called since the user's last words."""
    since = takewhile(lambda item: item.get("role") != "user", reversed(items))
    calls = (item.get("name") for item in since if item.get("type") == "function_call")
    return frozenset(name for name in calls if isinstance(name, str))


def _given(value: Any, usual: Any) -> Any:
    return usual if value is None else value
