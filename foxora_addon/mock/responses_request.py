"""Reads the body of a Responses request: its items in place of messages, and flat tools.

It knows no stored state: what a request goes on from is handed to it.
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
    "background": False,
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
    """A valid request; `echo` is what its response repeats of it.

    `items` are its own, without those that it goes on from; the tokens are of all of them.
    """

    model: str
    task: Task
    items: list[Json]
    input_tokens: int
    stream: bool
    background: bool
    store: bool
    echo: Json = field(default_factory=dict)


def parse_responses(json: Json, earlier: Sequence[Json] = ()) -> ResponsesRequest:
    """The request in a body's JSON, with the items that it goes on from; raises RequestError."""
    model = fields.required_text(json, "model")
    own_items = _items(json)
    items = [*earlier, *own_items]
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
    echo = {name: _given(json.get(name), usual) for name, usual in _ECHOED.items()}
    conversation = conversation_named(json)
    return ResponsesRequest(
        model=model,
        task=task,
        items=own_items,
        input_tokens=content_tokens(json.get("instructions"))
        + sum(content_tokens(item.get("content", item.get("output"))) for item in items)
        + tools,
        stream=fields.flag(json, "stream"),
        background=fields.flag(json, "background"),
        store=json.get("store") is None or fields.flag(json, "store"),
        echo={**echo, "conversation": conversation and {"id": conversation}},
    )


def conversation_named(json: Json) -> str | None:
    """The id of the conversation that a request belongs to; None if it belongs to none."""
    given = json.get("conversation")
    name = given.get("id") if isinstance(given, dict) else given
    if given is not None and not (isinstance(name, str) and name):
        message = "The 'conversation' field must be an id, or an object with one."
        raise RequestError(message, "conversation")
    return name


def _items(json: Json) -> list[Json]:
    goes_on = any(json.get(name) for name in ("previous_response_id", "conversation"))
    given = json.get("input") if goes_on else fields.required(json, "input")
    if given is None:
        return []
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
