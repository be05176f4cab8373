"""An answer over the Realtime API: what asks for one, and the events that tell it.

OpenAI's reference of the Realtime API has them. Text only: the mock has no voice.
"""

import json
from typing import Any

from foxora_addon.mock.answers import Answer, json_bytes, json_text
from foxora_addon.mock.fields import Json
from foxora_addon.mock.wording import words_of

_CREATE = "response.create"
_ITEM = "conversation.item.create"
_UPDATE = "session.update"


class Session:
    """One conversation of a model: its settings, and what was said so far."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._settings: Json = {"type": "realtime", "id": "sess_mock", "model": model}
        self._items: list[Json] = []

    def begun(self) -> str:
        """The event that comes first."""
        return _in_order([{"type": "session.created", "session": self._settings}])[0]

    def answers_to(self, message: str | bytes) -> list[str | bytes]:
        """The events that tell of new settings, or of a new item; all else as it came."""
        given = _event_in(message)
        session, item = given.get("session"), given.get("item")
        events: list[Json] = []
        if given.get("type") == _UPDATE and isinstance(session, dict):
            self._settings |= session
            events = [{"type": "session.updated", "session": self._settings}]
        if given.get("type") == _ITEM and isinstance(item, dict):
            self._items.append(item)
            whole = {"id": f"item_{len(self._items)}", "status": "completed", **item}
            events = [
                {"type": f"conversation.item.{told}", "item": whole} for told in ("added", "done")
            ]
        return [*_in_order(events)] or [message]

    def asked_by(self, message: str | bytes) -> bytes | None:
        """The body of the request for a response that a message stands for; None: it is none."""
        given = _event_in(message)
        if given.get("type") != _CREATE:
            return None
        asked = given.get("response")
        fields = self._settings | (asked if isinstance(asked, dict) else {})
        own: Json = {name: fields[name] for name in ("instructions", "tools") if name in fields}
        if isinstance(most := fields.get("max_output_tokens"), int):
            own["max_output_tokens"] = most
        words = fields.get("input") or self._items or "Hello"
        return json_bytes({"model": self._model, "input": words, "store": False, **own})

    def told_by(self, answer: Answer) -> list[str]:
        """The events that tell an answer, or its error; none if it is neither."""
        try:
            told = dict(json.loads(b"".join(answer.pieces)))
            if answer.status != 200:
                return [_error_of(dict(told["error"]), answer.status)]
        except (ValueError, TypeError, KeyError):
            return []
        self._items += told["output"]
        return _in_order(_events_of(told))


def _event_in(message: str | bytes) -> Json:
    """The event that a message has; an empty one if it has none."""
    try:
        given: Any = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}


def _in_order(events: list[Json]) -> list[str]:
    return [json_text({"event_id": f"event_{i}", **event}) for i, event in enumerate(events)]


def _error_of(error: Json, status: int) -> str:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return json_text({"type": "error", "event_id": "event_0", "error": {"type": kind, **error}})


def _events_of(told: Json) -> list[Json]:
    """The events of a response that the Responses API has told whole."""
    used = told["usage"]
    outline = {"object": "realtime.response", "id": told["id"], "conversation_id": "conv_mock"}
    begun = {**outline, "status": "in_progress", "output": [], "usage": None}
    usage = {
        **{name: used[name] for name in ("total_tokens", "input_tokens", "output_tokens")},
        "input_token_details": {"text_tokens": used["input_tokens"], "audio_tokens": 0},
        "output_token_details": {"text_tokens": used["output_tokens"], "audio_tokens": 0},
    }
    whole = {**outline, "status": told["status"], "output": told["output"], "usage": usage}
    events: list[Json] = [{"type": "response.created", "response": begun}]
    for place, item in enumerate(told["output"]):
        where = {"response_id": told["id"], "item_id": item["id"], "output_index": place}
        text = "".join(part["text"] for part in item.get("content", ()))
        here = {**where, "content_index": 0}
        events += [
            {"type": "response.output_text.delta", **here, "delta": word} for word in words_of(text)
        ]
        events.append({"type": "response.output_item.done", **where, "item": item})
    return [*events, {"type": "response.done", "response": whole}]
