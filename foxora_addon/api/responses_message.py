"""The one assistant message that the output of a response adds up to.

It is the first item that is a message, and of other items what a chat's message has as well, under
chat's names: the calls of tools, and the reasoning that is shown.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from foxora_addon.api.folding import Text

# An item that calls a tool: what chat names such a call, and how both name what the tool is given.
_CALLS: Final = {
    "function_call": ("function", "arguments"),
    "custom_tool_call": ("custom", "input"),
}
_FOLDED: Final = ("message", "reasoning", *_CALLS)


def message_in(output: Sequence[Any]) -> dict[str, Any] | None:
    """Return that message; None if the output has nothing that one may hold."""
    items = [item for item in output if isinstance(item, dict)]
    message = next((item for item in items if item.get("type") == "message"), None)
    more: dict[str, Any] = {}
    if reasons := [text for item in items for text in _reasons_in(item)]:
        more["reasoning_content"] = "\n\n".join(reasons)
    if calls := [call for item in items for call in _calls_in(item)]:
        more["tool_calls"] = calls
    if message is None and not more:
        return None
    return {**(message or {"role": "assistant", "content": None}), **more}


def is_more_than_message(output: Sequence[Any]) -> bool:
    """Tell whether the output has other items, or more messages than one."""
    kinds = [item.get("type") if isinstance(item, dict) else None for item in output]
    return kinds.count("message") > 1 or any(kind not in _FOLDED for kind in kinds)


def _reasons_in(item: dict[str, Any]) -> Iterator[str]:
    """The texts of an item that is reasoning: of its summary, or in the clear."""
    if item.get("type") != "reasoning":
        return
    for parts in (item.get("summary"), item.get("content")):
        for part in parts if isinstance(parts, list) else ():
            text = part.get("text") if isinstance(part, dict) else None
            if isinstance(text, str | Text) and str(text):
                yield str(text)


def _calls_in(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The item as a chat has it, if it calls a tool."""
    for kind, (name, given) in _CALLS.items():
        if item.get("type") == kind:
            called = {"name": item.get("name"), given: item.get(given)}
            yield {"id": item.get("call_id"), "type": name, name: called}
