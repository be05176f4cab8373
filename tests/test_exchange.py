from dataclasses import fields
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.exchange import STEPS, Exchange, IllegalStep, State, Step
from tests.builders import ACCOUNT_KEY, APP_KEY, an_exchange

ALL_STEPS: tuple[Step, ...] = get_args(Step.__value__)
LEGAL: dict[tuple[State, Step], State] = {
    (State.ARRIVED, "record"): State.RECORDED,
    (State.RECORDED, "send"): State.SENT,
    (State.RECORDED, "again"): State.RECORDED,
    (State.RECORDED, "close"): State.CLOSED,
    (State.SENT, "answer"): State.ANSWERING,
    (State.SENT, "again"): State.RECORDED,
    (State.SENT, "close"): State.CLOSED,
    (State.ANSWERING, "again"): State.RECORDED,
    (State.ANSWERING, "close"): State.CLOSED,
}


@pytest.mark.parametrize("step", ALL_STEPS)
@pytest.mark.parametrize("state", State)
def test_each_step_is_legal_from_the_states_of_the_table_alone(state: State, step: Step) -> None:
    exchange = an_exchange(state=state)
    after = LEGAL.get((state, step))

    assert exchange.may(step) is (after is not None)
    if after is None:
        with pytest.raises(IllegalStep, match=f"'{step}' is not legal when {state}"):
            exchange.step(step)
    else:
        exchange.step(step)
    assert exchange.state is (after or state)


def test_each_step_has_a_row() -> None:
    assert set(STEPS) == set(ALL_STEPS)


@given(st.lists(st.sampled_from(ALL_STEPS), max_size=12))
def test_whatever_is_tried_it_is_recorded_before_it_is_sent_and_closed_once(
    tried: list[Step],
) -> None:
    exchange = an_exchange()
    taken: list[Step] = []
    for step in tried:
        if exchange.may(step):
            exchange.step(step)
            taken.append(step)

    last_try = taken[max((i for i, step in enumerate(taken) if step == "again"), default=-1) + 1 :]
    assert len(last_try) == len(set(last_try))
    assert last_try == sorted(last_try, key=ALL_STEPS.index)
    assert exchange.was_sent is ("send" in last_try)
    assert taken.count("record") == ("record" in taken)
    if taken:
        assert taken[0] == "record"
    if "close" in taken:
        assert taken.index("close") == len(taken) - 1


def test_of_a_try_that_failed_nothing_is_taken_for_the_next_ones_answer() -> None:
    untouched = an_exchange()
    exchange = an_exchange(state=State.ANSWERING)
    names = [each.name for each in fields(Exchange)]
    answers = names[names.index("answered_status") : names.index("socket")]
    assert len(answers) == 8
    for name in answers:
        setattr(exchange, name, "of the first try")

    exchange.begin_again()

    for name in answers:
        assert getattr(exchange, name) == getattr(untouched, name)


def test_an_exchange_shows_no_secret() -> None:
    exchange = an_exchange(credential=ACCOUNT_KEY, secrets=(APP_KEY,), sent_body=b"sk-fake-body")

    for secret in (ACCOUNT_KEY, APP_KEY, "sk-fake-body"):
        assert secret not in repr(exchange)
