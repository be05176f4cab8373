"""The schema of the trail: what a record says, for readers and tests.

Writing does not go through these models, since that would cost more than everything else about a
record; a test holds the builders of `record` to them. Nor does a proxy import them: to build them
takes a fifth of a second.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from foxora_addon.api.errors import Source
from foxora_addon.api.usage import UsageSource
from foxora_addon.audit.record import CostSource
from foxora_addon.exchange import Outcome

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
    message: str | None = Field(
        description="Its message, with the limit and its figures; null at level minimal."
    )
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
    guard_seconds: float | None = Field(
        default=None,
        description="How much longer than a minute a call counts; 0.25 where it is not there.",
    )


class Body(_Model):
    """A body, as both kinds of record hold it."""

    body: str | None = Field(description="The body as text, exactly as sent apart from redaction.")
    body_encoding: Literal["utf-8", "base64"] = Field(description="How `body` holds the bytes.")
    body_truncated: bool = Field(
        description="Whether `body`, or `message` where there is none, is only the beginning."
    )
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
    sent_ms: float | None = Field(
        default=None, description="From the request's head to when it was sent; null if never."
    )
    tokens: int = Field(default=0, description="What it was charged.")


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
    usage: UsageFacts | None = Field(description="Tokens charged; null: none, or not known.")
    cost_usd: float | None = Field(
        ge=0,
        description="What it cost in US dollars, with all its tries; null where it is not known. "
        "Its decimal text is the exact sum, up to 15 digits: read it as a decimal to add it up.",
    )
    cost_source: CostSource | None = Field(
        default=None,
        description="`reported`: all of it is of usage that the gateway reported, at the price of "
        "the model asked for, if one was; `estimated`: not all of it; null where it is not known.",
    )
    error: ErrorFacts | None = Field(description="The error, if it is one.")
    tries: list[TryFacts] = Field(description="The tries before the last one; mostly none.")
    gateway_request_id: str | None = Field(description="The gateway's x-request-id.")
    message: dict[str, Any] | None = Field(
        description="A stream folded into one assistant message; null for other answers."
    )
    folded: dict[str, Any] | None = Field(
        default=None,
        description="All that a stream adds up to but its usage, where that is more than "
        "`message`, as by other items; where it is too large, the stream is in `body`.",
    )
    chunks: int | None = Field(description="Events of a stream; null for other answers.")
    websocket: SocketFacts | None = Field(description="Messages of a WebSocket; null for others.")


type Record = Annotated[RequestRecord | ResponseRecord, Field(discriminator="event")]
RECORD: Final[TypeAdapter[RequestRecord | ResponseRecord]] = TypeAdapter(Record)
