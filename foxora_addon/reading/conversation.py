"""Reads a conversation off the two records of an exchange, whichever dialect it is in.

Chat Completions, Responses, the older completions and embeddings are known; of other operations
there is the body. What is missing, cut or odd is told in words instead, never raised.
"""

from collections.abc import Iterator
from typing import Any, Final

from foxora_addon.api.json_values import mapping_of
from foxora_addon.reading.bodies import body_json_of, folded_body_of, is_folded
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.items import Turn, note_turn, turn_of, turns_of_items
from foxora_addon.reading.lists import embeddings_text, models_text
from foxora_addon.reading.parts import Part, parts_of, pretty
from foxora_addon.reading.records import Record, count_of, text_of
from foxora_addon.reading.socket_events import turns_of
from foxora_addon.reading.texts import size_text

_OF_CHAT: Final = frozenset({"messages"})
_OF_RESPONSES: Final = frozenset({"input", "instructions"})
_OF_COMPLETIONS: Final = frozenset({"prompt"})


def asked(recorded: Recorded) -> list[Turn]:
    """The turns that the client sent."""
    body = body_json_of(recorded.request)
    if not isinstance(body, dict):
        return _unread(recorded.request, "user")
    told = told_in_turns(body)
    if told == _OF_CHAT:
        return [turn_of(message) for message in body["messages"]]
    if told == _OF_RESPONSES:
        return list(_asked_in_responses(body))
    if told == _OF_COMPLETIONS:
        return [Turn("user", tuple(parts_of(body["prompt"])))]
    return [Turn("user", (Part("text", pretty(body)),))]


def told_in_turns(body: dict[str, Any]) -> frozenset[str]:
    """The members of a request that are its turns; none where it says nothing to a model.

    All others are parameters: a stored prompt beside the `input` of the Responses API, too.
    """
    if isinstance(body.get("messages"), list):
        return _OF_CHAT
    if "input" in body or "instructions" in body:
        return _OF_RESPONSES
    return _OF_COMPLETIONS if "prompt" in body else frozenset()


def answered(recorded: Recorded) -> list[Turn]:
    """The turns that came back: each choice, or each item. An error is none of them."""
    response = recorded.response
    if response is None:
        return []
    if is_folded(response):
        return _stream_turns(response)
    if socket := mapping_of(response.get("websocket")):
        return _socket_turns(socket)
    body = body_json_of(response)
    if isinstance(body, dict) and not body.get("error"):
        return _answered_in(body)
    return [] if response.get("error") else _unread(response, "assistant")


def _stream_turns(response: Record) -> list[Turn]:
    """All that a stream says, if that is on record; else its message."""
    folded = folded_body_of(response)
    if folded is not None:
        return _answered_in(folded)
    turns = [turn_of(response["message"])]
    if response.get("body_truncated"):
        size = size_text(count_of(response.get("body_bytes")) or 0)
        words = (
            f"more was said: only the beginning of the stream was kept, of {size}"
            if text_of(response.get("body"))
            else f"only the beginning of the answer was kept, of a stream of {size}"
        )
        turns.append(note_turn("assistant", words))
    return turns


def _socket_turns(socket: dict[str, Any]) -> list[Turn]:
    """The messages of a WebSocket that were kept, both ways, and how many there were."""
    kept = socket.get("messages")
    messages = [mapping_of(message) for message in (kept if isinstance(kept, list) else ())]
    turns = list(
        turns_of((text_of(m.get("sender")) or "?", text_of(m.get("text")) or "") for m in messages)
    )
    count = socket.get("count")
    all_kept = count == len(messages)
    return turns if all_kept else [*turns, note_turn("socket", f"{count} messages in all")]


def _answered_in(body: dict[str, Any]) -> list[Turn]:
    if isinstance(body.get("choices"), list):
        return [_choice_turn_of(choice) for choice in body["choices"]]
    if isinstance(body.get("output"), list):
        return list(turns_of_items(body["output"]))
    data = body.get("data")
    if isinstance(data, list) and any("embedding" in mapping_of(item) for item in data):
        return [note_turn("assistant", embeddings_text(data))]
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
        yield from turns_of_items(given)
    elif given is not None:
        yield Turn("user", tuple(parts_of(given)))


def _choice_turn_of(choice: Any) -> Turn:
    if isinstance(choice, dict) and isinstance(choice.get("message"), dict):
        return turn_of(choice["message"])
    text = choice.get("text") if isinstance(choice, dict) else None
    return Turn("assistant", tuple(parts_of(choice if text is None else text)))


def _unread(record: Record | None, role: str) -> list[Turn]:
    """A body that is no conversation: as much of it as there is, or why there is none."""
    if record is None:
        return [note_turn(role, "its record is not in the trail")]
    size, body = count_of(record.get("body_bytes")), record.get("body")
    digest = text_of(record.get("body_sha256"))
    if not size:
        return []
    if not isinstance(body, str) or not body:
        words = f"{size_text(size)}, not kept: {_why_not_kept(record, role)}"
        return [note_turn(role, words, digest)]
    if record.get("body_encoding") == "base64":
        return [note_turn(role, f"{size_text(size)} that are no text", digest)]
    if record.get("body_truncated"):
        words = f"only the beginning was kept, of {size_text(size)}"
        return [Turn(role, (Part("text", body), Part("note", words, digest=digest)))]
    return [Turn(role, (Part("text", body),))]


def _why_not_kept(record: Record, role: str) -> str:
    levels = {"full", "request"} if role == "user" else {"full"}
    if text_of(record.get("level")) in levels and record.get("body") is None:
        return "they could not be decoded"
    return "the trail's level leaves them out"
