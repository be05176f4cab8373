"""Reads one message or item of either API, chat or responses, as a turn of a conversation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from foxora_addon.api.json_values import mapping_of
from foxora_addon.reading.parts import Part, parts_of, pretty, result_part_of, spoken_part_of
from foxora_addon.reading.records import text_of

_CALL_ITEMS: Final = ("function_call", "custom_tool_call")
_RESULT_ITEMS: Final = ("function_call_output", "custom_tool_call_output")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said at once."""

    role: str
    parts: tuple[Part, ...]


def turns_of_items(items: list[Any]) -> Iterator[Turn]:
    """Items of the Responses API; one of reasoning that shows no words is no turn."""
    for item in items:
        turn = turn_of_item(item)
        if turn.parts or mapping_of(item).get("type") != "reasoning":
            yield turn


def turn_of_item(item: Any) -> Turn:
    """An item of the Responses API."""
    if not isinstance(item, dict):
        return Turn("user", tuple(parts_of(item)))
    kind = item.get("type", "message")
    if kind in _CALL_ITEMS:
        return Turn("assistant", (_call_of(item),))
    if kind in _RESULT_ITEMS:
        return Turn("tool", (result_part_of(item.get("output"), text_of(item.get("call_id"))),))
    if kind == "reasoning":
        given = (item.get("summary"), item.get("content"))
        return Turn("assistant", tuple(part for each in given for part in _reasoning_parts(each)))
    if kind == "message":
        return turn_of(item)
    return note_turn("assistant", f"{kind}: {pretty(item)}")


def turn_of(message: Any) -> Turn:
    """A message, of either API."""
    if not isinstance(message, dict):
        return Turn("?", (Part("text", pretty(message)),))
    role = text_of(message.get("role")) or "?"
    parts = list(_reasoning_parts(message.get("reasoning_content") or message.get("reasoning")))
    if role in {"tool", "function"}:
        name = text_of(message.get("tool_call_id")) or text_of(message.get("name"))
        parts.append(result_part_of(message.get("content"), name))
    else:
        parts.extend(parts_of(message.get("content")))
        parts.extend(spoken_part_of(message.get("audio")))
    if refusal := text_of(message.get("refusal")):
        parts.append(Part("note", f"declines: {refusal}"))
    return Turn(role, (*parts, *_calls_of(message)))


def _calls_of(message: dict[str, Any]) -> Iterator[Part]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        yield _call_of(
            mapping_of(mapping_of(call).get("function") or mapping_of(call).get("custom"))
        )
    if function := mapping_of(message.get("function_call")):
        yield _call_of(function)


def _call_of(function: dict[str, Any]) -> Part:
    given = function.get("arguments", function.get("input"))
    return Part("call", pretty(given), text_of(function.get("name")))


def _reasoning_parts(given: Any) -> Iterator[Part]:
    if not given:
        return
    texts = (
        [given] if isinstance(given, str) else [part.text for part in parts_of(given) if part.text]
    )
    for text in texts:
        if text:
            yield Part("note", f"reasons: {text}")


def note_turn(role: str, words: str, digest: str | None = None) -> Turn:
    """A turn of one remark of ours; `digest` is of what it is about."""
    return Turn(role, (Part("note", words, digest=digest),))
