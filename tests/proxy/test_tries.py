"""Which calls are tried again, and what becomes of that where their account has no room for it."""

import pytest
from mitmproxy.test import tflow

from foxora_addon.answer import Answer
from foxora_addon.api.errors import gateway_unreachable
from foxora_addon.exchange import Exchange
from foxora_addon.pipeline import Pipeline
from foxora_addon.policy.payers import AccountRules, LimitRules
from foxora_addon.policy.plans import Ceilings
from foxora_addon.proxy.failures import Worded
from foxora_addon.proxy.tries import pause_before_next, wait_for_room
from tests.builders import CHAT, a_pipeline, admit, an_arrival, encoded

GONE = gateway_unreachable("It is gone.")


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_what_is_told_by_its_head_is_tried_again_as_if_it_were_whole(status: int) -> None:
    pipeline = a_pipeline(retries=1)
    exchange = sent(pipeline)
    exchange.step("answer")
    error = pipeline.error_of(exchange, Answer(status, [], b""))
    flow, worded = tflow.tflow(), Worded("gateway_error", error)
    pause = pause_before_next(flow, exchange, pipeline, worded, 101.0)
    assert (pause is not None) is (status in {429, 503})
    assert [each.status for each in exchange.tries] == [status] * (pause is not None)


UNBEGUN = Worded("gateway_unreachable", GONE, is_unbegun=True)


def test_what_the_gateway_has_not_begun_goes_again_unasked_and_is_charged_no_tokens() -> None:
    pipeline = a_pipeline()
    exchange, pauses = sent(pipeline), []
    for _ in range(4):
        pauses.append(pause_before_next(tflow.tflow(), exchange, pipeline, UNBEGUN, 101.0))
        if pauses[-1] is not None:
            assert wait_for_room(exchange, pipeline, 101.0) == 0.0
            pipeline.send(exchange, 101.0)
    assert pauses[0] == 0.0
    assert [pause is None for pause in pauses] == [False, False, False, True]
    assert [each.tokens for each in exchange.tries] == [0, 0, 0]


def test_what_goes_again_unasked_waits_for_no_room(pipeline: Pipeline) -> None:
    exchange = sent(pipeline)
    assert pause_before_next(tflow.tflow(), exchange, pipeline, UNBEGUN, 101.0) == 0.0
    assert wait_for_room(exchange, pipeline, 101.0) == Worded("gateway_unreachable", GONE)


@pytest.fixture
def pipeline() -> Pipeline:
    return a_pipeline(limits=LimitRules({"default": AccountRules(Ceilings(1))}))


def failed_once(pipeline: Pipeline) -> Exchange:
    """A call of an account with one request a minute, which its first try has used up."""
    exchange = sent(pipeline)
    pipeline.again(exchange, GONE, 101.0)
    return exchange


def sent(pipeline: Pipeline) -> Exchange:
    rewritten = pipeline.arrive(an_arrival(), 100.0)
    assert rewritten is not None
    exchange = rewritten.exchange
    admit(pipeline, exchange, encoded(CHAT), 100.0)
    pipeline.send(exchange, 100.0)
    return exchange


def test_it_waits_until_there_is_room_and_takes_it(pipeline: Pipeline) -> None:
    exchange = failed_once(pipeline)
    waits = wait_for_room(exchange, pipeline, 101.0)
    assert isinstance(waits, float)
    assert 59.0 <= waits < 59.5
    assert exchange.reservation is None
    assert wait_for_room(exchange, pipeline, 101.0 + waits) == 0.0
    assert exchange.reservation is not None


def test_one_that_would_be_too_late_ends_as_the_try_before_it(pipeline: Pipeline) -> None:
    exchange = failed_once(pipeline)
    exchange.failed_as = "gateway_unreachable", GONE
    exchange.arrived_at = -3_500.0  # of the hour that a call may take
    assert wait_for_room(exchange, pipeline, 101.0) == Worded("gateway_unreachable", GONE)
    assert exchange.retries == 0


def test_one_that_the_client_knows_nothing_of_is_refused(pipeline: Pipeline) -> None:
    exchange = failed_once(pipeline)
    exchange.usage_refused = True
    exchange.arrived_at = -3_500.0
    told = wait_for_room(exchange, pipeline, 101.0)
    assert isinstance(told, Worded)
    assert told.error is not None
    assert (told.outcome, told.error.status, told.error.source) == ("refused", 429, "addon")
    assert exchange.retries == 0
