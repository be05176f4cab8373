"""The way of a response: from the gateway's head to the end of the exchange.

Functions on one flow and its exchange. Which exchanges are open, and what happens when one of these
raises, is the desk's business.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from mitmproxy import http

from foxora_addon.answer import Answer
from foxora_addon.api.error_text import described
from foxora_addon.api.errors import Source
from foxora_addon.exchange import AnsweredHead, Exchange, Outcome
from foxora_addon.framing import WITHOUT_BODY, Fields, frames_in
from foxora_addon.observation import Observation
from foxora_addon.pipeline import Pipeline
from foxora_addon.proxy import failures, flows
from foxora_addon.proxy.answers import (
    Passing,
    event_of,
    has_said_all,
    head_of,
    marks_of,
    observation_of,
    pictures_asked_by,
    replace_body,
    tee,
)
from foxora_addon.proxy.capacity import is_behind
from foxora_addon.proxy.handlers import handler_of
from foxora_addon.proxy.hold_unasked import SWITCHING_PROTOCOLS
from foxora_addon.proxy.quick_headers import QuickHeaders, quick, text_of
from foxora_addon.proxy.requests import record_undecided
from foxora_addon.proxy.sockets import flaw_of_opening
from foxora_addon.proxy.tee import Tee

_log = logging.getLogger(__name__)

_MOST_HEAD_BYTES = 65_536
"""What clients take at the most: a larger head fails in them, each in its own way."""


_UNREAD = "a body that is too long, or did not come whole"
"""What is said of an error's body that was not read to its end."""

_OURS = frozenset({"timeout", "aborted", "client_disconnected", "internal_error"})
"""How a stream ends that the gateway did not break."""


class Watch(NamedTuple):
    """Who is asked and told while an answer passes.

    `clock` gives seconds of the monotonic clock. `failed` is told what went wrong in our own code,
    `broke` why an answer can't be decoded; it gives what is to be the last word of it.
    """

    clock: Callable[[], float]
    failed: Callable[[Exception], None]
    broke: Callable[[http.HTTPFlow, str], bytes]


def begin(
    flow: http.HTTPFlow,
    exchange: Exchange,
    response: http.Response,
    pipeline: Pipeline,
    watch: Watch,
) -> None:
    """Decide how an answer passes, as it comes or as a whole, and mark it as the exchange's."""
    if not exchange.may("answer"):
        return  # another addon answers in the gateway's place (map_local, a script)
    exchange.step("answer")
    exchange.waiting_since = now = watch.clock()
    exchange.answered_status = status = response.data.status_code
    head = head_of(response)
    exchange.gateway_request_id = head.request_id
    if head.size > _MOST_HEAD_BYTES:
        exchange.flaw = "The head of the gateway's answer is over 64 KiB. Try again."
        response.headers.clear()
        head = head_of(response)
    if status == SWITCHING_PROTOCOLS:
        exchange.flaw = exchange.flaw or flaw_of_opening(response)
    most = pipeline.rules.max_body_bytes
    observation = observation_of(exchange, response, head.content_type or "", most)
    if observation is not None and exchange.flaw is None:
        observe(flow, exchange, response, observation, pipeline, watch)
    more = pipeline.accounting.headers(exchange, head.limits, now)
    if status >= 400:
        pipeline.answering(exchange, answer_in(response, exchange), now)
    if exchange.origin is not None:
        more = [*more, *flows.readable_by(exchange.origin, quick(response).index)]
    marks = marks_of(exchange, more, has_request_id=head.request_id is not None)
    gateways = response.data.headers
    flows.put(response, marks)
    if _scrub_headers(exchange, response, pipeline, gateways):
        flows.put(response, marks)
    elif head.is_clear and gateways.fields is head.fields:
        marked = response.data.headers.fields
        exchange.answered_head = AnsweredHead(marked, head.encoding, head.content_type)
    if flow.request.data.http_version == b"HTTP/1.0":
        _end_by_closing(response)
    _decide(exchange, response)


def _decide(exchange: Exchange, response: http.Response) -> None:
    """Note what was decided of an answer's way, before other addons hear of it."""
    exchange.passing = response.stream
    if isinstance(response.stream, Tee):
        response.stream.head = response.data.headers.fields


def _end_by_closing(response: http.Response) -> None:
    """Have an answer end as its connection does: that of a client of HTTP/1.0 is not to outlast it.

    Nor are chunks for one (RFC 9112, 9.3 and 6.1).
    """
    response.headers.pop("transfer-encoding", None)
    response.headers["connection"] = "close"


def keep_way(
    exchange: Exchange, response: http.Response, failed: Callable[[Exception], None]
) -> None:
    """Have an answer pass as was decided; an addon's own callable has what comes out of ours.

    `failed` is told what that raises.
    """
    wanted, decided = response.stream, exchange.passing
    if decided is None or wanted is decided is False:  # it is not the gateway's, or taken whole
        return
    if isinstance(decided, Tee):
        exchange.passing = None  # it knows the exchange, and no cycle is to keep both
        if wanted is not decided:
            response.stream = decided
            decided.hand_on(wanted if callable(wanted) else None, failed)
        if response.data.headers.fields is not decided.head:
            _put_frames_back(response, decided.head)
        if response.status_code in WITHOUT_BODY and exchange.answered_status is not None:
            response.status_code = exchange.answered_status
        return
    response.stream = False
    if wanted:
        _log.warning(
            "foxora: an addon wants the answer of exchange %s to pass as it comes; it is taken "
            "whole all the same, to be looked through",
            exchange.id,
        )


def _put_frames_back(response: http.Response, decided: Fields) -> None:
    """Have the head of a stream say where that ends as was decided, whatever an addon made of it.

    What comes beyond the end that it says, clients take for the next call's answer.
    """
    said, own = frames_in(response.data.headers.fields), frames_in(decided)
    if said != own:
        kept = [field for field in response.data.headers.fields if field not in said]
        response.data.headers = QuickHeaders.of((*kept, *own))


def observe(
    flow: http.HTTPFlow,
    exchange: Exchange,
    response: http.Response,
    observation: Observation,
    pipeline: Pipeline,
    watch: Watch,
) -> None:
    """Have an answer pass as it comes, past an observation; a WebSocket passes unobserved."""
    exchange.observation = observation
    pipeline.accounting.streams(exchange)
    if response.status_code != SWITCHING_PROTOCOLS:
        passing = Passing(
            arrived=lambda: _piece_arrived(exchange, observation, pipeline, watch.clock()),
            failed=watch.failed,
            broke=partial(watch.broke, flow),
            last=partial(event_of, exchange),
            strips_usage=exchange.unasked_body is not None,
            key=exchange.credential,
        )
        tee(flow, response, observation, passing)


def _piece_arrived(
    exchange: Exchange, observation: Observation, pipeline: Pipeline, now: float
) -> None:
    if observation.content_bytes >= exchange.counts_at:
        pipeline.count_so_far(exchange, observation, now)
    exchange.waiting_since = now
    if exchange.first_byte_at is None:
        exchange.first_byte_at = now


def _scrub_headers(
    exchange: Exchange, response: http.Response, pipeline: Pipeline, gateways: http.Headers
) -> bool:
    """Take known keys out of a marked head, the reason beside its status too; False: none is there.

    Where one may be, the gateway's own headers take the place of the head, to be marked again. A
    name that has one goes with its value: nothing that stands for a key may stand in a name.
    """
    data = response.data
    if pipeline.has_no_key_in(exchange, b"%b\n%b" % (data.reason, bytes(data.headers))):
        return False

    def shown(part: bytes) -> bytes:
        text = pipeline.header_for_client(exchange, text_of(part))
        return text.encode("utf-8", "surrogateescape")

    data.reason = shown(data.reason)
    kept = ((name, shown(value)) for name, value in gateways.fields if shown(name) == name)
    data.headers = QuickHeaders.of(kept)
    return True


def conclude(
    flow: http.HTTPFlow,
    exchange: Exchange,
    response: http.Response,
    pipeline: Pipeline,
    now: float,
) -> None:
    """End an exchange whose answer is complete: ours, observed as it passed, whole, or an addon's.

    Trailers go no further, as on HTTP/1 (`host_reading`): they come once the head was cleaned.
    """
    response.data.trailers = None
    if response.data.status_code == SWITCHING_PROTOCOLS:
        flow.websocket = None
        _keep_from_switching(exchange, response)
    if exchange.may("record"):  # refused while nobody calls our `request`: the script is gone
        record_undecided(flow, exchange, pipeline, now)
    if exchange.refusal is failures.INTERNAL:
        readable = flows.readable_by(exchange.origin)
        flow.response = flows.response_of(exchange.refusal, exchange.id, readable)
        pipeline.refused(exchange, exchange.refusal, "internal_error", now)
    elif exchange.refusal is not None:
        pipeline.refused(exchange, exchange.refusal, "refused", now)
    elif exchange.observation is not None:
        pipeline.streamed(exchange, now, partial(pictures_asked_by, flow.request))
    elif not exchange.was_sent:
        _conclude_inside(exchange, response, pipeline, now)
    else:
        exchange.first_byte_at = exchange.first_byte_at or now
        answer = pipeline.without_key(exchange, answer_in(response, exchange))
        if exchange.stream:
            answer = pipeline.as_stream(exchange, answer)
        error = pipeline.answered(exchange, answer, now)
        if answer.is_changed:
            put_plain(response, answer.body)
        if error is not None:
            replace_body(response, error, exchange)


def _conclude_inside(
    exchange: Exchange, response: http.Response, pipeline: Pipeline, now: float
) -> None:
    """End an exchange that another addon has answered, with its answer as that made it.

    But what is no answer can't stand: a 101 would make a tunnel.
    """
    error = pipeline.answered_inside(exchange, answer_in(response, exchange), now)
    if error is not None and response.status_code < 200:
        replace_body(response, error, exchange)
        return
    index = quick(response).index
    readable = flows.readable_by(exchange.origin, index)
    has_request_id = b"x-request-id" in index
    marks = marks_of(exchange, readable, has_request_id=has_request_id, source=b"addon")
    flows.put(response, marks)


def _keep_from_switching(exchange: Exchange, response: http.Response) -> None:
    """Have no tunnel made of an answer that opens no WebSocket: what goes through it nobody reads.

    A gateway's 101 without the protocol's name or of another version of it, with a flaw, or for
    which an option or an addon keeps mitmproxy from reading it, is no answer; the gateway speaks no
    HTTP behind it.
    """
    if exchange.answered_status == SWITCHING_PROTOCOLS:
        exchange.observation = None
        response.headers["connection"] = "close"
    elif exchange.answered_status is not None:
        response.status_code = exchange.answered_status
    elif exchange.refusal is not None:
        replace_body(response, exchange.refusal, exchange)


def answer_in(response: http.Response, exchange: Exchange) -> Answer:
    """The whole answer that a flow has."""
    data = response.data
    known = exchange.answered_head
    return Answer(data.status_code, data.headers.fields, data.content or b"", known=known)


def put_plain(response: http.Response, body: bytes) -> None:
    """Put a body in place of what came, without an encoding."""
    response.headers.pop("content-encoding", None)
    response.raw_content = body
    if "content-length" in response.headers:
        response.headers["content-length"] = str(len(body))


def is_error(response: http.Response, exchange: Exchange) -> bool:
    """Whether an answer that is taken whole is the gateway's, and an error by its head."""
    is_gateways = exchange.answered_status is not None and exchange.observation is None
    return is_gateways and response.status_code >= 400


def told_by_head(
    response: http.Response, exchange: Exchange, pipeline: Pipeline, now: float
) -> failures.Worded:
    """An error of which not all is read, with all that its head says of it: status, waiting time.

    Not with the beginning of its body, which may end in half a key: redaction would not find it.
    The time to wait counts from the head, since which the body was waited for.
    """
    head = Answer(response.status_code, response.data.headers.fields, b"")
    error = replace(pipeline.error_of(exchange, head), message=described(head.status, _UNREAD))
    if error.retry_after_seconds is not None:
        left = error.retry_after_seconds - (now - exchange.waiting_since)
        error = replace(error, retry_after_seconds=max(left, 0.0))
    return failures.Worded("gateway_error", error)


def end_failed(
    flow: http.HTTPFlow,
    exchange: Exchange,
    worded: failures.Worded,
    pipeline: Pipeline,
    now: float,
) -> None:
    """End an exchange whose answer does not come to its end.

    A stream that has said all is as good as one that did: what it lacks is of the transfer, which
    most clients don't wait for. A call that was refused stays so where an addon of the host's has
    killed its flow.
    """
    refusal = exchange.refusal
    if exchange.may("record"):  # the upload was cut before there was a decision
        exchange.refusal = exchange.refusal or worded.error or failures.LEFT
        record_undecided(flow, exchange, pipeline, now)
    if _lacks_nothing(flow, exchange, worded):
        pipeline.streamed(exchange, now)
    elif exchange.observation is not None:
        is_ours = worded.outcome in _OURS
        outcome: Outcome = worded.outcome if is_ours else "stream_broken"
        is_gateways = worded.error is not None and worded.error.source == "gateway"
        source: Source = "gateway" if is_gateways else "network"
        if outcome == "internal_error":
            source = "addon"
        pipeline.lost(exchange, outcome, source, now, worded.error)
    elif worded.outcome == "aborted" and worded.error is None and refusal is not None:
        pipeline.lost(exchange, "refused", refusal.source, now, refusal)
    elif worded.error is None:
        pipeline.lost(exchange, worded.outcome, "network", now)
    else:
        pipeline.refused(exchange, worded.error, worded.outcome, now)


def _lacks_nothing(flow: http.HTTPFlow, exchange: Exchange, worded: failures.Worded) -> bool:
    """Whether a stream that failed had come to its end, for its client as well if that has left.

    A client waits for nothing after an event that says what went wrong. What has left our side
    counts as its own. What had not is seen only where the client closes its connection, not where
    it resets that: asyncio forgets it before we hear of the reset, by which clients leave as well
    that have had all (they close at [DONE], with what follows it unread).
    """
    if worded.outcome != "client_disconnected":
        return has_said_all(flow)
    handler = handler_of(flow.client_conn)
    is_slow = worded.error is not None or (handler and is_behind(flow.client_conn, handler))
    transcript = exchange.observation.transcript if exchange.observation else None
    if is_slow or transcript is None:
        return False
    return transcript.error is not None or has_said_all(flow)
