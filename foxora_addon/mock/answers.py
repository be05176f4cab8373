"""What the gateway says, as a value: a status, headers and the pieces of a body.

It knows the shape of an error, of JSON and of events, and nothing of sockets or of who asked.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

Pairs = tuple[tuple[str, str], ...]
Ending = Literal["whole", "cut", "mute"]

CODES = {
    400: "invalid_request",
    401: "unauthorized",
    402: "spend_limit_reached",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    429: "rate_limited",
    500: "internal_error",
    502: "upstream_error",
    503: "unavailable",
    504: "upstream_timeout",
}
"""Status -> error code. Only `invalid_request` is documented; the others are this mock's choice."""

DONE = b"data: [DONE]\n\n"
"""The event that ends a stream."""

_JSON = ("content-type", "application/json")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, complete in all that goes to the wire.

    `pieces` are flushed one by one. `length` is the declared Content-Length, None for chunked
    transfer. `ending` says what follows the last piece: a proper end, a closed connection, or
    silence until the client leaves. `raw` pieces go to the socket verbatim, without a head.
    """

    status: int
    headers: Pairs
    pieces: tuple[bytes, ...] = ()
    length: int | None = None
    ending: Ending = "whole"
    raw: bool = False
    delay_seconds: float = 0.0
    piece_delay_seconds: float = 0.0


def json_text(value: Any) -> str:
    """Compact JSON. Raises ValueError for NaN and infinities, which JSON has no words for."""
    return _ENCODER.encode(value)


def json_bytes(value: Any) -> bytes:
    """Compact JSON in UTF-8; a lone surrogate, which UTF-8 cannot say, becomes `?`."""
    return json_text(value).encode("utf-8", "replace")


def event_of(value: Any, kind: str | None = None) -> bytes:
    """A server-sent event of JSON, with or without a name."""
    name = b"" if kind is None else f"event: {kind}\n".encode()
    return name + b"data: " + json_bytes(value) + b"\n\n"


def plain_answer(status: int, headers: Pairs, body: bytes) -> Answer:
    """An answer in one piece, with its length declared."""
    return Answer(status, headers, (body,) if body else (), len(body))


def json_answer(value: Any, status: int = 200, headers: Pairs = ()) -> Answer:
    """An answer of JSON."""
    return plain_answer(status, (_JSON, *headers), json_bytes(value))


def error_body(
    status: int, message: str, *, code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """The documented error (foxora-api.md, Errors); without `code`, the status names it."""
    fallback = "invalid_request" if status < 500 else "internal_error"
    return {
        "error": {
            "code": code or CODES.get(status, fallback),
            "message": message,
            "param": param,
        }
    }


def error_answer(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    headers: Pairs = (),
) -> Answer:
    """An answer that holds `error_body`."""
    return json_answer(error_body(status, message, code=code, param=param), status, headers)


def stream_answer(events: tuple[bytes, ...], piece_delay_seconds: float = 0.0) -> Answer:
    """An answer of server-sent events, one a piece."""
    headers = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))
    return Answer(200, headers, events, piece_delay_seconds=piece_delay_seconds)
