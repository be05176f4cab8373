"""Decides on a further try of a call that failed, before anything of its answer went to the client.

There are three reasons: the gateway refuses what the proxy itself has added, it has not begun the
call, or retries are configured. When a retry may help is `policy.retrying`'s business, how it is
sent the hold's.
"""

from random import random

from mitmproxy import http

from foxora_addon.exchange import Exchange
from foxora_addon.pipeline import Pipeline
from foxora_addon.policy.retrying import Failed, pause_before_retry, pause_for_room
from foxora_addon.proxy import failures
from foxora_addon.proxy.requests import put_back
from foxora_addon.proxy.responses import answer_in


def pause_before_next(
    flow: http.HTTPFlow,
    exchange: Exchange,
    pipeline: Pipeline,
    worded: failures.Worded | None,
    now: float,
) -> float | None:
    """Make a call ready to be sent again; seconds until then, None: it ends as it is.

    `worded` is how the try failed; None: with the error that is in the flow, whole.
    """
    failed = _failed(flow, exchange, pipeline, worded)
    if failed is None:
        return None
    if failed.status and pipeline.without_usage(exchange, failed.error, failed.status, now):
        put_back(flow.request, exchange)
        return 0.0
    rules = pipeline.rules
    if not rules.retries and not failed.is_unbegun:
        return None
    jitter = random()  # noqa: S311  # it spreads calls, and hides nothing
    pause = pause_before_retry(
        exchange, failed, rules.retries, rules.timeouts.exchange, now, jitter
    )
    if pause is not None:
        pipeline.again(exchange, failed.error, now, failed.status, is_unbegun=failed.is_unbegun)
        exchange.failed_as = "gateway_error" if worded is None else worded.outcome, failed.error
    return pause


def wait_for_room(exchange: Exchange, pipeline: Pipeline, now: float) -> float | failures.Worded:
    """Take a further try from its account's ceilings, now that its pause is over.

    0 if they have room, else after how many seconds to ask again. Where that would be too late, it
    is given up, and ends as the try before it has failed; so does what goes again for the gateway
    has not begun it, where no retries are configured: a client that is to wait is told so.
    """
    refusal = pipeline.renew(exchange, now)
    if refusal is None:
        exchange.wants_room_since = None
        return 0.0
    deadline, bounds = pipeline.rules.timeouts.exchange, pipeline.rules.limits.bounds
    jitter = random()  # noqa: S311  # as above
    pause = pause_for_room(exchange, refusal, deadline, bounds, now, jitter)
    may_wait = bool(pipeline.rules.retries) or exchange.failed_as is None
    if pause is not None and may_wait:
        return pause
    if exchange.failed_as is None:  # the gateway refused what the proxy itself had added
        return failures.Worded("refused", refusal)
    exchange.is_given_up = True
    return failures.Worded(*exchange.failed_as)


def _failed(
    flow: http.HTTPFlow,
    exchange: Exchange,
    pipeline: Pipeline,
    worded: failures.Worded | None,
) -> Failed | None:
    """What a try came to that failed; None: there is nobody to be told."""
    if worded is not None:
        error = worded.error
        if error is None:
            return None
        status = error.status if error.is_quoted else None  # the head of it is there
        return Failed(error, status, is_late=worded.is_late, is_unbegun=worded.is_unbegun)
    if flow.response is None:
        return None
    answer = answer_in(flow.response, exchange)
    return Failed(pipeline.error_of(exchange, answer), answer.status)
