"""Minutes of the clock and sliding minutes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.mock.ceilings import FixedMinute, SlidingMinute
from tests.mock.builders import NOON


def test_a_fixed_minute_forgets_at_the_full_minute() -> None:
    minute = FixedMinute()
    minute.add(NOON + 59, 5)
    assert minute.used(NOON + 59.9) == 5
    assert minute.seconds_until(NOON + 59, 0) == 1
    assert minute.used(NOON + 60) == 0


def test_a_sliding_minute_forgets_each_amount_after_exactly_sixty_seconds() -> None:
    minute = SlidingMinute()
    minute.add(NOON, 2)
    minute.add(NOON + 10, 3)
    assert minute.used(NOON + 59.9) == 5
    assert minute.used(NOON + 60) == 3
    assert minute.used(NOON + 70) == 0


def test_a_sliding_minute_tells_when_there_will_be_room() -> None:
    minute = SlidingMinute()
    minute.add(NOON, 2)
    minute.add(NOON + 10, 3)
    waits = [minute.seconds_until(NOON + 20, at_most) for at_most in (5, 3, 0)]
    assert waits == [0, 40, 50]


steps = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=30)


@given(steps, st.integers(0, 60))
def test_a_sliding_minute_agrees_with_a_list_of_all_amounts(
    steps: list[tuple[int, int]], at_most: int
) -> None:
    minute = SlidingMinute()
    past: list[tuple[float, int]] = []
    now = NOON
    for pause, amount in steps:
        now += pause
        minute.add(now, amount)
        past.append((now, amount))
        assert minute.used(now) == sum(n for at, n in past if now - 60 < at <= now)
    ready = now + minute.seconds_until(now, at_most)
    assert sum(n for at, n in past if ready - 60 < at) <= at_most


@pytest.mark.parametrize("minute", [FixedMinute(), SlidingMinute()])
def test_an_unused_minute_needs_no_wait(minute: FixedMinute | SlidingMinute) -> None:
    assert minute.used(NOON) == 0
    assert minute.seconds_until(NOON, 0) == 0
