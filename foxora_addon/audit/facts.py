"""What a response record says of an answer: read off its body, or off what was observed of it."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from foxora_addon.api.errors import normalise
from foxora_addon.api.promised_json import value_of_json
from foxora_addon.api.responses_transcript import reasons_of
from foxora_addon.api.transcript import Transcript
from foxora_addon.api.usage import Usage, usage_of
from foxora_addon.audit.record import Facts
from foxora_addon.observation import Observation

type Count = Callable[[dict[str, Any]], Usage | None]
"""Counts what an answer says that reports no usage; None where there is nothing to count."""


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type header promises JSON."""
    return "json" in (content_type or "").lower()


def facts_of_body(body: bytes, count: Count) -> Facts:
    """Model, id, finish reasons and usage of a JSON answer that came whole; {} if it is none."""
    return facts_of_json(value_of_json(body), count)


def facts_of_json(value: object, count: Count) -> Facts:
    """The same of what such an answer holds; {} of anything but a JSON object."""
    if not isinstance(value, dict):
        return {}
    return {
        "model": _text(value.get("model")),
        "response_id": _text(value.get("id")),
        "finish_reasons": _reasons_of(value),
        "usage": usage_of(value.get("usage")) or count(value),
    }


def _reasons_of(value: dict[str, Any]) -> Sequence[str | None]:
    """Why each choice ended; of the Responses API's object, why it did."""
    if value.get("object") == "response":
        return reasons_of(value)
    choices = value.get("choices")
    return [
        _text(choice.get("finish_reason"))
        for choice in (choices if isinstance(choices, list) else ())
        if isinstance(choice, dict)
    ]


def facts_of_stream(seen: Observation, count: Count, *, keeps_content: bool) -> Facts:
    """The same of an answer that was observed as it passed, with the message that it adds up to."""
    folded = seen.transcript
    if folded is None:
        return facts_of_body(bytes(seen.head), count) if seen.is_whole and seen.is_json else {}
    facts: Facts = {
        "chunks": folded.chunks,
        "message": folded.message() if keeps_content else None,
        "model": folded.model,
        "response_id": folded.id,
        "finish_reasons": folded.finish_reasons(),
        "usage": usage_of(folded.usage) or _counted(folded, count),
    }
    if folded.error is not None:
        facts["error"] = normalise(500, [], json.dumps(folded.error).encode())
    return facts


def _counted(folded: Transcript, count: Count) -> Usage | None:
    """What a stream said that reports no usage; None where it was nothing that can be counted."""
    return None if folded.is_wordless else count(folded.completion() or {})


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
