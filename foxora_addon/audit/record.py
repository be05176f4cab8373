"""Builds what a record says, in the shape that `schema` describes: a test holds it to that."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

from foxora_addon.api.errors import ApiError, Source
from foxora_addon.api.money import json_number_of
from foxora_addon.api.usage import Usage
from foxora_addon.config.accounts import Level
from foxora_addon.exchange import Exchange, Outcome, Try

VERSION: Final = 1

type CostSource = Literal["reported", "estimated"]

_WORDS_LEFT_OUT: Final = "The gateway's own words are on record at level full only."
_PATH: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
"""What names a field, and can hold no sentence."""


def body_fields(
    body: bytes | bytearray | None,
    limit: int,
    *,
    size: int | None = None,
    sha256: str | None = None,
) -> dict[str, Any]:
    """The members that hold a body: at most `limit` bytes of it, as text or as base64.

    `body` None keeps size and hash alone. `size` and `sha256` are those of the whole, where `body`
    is only its beginning.
    """
    if body is None:
        text, encoding, is_cut, size = None, "utf-8", False, size or 0
    else:
        if size is None:
            size = len(body)
        if size and sha256 is None:
            sha256 = hashlib.sha256(body).hexdigest()
        kept = body[:limit]
        is_cut = size > len(kept)
        text, encoding = text_of(kept, is_cut=is_cut)
    return {
        "body": text if size else None,
        "body_encoding": encoding,
        "body_truncated": is_cut,
        "body_bytes": size,
        "body_sha256": sha256 if size else None,
    }


def text_of(data: bytes | bytearray, *, is_cut: bool) -> tuple[str, str]:
    """Bytes as a record holds them, and how; `is_cut` forgives a character that is cut in two."""
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        if is_cut and error.start >= len(data) - 3:  # the cut went through a character
            return data[: error.start].decode("utf-8"), "utf-8"
        return base64.b64encode(data).decode("ascii"), "base64"


def request_fields(
    exchange: Exchange,
    body: Mapping[str, Any],
    files: Sequence[Mapping[str, Any]] = (),
    guard_seconds: float | None = None,
) -> dict[str, Any]:
    """A request record without what the journal adds (v, seq, time, prev, hash).

    `guard_seconds` is the limiter's guard; None: the usual one, which no record names.
    """
    client, line, refusal = exchange.client, exchange.line, exchange.refusal
    guard = {} if guard_seconds is None else {"guard_seconds": guard_seconds}
    return {
        "event": "request",
        "exchange": exchange.id,
        "account": exchange.account_name,
        "level": exchange.level,
        "client": {
            "name": client.name,
            "address": client.address,
            "key": client.key,
            "user_agent": client.user_agent,
            "retry": client.retry,
        },
        "http": {"method": line.method, "url": line.url, "version": line.version},
        "gateway_url": exchange.gateway_url,
        "operation": exchange.call.operation.name if exchange.call else "other",
        "model": exchange.model,
        "stream": exchange.stream,
        "decision": {
            "verdict": "refuse" if refusal else "forward",
            "reason": refusal.code if refusal else None,
            "estimated_tokens": exchange.estimated_tokens,
            "waited_ms": milliseconds(exchange.waited_seconds),
            "shadow": None if exchange.shadow is None else _shadow_facts(exchange.shadow),
            **guard,
        },
        "sent": _sent_facts(exchange) if exchange.changes and refusal is None else None,
        "tags": list(exchange.tags),
        "traceparent": exchange.traceparent,
        "files": list(files),
        **body,
    }


def _shadow_facts(shadow: ApiError) -> dict[str, Any]:
    return {
        "code": shadow.code,
        "message": shadow.message,
        "retry_after_ms": _known_milliseconds(shadow.retry_after_seconds),
    }


def _sent_facts(exchange: Exchange) -> dict[str, Any]:
    data = exchange.sent_body
    digest = exchange.sent_sha256 or (hashlib.sha256(data).hexdigest() if data else None)
    return {
        "changed": dict(exchange.changes),
        "body_bytes": len(data),
        "body_sha256": digest,
    }


class Facts(TypedDict, total=False):
    """What a response record says of an answer, as far as it is known."""

    usage: Usage | None
    error: ApiError | None
    model: str | None
    response_id: str | None
    finish_reasons: Sequence[str | None]
    message: Mapping[str, Any] | None
    is_message_cut: bool
    folded: Mapping[str, Any] | None
    is_folded: bool
    chunks: int | None
    websocket: Mapping[str, Any] | None


def response_fields(
    exchange: Exchange,
    body: Mapping[str, Any],
    facts: Facts,
    status: int | None,
    outcome: Outcome,
    source: Source,
    now: float,
) -> dict[str, Any]:
    """A response record without what the journal adds; `now` is on the exchange's own clock."""
    first, sent = exchange.first_byte_at, exchange.sent_at
    usage, error, cost_usd = facts.get("usage"), facts.get("error"), exchange.cost_usd
    return {
        "event": "response",
        "exchange": exchange.id,
        "account": exchange.account_name,
        "level": exchange.level,
        "status": status,
        "outcome": outcome,
        "source": source,
        "duration_ms": milliseconds(now - exchange.arrived_at),
        "sent_ms": None if sent is None else milliseconds(sent - exchange.arrived_at),
        "first_byte_ms": None if first is None else milliseconds(first - exchange.arrived_at),
        "model": facts.get("model"),
        "response_id": facts.get("response_id"),
        "finish_reasons": list(facts.get("finish_reasons", ())),
        "usage": None if usage is None else _usage_facts(usage),
        "cost_usd": None if cost_usd is None else json_number_of(cost_usd),
        "cost_source": None if cost_usd is None else _cost_source_of(exchange),
        "error": None if error is None else _error_facts(error, exchange.level),
        "tries": list(map(_try_facts, exchange.tries)),
        "gateway_request_id": exchange.gateway_request_id,
        "message": facts.get("message"),
        "folded": facts.get("folded"),
        "chunks": facts.get("chunks"),
        "websocket": facts.get("websocket"),
        **body,
    }


def _cost_source_of(exchange: Exchange) -> CostSource:
    return "reported" if exchange.is_cost_certain else "estimated"


def _try_facts(failed: Try) -> dict[str, Any]:
    return {
        "status": failed.status,
        "code": failed.code,
        "source": failed.source,
        "after_ms": milliseconds(failed.after_seconds),
        "retry_after_ms": _known_milliseconds(failed.retry_after_seconds),
        "sent_ms": _known_milliseconds(failed.sent_seconds),
        "tokens": failed.tokens,
    }


def _error_facts(error: ApiError, level: Level) -> dict[str, Any]:
    """An error, without the gateway's own words where no answer is kept: they may quote the call.

    Kubernetes' audit levels are the model: below the one that keeps answers, their status alone.
    """
    message, param = error.message, error.param
    if error.is_quoted and level != "full":
        message = _WORDS_LEFT_OUT
        param = param if param is not None and _PATH.fullmatch(param) else None
    return {
        "code": error.code,
        "message": message,
        "param": param,
        "retry_after_ms": _known_milliseconds(error.retry_after_seconds),
    }


def aborted_fields(exchange_id: str, account: str | None) -> dict[str, Any]:
    """The response record of an exchange that a crash cut off, written at the next start.

    What the client got, and how long it took, went with the program.
    """
    return {
        "event": "response",
        "exchange": exchange_id,
        "account": account,
        "level": "minimal",
        "status": None,
        "outcome": "aborted",
        "source": "addon",
        "duration_ms": None,
        "sent_ms": None,
        "first_byte_ms": None,
        "model": None,
        "response_id": None,
        "finish_reasons": [],
        "usage": None,
        "cost_usd": None,
        "cost_source": None,
        "error": None,
        "tries": [],
        "gateway_request_id": None,
        "message": None,
        "folded": None,
        "chunks": None,
        "websocket": None,
        **body_fields(None, 0),
    }


def least_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a record without content: what `minimal` keeps.

    Account, operation, method, model, status, sizes, tokens, cost, times, what was decided and the
    answer's ids; and the client's labels (tags, traceparent), which it put on for the trail.
    """
    least = {**fields, "body": None, "body_truncated": False, "body_sha256": None}
    if least["event"] == "request":
        least["client"] = dict.fromkeys(least["client"])
        least["http"] = {**least["http"], "url": None}
        least["gateway_url"] = least["sent"] = None
        least["files"] = []
        if (shadow := least["decision"]["shadow"]) is not None:  # its message may name the client
            least["decision"] = {**least["decision"], "shadow": {**shadow, "message": None}}
    else:
        least["message"] = least["folded"] = None
        least["error"] = least["error"] and {**least["error"], "message": None, "param": None}
    return least


def _usage_facts(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "source": usage.source,
    }


def _known_milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else milliseconds(seconds)


def milliseconds(seconds: float) -> float:
    """A time that has passed as records have it: to the microsecond, and never negative."""
    # `//` and no `round`: with no whole number between it takes half as long.
    return (seconds * 1_000_000 + 0.5) // 1 / 1_000 if seconds > 0 else 0.0
