"""Responses over a WebSocket: what a message asks for, and an answer as messages.

OpenAI's guide has it as "WebSocket mode": a client sends `response.create` with the fields of a
request, and gets the events of a stream, each a message.
"""

import json
from typing import Any

from foxora_addon.mock.answers import Answer, json_bytes, json_text

_CREATE = "response.create"


def asked_by(message: str | bytes) -> bytes:
    """The body of the streamed request that a message stands for; one that is none, as it is."""
    try:
        given: Any = json.loads(message)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or given.get("type") != _CREATE:
        return message.encode("utf-8", "replace") if isinstance(message, str) else message
    fields = {name: value for name, value in given.items() if name != "type"}
    return json_bytes({**fields, "stream": True})


def told_by(answer: Answer) -> list[str]:
    """The messages that tell an answer: its events, or its error; none if it is neither."""
    whole = b"".join(answer.pieces)
    if answer.status == 200:
        events = whole.decode("utf-8", "replace").split("\n\n")
        return [event.rpartition("data: ")[2] for event in events if "data: " in event]
    try:
        error = dict(json.loads(whole)["error"])
    except (ValueError, TypeError, KeyError):
        return []
    kind = "server_error" if answer.status >= 500 else "invalid_request_error"
    told = {"type": "error", "status": answer.status, "error": {"type": kind, **error}}
    return [json_text(told)]
