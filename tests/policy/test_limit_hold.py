import math

from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.limit_hold import LONGEST_HOLD_SECONDS, Hold

moments = st.floats(0, 1_000)


def passes_of(hold: Hold, until: float) -> list[float]:
    """The moments at which calls pass that all press to, from now until a moment."""
    passed = []
    while (moment := hold.opens_at()) <= until:
        hold.passes(moment)
        passed.append(moment)
    return passed


def test_nothing_is_held_at_first() -> None:
    assert Hold().opens_at() == -math.inf


@given(st.lists(st.tuples(moments, moments), min_size=1))
def test_the_latest_moment_that_was_named_counts(told: list[tuple[float, float]]) -> None:
    hold = Hold()
    for now, wait in told:
        hold.extend(now + wait, now)
    assert hold.opens_at() == max(now + wait for now, wait in told)


def test_one_call_probes_and_then_twice_as_many_pass_with_each_step() -> None:
    hold = Hold()
    hold.extend(10.0, 0.0)
    passed = passes_of(hold, 12.0)
    assert [passed.count(10.0 + step / 2) for step in range(5)] == [1, 2, 4, 8, 16]


def test_a_second_refusal_closes_again_and_the_opening_begins_anew() -> None:
    hold = Hold()
    hold.extend(10.0, 0.0)
    passes_of(hold, 10.5)
    hold.extend(20.0, 10.6)
    assert passes_of(hold, 20.0) == [20.0]


def test_after_the_last_step_nothing_is_held_any_more() -> None:
    hold = Hold()
    hold.extend(10.0, 0.0)
    hold.passes(10.0)
    hold.passes(15.5)
    assert hold.opens_at() == -math.inf


def test_what_is_let_through_while_closed_is_no_part_of_the_opening() -> None:
    hold = Hold()
    hold.extend(10.0, 0.0)
    hold.passes(5.0)
    assert hold.opens_at() == 10.0


def test_no_hold_lasts_longer_than_an_hour_without_asking_again() -> None:
    hold = Hold()
    hold.extend(math.inf, 100.0)
    assert hold.opens_at() == 100.0 + LONGEST_HOLD_SECONDS
