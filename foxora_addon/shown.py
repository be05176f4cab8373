"""What mitmproxy's windows show of an exchange besides its flow, redacted as in the trail.

A flow may be saved to a file, so nothing is told here that the exchange's level keeps off record.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from foxora_addon.audit.line import cut_scrubbed, is_cut
from foxora_addon.audit.record import least_of, request_fields
from foxora_addon.exchange import Exchange

_OF_REQUEST: Final = ("exchange", "account", "level", "operation", "model", "stream", "decision")
_CONTENT: Final = frozenset(
    {
        *("message", "folded", "websocket"),
        *("body", "body_encoding", "body_truncated", "body_bytes", "body_sha256"),
    }
)


class Shown(NamedTuple):
    """The facts of both records as JSON, and a streamed answer folded into one JSON value.

    `answer` is None where the answer was not an event stream, said nothing, or is not on record.
    """

    facts: str
    answer: bytes | None


NOTHING: Final = Shown("{}", None)
_UNFINISHED: Final = re.compile(r"[!-~]+\Z")
"""The end of a text that a credential may have begun in: none has a space, or other than ASCII."""
_TEXT: Final = re.compile(r"(?s).+")
_COME_WHOLE: Final = frozenset({"id", "object", "type", "role", "name", "model", "status"})


def shown_of(exchange: Exchange, record: Mapping[str, Any], scrub: Callable[[str], str]) -> Shown:
    """Make it of a closed exchange and the members of its response record."""
    told = _on_record(exchange, record)
    facts = {
        "request": _facts_of_request(exchange),
        "response": {name: value for name, value in told.items() if name not in _CONTENT},
    }
    clipped = partial(cut_scrubbed, scrub=scrub) if is_cut(record) else _as_it_is
    return Shown(scrub(json.dumps(facts)), _answer_of(exchange, scrub, clipped))


def shown_so_far(
    exchange: Exchange, scrub: Callable[[str], str], *, has_whole_words: bool
) -> Shown:
    """Make it of a stream that is open: half of what is to be redacted can't be known for it.

    `has_whole_words`: none of that has a space, so all but the last word is shown; else no text is.
    """
    seen = exchange.observation
    chunks = seen.transcript.chunks if seen and seen.transcript else None
    facts = {"request": _facts_of_request(exchange), "response": {"outcome": "open"}}
    facts["response"]["chunks"] = chunks
    facts["response"]["is_withheld"] = not has_whole_words
    unfinished = _UNFINISHED if has_whole_words else _TEXT
    answer = _answer_of(exchange, scrub, lambda value: _without(unfinished, value))
    # Never what the end will be: windows draw a body anew only when it has changed.
    return Shown(scrub(json.dumps(facts)), None if answer is None else answer + b"\n")


def _facts_of_request(exchange: Exchange) -> dict[str, Any]:
    request = _on_record(exchange, request_fields(exchange, {}))
    return {name: request[name] for name in _OF_REQUEST}


def _on_record(exchange: Exchange, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return least_of(fields) if exchange.level == "minimal" else fields


def _without(unfinished: re.Pattern[str], value: Any) -> Any:
    """A JSON value without what is unfinished of the texts that come in pieces."""
    match value:
        case str():
            return unfinished.sub("", value)
        case list():
            return [_without(unfinished, each) for each in value]
        case dict():
            return {
                name: each if name in _COME_WHOLE else _without(unfinished, each)
                for name, each in value.items()
            }
        case _:
            return value


def _as_it_is(value: Any) -> Any:
    return value


def _answer_of(
    exchange: Exchange, scrub: Callable[[str], str], clipped: Callable[[Any], Any]
) -> bytes | None:
    """The stream as one answer: a secret that came in pieces is whole here, and found."""
    seen = exchange.observation
    if seen is None or seen.transcript is None or exchange.level != "full":
        return None
    value = {**(seen.transcript.completion() or {}), **(seen.transcript.error or {})}
    if not value:
        return None
    text = scrub(json.dumps(clipped(value), ensure_ascii=False))
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate becomes JSON's escape
