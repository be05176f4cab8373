"""What a call wants of the assistant, however it is spelt, and what the assistant says to it.

The words, calls or JSON within a limit of tokens. How they are told stands elsewhere.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from foxora_addon.mock.answers import json_text
from foxora_addon.mock.fields import Json
from foxora_addon.mock.schemas import example_of
from foxora_addon.mock.tools import Tool, Toolbox, ToolCall, call_of
from foxora_addon.mock.wording import reply_to, reply_to_tool, shortened, stretched, tokens_of

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class Task:
    """What is wanted.

    `tool_answer` None: what came last is not a tool's. `called` has the tools that were called
    since the user's words, as far as the request tells. `json_schema` None: words are wanted;
    empty: any JSON object. `most_tokens` None: no limit.
    """

    asked: str
    tool_answer: str | None = None
    called: frozenset[str] = frozenset()
    toolbox: Toolbox = field(default_factory=Toolbox)
    json_schema: Json | None = None
    most_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What is said: words, or tool calls and no words."""

    text: str
    finish_reason: FinishReason
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def tokens(self) -> int:
        """The tokens of the words, and of the calls' names and arguments."""
        return tokens_of(self.text) + sum(call.tokens for call in self.tool_calls)


def choice_of(task: Task, token: str, number: int = 0, words: int | None = None) -> Choice:
    """The answer of that number; with `words`, in so many of them, unless it says JSON.

    `token` makes the ids of its calls.
    """
    return _fitted(_whole(task, token, number, words), task.most_tokens)


def _whole(task: Task, token: str, number: int, words: int | None) -> Choice:
    wanted = _wanted_tools(task)
    if wanted:
        ids = (f"call_{token}_{number}_{place}" for place in range(len(wanted)))
        return Choice("", "tool_calls", tuple(map(call_of, wanted, ids)))
    if task.json_schema is not None:
        plain = {"answer": reply_to(task.asked, number)}
        return Choice(
            json_text(example_of(task.json_schema) if task.json_schema else plain), "stop"
        )
    text = _reply(task, number)
    return Choice(text if words is None else stretched(text, words), "stop")


def _wanted_tools(task: Task) -> list[Tool]:
    """The tools to call now. After an answer only what is demanded, once, so that talks end."""
    if task.tool_answer is None:
        return task.toolbox.wanted(task.asked)
    return task.toolbox.still_demanded(task.called) if task.called else []


def _reply(task: Task, number: int) -> str:
    if task.tool_answer is not None:
        return reply_to_tool(task.tool_answer)
    return reply_to(task.asked, number)


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
