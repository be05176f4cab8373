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
    if not any(answer.get(name) for name in _SAID):
        return "with an answer that has no words"
    answer = {"role": "assistant", **answer}
    tools = {name: body[name] for name in _TOOLS if body.get(name) is not None}
    return {"messages": [_message_of(message) for message in (*messages, answer)], **tools}


def _message_of(message: dict[str, Any]) -> dict[str, Any]:
    """What the format knows of a message. Content may be null only beside calls."""
    taken = {name: message[name] for name in _TAKEN if message.get(name) is not None}
    if "content" not in taken and "tool_calls" not in taken and "function_call" not in taken:
        taken["content"] = ""
    return taken
