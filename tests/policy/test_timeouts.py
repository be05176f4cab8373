from dataclasses import replace
from math import inf
from typing import Any

import pytest

from foxora_addon.api.errors import internal_error
from foxora_addon.exchange import Exchange, State
from foxora_addon.observation import Observation
from foxora_addon.policy.timeouts import Timeouts, due_of, not_due_before
from tests.builders import an_exchange

TIMEOUTS = Timeouts(connect=1, tls=2, response=30, stream_idle=5, exchange=None)


def waiting(state: State, **more: Any) -> Exchange:
    exchange = an_exchange(state=state, **more)
    exchange.waiting_since = 200.0
    return exchange


def a_stream() -> Observation:
    return Observation(content_encoding=None, is_event_stream=True, is_json=False, max_head_bytes=9)


@pytest.mark.parametrize(
    ("exchange", "at", "phase"),
    [
        (waiting(State.SENT), 230.0, "to answer"),
        (waiting(State.ANSWERING), 230.0, "to finish its answer"),
        (waiting(State.ANSWERING, observation=a_stream()), 205.0, "between two parts"),
    ],
)
def test_each_phase_has_its_own_deadline(exchange: Exchange, at: float, phase: str) -> None:
    due = due_of(exchange, TIMEOUTS)
    assert due is not None
    assert not_due_before(exchange, TIMEOUTS) <= due.at
    assert (due.at, due.phase.startswith(phase)) == (at, True)


@pytest.mark.parametrize("state", [State.ARRIVED, State.RECORDED, State.CLOSED])
def test_nothing_is_due_where_the_gateway_is_not_waited_for(state: State) -> None:
    assert due_of(waiting(state), TIMEOUTS) is None


def test_a_refused_call_and_a_websocket_wait_for_nothing() -> None:
    assert due_of(waiting(State.SENT, refusal=internal_error()), TIMEOUTS) is None
    assert due_of(waiting(State.ANSWERING, answered_status=101), TIMEOUTS) is None


def test_a_call_may_take_for_ever_where_nothing_says_how_long() -> None:
    assert TIMEOUTS.longest_call == inf
    assert replace(TIMEOUTS, exchange=110).longest_call == 110


def test_the_whole_call_may_be_due_before_its_phase() -> None:
    exchange = waiting(State.SENT)  # it arrived at 100
    due = due_of(exchange, replace(TIMEOUTS, exchange=110))
    assert due is not None
    assert (due.at, due.seconds, due.phase) == (210.0, 110, "for the whole call")
