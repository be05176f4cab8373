from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.endpoints import find_operation
from foxora_addon.api.errors import (
    ApiError,
    gateway_unreachable,
    normalise,
    rate_limit_exceeded,
)
from foxora_addon.exchange import Exchange, State, Try
from foxora_addon.policy.recognise import Recognised
from foxora_addon.policy.retrying import Failed, pause_before_retry, pause_for_room
from foxora_addon.policy.waiting import Bounds
from tests.builders import an_exchange

NO_ANSWER = Failed(gateway_unreachable("It broke."), None)


def a_call(path: str = "/chat/completions", **more: Any) -> Exchange:
    call = Recognised(find_operation("POST", path), path, "")
    return an_exchange(call=call, state=State.SENT, was_sent=True, **more)


def answered(status: int, *headers: tuple[str, str]) -> Failed:
    return Failed(normalise(status, headers, b"{}"), status)


def pause(
    exchange: Exchange, failed: Failed, retries: int = 2, jitter: float = 1.0
) -> float | None:
    return pause_before_retry(exchange, failed, retries, 60.0, 101.0, jitter)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_be_other_the_next_time_is_tried_again(status: int) -> None:
    assert pause(a_call(), answered(status)) == 0.5


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 413, 422, 500, 501])
def test_what_will_be_the_same_is_not(status: int) -> None:
    assert pause(a_call(), answered(status)) is None


@pytest.mark.parametrize("header", [("x-should-retry", "false")])
def test_the_gateways_own_word_counts(header: tuple[str, str]) -> None:
    assert pause(a_call(), answered(503, header)) is None


def test_a_certificate_that_is_not_trusted_is_not_asked_again() -> None:
    error = gateway_unreachable("It is not trusted.", should_retry=False)
    assert pause(a_call(), Failed(error, None)) is None


@given(st.floats(0, 1), st.integers(0, 5))
def test_the_pause_grows_with_the_tries_and_is_spread_from_nothing(
    jitter: float, tries: int
) -> None:
    exchange = a_call(tries=[Try(503, "unavailable", "gateway", 0.0)] * tries)
    waits = pause_before_retry(exchange, answered(503), 6, 1000.0, 101.0, jitter)
    assert waits is not None
    assert waits == pytest.approx(jitter * min(0.5 * 2**tries, 8.0))


@given(st.floats(0, 1))
def test_it_never_comes_before_the_gateway_wants_it(jitter: float) -> None:
    waits = pause(a_call(), answered(429, ("retry-after", "20")), jitter=jitter)
    assert waits is not None
    assert 20 <= waits <= 20.5


def test_it_is_given_up_where_the_deadline_would_pass() -> None:
    assert pause(a_call(), answered(429, ("retry-after", "59"))) is None


def test_there_are_no_more_than_so_many() -> None:
    tries = [Try(503, "unavailable", "gateway", 0.0)] * 2
    assert pause(a_call(tries=tries), answered(503)) is None
    assert pause(a_call(), answered(503), retries=0) is None


@pytest.mark.parametrize(
    "path",
    [
        *("/files", "/fine_tuning/jobs", "/assistants", "/threads/runs", "/threads/t1/runs"),
        "/realtime/sessions",
    ],
)
def test_a_call_that_changes_something_is_not_repeated_where_it_may_have_been_taken(
    path: str,
) -> None:
    upload = a_call(path)
    assert pause(upload, NO_ANSWER) is None
    assert pause(upload, answered(502)) is None
    assert pause(upload, answered(503)) == 0.5
    assert pause(a_call(), NO_ANSWER) == 0.5


def test_any_call_is_repeated_that_cannot_have_been_taken() -> None:
    upload = a_call("/files")
    upload.was_sent = False
    assert pause(upload, NO_ANSWER) == 0.5


def test_any_call_is_repeated_that_the_gateway_has_not_begun_and_so_often() -> None:
    unbegun = Failed(gateway_unreachable("It leaves."), None, is_unbegun=True)
    tries = [Try(None, "gateway_unreachable", "network", 0.0)] * 3
    pauses = [pause(a_call("/files", tries=tries[:n]), unbegun, retries=0) for n in range(4)]
    assert pauses == [0.0, 1.0, 2.0, None]
    assert pause(a_call(tries=tries), unbegun, retries=4) == 4.0


def test_a_call_that_was_late_is_not_sent_twice() -> None:
    error: ApiError = gateway_unreachable("It took too long.")
    assert pause(a_call(), Failed(error, None, is_late=True)) is None


@pytest.mark.parametrize(
    ("wait", "pause"), [(3.0, 3.05), (0.0, 0.05), (58.9, 58.95), (58.96, None), (None, None)]
)
def test_who_finds_no_room_asks_again_in_time_or_gives_up(
    wait: float | None, pause: float | None
) -> None:
    full = rate_limit_exceeded("It is full.", wait)
    assert pause_for_room(a_call(), full, 60.0, None, 101.0, 1.0) == pytest.approx(pause)
    untimed = None if wait is None else wait + 0.05
    assert pause_for_room(a_call(), full, None, None, 101.0, 1.0) == pytest.approx(untimed)


def test_where_calls_stand_in_line_it_asks_each_second_for_as_long_as_they_may() -> None:
    full, exchange = rate_limit_exceeded("It is full.", 30.0), a_call()
    asked = [
        pause_for_room(exchange, full, None, Bounds(10, 3.5), now, 1.0)
        for now in (101.0, 102.0, 103.0, 104.0)
    ]
    assert asked == [1.0, 1.0, 1.0, None]
