"""Reads a conversation off the two records of an exchange, whichever dialect it is in.

Chat Completions, Responses, the older completions and embeddings are known; of other operations
there is the body. What is missing, cut or odd is told in words instead, never raised.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from foxora_addon.reading.bodies import body_json_of
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.lists import embeddings_text, models_text
from foxora_addon.reading.parts import Part, flat, parts_of, pretty
from foxora_addon.reading.records import Record, mapping_of, text_of
from foxora_addon.reading.texts import size_text

_CONVERSATION: Final = frozenset({"messages", "input", "instructions", "prompt"})
_CALL_ITEMS: Final = ("function_call", "custom_tool_call")
_RESULT_ITEMS: Final = ("function_call_output", "custom_tool_call_output")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said at once."""

    role: str
    parts: tuple[Part, ...]


def asked(recorded: Recorded) -> list[Turn]:
    """The turns that the client sent."""
    body = body_json_of(recorded.request)
    if not isinstance(body, dict):
        return _unread(recorded.request, "user")
    if isinstance(body.get("messages"), list):
        return [_turn_of(message) for message in body["messages"]]
    if "input" in body or "instructions" in body:
        return list(_asked_in_responses(body))
    if "prompt" in body:
        return [Turn("user", tuple(parts_of(body["prompt"])))]
    return [Turn("user", (Part("text", pretty(body)),))]


def is_conversation(body: dict[str, Any]) -> bool:
    """Whether a request says something to a model; what else it says are parameters then."""
    return not _CONVERSATION.isdisjoint(body)


def answered(recorded: Recorded) -> list[Turn]:
    """The turns that came back: each choice, or each item. An error is none of them."""
    response = recorded.response
    if response is None:
        return []
    if isinstance(response.get("message"), dict):
        return [_turn_of(response["message"])]
    if socket := mapping_of(response.get("websocket")):
        return _socket_turns(socket)
    body = body_json_of(response)
    if isinstance(body, dict) and not body.get("error"):
        return _answered_in(body)
    return [] if response.get("error") else _unread(response, "assistant")


def _socket_turns(socket: dict[str, Any]) -> list[Turn]:
    """The messages of a WebSocket that were kept, both ways, and how many there were."""
    kept = socket.get("messages")
    messages = [mapping_of(message) for message in (kept if isinstance(kept, list) else ())]
    turns = [
        Turn(text_of(message.get("sender")) or "?", tuple(parts_of(message.get("text"))))
        for message in messages
    ]
    count = socket.get("count")
    return turns if count == len(turns) else [*turns, _note("socket", f"{count} messages in all")]


def _answered_in(body: dict[str, Any]) -> list[Turn]:
    if isinstance(body.get("choices"), list):
        return [_choice_turn_of(choice) for choice in body["choices"]]
    if isinstance(body.get("output"), list):
        return [_item_turn_of(item) for item in body["output"]]
    data = body.get("data")
    if isinstance(data, list) and any("embedding" in mapping_of(item) for item in data):
        return [_note("assistant", embeddings_text(data))]
    if isinstance(data, list) and any(_is_model(mapping_of(item)) for item in data):
        return [Turn("models", (Part("text", models_text(data)),))]
    return [Turn("assistant", (Part("text", pretty(body)),))]


def _is_model(item: dict[str, Any]) -> bool:
    return item.get("object") == "model" or "context_window" in item


def _asked_in_responses(body: dict[str, Any]) -> Iterator[Turn]:
    if body.get("instructions"):
        yield Turn("system", tuple(parts_of(body["instructions"])))
    given = body.get("input")
    if isinstance(given, list) and any(isinstance(item, dict) for item in given):
        yield from (_item_turn_of(item) for item in given)
    elif given is not None:
        yield Turn("user", tuple(parts_of(given)))


def _item_turn_of(item: Any) -> Turn:
    """An item of the Responses API."""
    if not isinstance(item, dict):
        return Turn("user", tuple(parts_of(item)))
    kind = item.get("type", "message")
    if kind in _CALL_ITEMS:
        return Turn("assistant", (_call_of(item),))
    if kind in _RESULT_ITEMS:
        result = flat(item.get("output"))
        return Turn("tool", (Part("result", result, text_of(item.get("call_id"))),))
    if kind == "reasoning":
        return Turn("assistant", tuple(_reasoning_parts(item.get("summary"))))
    if kind == "message":
        return _turn_of(item)
    return _note("assistant", f"{kind}: {pretty(item)}")


def _choice_turn_of(choice: Any) -> Turn:
    if isinstance(choice, dict) and isinstance(choice.get("message"), dict):
        return _turn_of(choice["message"])
    text = choice.get("text") if isinstance(choice, dict) else None
    return Turn("assistant", tuple(parts_of(choice if text is None else text)))


def _turn_of(message: Any) -> Turn:
    if not isinstance(message, dict):
        return Turn("?", (Part("text", pretty(message)),))
    role = text_of(message.get("role")) or "?"
    parts = list(_reasoning_parts(message.get("reasoning_content") or message.get("reasoning")))
    if role in {"tool", "function"}:
        name = text_of(message.get("tool_call_id")) or text_of(message.get("name"))
        parts.append(Part("result", flat(message.get("content")), name))
    else:
        parts.extend(parts_of(message.get("content")))
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
    texts = (
        [given] if isinstance(given, str) else [part.text for part in parts_of(given) if part.text]
    )
    for text in texts:
        if text:
            yield Part("note", f"reasons: {text}")


def _unread(record: Record | None, role: str) -> list[Turn]:
    """A body that is no conversation: as much of it as there is, or why there is none."""
    if record is None:
        return [_note(role, "its record is not in the trail")]
    size, body = record.get("body_bytes"), record.get("body")
    if not size:
        return []
    if not isinstance(body, str) or not body:
        return [_note(role, f"{size_text(size)}, not kept: the trail's level leaves them out")]
    if record.get("body_encoding") == "base64":
        return [_note(role, f"{size_text(size)} that are no text")]
    if record.get("body_truncated"):
        words = f"only the beginning was kept, of {size_text(size)}"
        return [Turn(role, (Part("text", body), Part("note", words)))]
    return [Turn(role, (Part("text", body),))]


def _note(role: str, words: str) -> Turn:
    return Turn(role, (Part("note", words),))
