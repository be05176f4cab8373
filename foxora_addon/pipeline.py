"""The path of one exchange, in one file.

    recognise -> resolve the account -> validate -> reserve -> record the request -> send
    -> observe -> normalise -> settle -> record the response

Each step is a method that the shell calls when the host has something to tell. No clock and no
I/O: time is an argument, and the trail is a port. A refusal is a value; what raises is a bug.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, Literal, NamedTuple, Protocol

from cachetools import LRUCache

from foxora_addon.answer import Answer
from foxora_addon.api.content_encoding import TooLong, Undecodable, decoded
from foxora_addon.api.errors import (
    ApiError,
    Source,
    answered_by_addon,
    bad_gateway_answer,
    normalise,
    overdue,
    unavailable,
)
from foxora_addon.api.promised_json import flaw_of_json, value_of_json
from foxora_addon.api.retry_after import seconds_of
from foxora_addon.api.sse import begins_stream
from foxora_addon.api.usage import Usage
from foxora_addon.api.usage_request import refuses_usage, with_usage_asked
from foxora_addon.api.usage_strip import UsageStrip
from foxora_addon.audit.contents import SocketLog, files_of
from foxora_addon.audit.facts import facts_of_json, facts_of_stream, is_json
from foxora_addon.audit.line import cut_scrubbed
from foxora_addon.audit.record import (
    Facts,
    body_fields,
    least_of,
    milliseconds,
    request_fields,
    response_fields,
)
from foxora_addon.audit.redaction import Scrub
from foxora_addon.ending import Ending, Open, ending_of, open_of
from foxora_addon.exchange import Exchange, GivenHead, IllegalStep, Outcome, Try
from foxora_addon.observation import Observation
from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.limit_hold import UNTOLD_WAIT_SECONDS
from foxora_addon.policy.limits import DEFAULT_GUARD_SECONDS
from foxora_addon.policy.mask import mask_forms_of, masked
from foxora_addon.policy.recognise import Recognised
from foxora_addon.policy.used import guessed
from foxora_addon.policy.validation import CallBody, plain_body, read_call, read_message
from foxora_addon.reception import Arrival, Reception, given_head
from foxora_addon.rules import Rules
from foxora_addon.shown import Shown, shown_so_far

_MOST_REFUSERS: Final = 1_000
_MODEL_CHARACTERS: Final = 256
_MOST_ANSWER_BYTES: Final = 128 * 1_048_576
"""Of an answer that is taken whole, once it is decoded."""

_MOST_UNSENT_BYTES: Final = 1_048_576
"""Of a body that nobody gets, once it is decoded: only its record needs that."""

_WITH_CONTENT: Final = frozenset({200, 201, 203})
_HIGHEST_STATUS: Final = 999
"""A status has three digits (RFC 9112, 4): many clients take a longer one for no HTTP."""

type Kept = Literal["safe", "unsafe", "lost"]
"""What became of a record: kept as configured, written but not known to be on the disk, or not."""


class Trail(Protocol):
    """Where records go: the only port with an effect."""

    def write(self, fields: Mapping[str, Any], scrub: Callable[[str], str]) -> Kept:
        """Redact and append one record."""


class Rewritten(NamedTuple):
    """An exchange, and the head that takes the place of the one that the client sent.

    `target` is path and query at the gateway; where the call was refused before it had one, those
    that the client sent, without its secrets.
    """

    exchange: Exchange
    head: GivenHead
    target: str


class Ahead(NamedTuple):
    """What of a large body was read before: without its content encoding, what it holds, its hash.

    `value` is a JSON value or a `Form`; `NOT_JSON` where it is neither, or none is looked for.
    Where it can't be decoded, `plain` says why, and the hash is of the body as it came.
    """

    plain: bytes | ApiError
    value: object
    sha256: str


class Pipeline:
    """The steps, over the rules in force, which `take` may replace at any time.

    An exchange keeps who pays, its key, where it goes and its level as they were when it arrived;
    in all else, each of its steps meets the rules that are in force by then.
    `ended` is told of each exchange once it is closed; it must not raise.
    """

    def __init__(self, rules: Rules, trail: Trail, new_id: Callable[[], str]) -> None:
        self.rules = rules
        self._longest_call_seconds = rules.timeouts.longest_call
        self._reception = Reception(rules)
        self._trail = trail
        self._new_id = new_id
        self._usage_refusers: LRUCache[tuple[str, str], bool] = LRUCache(_MOST_REFUSERS)
        guard = rules.guard_seconds
        self.accounting = Accounting(rules.limits, guard_seconds=guard)
        self._guard_on_record = None if guard == DEFAULT_GUARD_SECONDS else guard
        self.ended: Callable[[Ending], None] = lambda _: None

    def take(self, rules: Rules, now: float, still_open: Iterable[Exchange] = ()) -> None:
        """Work by other rules from now on, which may not know the keys of what is `still_open`."""
        _keep_keys(still_open, rules)
        self.rules = rules
        self._longest_call_seconds = rules.timeouts.longest_call
        self._reception = Reception(rules)
        self.accounting.take_rules(rules.limits, now)

    # Recognise, and resolve the account.

    def arrive(self, arrival: Arrival, now: float) -> Rewritten | None:
        """Recognise a request by its head and find who pays; None if it is not ours.

        A refused call is an exchange too, with `refusal` set.
        """
        received = self._reception.receive(arrival)
        if received is None:
            return None
        head = given_head(received, arrival)
        exchange = Exchange(  # by place: by name, so many take twice as long
            self._new_id(),
            now,
            received.client,
            received.line,
            received.call,
            received.account,
            received.account_name,
            received.payer,
            received.credential,
            received.secrets,
            received.level,
            received.tags,
            received.traceparent,
            received.refusal,
            received.gateway_url,
            arrival.port,
            head,
            received.origin,
            self.rules.gateway,
        )
        return Rewritten(exchange, head, received.target)

    # Validate, reserve, and record the request.

    def read(
        self, exchange: Exchange, body: bytes, encoding: str | None, ahead: Ahead | None = None
    ) -> None:
        """Validate a call, and find what the gateway is to get.

        Afterwards either `exchange.refusal` is set, or `exchange.sent_body` is what the gateway
        gets. `body` is as the client sent it, in the content encoding that it named, or None.

        It also estimates the call's tokens, unless its body was read ahead: then `estimate` does.
        """
        if exchange.refusal is None:
            exchange.refusal = self._read(exchange, body, encoding, ahead)

    def most_plain_bytes(self, exchange: Exchange) -> int:
        """To how many bytes its body may decode; beyond, it is on record by size and hash alone."""
        most = self.rules.max_request_bytes
        return most if exchange.refusal is None else min(most, _MOST_UNSENT_BYTES)

    def estimate(self, exchange: Exchange, ahead: Ahead) -> None:
        """Estimate the tokens of a call whose body was read ahead; it may run in a thread."""
        if exchange.refusal is None and exchange.call and isinstance(ahead.plain, bytes):
            operation, size = exchange.call.operation, len(ahead.plain)
            value = None if operation.has_form else ahead.value
            parsed = value if isinstance(value, dict) else None
            self.accounting.estimate(exchange, operation.name, parsed, size)

    def reserve(self, exchange: Exchange, now: float) -> None:
        """Take the call from its account's ceilings, or refuse it."""
        if exchange.refusal is not None:
            return
        if exchange.payer is not None and exchange.account is None:
            exchange.account_name = self.accounting.standings.shown(exchange.payer)
        exchange.refusal = self.accounting.reserve(exchange, now)

    def record(
        self,
        exchange: Exchange,
        body: bytes,
        encoding: str | None,
        now: float,
        ahead: Ahead | None = None,
    ) -> None:
        """Write the request record; without it nothing may leave, unless configured otherwise.

        Nor may a call that came in, or has waited, for so long that its time is up.
        """
        if now - exchange.arrived_at >= self._longest_call_seconds and exchange.refusal is None:
            exchange.refusal = overdue(self._longest_call_seconds)
        keeps = exchange.level in {"request", "full"}
        if ahead is None:
            limit = self.most_plain_bytes(exchange)
            plain = _plain_of(body, encoding, limit) if encoding else body
            kept = self._body_fields(body, plain, keeps=keeps)
        else:
            plain = ahead.plain if isinstance(ahead.plain, bytes) else None
            kept = self._body_fields(body, plain, keeps=keeps, sha256=ahead.sha256)
        files = [] if plain is None else files_of(plain)
        exchange.step("record")
        exchange.waiting_since = now
        fields = request_fields(exchange, kept, files, self._guard_on_record)
        written = self._write(exchange, fields, self._scrub_of(exchange))
        exchange.is_recorded = written != "lost"
        if written != "safe":
            self.not_kept(exchange)

    def not_kept(self, exchange: Exchange) -> None:
        """Refuse a call whose record is not kept as configured, unless it may go unrecorded."""
        if exchange.refusal is None and self.rules.needs_record:
            exchange.refusal = unavailable(
                "The audit trail can't be written, so the call is not forwarded. Try again later."
            )

    def _read(
        self, exchange: Exchange, body: bytes, encoding: str | None, ahead: Ahead | None
    ) -> ApiError | None:
        if exchange.call is None:
            return None
        plain: bytes | ApiError = body
        parsed: object = None
        if ahead is not None:
            plain, parsed = ahead.plain, ahead.value
        elif encoding:
            plain = plain_body(body, encoding, self.rules.max_request_bytes)
        if isinstance(plain, ApiError):
            return plain
        read = read_call(exchange.call, plain, self.rules.models, parsed)
        if isinstance(read, ApiError):
            return read
        exchange.model, exchange.stream = read.model, read.stream
        exchange.sent_body = body if read.sent is plain else read.sent
        exchange.changes = read.changes
        if read.stream:
            self._ask_for_usage(exchange, exchange.call, read)
        if ahead is None:
            self.accounting.estimate(exchange, exchange.call.operation.name, read.json, len(plain))
        return None

    def _ask_for_usage(self, exchange: Exchange, call: Recognised, read: CallBody) -> None:
        """Ask a stream for its usage, unless the gateway is known to refuse that."""
        if not self.rules.asks_usage or self._refuses_usage(exchange):
            return
        asked = with_usage_asked(call.operation.name, read.sent, read.json)
        if asked is not None:
            exchange.unasked_body, exchange.sent_body = exchange.sent_body, asked
            exchange.changes = {**read.changes, "stream_options": {"include_usage": True}}

    def _refuses_usage(self, exchange: Exchange) -> bool:
        return self._refuser_of(exchange) in self._usage_refusers

    def _refuser_of(self, exchange: Exchange) -> tuple[str, str]:
        """The gateway and the model, by the beginning of a name that a client has chosen."""
        return str(exchange.gateway), (exchange.model or "")[:_MODEL_CHARACTERS]

    def without_usage(self, exchange: Exchange, error: ApiError, status: int, now: float) -> bool:
        """Make ready to send a stream's call again, if it was asked for its usage in vain.

        The client did not ask and must not see that we did.
        """
        if exchange.unasked_body is None or not refuses_usage(error):
            return False
        exchange.sent_body, exchange.unasked_body = exchange.unasked_body, None
        exchange.usage_refused = True
        self.again(exchange, error, now, status)
        return True

    # Send.

    def send(self, exchange: Exchange, now: float) -> str | None:
        """The key to put on, as the request goes out; None for a preflight, which has none.

        Raises `IllegalStep` unless the exchange is recorded and not refused: nothing else may send.
        """
        if exchange.refusal is not None:
            raise IllegalStep(f"exchange {exchange.id}: 'send' is not legal once it is refused")
        exchange.step("send")
        exchange.waiting_since = exchange.sent_at = now
        self.accounting.mark_sent(exchange, now)
        return exchange.credential

    def answering(self, exchange: Exchange, answer: Answer, now: float) -> None:
        """The head of the gateway's answer is there.

        Its own 429 closes the account, for all its clients, until it may be asked. That is heeded
        here and nowhere else: the body may be long in coming, and the client gone by then.
        """
        if answer.status == 429 and exchange.payer is not None:
            self.accounting.obey(exchange.payer, seconds_of(answer.headers), now)

    def again(
        self,
        exchange: Exchange,
        error: ApiError,
        now: float,
        status: int | None = None,
        *,
        is_unbegun: bool = False,
    ) -> None:
        """End a try that failed with an error, after which the call is sent once more.

        Each try is a request of the account's own (foxora-api.md, Rate limits): this one is settled
        here, the next is reserved by `renew`. `status` is the gateway's; None: it gave no answer.
        `is_unbegun`: it has said that it has not begun it, so there are no tokens to charge.
        """
        usage = None if is_unbegun else guessed(exchange, status or error.status, "gateway_error")
        self.accounting.again(exchange, usage, now)
        exchange.tries += (_failed_try(exchange, error, status, usage, now),)
        exchange.begin_again()
        exchange.waiting_since = now

    def error_of(self, exchange: Exchange, answer: Answer) -> ApiError:
        """The gateway's error in the documented shape, as the client may have it."""
        return self._normalised(exchange, answer, _plain_of(answer.body, answer.encoding))

    def renew(self, exchange: Exchange, now: float) -> ApiError | None:
        """Take a further try from the account's ceilings, or say why there is no room for it."""
        return self.accounting.renew(exchange, now)

    # Normalise, settle, and record the response.

    def refused(self, exchange: Exchange, error: ApiError, outcome: Outcome, now: float) -> None:
        """The exchange ends with an answer of our own, or as the head of the gateway's says."""
        told = error.body()
        body = self._body_fields(told, told, keeps=exchange.level == "full")
        facts: Facts = {"error": error, **self._talk_facts(exchange, now)}
        self._close(exchange, body, facts, error.status, outcome, error.source, now)

    def lost(
        self,
        exchange: Exchange,
        outcome: Outcome,
        source: Source,
        now: float,
        error: ApiError | None = None,
    ) -> None:
        """The exchange ends with nobody there to answer, or in the middle of its answer.

        `error` is what the reader of a stream is told of it, or why it was refused.
        """
        if exchange.observation is not None:
            status = exchange.answered_status
            self._close_observed(exchange, outcome, source, status, now, error=error)
            return
        self._close(exchange, body_fields(None, 0), {"error": error}, None, outcome, source, now)

    def answered(self, exchange: Exchange, answer: Answer, now: float) -> ApiError | None:
        """A whole answer is there; an error to put in its place, or None to pass it on as it is."""
        if exchange.observation is not None:
            self.streamed(exchange, now)
            return None
        read = _plain_answer(answer) if answer.encoding else answer.body
        plain = read if isinstance(read, bytes) else None
        kept = self._body_fields(answer.body, plain, keeps=exchange.level == "full")
        kind = answer.content_type
        is_due = is_json(kind) or _promises_json(exchange)
        value = value_of_json(plain) if is_due and plain is not None else None
        error = self._error_in(exchange, answer, read, value)
        if error is not None:
            facts: Facts = {"error": error}
            self._close(exchange, kept, facts, error.status, "gateway_error", "gateway", now)
            return error
        count = partial(self.accounting.counted, exchange)
        facts = facts_of_json(value, count)
        self._close(exchange, kept, facts, answer.status, "completed", "gateway", now)
        return None

    def answered_inside(self, exchange: Exchange, answer: Answer, now: float) -> ApiError | None:
        """Another addon has answered a call that was never sent; an error, if it is one.

        It says nothing of the gateway: none of it is charged or obeyed.
        """
        plain = _plain_of(answer.body, answer.encoding)
        kept = self._body_fields(answer.body, plain, keeps=exchange.level == "full")
        is_fine = 200 <= answer.status < 400
        error = None if is_fine else answered_by_addon(answer.status)
        status = answer.status if error is None else error.status
        outcome: Outcome = "completed" if is_fine else "refused"
        self._close(exchange, kept, {"error": error}, status, outcome, "addon", now)
        return error

    def without_key(self, exchange: Exchange, answer: Answer) -> Answer:
        """The answer with the key masked, if it repeats the one that we sent.

        A body in which it stands encoded comes back without its content encoding.
        """
        forms = mask_forms_of(exchange.credential)
        plain = _plain_of(answer.body, answer.encoding) if answer.encoding else answer.body
        if plain is None:
            plain = answer.body
        clean = masked(plain, forms)
        return answer if clean is plain else _plainly(answer, clean)

    def as_stream(self, exchange: Exchange, answer: Answer) -> Answer:
        """A whole answer where a stream was asked for, observed if it is one for all its type says.

        Then `answered` ends it as one, and its usage is taken out where the client did not ask.
        """
        if exchange.flaw is not None or not 200 <= answer.status < 300:
            return answer
        plain = _plain_of(answer.body, answer.encoding)
        if plain is None or not begins_stream(plain):
            return answer
        seen = exchange.observation = Observation(
            content_encoding=None,
            is_event_stream=True,
            is_json=False,
            max_head_bytes=self.rules.max_body_bytes,
        )
        seen.feed(plain)
        if exchange.unasked_body is None:
            return answer
        strip = UsageStrip()
        return _plainly(answer, strip.feed(plain) + strip.end())

    def _remember_refusal(self, exchange: Exchange, status: int | None) -> None:
        """A gateway that took the call only without `stream_options` is not asked for them again.

        One that refused it both ways has not said that it was the field.
        """
        if status is not None and status < 400:
            self._usage_refusers[self._refuser_of(exchange)] = True

    def _error_in(
        self, exchange: Exchange, answer: Answer, plain: bytes | ApiError, value: object
    ) -> ApiError | None:
        """What is wrong with an answer: it says so itself, or no client could use it.

        A 429 that names no time is given the one for which it closes the account: a client that
        came sooner would be refused.
        """
        if 400 <= answer.status <= _HIGHEST_STATUS:
            error = self._normalised(exchange, answer, plain)
            is_untold = error.status == 429 and error.retry_after_seconds is None
            if is_untold and exchange.payer is not None and not self.accounting.rules.is_shadow:
                error = replace(error, retry_after_seconds=UNTOLD_WAIT_SECONDS)
            return error
        if exchange.flaw is not None:
            return bad_gateway_answer(exchange.flaw)
        is_usual = answer.status == 200 and isinstance(value, dict) and not answer.encoding
        return None if is_usual else self._flaw_in(exchange, answer, plain, value)

    def _normalised(
        self, exchange: Exchange, answer: Answer, plain: bytes | ApiError | None
    ) -> ApiError:
        """An error in the documented shape; its words are cut once no key that we know is in them.

        Half a key is none that redaction would find.
        """
        if not isinstance(plain, bytes):
            plain = answer.body
        if not self.has_no_key_in(exchange, plain):
            text = plain.decode("utf-8", "surrogateescape")
            text = self.rules.redactor.without_known(text, exchange.secrets)
            plain = text.encode("utf-8", "surrogateescape")
        return self._scrubbed(exchange, normalise(answer.status, answer.headers, plain))

    def _flaw_in(
        self, exchange: Exchange, answer: Answer, plain: bytes | ApiError, value: object
    ) -> ApiError | None:
        """Why no client may have an answer that is no error; None: it may.

        Most are of no use. The key that was sent could not be found in what can't be decoded.
        """
        if not 200 <= answer.status <= _HIGHEST_STATUS:
            return bad_gateway_answer(f"The gateway answered {answer.status}, which is no answer.")
        is_due = answer.status < 300 and _promises_json(exchange)
        if not isinstance(plain, bytes):
            return plain if is_due or exchange.credential is not None else None
        if not is_due:
            return None
        flaw = flaw_of_json(plain, may_be_empty=answer.status not in _WITH_CONTENT, value=value)
        return (
            None
            if flaw is None
            else bad_gateway_answer(f"The gateway answered {answer.status} with {flaw}. Try again.")
        )

    def said(
        self, exchange: Exchange, content: bytes, now: float, *, is_clients: bool
    ) -> bytes | None:
        """A message came over a WebSocket, from the client or for it; what of it is to pass on.

        None: nothing, and what the client is told instead is among `exchange.socket.words`. What is
        kept of a client's message is its own, as of a body.
        """
        socket = exchange.socket
        if socket is None:
            model = None if exchange.call is None else exchange.call.model
            socket = exchange.socket = SocketLog(self.rules.max_body_bytes, model)
        at_ms = milliseconds(now - exchange.arrived_at)
        socket.add(content, is_clients=is_clients, at_ms=at_ms)
        if not is_clients:
            self.accounting.talks.gateway_said(exchange, socket.talk, content, now)
            return content
        if exchange.call is not None:
            content = read_message(exchange.call, content, self.rules.models)
        told = self.accounting.talks.client_said(exchange, socket.talk, content, now)
        if told:
            socket.add(told, is_clients=False, at_ms=at_ms)
            socket.words.append(told)
        return content if told is None else None

    def _talk_facts(self, exchange: Exchange, now: float) -> Facts:
        """End what was said over a WebSocket, and say what it comes to; {} of any other call."""
        if exchange.socket is None:
            return {}
        talk = exchange.socket.talk
        self.accounting.talks.end(exchange, talk, now)
        return {
            "websocket": exchange.socket.fields(exchange.level),
            "usage": talk.usage,
            "model": talk.told_model or (talk.usage and talk.main_model),
        }

    def count_so_far(self, exchange: Exchange, seen: Observation, now: float) -> None:
        """A stream has said so much that it may have outgrown its charge.

        One that is over is not counted: that is done as it is settled, if it reports no usage.
        """
        said = seen.transcript
        answer = said.completion() if said and not said.done else None
        if said is not None and answer is not None:
            size, unkept = said.content_bytes, said.unkept_bytes
            self.accounting.streamed_so_far(exchange, answer, size, now, unkept)

    def streamed(
        self, exchange: Exchange, now: float, pictures_asked: Callable[[], int] = lambda: 1
    ) -> None:
        """A stream has come to a clean end; without its `[DONE]` it is on record as broken.

        `pictures_asked` gives how many pictures the call asks for.
        """
        seen = exchange.observation
        if seen is not None and exchange.flaw is not None:
            error, status = bad_gateway_answer(exchange.flaw), exchange.answered_status
            self._close_observed(exchange, "stream_broken", "gateway", status, now, error=error)
            return
        if seen is not None:
            seen.end()
        is_whole = seen is None or _is_whole(exchange, seen, pictures_asked)
        outcome: Outcome = "completed" if is_whole else "stream_broken"
        self._close_observed(exchange, outcome, "gateway", exchange.answered_status, now)

    def _close_observed(
        self,
        exchange: Exchange,
        outcome: Outcome,
        source: Source,
        status: int | None,
        now: float,
        *,
        error: ApiError | None = None,
    ) -> None:
        seen = exchange.observation
        if seen is None:
            raise IllegalStep(f"exchange {exchange.id}: no stream was observed")
        keeps = exchange.level == "full"
        count = partial(self.accounting.counted, exchange)
        answers_text = _answers_text(exchange, status)
        facts = facts_of_stream(seen, count, keeps_content=keeps, answers_text=answers_text)
        if exchange.socket is not None:
            facts |= self._talk_facts(exchange, now)
        if error is not None:
            facts["error"] = error
        head = None if facts.get("is_folded") or not keeps else seen.head
        limit = self.rules.max_body_bytes
        kept = body_fields(head, limit, size=seen.size, sha256=seen.sha256)
        is_message_cut = facts.get("is_message_cut", False)
        kept["body_truncated"] = is_message_cut if head is None else not seen.is_whole
        if is_message_cut and not kept["body_truncated"]:  # so the record can't tell of it
            facts["message"] = cut_scrubbed(facts["message"], self._scrub_of(exchange))
        self._close(exchange, kept, facts, status, outcome, source, now)

    def _close(
        self,
        exchange: Exchange,
        body: Mapping[str, Any],
        facts: Facts,
        status: int | None,
        outcome: Outcome,
        source: Source,
        now: float,
    ) -> None:
        exchange.step("close")
        if exchange.usage_refused:
            self._remember_refusal(exchange, status)
        usage, is_free = facts.get("usage"), False
        if usage is None:
            size = body["body_bytes"]
            usage = facts["usage"] = guessed(exchange, status, outcome, size)
        elif (
            not (exchange.estimated_tokens and usage.total_tokens)
            or usage.source != "reported"
            or (exchange.call is not None and exchange.call.operation.name == "threads")
        ):
            answer_id, unreported = facts.get("response_id"), self.accounting.unreported
            usage = facts["usage"] = unreported.new_usage(exchange, usage, answer_id)
            is_free = usage is None
        self.accounting.settle(exchange, usage, now, facts.get("model"), is_free=is_free)
        fields = response_fields(exchange, body, facts, status, outcome, source, now)
        scrub = self._scrub_of(exchange)
        if exchange.is_recorded:
            self._write(exchange, fields, scrub)
        self.ended(ending_of(exchange, fields, scrub))

    def open_of(self, exchange: Exchange, now: float) -> Open:
        """What is known of an exchange that is open."""
        return open_of(exchange, self._scrub_of(exchange), now)

    def shown_so_far(self, exchange: Exchange) -> Shown:
        """What may be seen of an open stream."""
        return shown_so_far(
            exchange,
            self._scrub_of(exchange),
            has_whole_words=self.rules.redactor.finds_words_alone(exchange.secrets),
        )

    def _body_fields(
        self, body: bytes, plain: bytes | None, *, keeps: bool, sha256: str | None = None
    ) -> dict[str, Any]:
        """The members that hold a body; `plain` and `sha256` are without its content encoding.

        Where that can't be undone (`plain` None), nobody could find a secret in it: it is kept by
        size and hash alone, as it came.
        """
        if keeps and plain is not None:
            return body_fields(plain, self.rules.max_body_bytes, sha256=sha256)
        known = body if plain is None else plain
        digest = sha256 or hashlib.sha256(known).hexdigest()
        return body_fields(None, 0, size=len(known), sha256=digest)

    def _write(self, exchange: Exchange, fields: Mapping[str, Any], scrub: Scrub) -> Kept:
        if exchange.level == "minimal":
            fields = least_of(fields)
        return self._trail.write(fields, scrub)

    def _scrub_of(self, exchange: Exchange) -> Scrub:
        """What redacts the texts of an exchange, by the rules that are in force now."""
        return Scrub(self.rules.redactor, exchange.secrets)

    def has_no_key_in(self, exchange: Exchange, values: bytes) -> bool:
        """Whether surely no value of a header has a known key in it; they are given as lines."""
        return self.rules.redactor.knows_nothing_in(values, exchange.secrets)

    def header_for_client(self, exchange: Exchange, value: str) -> str:
        """A header's value of the gateway's as the client may have it: without any known key."""
        return self.rules.redactor.without_known(value, exchange.secrets)

    def _scrubbed(self, exchange: Exchange, error: ApiError) -> ApiError:
        """The gateway's error as the client may have it: it may quote the key that we sent."""
        scrub = self._scrub_of(exchange)
        return replace(
            error,
            code=scrub(error.code),
            message=scrub(error.message),
            param=None if error.param is None else scrub(error.param),
        )


def _keep_keys(still_open: Iterable[Exchange], rules: Rules) -> None:
    """Have exchanges know their keys as secrets of their own where rules know them no longer."""
    known = set(rules.keys.values())
    for exchange in still_open:
        key = exchange.credential
        if key is not None and key not in known and key not in exchange.secrets:
            exchange.secrets = (*exchange.secrets, key)


def _plain_of(body: bytes, encoding: str | None, limit: int = _MOST_ANSWER_BYTES) -> bytes | None:
    """A body without its content encoding; None where that can't be undone."""
    if not encoding or not body:
        return body
    try:
        return decoded(body, encoding, limit)
    except Undecodable:
        return None


def _plain_answer(answer: Answer) -> bytes | ApiError:
    """A whole answer's body without its content encoding, or why that can't be undone."""
    if not answer.body:
        return answer.body
    try:
        return decoded(answer.body, answer.encoding, _MOST_ANSWER_BYTES)
    except TooLong:
        most = f"{_MOST_ANSWER_BYTES // 1_048_576} MiB"
        message = f"The gateway's answer is over {most} once it is decoded."
        return bad_gateway_answer(message, should_retry=False)
    except Undecodable:
        return bad_gateway_answer("The gateway's answer is not encoded as it says. Try again.")


def _plainly(answer: Answer, body: bytes) -> Answer:
    """An answer with another body, which has no content encoding."""
    fields = [field for field in answer.fields if field[0].lower() != b"content-encoding"]
    return Answer(answer.status, fields, body, is_changed=True)


def _promises_json(exchange: Exchange) -> bool:
    return exchange.call is not None and exchange.call.operation.answers_json


def _answers_text(exchange: Exchange, status: int | None) -> bool:
    """Whether an answer that is no JSON is what a model wrote: a redirect's is not."""
    is_answered = status is not None and 200 <= status < 300
    return is_answered and exchange.call is not None and exchange.call.operation.answers_text


def _is_whole(exchange: Exchange, seen: Observation, pictures_asked: Callable[[], int]) -> bool:
    """Whether a stream that has come to a clean end lacks nothing of what was to come.

    Nothing was, of a status that needs no body. A stream that nobody is known to have asked for is
    judged by what it says.
    """
    transcript = seen.transcript
    if transcript is None or transcript.has_said_all(pictures_asked):
        return True
    if not seen.size and exchange.answered_status not in _WITH_CONTENT:
        return True
    return not (exchange.stream or transcript.tells_end)


def _failed_try(
    exchange: Exchange, error: ApiError, status: int | None, usage: Usage | None, now: float
) -> Try:
    """The try that ends now, before the exchange takes the step to another."""
    sent_at = exchange.sent_at if exchange.was_sent else None
    return Try(
        status,
        error.code,
        error.source,
        now - exchange.arrived_at,
        error.retry_after_seconds,
        None if sent_at is None else sent_at - exchange.arrived_at,
        usage.tokens if usage else 0,
    )
