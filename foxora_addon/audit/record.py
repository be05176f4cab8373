"""What a record says: the schema of the trail, and the builders that the writer uses.

The models are the schema, for readers and tests. Writing does not go through them, since that would
cost more than everything else about a record; a test holds the builders to the schema.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from foxora_addon.api.errors import ApiError, Source
from foxora_addon.api.money import json_number_of
from foxora_addon.api.usage import Usage, UsageSource
from foxora_addon.config.accounts import Level
from foxora_addon.exchange import Exchange, Outcome

VERSION: Final = 1

OTEL: Final[Mapping[str, str]] = {
    "operation": "gen_ai.operation.name",
    "request.model": "gen_ai.request.model",
    "response.model": "gen_ai.response.model",
    "response_id": "gen_ai.response.id",
    "finish_reasons": "gen_ai.response.finish_reasons",
    "usage.input_tokens": "gen_ai.usage.input_tokens",
    "usage.output_tokens": "gen_ai.usage.output_tokens",
    "client.address": "client.address",
    "status": "http.response.status_code",
    "error.code": "error.type",
}
"""Our names, and OpenTelemetry's for the same thing (semantic conventions for generative AI)."""

_WORDS_LEFT_OUT: Final = "The gateway's own words are on record at level full only."
_PATH: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
"""What names a field, and can hold no sentence."""

_Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClientFacts(_Model):
    """Who called."""

    name: str | None = Field(description="The configuration's name for the client, if it has one.")
    address: str | None = Field(description="IP address of the client.")
    key: str | None = Field(description="Keyed fingerprint of the client's key; never the key.")
    user_agent: str | None = Field(description="The client's User-Agent.")
    retry: int | None = Field(description="Which retry of the client's SDK this is, if it says so.")


class HttpFacts(_Model):
    """The request line, as the app sent it."""

    method: str = Field(description="HTTP method.")
    url: str | None = Field(
        description="URL as the app sent it, secrets redacted; null at level minimal."
    )
    version: str = Field(description="HTTP version of the client's side.")


class Shadow(_Model):
    """What the limits would have said to a call, where they only watch."""

    code: str = Field(description="The code of the refusal.")
    message: str = Field(description="Its message, with the limit and its figures.")
    retry_after_ms: float | None = Field(
        description="The wait that it would have told, or made the call wait; null: no wait helps."
    )


class Decision(_Model):
    """What was decided about the call before anything left."""

    verdict: Literal["forward", "refuse"] = Field(description="Whether it went to the gateway.")
    reason: str | None = Field(description="The code of the refusal; null where it was forwarded.")
    estimated_tokens: int | None = Field(description="Tokens reserved; null if none were.")
    waited_ms: float = Field(description="How long it waited for its account's ceilings.")
    shadow: Shadow | None = Field(
        default=None,
        description="In shadow mode, what would have kept it back; null where nothing would have.",
    )


class Body(_Model):
    """A body, as both kinds of record hold it."""

    body: str | None = Field(description="The body as text, exactly as sent apart from redaction.")
    body_encoding: Literal["utf-8", "base64"] = Field(description="How `body` holds the bytes.")
    body_truncated: bool = Field(description="Whether `body` is only the beginning.")
    body_bytes: int = Field(description="Length of the whole body in bytes.")
    body_sha256: _Hex | None = Field(
        description="SHA-256 of the whole body; null if it is empty, and at level minimal."
    )


class Sent(_Model):
    """What the gateway got, where that is not what the client sent."""

    changed: dict[str, Any] = Field(description="The members of the body that a rule has set.")
    body_bytes: int = Field(description="Length of the body that was sent, in bytes.")
    body_sha256: _Hex | None = Field(description="Its SHA-256; null if it is empty.")


class _Record(_Model):
    v: Literal[1] = Field(description="Version of this schema.")
    seq: int = Field(ge=1, description="Number of the record in its trail, from 1, without gaps.")
    time: str = Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
        description="When it was written: ISO 8601, UTC, microseconds.",
    )
    exchange: str = Field(description="Opaque id of the exchange, the same in both its records.")
    account: str | None = Field(description="Name of the account that pays; null if none does.")
    level: Literal["minimal", "metadata", "request", "full"] = Field(
        description="How much of the exchange is on record."
    )
    recovered: int | None = Field(description="Bytes of a torn line that stands before this one.")
    prev: _Hex = Field(description="Hash of the record before this one; zeros for the first.")
    hash: _Hex = Field(description="SHA-256 of this line without its hash member.")


class UploadedFile(_Model):
    """A file in a multipart form."""

    field: str = Field(description="Name of its field.")
    filename: str = Field(description="Its name, as the client gave it.")
    content_type: str | None = Field(description="Its Content-Type, if it has one.")
    bytes: int = Field(description="Its length.")


class SocketMessage(_Model):
    """One message of a WebSocket."""

    sender: Literal["client", "gateway"] = Field(description="Who sent it.")
    at_ms: float = Field(description="When, from the request's head.")
    text: str = Field(description="Its content.")
    encoding: Literal["utf-8", "base64"] = Field(description="How `text` holds the bytes.")


class SocketFacts(_Model):
    """The messages of a WebSocket."""

    count: int = Field(description="How many there were, both ways.")
    bytes: int = Field(description="Their length together.")
    messages: list[SocketMessage] = Field(
        description="The first of them, as far as level and max_body_bytes allow."
    )


class RequestRecord(_Record, Body):
    """What the client asked for, written before a byte of it leaves."""

    event: Literal["request"] = Field(description="Kind of record.")
    client: ClientFacts = Field(description="Who called.")
    http: HttpFacts = Field(description="The request line.")
    gateway_url: str | None = Field(description="Where it goes; null where it never had a target.")
    operation: str = Field(description="chat, models, me, ... or other.")
    model: str | None = Field(description="The model that the gateway is asked for.")
    stream: bool = Field(description="Whether the client asked for a stream.")
    decision: Decision = Field(description="What was decided.")
    sent: Sent | None = Field(description="What was sent, where a rule has changed the body.")
    tags: list[str] = Field(description="The client's labels, from x-foxora-tag.")
    traceparent: str | None = Field(description="W3C Trace Context of the call, if it has one.")
    files: list[UploadedFile] = Field(description="Files of a multipart form; empty for others.")


class UsageFacts(_Model):
    """Tokens of the call."""

    input_tokens: int | None = Field(description="Tokens of the prompt.")
    output_tokens: int | None = Field(description="Tokens of the answer.")
    total_tokens: int | None = Field(description="Both together.")
    source: UsageSource = Field(description="Who counted them.")


class ErrorFacts(_Model):
    """The error as the client was told of it."""

    code: str = Field(description="Code of the error.")
    message: str | None = Field(
        description="Its message; null at level minimal. A gateway's own stands at level full only."
    )
    param: str | None = Field(description="The field of the request that it is about.")
    retry_after_ms: float | None = Field(
        default=None,
        description="How long to wait before trying again, as the client was told; of a gateway's "
        "429, how long it closed the account, a second where null.",
    )


class TryFacts(_Model):
    """A try that failed, after which the call was sent again."""

    status: int | None = Field(description="Status of the gateway; null if it gave no answer.")
    code: str = Field(description="Code of the error.")
    source: Source = Field(description="Who failed.")
    after_ms: float = Field(description="From the request's head to the end of the try.")
    retry_after_ms: float | None = Field(
        default=None, description="How long the gateway asked to wait; null: it did not say."
    )


class ResponseRecord(_Record, Body):
    """What became of the exchange; exactly one follows each request record."""

    event: Literal["response"] = Field(description="Kind of record.")
    status: int | None = Field(description="HTTP status that the client got; null if it got none.")
    outcome: Outcome = Field(description="What became of it.")
    source: Source = Field(description="Who answered, or failed to.")
    duration_ms: float | None = Field(
        description="From the request's head to the end; null where a crash cut it off."
    )
    sent_ms: float | None = Field(
        description="From the request's head to when it was sent, the last time; null if never."
    )
    first_byte_ms: float | None = Field(description="From the request's head to the first byte.")
    model: str | None = Field(description="The model that answered, as the answer names it.")
    response_id: str | None = Field(description="The answer's own id.")
    finish_reasons: list[str | None] = Field(description="Why each choice ended.")
    usage: UsageFacts | None = Field(description="Tokens; null where they are not known.")
    cost_usd: float | None = Field(
        ge=0,
        description="What it cost in US dollars; null where it is not known. Its decimal text is "
        "the exact sum, up to 15 digits: read it as a decimal to add it up.",
    )
    error: ErrorFacts | None = Field(description="The error, if it is one.")
    tries: list[TryFacts] = Field(description="The tries before the last one; mostly none.")
    gateway_request_id: str | None = Field(description="The gateway's x-request-id.")
    message: dict[str, Any] | None = Field(
        description="A stream folded into one assistant message; null for other answers."
    )
    chunks: int | None = Field(description="Events of a stream; null for other answers.")
    websocket: SocketFacts | None = Field(description="Messages of a WebSocket; null for others.")


type Record = Annotated[RequestRecord | ResponseRecord, Field(discriminator="event")]
RECORD: Final[TypeAdapter[RequestRecord | ResponseRecord]] = TypeAdapter(Record)


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
    data = bytes(body or b"")
    whole_size = len(data) if size is None else size
    digest = sha256 or (hashlib.sha256(data).hexdigest() if whole_size else None)
    kept = data[:limit]
    text, encoding = text_of(kept, is_cut=whole_size > len(kept))
    return {
        "body": text if body is not None and whole_size else None,
        "body_encoding": encoding,
        "body_truncated": body is not None and whole_size > len(kept),
        "body_bytes": whole_size,
        "body_sha256": digest,
    }


def text_of(data: bytes, *, is_cut: bool) -> tuple[str, str]:
    """Bytes as a record holds them, and how; `is_cut` forgives a character that is cut in two."""
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        if is_cut and error.start >= len(data) - 3:  # the cut went through a character
            return data[: error.start].decode("utf-8"), "utf-8"
        return base64.b64encode(data).decode("ascii"), "base64"


def request_fields(
    exchange: Exchange, body: Mapping[str, Any], files: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """A request record without what the journal adds (v, seq, time, prev, hash)."""
    client, line, refusal = exchange.client, exchange.line, exchange.refusal
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
            "waited_ms": _milliseconds(exchange.waited_seconds),
            "shadow": _shadow_facts(exchange.shadow),
        },
        "sent": _sent_facts(exchange) if exchange.changes and refusal is None else None,
        "tags": list(exchange.tags),
        "traceparent": exchange.traceparent,
        "files": list(files),
        **body,
    }


def _shadow_facts(shadow: ApiError | None) -> dict[str, Any] | None:
    if shadow is None:
        return None
    return {
        "code": shadow.code,
        "message": shadow.message,
        "retry_after_ms": _wait_milliseconds(shadow.retry_after_seconds),
    }


def _sent_facts(exchange: Exchange) -> dict[str, Any]:
    data = exchange.sent_body
    digest = exchange.sent_sha256 or (hashlib.sha256(data).hexdigest() if data else None)
    return {
        "changed": dict(exchange.changes),
        "body_bytes": len(data),
        "body_sha256": digest,
    }


def response_fields(  # noqa: PLR0913  # one keyword for each thing that a record says
    exchange: Exchange,
    body: Mapping[str, Any],
    *,
    status: int | None,
    outcome: Outcome,
    source: Source,
    now: float,
    usage: Usage | None = None,
    cost_usd: Decimal | None = None,
    error: ApiError | None = None,
    model: str | None = None,
    response_id: str | None = None,
    finish_reasons: Sequence[str | None] = (),
    message: Mapping[str, Any] | None = None,
    chunks: int | None = None,
    gateway_request_id: str | None = None,
    websocket: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A response record without what the journal adds; `now` is on the exchange's own clock."""
    first, sent = exchange.first_byte_at, exchange.sent_at
    return {
        "event": "response",
        "exchange": exchange.id,
        "account": exchange.account_name,
        "level": exchange.level,
        "status": status,
        "outcome": outcome,
        "source": source,
        "duration_ms": _milliseconds(now - exchange.arrived_at),
        "sent_ms": None if sent is None else _milliseconds(sent - exchange.arrived_at),
        "first_byte_ms": None if first is None else _milliseconds(first - exchange.arrived_at),
        "model": model,
        "response_id": response_id,
        "finish_reasons": list(finish_reasons),
        "usage": None if usage is None else _usage_facts(usage),
        "cost_usd": None if cost_usd is None else json_number_of(cost_usd),
        "error": None if error is None else _error_facts(error, exchange.level),
        "tries": [
            {
                "status": each.status,
                "code": each.code,
                "source": each.source,
                "after_ms": _milliseconds(each.after_seconds),
                "retry_after_ms": _wait_milliseconds(each.retry_after_seconds),
            }
            for each in exchange.tries
        ],
        "gateway_request_id": gateway_request_id,
        "message": message,
        "chunks": chunks,
        "websocket": websocket,
        **body,
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
        "retry_after_ms": _wait_milliseconds(error.retry_after_seconds),
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
        "error": None,
        "tries": [],
        "gateway_request_id": None,
        "message": None,
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
    else:
        least["message"] = None
        least["error"] = least["error"] and {**least["error"], "message": None, "param": None}
    return least


def _usage_facts(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "source": usage.source,
    }


def _wait_milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else _milliseconds(seconds)


def _milliseconds(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 3)
