"""Records of exchanges as a trail holds them, with what a test cares about."""

import json
from typing import Any

from foxora_addon.audit.record import body_fields
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.times import iso_of
from tests.builders import NOON, a_request_of, a_response_of, sealed

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello."}]}
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Good day."}}]}


def a_request(exchange: str = "ex_1", *, at: float = 0.0, body: Any = None, **more: Any) -> Any:
    """A forwarded chat of acme's, `at` seconds after noon; members of `more` replace its own."""
    data = body if isinstance(body, bytes) else json.dumps(CHAT if body is None else body).encode()
    decision = {
        "verdict": "forward",
        "reason": None,
        "estimated_tokens": 20,
        "waited_ms": 0.0,
    } | more.pop("decision", {})
    fields = a_request_of(exchange) | body_fields(data, 1_000_000)
    own = {"account": "acme", "operation": "chat", "model": "gpt-4o-mini", "decision": decision}
    return sealed(fields | own) | {"time": iso_of(NOON + at)} | more


def a_response(exchange: str = "ex_1", *, at: float = 1.0, body: Any = None, **more: Any) -> Any:
    """Its completed answer, with 5 + 7 tokens, one second later."""
    data = (
        body if isinstance(body, bytes) else json.dumps(ANSWER if body is None else body).encode()
    )
    usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12, "source": "reported"}
    fields = a_response_of(exchange) | body_fields(data, 1_000_000)
    own = {"account": "acme", "usage": usage, "duration_ms": 1000.0}
    own |= {"sent_ms": 10.0, "first_byte_ms": 400.0}
    return sealed(fields | own) | {"time": iso_of(NOON + at)} | more


def a_refusal(exchange: str = "ex_1", *, at: float = 0.0, **more: Any) -> tuple[Any, Any]:
    """Both records of a call that the account's ceilings kept out."""
    decision = {"verdict": "refuse", "reason": "rate_limit_exceeded"}
    error = {
        "code": "rate_limit_exceeded",
        "message": "Account 'acme' is at its limit.",
        "param": None,
    }
    ending = {"status": 429, "outcome": "refused", "usage": None, "error": error}
    response = a_response(exchange, at=at + 0.001, body={"error": error}, **ending)
    return a_request(exchange, at=at, decision=decision, **more), response


def recorded(request: Any = None, response: Any = None) -> Recorded:
    """A pair of records; by default a completed chat."""
    if request is None and response is None:
        return Recorded(a_request(), a_response())
    return Recorded(request, response)


def line_of(record: Any) -> bytes:
    """A record as a line of the trail has it."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"
