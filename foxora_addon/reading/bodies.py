"""The bodies that an exchange's records hold, as bytes, JSON or a stream; None where they don't."""

import base64
import binascii
import json
from typing import Any

from foxora_addon.api.sse import Decoder
from foxora_addon.api.transcript import DEFAULT_MAX_BYTES, Transcript
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.records import Record


def body_bytes_of(record: Record | None) -> bytes | None:
    """The body that a record holds whole, as bytes; None where it is cut, left out or not there."""
    body = (record or {}).get("body")
    if record is None or not isinstance(body, str) or record.get("body_truncated"):
        return None
    if record.get("body_encoding") != "base64":
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return None


def body_json_of(record: Record | None) -> Any:
    """The body that a record holds whole, if it is JSON; else None."""
    body = body_bytes_of(record)
    try:
        return None if body is None else json.loads(body)
    except (ValueError, RecursionError):
        return None


def is_folded(response: Record) -> bool:
    """Whether a record says what a stream adds up to, be it by a message alone."""
    return any(isinstance(response.get(name), dict) for name in ("message", "folded"))


def folded_body_of(response: Record) -> dict[str, Any] | None:
    """The answer that a stream adds up to, if the record has it or all of its events; else None."""
    if isinstance(response.get("folded"), dict):
        return dict(response["folded"])
    body = body_bytes_of(response) if response.get("chunks") else None
    if body is None:
        return None
    transcript = Transcript(max(DEFAULT_MAX_BYTES, 4 * len(body)))
    for event in Decoder().feed(body):
        transcript.add(event)
    return None if transcript.truncated else transcript.completion()


def answer_message_of(recorded: Recorded) -> dict[str, Any] | None:
    """The first choice's message of a chat, streamed or not; None where it is not there whole."""
    response = recorded.response or {}
    if not is_folded(response):
        return _first_message_in(body_json_of(response))
    if (folded := folded_body_of(response)) is not None:
        return _first_message_in(folded)
    return None if response.get("body_truncated") else dict(response["message"])


def _first_message_in(answer: Any) -> dict[str, Any] | None:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return dict(message) if isinstance(message, dict) else None
