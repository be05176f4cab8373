"""The functions that a call offers to the assistant, and which of them it calls.

It reads both spellings of OpenAI's: nested below `function` in chats, flat in Responses.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from foxora_addon.mock import fields
from foxora_addon.mock.answers import json_text
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.schemas import example_of
from foxora_addon.mock.wording import tokens_of

_CHOICES = ("none", "auto", "required")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the assistant may call; `schema` is that of its arguments."""

    name: str
    schema: Any


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the assistant asks for; `arguments` are JSON, unless a limit has cut them."""

    id: str
    name: str
    arguments: str

    @property
    def tokens(self) -> int:
        """The tokens of its name and arguments."""
        return tokens_of(self.name) + tokens_of(self.arguments)


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What a request says of tools. `choice`: none, auto, required, or the one to be called."""

    tools: tuple[Tool, ...] = ()
    choice: str | Tool = "auto"
    is_parallel: bool = True

    def wanted(self, asked: str) -> list[Tool]:
        """The tools to call on these words: those that they name, or one that is demanded."""
        if self.choice == "none":
            return []
        if isinstance(self.choice, Tool):
            return [self.choice]
        wanted = list(self._mentioned(asked))
        if not wanted and self.choice == "required":
            return list(self.tools[:1])
        return wanted if self.is_parallel else wanted[:1]

    def still_demanded(self, called: frozenset[str]) -> list[Tool]:
        """The tool to call although tools have answered: one that is demanded and was not yet."""
        if isinstance(self.choice, Tool):
            demanded: tuple[Tool, ...] = (self.choice,)
        else:
            demanded = self.tools if self.choice == "required" else ()
        return [tool for tool in demanded if tool.name not in called][:1]

    def _mentioned(self, asked: str) -> Iterator[Tool]:
        text = asked.lower() if self.tools else ""
        for tool in self.tools:
            name = tool.name.lower()
            if name in text or name.replace("_", " ").replace("-", " ") in text:
                yield tool


def toolbox_of(json: Json) -> Toolbox:
    """What a chat or a Responses request says of its tools; raises RequestError."""
    tools = tuple(_tools(json))
    return Toolbox(tools, _choice(json, tools), json.get("parallel_tool_calls") is not False)


def functions_of(json: Json) -> Toolbox:
    """The same of a chat in the older spelling, `functions` and `function_call`."""
    tools = tuple(_named(spec, "functions") for spec in fields.objects(json, "functions"))
    choice = json.get("function_call") or "auto"
    if isinstance(choice, dict):
        return Toolbox(
            tools, _tool_named(choice.get("name"), tools, "function_call"), is_parallel=False
        )
    return Toolbox(tools, "none" if choice == "none" else "auto", is_parallel=False)


def call_of(tool: Tool, call_id: str) -> ToolCall:
    """A call of the tool, with arguments that fit its schema."""
    return ToolCall(call_id, tool.name, json_text(example_of(tool.schema) or {}))


def _tools(json: Json) -> Iterator[Tool]:
    """The functions among the tools. Other kinds are taken, and never called."""
    for spec in fields.objects(json, "tools"):
        if spec.get("type", "function") == "function":
            yield _named(spec if "name" in spec else fields.mapping(spec, "function"), "tools")


def _named(function: Json, field: str) -> Tool:
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise RequestError(f"Each function of '{field}' must have a name.", field)
    return Tool(name, function.get("parameters"))


def _choice(json: Json, tools: Sequence[Tool]) -> str | Tool:
    choice = json.get("tool_choice") or "auto"
    if choice in _CHOICES:
        return str(choice)
    if not isinstance(choice, dict):
        return _tool_named(None, tools, "tool_choice")
    if choice.get("type") == "allowed_tools":
        return "required" if _allowed(choice).get("mode") == "required" else "auto"
    if choice.get("type", "function") != "function":
        return "auto"
    function = choice if "name" in choice else fields.mapping(choice, "function")
    return _tool_named(function.get("name"), tools, "tool_choice")


def _allowed(choice: Json) -> Json:
    return choice if "mode" in choice else fields.mapping(choice, "allowed_tools")


def _tool_named(name: Any, tools: Sequence[Tool], field: str) -> Tool:
    tool = next((each for each in tools if each.name == name), None)
    if tool is None:
        owner = "functions" if field == "function_call" else "tools"
        raise RequestError(f"The '{field}' field names no tool of '{owner}'.", field)
    return tool
