"""What a response record says of an answer: read off its body, or off what was observed of it."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

from foxora_addon.api.errors import normalise
from foxora_addon.api.json_values import string_of
from foxora_addon.api.promised_json import value_of_json
from foxora_addon.api.responses_transcript import reasons_of
from foxora_addon.api.transcript import Transcript
from foxora_addon.api.usage import Usage, usage_of
from foxora_addon.audit.record import Facts
from foxora_addon.observation import Observation


class Count(Protocol):
    """Counts what an answer says that does not report all of its usage."""

    def __call__(self, answer: dict[str, Any], unkept_bytes: int = 0) -> Usage | None:
        """None where there is nothing to count; `unkept_bytes` is what is not in `answer`."""


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
        "model": string_of(value.get("model")),
        "response_id": string_of(value.get("id")),
        "finish_reasons": _reasons_of(value),
        "usage": _usage_of_all(value, count),
    }


def _usage_of_all(value: dict[str, Any], count: Count) -> Usage | None:
    usage = usage_of(value.get("usage"))
    if usage is not None and usage.total_tokens is not None:
        return usage
    counted = count(value)
    return counted if usage is None else usage.completed(counted, is_of_all=True)


def _reasons_of(value: dict[str, Any]) -> Sequence[str | None]:
    """Why each choice ended; of the Responses API's object, why it did."""
    if value.get("object") == "response":
        return reasons_of(value)
    choices = value.get("choices")
    return [
        string_of(choice.get("finish_reason"))
        for choice in (choices if isinstance(choices, list) else ())
        if isinstance(choice, dict)
    ]


def facts_of_stream(
    seen: Observation, count: Count, *, keeps_content: bool, answers_text: bool = False
) -> Facts:
    """The same of an answer that was observed as it passed, with the message that it adds up to.

    `answers_text`: one that is no event stream may be what a model wrote.
    """
    transcript = seen.transcript
    if transcript is None:
        return _facts_of_bytes(seen, count, answers_text=answers_text)
    message, is_cut = seen.message() if keeps_content else (None, False)
    says_more = keeps_content and transcript.says_more
    folded = seen.folded() if says_more else None
    facts: Facts = {
        "chunks": transcript.chunks,
        "message": message,
        "is_message_cut": is_cut,
        "folded": folded,
        "is_folded": folded is not None or (message is not None and not says_more),
        "model": transcript.model,
        "response_id": transcript.id,
        "finish_reasons": transcript.finish_reasons(),
        "usage": _usage_of_stream(transcript, count),
    }
    if transcript.error is not None:
        facts["error"] = normalise(500, [], json.dumps(transcript.error).encode())
    return facts


def _facts_of_bytes(seen: Observation, count: Count, *, answers_text: bool) -> Facts:
    if not seen.is_whole:
        return {}
    if seen.is_json:
        return facts_of_body(bytes(seen.head), count)
    return {"usage": count({"text": seen.head.decode(errors="replace")})} if answers_text else {}


def _usage_of_stream(folded: Transcript, count: Count) -> Usage | None:
    """What it reports, and what it said where it reports too little of that.

    None where it was nothing that can be counted.
    """
    usage, is_of_all = usage_of(folded.usage), folded.is_usage_of_all
    if folded.is_wordless or (usage is not None and is_of_all and usage.total_tokens is not None):
        return usage
    counted = count(folded.completion() or {}, folded.unkept_bytes)
    return counted if usage is None else usage.completed(counted, is_of_all=is_of_all)
