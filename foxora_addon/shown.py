"""What mitmproxy's windows show of a closed exchange besides its flow, redacted as in the trail.

A flow may be saved to a file, so nothing is told here that the exchange's level keeps off record.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from foxora_addon.audit.record import request_fields
from foxora_addon.exchange import Exchange

_OF_REQUEST: Final = ("exchange", "account", "level", "operation", "model", "stream", "decision")
_CONTENT: Final = frozenset(
    {"message", "websocket", "body", "body_encoding", "body_truncated", "body_bytes", "body_sha256"}
)


class Shown(NamedTuple):
    """The facts of both records as JSON, and a streamed answer folded into one JSON value.

    `answer` is None where the answer was not an event stream, said nothing, or is not on record.
    """

    facts: str
    answer: bytes | None


NOTHING: Final = Shown("{}", None)


def shown_of(exchange: Exchange, record: Mapping[str, Any], scrub: Callable[[str], str]) -> Shown:
    """Make it of a closed exchange and the members of its response record."""
    request = request_fields(exchange, {})
    facts = {
        "request": {name: request[name] for name in _OF_REQUEST},
        "response": {name: value for name, value in record.items() if name not in _CONTENT},
    }
    return Shown(scrub(json.dumps(facts)), _answer_of(exchange, scrub))


def _answer_of(exchange: Exchange, scrub: Callable[[str], str]) -> bytes | None:
    """The stream as one answer: a secret that came in pieces is whole here, and found."""
    seen = exchange.observation
    if seen is None or seen.transcript is None or exchange.level != "full":
        return None
    value = {**(seen.transcript.completion() or {}), **(seen.transcript.error or {})}
    if not value:
        return None
    text = scrub(json.dumps(value, ensure_ascii=False))
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate becomes JSON's escape
