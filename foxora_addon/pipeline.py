"""The path of one exchange, in one file.

    recognise -> resolve the account -> validate -> reserve -> record the request -> send
    -> observe -> normalise -> settle -> record the response

Each step is a method that the shell calls when the host has something to tell. No clock and no
I/O: time is an argument, and the trail is a port. A refusal is a value; what raises is a bug.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol
from urllib.parse import unquote

from foxora_addon.api.content_encoding import Undecodable, decoded
from foxora_addon.api.endpoints import OTHER
from foxora_addon.api.errors import (
    ApiError,
    Source,
    invalid_request,
    normalise,
    unavailable,
)
from foxora_addon.api.usage import Usage
from foxora_addon.audit.contents import SocketLog, files_of
from foxora_addon.audit.facts import facts_of_body, facts_of_stream, is_json
from foxora_addon.audit.record import body_fields, least_of, request_fields, response_fields
from foxora_addon.exchange import Client, Exchange, IllegalStep, Outcome, RequestLine
from foxora_addon.policy.accounts import Chosen
from foxora_addon.policy.allowances import Allowances, estimated_tokens
from foxora_addon.policy.levels import asked_level, tags_of, traceparent_of
from foxora_addon.policy.recognise import Head, Recognised, recognise
from foxora_addon.policy.rewrite import Cleaned, Fields, clean
from foxora_addon.policy.validation import read_call
from foxora_addon.rules import Rules, gateway_origin, gateway_path

type Kept = Literal["safe", "unsafe", "lost"]
"""What became of a record: kept as configured, written but not known to be on the disk, or not."""


class Trail(Protocol):
    """Where records go: the only port with an effect."""

    def write(self, fields: Mapping[str, Any], scrub: Callable[[str], str]) -> Kept:
        """Redact and append one record."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """The head of a request, as the client sent it. `url` is whole, with its query."""

    head: Head
    fields: Fields
    url: str
    version: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Rewritten:
    """An exchange, and the head that takes the place of the one that the client sent.

    `target` is path and query at the gateway; where the call was refused before it had one, those
    that the client sent, without its secrets.
    """

    exchange: Exchange
    fields: Fields
    target: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of the gateway, as it came."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, given in lower case; None if it is not there."""
        return next((value for key, value in self.headers if key.lower() == name), None)


class Pipeline:
    """The steps, over the rules in force. `rules` may be replaced at any time.

    An exchange keeps what it was given when it arrived; only new ones meet the new rules.
    """

    def __init__(self, rules: Rules, trail: Trail, new_id: Callable[[], str]) -> None:
        self.rules = rules
        self._trail = trail
        self._new_id = new_id
        self._allowances = Allowances()

    # Recognise, and resolve the account.

    def arrive(self, arrival: Arrival, now: float) -> Rewritten | None:
        """Recognise a request by its head and find who pays; None if it is not ours.

        A refused call is an exchange too, with `refusal` set.
        """
        found = recognise(arrival.head, self.rules.territory)
        if found is None:
            return None
        cleaned = clean(arrival.fields, arrival.head.target)
        exchange = self._open(arrival, cleaned, now)
        if isinstance(found, ApiError):
            exchange.refusal = found
            self._choose_level(exchange, arrival, cleaned)
            return Rewritten(exchange, cleaned.fields, self._scrub(exchange, cleaned.target))
        exchange.call = found
        self._resolve(exchange, found, cleaned)
        self._choose_level(exchange, arrival, cleaned)
        target = gateway_path(self.rules.gateway, found.path, cleaned.target.partition("?")[2])
        exchange.gateway_url = gateway_origin(self.rules.gateway) + target
        if cleaned.repeats_key(target):
            target = self._scrub(exchange, unquote(target))
            exchange.refusal = exchange.refusal or invalid_request(
                "The request's path repeats the client's key; it is not forwarded."
            )
        return Rewritten(exchange, cleaned.fields, target)

    def _open(self, arrival: Arrival, cleaned: Cleaned, now: float) -> Exchange:
        values = {name.lower(): value for name, value in arrival.fields}
        retry = values.get(b"x-stainless-retry-count", b"")
        agent = values.get(b"user-agent")
        key = cleaned.key
        client = Client(
            address=arrival.address,
            key=None if key is None else self.rules.redactor.fingerprint(key),
            user_agent=None if agent is None else agent.decode("utf-8", "replace"),
            retry=int(retry) if retry.isdigit() and len(retry) < 10 else None,
        )
        line = RequestLine(arrival.head.method, arrival.url, arrival.version)
        exchange = Exchange(self._new_id(), now, client, line, secrets=cleaned.secrets)
        exchange.tags = tags_of(_text(values.get(b"x-foxora-tag")))
        exchange.traceparent = traceparent_of(_text(values.get(b"traceparent")))
        return exchange

    def _choose_level(self, exchange: Exchange, arrival: Arrival, cleaned: Cleaned) -> None:
        """How much of it is kept. Until that is known a refused call is kept at the least."""
        account = exchange.account.name if exchange.account else None
        operation = exchange.call.operation.name if exchange.call else OTHER.name
        given = self.rules.levels.level_of(account, operation, cleaned.key, arrival.address)
        header = next((v for n, v in arrival.fields if n.lower() == b"x-foxora-audit"), None)
        asked = asked_level(_text(header), given)
        if isinstance(asked, ApiError):
            exchange.level = "minimal"
            exchange.refusal = exchange.refusal or asked
        else:
            exchange.level = asked

    def _resolve(self, exchange: Exchange, call: Recognised, cleaned: Cleaned) -> None:
        """Find who pays. A preflight carries no key by definition, and is sent without one."""
        if call.preflight:
            return
        resolved = self.rules.accounts.resolve(cleaned.key, exchange.client.address)
        if isinstance(resolved, ApiError):
            exchange.refusal = resolved
        elif isinstance(resolved, Chosen):
            exchange.account = resolved.account
            exchange.credential = resolved.account.key.get_secret_value()
        else:
            exchange.credential = resolved.key.get_secret_value()

    # Validate, reserve, and record the request.

    def admit(self, exchange: Exchange, body: bytes, encoding: str | None, now: float) -> None:
        """Decide on a call and write its request record, before anything leaves.

        Afterwards either `exchange.refusal` is set, or `exchange.sent_body` is what the gateway
        gets. `body` is as the client sent it, in the content encoding that it named, or None.
        """
        if exchange.refusal is None:
            exchange.refusal = self._read(exchange, body, encoding)
        if exchange.refusal is None:
            exchange.refusal = self._reserve(exchange, now)
        kept = self._body_fields(body, encoding, keeps=exchange.level in {"request", "full"})
        files = files_of(body)
        exchange.step("record")
        exchange.waiting_since = now
        written = self._write(exchange, request_fields(exchange, kept, files))
        exchange.is_recorded = written != "lost"
        if written != "safe":
            self.not_kept(exchange)

    def not_kept(self, exchange: Exchange) -> None:
        """Refuse a call whose record is not kept as configured, unless it may go unrecorded."""
        if exchange.refusal is None and self.rules.needs_record:
            exchange.refusal = unavailable(
                "The audit trail can't be written, so the call is not forwarded. Try again later."
            )

    def _read(self, exchange: Exchange, body: bytes, encoding: str | None) -> ApiError | None:
        if exchange.call is None:
            return None
        try:
            plain = decoded(body, encoding, self.rules.max_request_bytes)
        except Undecodable as error:
            return invalid_request(f"The request's body can't be read: {error}.")
        read = read_call(exchange.call, plain, self.rules.models)
        if isinstance(read, ApiError):
            return read
        exchange.model, exchange.stream = read.model, read.stream
        exchange.sent_body = body if read.sent is plain else read.sent
        return None

    def _reserve(self, exchange: Exchange, now: float) -> ApiError | None:
        """Take one request of the account's ceiling, or say why there is none left."""
        if exchange.account is None:
            return None
        name = exchange.account.name
        ceilings = self.rules.ceilings[name]
        tokens = estimated_tokens(exchange.sent_body, ceilings.tokens_per_minute)
        exchange.estimated_tokens = tokens
        taken = self._allowances.reserve(
            name, ceilings, tokens, now, is_shadow=self.rules.is_shadow
        )
        if isinstance(taken, ApiError):
            return taken
        exchange.reservation = taken
        return None

    # Send.

    def send(self, exchange: Exchange, now: float) -> str | None:
        """The key to put on, as the request goes out; None for a preflight, which has none.

        Raises `IllegalStep` unless the exchange is recorded and not refused: nothing else may send.
        """
        if exchange.refusal is not None:
            raise IllegalStep(f"exchange {exchange.id}: 'send' is not legal once it is refused")
        exchange.step("send")
        exchange.waiting_since = now
        if exchange.reservation is not None and exchange.account is not None:
            self._allowances.mark_sent(exchange.account.name, exchange.reservation, now)
        return exchange.credential

    # Normalise, settle, and record the response.

    def refused(self, exchange: Exchange, error: ApiError, outcome: Outcome, now: float) -> None:
        """The exchange ends with an answer of our own."""
        body = body_fields(error.body(), self.rules.max_body_bytes)
        self._close(exchange, body, error.status, outcome, error.source, now, error=error)

    def lost(self, exchange: Exchange, outcome: Outcome, source: Source, now: float) -> None:
        """The exchange ends with nobody there to answer, or in the middle of its answer."""
        if exchange.observation is not None:
            self._close_observed(exchange, outcome, source, exchange.answered_status, now)
            return
        self._close(exchange, body_fields(None, 0), None, outcome, source, now)

    def answered(self, exchange: Exchange, answer: Answer, now: float) -> ApiError | None:
        """A whole answer is there; an error to put in its place, or None to pass it on as it is."""
        encoding = answer.header("content-encoding")
        request_id = answer.header("x-request-id")
        kept = self._body_fields(answer.body, encoding, keeps=exchange.level == "full")
        plain = _plain(answer.body, encoding, self.rules.max_request_bytes)
        if answer.status >= 400:
            error = normalise(answer.status, answer.headers, plain)
            error = self._scrubbed(exchange, error)
            self._obey(exchange, error, now)
            self._close(
                exchange,
                kept,
                answer.status,
                "gateway_error",
                "gateway",
                now,
                error=error,
                gateway_request_id=request_id,
            )
            return error
        facts = facts_of_body(plain) if is_json(answer.header("content-type")) else {}
        facts["gateway_request_id"] = request_id
        self._close(exchange, kept, answer.status, "completed", "gateway", now, **facts)
        return None

    def _obey(self, exchange: Exchange, error: ApiError, now: float) -> None:
        """The gateway's own 429 closes the account, for all its clients, until it may be asked."""
        if error.status == 429 and error.retry_after_seconds and exchange.account is not None:
            self._allowances.obey(exchange.account.name, error.retry_after_seconds, now)

    def said(self, exchange: Exchange, content: bytes, now: float, *, is_clients: bool) -> None:
        """A message went over a WebSocket, from the client or to it."""
        if exchange.socket is None:
            exchange.socket = SocketLog(self.rules.max_body_bytes)
        at_ms = round((now - exchange.arrived_at) * 1000, 3)
        exchange.socket.add(content, is_clients=is_clients, at_ms=at_ms)

    def streamed(self, exchange: Exchange, now: float) -> None:
        """A stream has come to a clean end; without its `[DONE]` it is on record as broken."""
        seen = exchange.observation
        transcript = seen.transcript if seen else None
        is_whole = transcript is None or transcript.done or not exchange.stream
        outcome: Outcome = "completed" if is_whole else "stream_broken"
        self._close_observed(exchange, outcome, "gateway", exchange.answered_status, now)

    def _close_observed(
        self, exchange: Exchange, outcome: Outcome, source: Source, status: int | None, now: float
    ) -> None:
        seen = exchange.observation
        if seen is None:
            raise IllegalStep(f"exchange {exchange.id}: no stream was observed")
        keeps = exchange.level == "full"
        facts = facts_of_stream(seen, keeps_content=keeps)
        facts["gateway_request_id"] = exchange.gateway_request_id
        if exchange.socket is not None:
            facts["websocket"] = exchange.socket.fields(exchange.level)
        head = seen.head if keeps and facts.get("message") is None else None
        limit = self.rules.max_body_bytes
        kept = body_fields(head, limit, size=seen.size, sha256=seen.sha256 if seen.size else None)
        self._close(exchange, kept, status, outcome, source, now, **facts)

    def _close(  # what every ending has; the rest goes by name
        self,
        exchange: Exchange,
        body: Mapping[str, Any],
        status: int | None,
        outcome: Outcome,
        source: Source,
        now: float,
        **facts: Any,
    ) -> None:
        exchange.step("close")
        self._settle(exchange, facts.get("usage"), now)
        if exchange.is_recorded:
            fields = response_fields(
                exchange, body, status=status, outcome=outcome, source=source, now=now, **facts
            )
            self._write(exchange, fields)

    def _settle(self, exchange: Exchange, usage: Usage | None, now: float) -> None:
        if exchange.reservation is None or exchange.account is None:
            return
        account = exchange.account.name
        if exchange.was_sent:
            used = exchange.estimated_tokens if usage is None else usage.total_tokens
            self._allowances.settle(account, exchange.reservation, used or 0, now)
        else:
            self._allowances.release(account, exchange.reservation, now)

    def _body_fields(self, body: bytes, encoding: str | None, *, keeps: bool) -> dict[str, Any]:
        plain = _plain(body, encoding, self.rules.max_request_bytes) if encoding else body
        if keeps:
            return body_fields(plain, self.rules.max_body_bytes)
        digest = hashlib.sha256(plain).hexdigest() if plain else None
        return body_fields(None, 0, size=len(plain), sha256=digest)

    def _write(self, exchange: Exchange, fields: Mapping[str, Any]) -> Kept:
        if exchange.level == "minimal":
            fields = least_of(fields)
        return self._trail.write(fields, lambda text: self._scrub(exchange, text))

    def header_for_client(self, exchange: Exchange, value: str) -> str:
        """A header's value of the gateway's as the client may have it: without any known key."""
        return self.rules.redactor.without_known(value, exchange.secrets)

    def _scrubbed(self, exchange: Exchange, error: ApiError) -> ApiError:
        """The gateway's error as the client may have it: it may quote the key that we sent."""
        return replace(
            error,
            code=self._scrub(exchange, error.code),
            message=self._scrub(exchange, error.message),
            param=None if error.param is None else self._scrub(exchange, error.param),
        )

    def _scrub(self, exchange: Exchange, text: str) -> str:
        return self.rules.redactor.scrub(text, exchange.secrets)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _plain(body: bytes, encoding: str | None, limit: int) -> bytes:
    """The body without its content encoding; as it is where that can't be undone."""
    try:
        return decoded(body, encoding, limit)
    except Undecodable:
        return body
