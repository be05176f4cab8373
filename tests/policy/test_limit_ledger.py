from itertools import accumulate
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.limit_ledger import Ledger

gaps = st.integers(0, 40).map(lambda eighths: eighths / 8)


def a_ledger(*entries: tuple[float, int]) -> Ledger:
    ledger = Ledger()
    for until, weight in entries:
        ledger.add(until, weight)
    return ledger


def test_a_weight_counts_until_its_moment_and_not_at_it() -> None:
    ledger = a_ledger((10.0, 3))
    ledger.expire(9.999)
    assert ledger.used == 3
    ledger.expire(10.0)
    assert ledger.used == 0
    assert ledger.clears_at is None


def test_it_says_when_the_next_of_it_expires() -> None:
    ledger = a_ledger((10.0, 3), (11.0, 2))
    assert [ledger.expire(now) for now in (9.0, 10.0, 11.0)] == [10.0, 11.0, inf]


def test_what_is_held_counts_beside_what_expires() -> None:
    ledger = a_ledger((10.0, 3))
    ledger.held += 4
    assert (ledger.used, ledger.expiring) == (7, 3)


def test_the_wait_for_an_amount_ends_when_the_last_of_it_expires() -> None:
    ledger = a_ledger((10.0, 3), (11.0, 2), (12.0, 1))
    assert [ledger.frees_at(weight) for weight in range(1, 7)] == [10, 10, 10, 11, 11, 12]


def test_a_weight_can_be_taken_back_from_the_middle() -> None:
    ledger = a_ledger((10.0, 3), (11.0, 2), (12.0, 1))
    ledger.expire(10.0)
    ledger.take_back(11.0, 2)
    assert ledger.used == 1
    assert ledger.frees_at(1) == 12.0


def test_a_weight_can_be_put_between_others_and_before_them() -> None:
    ledger = a_ledger((9.0, 1), (10.0, 3), (12.0, 1))
    ledger.expire(9.0)
    for until, weight in ((11.0, 2), (9.5, 1), (12.0, 4), (13.0, 5)):
        ledger.insert(until, weight)
    assert list(ledger.entries()) == [(9.5, 1), (10.0, 3), (11.0, 2), (12.0, 5), (13.0, 5)]
    assert ledger.expire(9.5) == 10.0
    assert (ledger.used, ledger.clears_at) == (15, 13.0)
    ledger.take_back(11.0, 2)
    assert [ledger.frees_at(weight) for weight in (3, 4, 9)] == [10, 12, 13]


def test_what_is_put_into_a_minute_of_very_many_calls_counts_no_shorter_and_stays_small() -> None:
    ledger = a_ledger(*((60.0 + index / 64, 1) for index in range(5_000)))
    for index in range(1_000):
        ledger.insert(61.0 + index / 1024, 1)
    assert len(ledger) < 5_200
    ledger.expire(61.5)
    still_counting = 5_000 - 97 + 1_000 - 513
    assert still_counting <= ledger.used <= still_counting + 16


def test_a_ledger_from_which_all_was_taken_back_is_clear() -> None:
    ledger = a_ledger((10.0, 1), (11.0, 1), (12.0, 1))
    ledger.expire(10.0)
    ledger.take_back(11.0, 1)
    ledger.take_back(12.0, 1)
    assert (ledger.used, ledger.clears_at, len(ledger)) == (0, None, 0)


def test_two_ledgers_count_as_one() -> None:
    ledger, other = (
        a_ledger((9.0, 1), (10.0, 3), (12.0, 1)),
        a_ledger((8.0, 4), (11.0, 2), (12.0, 6)),
    )
    ledger.expire(9.0)
    other.expire(9.0)
    ledger.held, other.held = 2, 5
    ledger.absorb(other)
    assert ledger.held == 7
    assert list(ledger.entries()) == [(10.0, 3), (11.0, 2), (12.0, 1), (12.0, 6)]
    ledger.take_back(11.0, 2)
    assert [ledger.frees_at(weight) for weight in (3, 4, 10)] == [10, 12, 12]


def test_nothing_is_no_entry() -> None:
    assert len(a_ledger((10.0, 0))) == 0


@given(st.lists(st.tuples(gaps, st.integers(0, 9), st.booleans()), max_size=60))
def test_it_agrees_with_a_plain_list(steps: list[tuple[float, int, bool]]) -> None:
    ledger, plain, now = Ledger(), list[tuple[float, int]](), 0.0
    for gap, weight, takes_back in steps:
        now += gap
        ledger.expire(now)
        plain = [entry for entry in plain if entry[0] > now]
        if takes_back and plain:
            entry = plain.pop(weight % len(plain))
            ledger.take_back(*entry)
        else:
            ledger.add(now + 10, weight)
            plain.append((now + 10, weight))
        freed = list(accumulate(weight for _, weight in plain))
        assert ledger.used == sum(weight for _, weight in plain)
        for amount in range(1, ledger.used + 1):
            moment = next(
                until for (until, _), sum_ in zip(plain, freed, strict=True) if sum_ >= amount
            )
            assert ledger.frees_at(amount) == moment
        assert ledger.clears_at == (
            max(until for until, weight in plain if weight) if ledger.used else None
        )


@pytest.mark.parametrize("step", [0.0, 1 / 1024])
def test_a_minute_of_very_many_calls_stays_small_and_forgets_none_too_early(step: float) -> None:
    ledger, calls = Ledger(), 60 * 1024
    for index in range(calls):
        ledger.add(60.25 + index * step, 1)
    assert len(ledger) < 13_000
    for index in range(0, calls, 5_000):
        ledger.expire(60.25 + index * step)
        still_counting = calls - index - 1 if step else 0
        assert still_counting <= ledger.used <= still_counting + 16


def test_a_call_that_shares_anothers_moment_can_still_be_taken_back() -> None:
    untils = [60.0 + index / 1024 for index in range(9_000)]
    ledger = a_ledger(*((until, 1) for until in untils))
    for until in reversed(untils):
        ledger.take_back(until, 1)
    assert (ledger.used, len(ledger)) == (0, 0)
