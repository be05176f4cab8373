"""The way of a response: from the gateway's head to the end of the exchange.

Functions on one flow and its exchange. Which exchanges are open, and what happens when one of these
raises, is the desk's business.
"""

from collections.abc import Callable

from mitmproxy import http

from foxora_addon.exchange import Exchange, Outcome
from foxora_addon.observation import Observation
from foxora_addon.pipeline import Answer, Pipeline
from foxora_addon.policy.retrying import Failed
from foxora_addon.proxy import failures, flows
from foxora_addon.proxy.answers import mark, observation_of, replace_body, tee

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
    observation = observation_of(exchange, response, pipeline.rules.max_body_bytes)
    if observation is not None:
        observe(flow, exchange, response, observation, clock, failed)
    _scrub_headers(exchange, response, pipeline)
    told = list(response.headers.items(multi=True))
    mark(response, exchange, "gateway", pipeline.accounting.headers(exchange, told, clock()))


def observe(
    flow: http.HTTPFlow,
    exchange: Exchange,
    response: http.Response,
    observation: Observation,
    clock: Clock,
    failed: Callable[[Exception], None],
) -> None:
    """Have an answer pass as it comes, past an observation; a WebSocket passes unobserved."""
    exchange.observation = observation
    if response.status_code != 101:
        tee(
            flow,
            response,
            observation,
            lambda: _piece_arrived(exchange, clock()),
            failed,
            strips_usage=exchange.unasked_body is not None,
        )


def _piece_arrived(exchange: Exchange, now: float) -> None:
    exchange.waiting_since = now
    if exchange.first_byte_at is None:
        exchange.first_byte_at = now


def _scrub_headers(exchange: Exchange, response: http.Response, pipeline: Pipeline) -> None:
    for name, value in response.headers.items(multi=True):
        if (shown := pipeline.header_for_client(exchange, value)) != value:
            response.headers[name] = shown


def failed_try(
    flow: http.HTTPFlow,
    exchange: Exchange,
    pipeline: Pipeline,
    worded: failures.Worded | None,
) -> Failed | None:
    """What a try came to that failed, as `worded` or with the answer in the flow; None: it has not.

    None as well where there is nobody to be told.
    """
    if worded is not None:
        error = worded.error
        return None if error is None else Failed(error, None, is_late=worded.is_late)
    response = flow.response
    if response is None or response.status_code < 400:
        return None
    headers = list(response.headers.items(multi=True))
    answer = Answer(response.status_code, headers, response.raw_content or b"")
    return Failed(pipeline.error_of(exchange, answer), answer.status)


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
