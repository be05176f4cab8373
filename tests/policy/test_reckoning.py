"""How old a record is, whatever was done to the wall clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.reckoning import SLACK_SECONDS, Reckoning, Saved, Setting, settings_now

HOUR = 3_600.0


def test_a_clock_that_nobody_set_is_believed() -> None:
    reckoning = Reckoning([Setting(1_000.0)], 500.0)
    assert [reckoning.age(moment) for moment in (1_500.0, 1_490.0, 1_200.0)] == [0.0, 10.0, 300.0]


def test_one_that_was_put_forward_while_nobody_looked_makes_no_record_older() -> None:
    settings = settings_now([Setting(1_000.0)], 1_000.0 + HOUR, None, None)
    assert Reckoning(settings, 500.0).age(1_490.0) == 10.0


def test_one_that_was_set_back_makes_no_record_younger_than_the_last() -> None:
    reckoning = Reckoning([Setting(1_000.0 - HOUR)], 500.0)
    assert [reckoning.age(moment) for moment in (1_490.0, 1_480.0, 1_390.0)] == [0.0, 10.0, 100.0]


def test_a_setting_that_was_seen_to_end_says_nothing_of_later_moments() -> None:
    """An hour before now by this setting, and just now by the one before it."""
    settings = settings_now([Setting(1_000.0)], 1_000.0 + HOUR, 99.0, 100.0)
    assert settings == (Setting(1_000.0, None, 100.0), Setting(1_000.0 + HOUR, 99.0))
    assert Reckoning(settings, 2 * HOUR).age(1_000.0 + 2 * HOUR) == HOUR


def test_a_setting_says_nothing_of_moments_before_it() -> None:
    settings = settings_now([Setting(1_000.0)], 1_000.0 + HOUR, 4_500.0, 4_501.0)
    assert Reckoning(settings, 4_510.0).age(1_000.0 + 4_480.0) == pytest.approx(30.0)


def test_what_was_written_after_the_state_is_no_older_than_that() -> None:
    """The clock was an hour behind for a moment that nobody saw."""
    settings, saved = [Setting(1_000.0)], Saved("boot", 495.0, 7)
    reckoning = Reckoning(settings, 500.0, saved)
    ages = [reckoning.age(moment, seq) for moment, seq in ((1_498.5 - HOUR, 8), (1_490.0, 7))]
    assert ages == [5.0, 10.0]
    assert Reckoning(settings, 500.0, saved).age(1_498.5 - HOUR, 7) == HOUR + 1.5


def test_the_settings_that_are_kept_are_few() -> None:
    settings: tuple[Setting, ...] = ()
    for number in range(1_000):
        settings = settings_now(settings, float(number), float(number), float(number + 1))
    assert len(settings) == 100
    assert settings[-1].offset == 999.0


def test_of_a_clock_that_is_set_each_second_no_record_of_the_last_minute_seems_older() -> None:
    offsets = [1_000.0 + HOUR * (second % 2) + 7 * second for second in range(90)]
    settings: tuple[Setting, ...] = ()
    for second, offset in enumerate(offsets):
        settings = settings_now(settings, offset, second - 1.0, float(second))
    settings = settings_now(settings, offsets[-1], settings[-1].since, None)
    reckoning = Reckoning(settings, 90.0)
    ages = [reckoning.age(second + 0.5 + offsets[second]) for second in reversed(range(30, 90))]
    assert all(age <= 60.0 for age in ages)


PIECES = st.lists(
    st.tuples(st.floats(-2 * HOUR, 2 * HOUR), st.lists(st.floats(0.0, 50.0), max_size=4)),
    max_size=5,
)


@given(PIECES, st.floats(-2 * HOUR, 2 * HOUR), st.floats(0.0, 50.0))
def test_no_record_is_taken_to_be_older_than_it_is(
    pieces: list[tuple[float, list[float]]], last_step: float, pause: float
) -> None:
    """The clock is set before each piece and seen then, and once more while nobody looks."""
    now, offset = 10 * HOUR, 100 * HOUR
    settings: tuple[Setting, ...] = (Setting(offset),)
    written: list[tuple[float, float]] = []
    for step, pauses in pieces:
        offset += step
        settings = settings_now(settings, offset, now, now)
        for each in pauses:
            now += each
            written.append((now, now + offset))
    now += pause
    settings = settings_now(settings, offset + last_step, settings[-1].since, None)
    reckoning = Reckoning(settings, now)
    for at, moment in reversed(written):
        assert 0.0 <= reckoning.age(moment) <= now - at + SLACK_SECONDS + 1e-6
