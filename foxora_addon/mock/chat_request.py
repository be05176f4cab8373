"""Reads the body of a chat completion: what the contract refuses, and what the assistant needs.

From the messages it keeps only what was asked last, whether a tool has answered since, and the
tokens of it all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from foxora_addon.mock import fields
from foxora_addon.mock.answers import json_text
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.wording import tokens_of

_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_IMAGE = 85
_MOST_CHOICES = 128
_FORMATS = ("text", "json_object", "json_schema")
_CHOICES_OF_TOOLS = ("none", "auto", "required")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the assistant may call; `schema` is that of its arguments."""

    name: str
    schema: Any


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A valid request.

    `tool_answer` None: the last message is not a tool's. `tool_choice` is `none`, `auto`,
    `required`, or the Tool that must be called. `json_schema` None: words are wanted; empty: any
    JSON object. `most_tokens` None: no limit.
    """

    model: str
    asked: str
    tool_answer: str | None
    input_tokens: int
    tools: tuple[Tool, ...]
    tool_choice: str | Tool
    parallel_tools: bool
    json_schema: Json | None
    choices: int
    most_tokens: int | None
    stream: bool
    stream_usage: bool


def parse_chat(body: bytes) -> ChatRequest:
    """The request in a body; raises RequestError (foxora-api.md, Errors)."""
    json = fields.object_of(body)
    model = fields.required_text(json, "model")
    messages = _messages(json)
    fields.number(json, "temperature", 0, 2)
    tools = tuple(_tools(json))
    return ChatRequest(
        model=model,
        asked=_last_asked(messages),
        tool_answer=_tool_answer(messages[-1]),
        input_tokens=sum(map(_message_tokens, messages)) + _tool_tokens(json),
        tools=tools,
        tool_choice=_tool_choice(json, tools),
        parallel_tools=json.get("parallel_tool_calls") is not False,
        json_schema=schema_of_format(fields.mapping(json, "response_format"), "response_format"),
        choices=fields.whole_number(json, "n", 1, _MOST_CHOICES) or 1,
        most_tokens=_most_tokens(json),
        stream=fields.flag(json, "stream"),
        stream_usage=fields.flag(fields.mapping(json, "stream_options"), "include_usage"),
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
    return text_of(last.get("content")) if last["role"] == "tool" else None


def _message_tokens(message: Json) -> int:
    return _TOKENS_PER_MESSAGE + content_tokens(message.get("content"))


def _tool_tokens(json: Json) -> int:
    return tokens_of(json_text(json["tools"])) if json.get("tools") else 0


def _tools(json: Json) -> Iterator[Tool]:
    """The functions among the tools. Other kinds are taken, and never called."""
    for spec in fields.objects(json, "tools"):
        if spec.get("type", "function") != "function":
            continue
        function = fields.mapping(spec, "function")
        name = function.get("name")
        if not isinstance(name, str) or not name:
            raise RequestError("Each function of 'tools' must have a name.", "tools")
        yield Tool(name, function.get("parameters"))


def _tool_choice(json: Json, tools: Sequence[Tool]) -> str | Tool:
    choice = json.get("tool_choice") or "auto"
    if choice in _CHOICES_OF_TOOLS:
        return str(choice)
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    tool = next((each for each in tools if each.name == name), None)
    if tool is None:
        raise RequestError("The 'tool_choice' field names no tool of 'tools'.", "tool_choice")
    return tool


def _most_tokens(json: Json) -> int | None:
    newer = fields.whole_number(json, "max_completion_tokens")
    older = fields.whole_number(json, "max_tokens")
    return older if newer is None else newer
