"""The way of a response: from the gateway's head to the end of the exchange.

Functions on one flow and its exchange. Which exchanges are open, and what happens when one of these
raises, is the desk's business.
"""

from collections.abc import Callable

from mitmproxy import http

from foxora_addon.exchange import Exchange, Outcome
from foxora_addon.observation import Observation
from foxora_addon.pipeline import Answer, Pipeline
from foxora_addon.proxy import failures, flows
from foxora_addon.proxy.answers import mark, observation_of, replace_body, tee

_MOST_HEAD_BYTES = 65_536
"""What clients take at the most: a larger head fails in them, each in its own way."""

type Clock = Callable[[], float]
"""Seconds of the monotonic clock."""


def begin(
    flow: http.HTTPFlow,
    exchange: Exchange,
    response: http.Response,
    pipeline: Pipeline,
    clock: Clock,
    failed: Callable[[Exception], None],
) -> None:
    """Decide how an answer passes, as it comes or as a whole, and mark it as the exchange's."""
    if not exchange.may("answer"):
        return  # an addon of the host answers in the gateway's place (replay, map_local)
    exchange.step("answer")
    exchange.waiting_since = clock()
    exchange.answered_status = response.status_code
    exchange.gateway_request_id = response.headers.get("x-request-id")
    if _head_bytes(response) > _MOST_HEAD_BYTES:
        exchange.flaw = "The head of the gateway's answer is over 64 KiB. Try again."
        response.headers.clear()
    observation = observation_of(exchange, response, pipeline.rules.max_body_bytes)
    if observation is not None and exchange.flaw is None:
        observe(flow, exchange, response, observation, pipeline, clock, failed)
    _scrub_headers(exchange, response, pipeline)
    told = list(response.headers.items(multi=True))
    mark(response, exchange, "gateway", pipeline.accounting.headers(exchange, told, clock()))


def _head_bytes(response: http.Response) -> int:
    return sum(len(name) + len(value) + 4 for name, value in response.headers.fields)


def observe(
    flow: http.HTTPFlow,
    exchange: Exchange,
    response: http.Response,
    observation: Observation,
    pipeline: Pipeline,
    clock: Clock,
    failed: Callable[[Exception], None],
) -> None:
    """Have an answer pass as it comes, past an observation; a WebSocket passes unobserved."""
    exchange.observation = observation
    pipeline.accounting.streams(exchange)
    if response.status_code != 101:
        tee(
            flow,
            response,
            observation,
            lambda: _piece_arrived(exchange, observation, pipeline, clock()),
            failed,
            strips_usage=exchange.unasked_body is not None,
        )


def _piece_arrived(
    exchange: Exchange, observation: Observation, pipeline: Pipeline, now: float
) -> None:
    if observation.content_bytes >= exchange.counts_at:
        pipeline.count_so_far(exchange, observation, now)
    exchange.waiting_since = now
    if exchange.first_byte_at is None:
        exchange.first_byte_at = now


def _scrub_headers(exchange: Exchange, response: http.Response, pipeline: Pipeline) -> None:
    for name, value in response.headers.items(multi=True):
        if (shown := pipeline.header_for_client(exchange, value)) != value:
            response.headers[name] = shown


def conclude(
    flow: http.HTTPFlow,
    exchange: Exchange,
    response: http.Response,
    pipeline: Pipeline,
    now: float,
) -> None:
    """End an exchange whose answer is complete: ours, observed as it passed, or whole."""
    if exchange.may("record"):  # refused while nobody calls our `request`: the script is gone
        pipeline.admit(exchange, flow.request.raw_content or b"", None, now)
    if exchange.refusal is failures.INTERNAL:
        flow.response = flows.response_of(exchange.refusal, exchange.id)
        pipeline.refused(exchange, exchange.refusal, "internal_error", now)
    elif exchange.refusal is not None:
        pipeline.refused(exchange, exchange.refusal, "refused", now)
    elif exchange.observation is not None:
        pipeline.streamed(exchange, now)
    else:
        headers = list(response.headers.items(multi=True))
        body = response.raw_content or b""
        exchange.first_byte_at = exchange.first_byte_at or now
        error = pipeline.answered(exchange, Answer(response.status_code, headers, body), now)
        if error is not None:
            replace_body(response, error, exchange)


def end_failed(
    flow: http.HTTPFlow,
    exchange: Exchange,
    worded: failures.Worded,
    pipeline: Pipeline,
    now: float,
) -> None:
    """End an exchange that gets no whole answer."""
    if exchange.may("record"):  # the upload was cut before there was a decision
        exchange.refusal = exchange.refusal or worded.error or failures.LEFT
        pipeline.admit(exchange, flow.request.raw_content or b"", None, now)
    if exchange.observation is not None:
        is_ours = worded.outcome in {"timeout", "aborted", "client_disconnected"}
        outcome: Outcome = worded.outcome if is_ours else "stream_broken"
        pipeline.lost(exchange, outcome, "network", now, worded.error)
    elif worded.error is None:
        pipeline.lost(exchange, worded.outcome, "network", now)
    else:
        pipeline.refused(exchange, worded.error, worded.outcome, now)
