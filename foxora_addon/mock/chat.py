"""What the mock's assistant says to a chat: words, tool calls or JSON, within a limit of tokens.

How the completion is told (one JSON object, or a stream of chunks) stands elsewhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from foxora_addon.mock.answers import json_text
from foxora_addon.mock.chat_request import ChatRequest, Tool
from foxora_addon.mock.fields import Json
from foxora_addon.mock.schemas import example_of
from foxora_addon.mock.wording import reply_to, reply_to_tool, shortened, stretched, tokens_of

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the assistant asks for; `arguments` are JSON, unless a limit has cut them."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the `n` answers: words, or tool calls and no words."""

    text: str
    finish_reason: FinishReason
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def tokens(self) -> int:
        """The tokens of the words, and of the calls' names and arguments."""
        calls = (tokens_of(call.name) + tokens_of(call.arguments) for call in self.tool_calls)
        return tokens_of(self.text) + sum(calls)


@dataclass(frozen=True, slots=True)
class Completion:
    """What the assistant says, and the tokens that it took."""

    choices: tuple[Choice, ...]
    input_tokens: int
    output_tokens: int


def complete(request: ChatRequest, completion_id: str, words: int | None = None) -> Completion:
    """What the assistant says; with `words`, in so many of them, unless it says JSON."""
    choices = tuple(
        _fitted(_choice(request, completion_id, number, words), request.most_tokens)
        for number in range(request.choices)
    )
    output_tokens = sum(choice.tokens for choice in choices)
    return Completion(choices, request.input_tokens, output_tokens)


def json_answer_text(schema: Json, asked: str, number: int = 0) -> str:
    """An answer in JSON: one that fits the schema, or words in an object if it asks for nothing."""
    return json_text(example_of(schema) if schema else {"answer": reply_to(asked, number)})


def _choice(request: ChatRequest, completion_id: str, number: int, words: int | None) -> Choice:
    calls = tuple(
        _call(tool, f"call_{completion_id.rpartition('_')[2]}_{number}_{place}")
        for place, tool in enumerate(_wanted_tools(request))
    )
    if calls:
        return Choice("", "tool_calls", calls)
    if request.json_schema is not None:
        return Choice(json_answer_text(request.json_schema, request.asked, number), "stop")
    text = _reply(request, number)
    return Choice(text if words is None else stretched(text, words), "stop")


def _reply(request: ChatRequest, number: int) -> str:
    if request.tool_answer is not None:
        return reply_to_tool(request.tool_answer)
    return reply_to(request.asked, number)


def _wanted_tools(request: ChatRequest) -> list[Tool]:
    """The tools to call now: none once a tool has answered, so that a conversation ends."""
    if request.tool_answer is not None or request.tool_choice == "none":
        return []
    if isinstance(request.tool_choice, Tool):
        return [request.tool_choice]
    wanted = list(_mentioned(request))
    if not wanted and request.tool_choice == "required":
        return list(request.tools[:1])
    return wanted if request.parallel_tools else wanted[:1]


def _mentioned(request: ChatRequest) -> Iterator[Tool]:
    asked = request.asked.lower() if request.tools else ""
    for tool in request.tools:
        name = tool.name.lower()
        if name in asked or name.replace("_", " ").replace("-", " ") in asked:
            yield tool


def _call(tool: Tool, call_id: str) -> ToolCall:
    return ToolCall(call_id, tool.name, json_text(example_of(tool.schema) or {}))


def _fitted(choice: Choice, most_tokens: int | None) -> Choice:
    """The choice cut to its limit of tokens, in its words or in its calls' arguments."""
    if most_tokens is None or choice.tokens <= most_tokens:
        return choice
    text, _ = shortened(choice.text, most_tokens)
    left = most_tokens
    calls = []
    for call in choice.tool_calls:
        left = max(left - tokens_of(call.name), 0)
        arguments, _ = shortened(call.arguments, left)
        left -= tokens_of(arguments)
        calls.append(replace(call, arguments=arguments))
    return Choice(text, "length", tuple(calls))
