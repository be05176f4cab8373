"""Reads the body of a chat completion: what the contract refuses, and what the assistant needs.

From the messages it keeps only what was asked last, whether a tool has answered since, and the
tokens of it all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from foxora_addon.mock import fields
from foxora_addon.mock.answers import json_text
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.task import Task
from foxora_addon.mock.tools import functions_of, toolbox_of
from foxora_addon.mock.wording import tokens_of

_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_IMAGE = 85
_MOST_CHOICES = 128
_FORMATS = ("text", "json_object", "json_schema")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A valid request. `is_older`: tools are told as `functions`, which came before them."""

    model: str
    task: Task
    input_tokens: int
    choices: int
    stream: bool
    stream_usage: bool
    is_older: bool


def parse_chat(body: bytes) -> ChatRequest:
    """The request in a body; raises RequestError (foxora-api.md, Errors)."""
    json = fields.object_of(body)
    model = fields.required_text(json, "model")
    messages = _messages(json)
    fields.number(json, "temperature", 0, 2)
    is_older = bool(json.get("functions")) and not json.get("tools")
    task = Task(
        asked=_last_asked(messages),
        tool_answer=_tool_answer(messages[-1]),
        called=_called(messages),
        toolbox=functions_of(json) if is_older else toolbox_of(json),
        json_schema=schema_of_format(fields.mapping(json, "response_format"), "response_format"),
        most_tokens=_most_tokens(json),
    )
    return ChatRequest(
        model=model,
        task=task,
        input_tokens=sum(map(_message_tokens, messages)) + _tool_tokens(json),
        choices=fields.whole_number(json, "n", 1, _MOST_CHOICES) or 1,
        stream=fields.flag(json, "stream"),
        stream_usage=fields.flag(fields.mapping(json, "stream_options"), "include_usage"),
        is_older=is_older,
    )


def text_of(content: Any) -> str:
    """The words in a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def content_tokens(content: Any) -> int:
    """The tokens of a message's content; an image counts 85 whatever its size."""
    parts = content if isinstance(content, list) else []
    kinds = (part.get("type") for part in parts if isinstance(part, dict))
    images = sum(kind in ("image_url", "input_image") for kind in kinds)
    return tokens_of(text_of(content)) + images * _TOKENS_PER_IMAGE


def schema_of_format(spec: Json, param: str) -> Json | None:
    """The schema that a format asks for: an empty one for JSON mode, None for text."""
    kind = spec.get("type", "text")
    if kind not in _FORMATS:
        raise RequestError(f"The '{param}.type' field must be one of {', '.join(_FORMATS)}.", param)
    if kind == "text":
        return None
    holder = spec if "schema" in spec else fields.mapping(spec, "json_schema")
    return fields.mapping(holder, "schema")


def _messages(json: Json) -> list[Json]:
    messages = fields.required(json, "messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("The 'messages' field must be a non-empty list.", "messages")
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            param = f"messages[{place}]"
            raise RequestError(f"The '{param}' entry must be an object with a 'role'.", param)
    return messages


def _last_asked(messages: Sequence[Json]) -> str:
    texts = (text_of(m.get("content")) for m in reversed(messages) if m["role"] == "user")
    return next(texts, "")


def _tool_answer(last: Json) -> str | None:
    return text_of(last.get("content")) if last["role"] in ("tool", "function") else None


def _called(messages: Sequence[Json]) -> frozenset[str]:
    """The tools that were called since the user's last words."""
    since = takewhile(lambda message: message["role"] != "user", reversed(messages))
    return frozenset(name for message in since for name in _names_called(message))


def _names_called(message: Json) -> Iterator[str]:
    calls = [fields.mapping(call, "function") for call in fields.objects(message, "tool_calls")]
    for call in (*calls, fields.mapping(message, "function_call")):
        if isinstance(call.get("name"), str):
            yield call["name"]


def _message_tokens(message: Json) -> int:
    return _TOKENS_PER_MESSAGE + content_tokens(message.get("content"))


def _tool_tokens(json: Json) -> int:
    tools = json.get("tools") or json.get("functions")
    return tokens_of(json_text(tools)) if tools else 0


def _most_tokens(json: Json) -> int | None:
    newer = fields.whole_number(json, "max_completion_tokens")
    older = fields.whole_number(json, "max_tokens")
    return older if newer is None else newer
