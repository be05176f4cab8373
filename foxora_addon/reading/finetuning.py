"""Shapes a completed chat as a line of OpenAI's fine-tuning format: messages, and the tools."""

from typing import Any, Final

from foxora_addon.reading.bodies import answer_message_of, body_json_of
from foxora_addon.reading.exchanges import Recorded

_TAKEN: Final = (
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "refusal",
)
_SAID: Final = ("content", "tool_calls", "function_call", "refusal")
_TOOLS: Final = ("tools", "parallel_tool_calls", "functions")


def line_of(recorded: Recorded) -> dict[str, Any] | str:
    """The line of an exchange; else why there is none, in a few words."""
    if recorded.operation != "chat":
        return "no chat"
    if recorded.outcome != "completed":
        return "not completed"
    body = body_json_of(recorded.request)
    messages = body.get("messages") if isinstance(body, dict) else None
    answer = answer_message_of(recorded)
    if not isinstance(messages, list) or answer is None:
        return "without whole bodies"
    if not all(isinstance(message, dict) for message in messages):
        return "with messages that are none"
    answer = {"role": "assistant", **answer}
    if any(map(_is_wordless, (*messages, answer))):
        return "with an answer that has no words"
    tools = {name: body[name] for name in _TOOLS if body.get(name) is not None}
    return {"messages": [_message_of(message) for message in (*messages, answer)], **tools}


def _is_wordless(message: dict[str, Any]) -> bool:
    """Whether an assistant says nothing in it that the format has: what it spoke is not of it."""
    return message.get("role") == "assistant" and not any(message.get(name) for name in _SAID)


def _message_of(message: dict[str, Any]) -> dict[str, Any]:
    """What the format knows of a message. Content may be null only beside calls."""
    taken = {name: message[name] for name in _TAKEN if message.get(name) is not None}
    if "content" not in taken and "tool_calls" not in taken and "function_call" not in taken:
        taken["content"] = ""
    return taken
