"""Each rule of the limits by itself, and what a gateway would count beside them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.ratelimit_headers import Allowance, Balance
from foxora_addon.policy.limit_refusal import Denied
from foxora_addon.policy.limits import AccountLimiter, Reservation
from foxora_addon.policy.plans import Ceilings
from tests.builders import answer_of

GUARD = 0.25
SPAN = 60.0 + GUARD


def a_limiter(
    requests: int | None = None, tokens: int | None = None, concurrent: int | None = None
) -> AccountLimiter:
    return AccountLimiter(Ceilings(requests, tokens, concurrent), guard_seconds=GUARD)


def admitted(limiter: AccountLimiter, tokens: int, now: float) -> Reservation:
    answer = answer_of(limiter, tokens, now)
    assert isinstance(answer, Reservation)
    return answer


def denied(limiter: AccountLimiter, tokens: int, now: float) -> Denied:
    answer = answer_of(limiter, tokens, now)
    assert isinstance(answer, Denied)
    return answer


def done(limiter: AccountLimiter, tokens: int, now: float) -> None:
    """One exchange that is sent and over at once."""
    reservation = admitted(limiter, tokens, now)
    limiter.mark_sent(reservation, now)
    limiter.settle(reservation, tokens, now)


def requests_left_of(limiter: AccountLimiter, now: float) -> int | None:
    requests = limiter.balance(now).requests
    assert requests is not None
    return requests.remaining


class TestARequest:
    def test_counts_from_the_moment_at_which_it_is_sent(self) -> None:
        limiter = a_limiter(requests=1)
        reservation = admitted(limiter, 0, 0.0)
        limiter.mark_sent(reservation, 7.0)
        limiter.settle(reservation, 0, 8.0)
        assert denied(limiter, 0, 8.0).opens_at == 7.0 + SPAN

    def test_counts_from_when_it_turns_out_to_have_been_sent(self) -> None:
        limiter = a_limiter(requests=2)
        first, second = admitted(limiter, 0, 0.0), admitted(limiter, 0, 0.0)
        limiter.mark_sent(first, 0.0)
        limiter.mark_sent(second, 5.0)
        limiter.sent_later(first, 3.0, 9.0)
        limiter.sent_later(second, 4.0, 9.0)
        assert denied(limiter, 0, 9.0).opens_at == 3.0 + SPAN
        limiter.sent_later(first, 20.0, 9.0)
        assert limiter.next_admission(0, 5.0 + SPAN) == 5.0 + SPAN
        assert limiter.used(9.0 + SPAN - 0.01).requests == 1, "it was sent by then at the latest"

    def test_may_turn_out_to_count_still_when_it_counted_no_longer(self) -> None:
        limiter = a_limiter(requests=1)
        reservation = admitted(limiter, 0, 0.0)
        limiter.mark_sent(reservation, 0.0)
        assert limiter.used(SPAN).requests == 0
        limiter.sent_later(reservation, 2.0, SPAN + 1)
        limiter.settle(reservation, 0, SPAN + 1)
        assert denied(limiter, 0, SPAN + 1).opens_at == 2.0 + SPAN
        limiter.sent_later(reservation, 3.0, SPAN + 1)
        assert limiter.used(SPAN + 2).requests == 0

    def test_counts_for_as_long_as_it_is_not_sent(self) -> None:
        limiter = a_limiter(requests=1)
        admitted(limiter, 0, 0.0)
        assert denied(limiter, 0, 1_000.0).awaits_end

    def test_counts_no_longer_than_its_minute_though_its_exchange_is_open(self) -> None:
        limiter = a_limiter(requests=1)
        limiter.mark_sent(admitted(limiter, 0, 0.0), 0.0)
        assert limiter.next_admission(0, 1.0) == SPAN

    def test_that_is_sent_anew_is_stamped_anew(self) -> None:
        limiter = a_limiter(requests=1)
        reservation = admitted(limiter, 0, 0.0)
        limiter.mark_sent(reservation, 1.0)
        limiter.mark_sent(reservation, 5.0)
        assert limiter.next_admission(0, 5.0) == 5.0 + SPAN

    def test_that_was_never_marked_is_taken_as_sent_at_its_end(self) -> None:
        limiter = a_limiter(requests=1)
        limiter.settle(admitted(limiter, 0, 0.0), 0, 9.0)
        assert limiter.next_admission(0, 9.0) == 9.0 + SPAN

    def test_that_never_reached_the_gateway_is_given_back_even_if_it_was_sent(self) -> None:
        limiter = a_limiter(requests=1)
        reservation = admitted(limiter, 0, 0.0)
        limiter.mark_sent(reservation, 1.0)
        limiter.release(reservation, 2.0)
        admitted(limiter, 0, 2.0)


class TestTokens:
    def test_stay_counted_while_the_exchange_is_open_however_long(self) -> None:
        limiter = a_limiter(tokens=100)
        limiter.mark_sent(admitted(limiter, 60, 0.0), 0.0)
        assert limiter.used(100_000.0).tokens == 60

    def test_that_were_used_count_for_a_minute_after_the_end(self) -> None:
        limiter = a_limiter(tokens=100)
        limiter.settle(admitted(limiter, 60, 0.0), 60, 30.0)
        assert limiter.next_admission(41, 30.0) == 30.0 + SPAN

    def test_that_were_not_used_are_given_back_at_once(self) -> None:
        limiter = a_limiter(tokens=100)
        limiter.settle(admitted(limiter, 90, 0.0), 10, 30.0)
        assert limiter.used(30.0).tokens == 10

    def test_beyond_the_reserved_become_debt_that_expires(self) -> None:
        limiter = a_limiter(tokens=100)
        limiter.settle(admitted(limiter, 50, 0.0), 300, 30.0)
        assert limiter.used(30.0).tokens == 300
        assert denied(limiter, 1, 30.0).wait_seconds == SPAN
        admitted(limiter, 100, 30.0 + SPAN)

    def test_grow_with_an_exchange_that_turns_out_to_use_more_and_never_shrink(self) -> None:
        limiter = a_limiter(tokens=100)
        reservation = admitted(limiter, 60, 0.0)
        limiter.grow(reservation, 140, 1.0)
        limiter.grow(reservation, 20, 2.0)
        assert limiter.used(2.0).tokens == 140
        limiter.settle(reservation, 90, 3.0)
        limiter.grow(reservation, 500, 4.0)
        assert limiter.used(4.0).tokens == 90

    def test_are_no_matter_for_a_call_without_any_even_in_debt(self) -> None:
        limiter = a_limiter(tokens=100)
        limiter.settle(admitted(limiter, 50, 0.0), 300, 30.0)
        admitted(limiter, 0, 30.0)

    def test_as_many_as_the_ceiling_fit_when_nothing_else_counts(self) -> None:
        admitted(a_limiter(tokens=100), 100, 0.0)

    def test_above_the_ceiling_never_fit(self) -> None:
        answer = denied(a_limiter(tokens=100), 101, 0.0)
        assert (answer.limit, answer.ceiling, answer.requested) == ("tokens", 100, 101)
        assert answer.wait_seconds is None
        assert a_limiter(tokens=100).next_admission(101, 0.0) is None

    def test_that_no_gateway_could_mean_do_not_break_the_count(self) -> None:
        limiter = a_limiter(tokens=100)
        limiter.settle(admitted(limiter, -5, 0.0), 10**40, 1.0)
        limiter.settle(admitted(limiter, 0, 1.0), -(10**40), 1.0)
        admitted(limiter, 100, 1.0 + SPAN)


class TestADenial:
    def test_takes_nothing(self) -> None:
        limiter = a_limiter(requests=5, tokens=100)
        done(limiter, 60, 0.0)
        before = limiter.balance(1.0)
        denied(limiter, 41, 1.0)
        assert limiter.balance(1.0) == before

    def test_names_the_limit_that_lasts_longest_and_its_figures(self) -> None:
        limiter = a_limiter(requests=2, tokens=100)
        done(limiter, 10, 0.0)
        done(limiter, 80, 5.0)
        assert denied(limiter, 50, 6.0) == Denied(
            "tokens", 100, 90, 50, 5.0 + SPAN, 5.0 + SPAN - 6.0, awaits_end=False
        )
        assert denied(limiter, 5, 6.0) == Denied(
            "requests", 2, 2, 1, SPAN, SPAN - 6.0, awaits_end=False
        )

    def test_by_open_exchanges_tells_the_wait_as_if_they_ended_now(self) -> None:
        limiter = a_limiter(tokens=100)
        open_exchange = admitted(limiter, 80, 0.0)
        answer = denied(limiter, 30, 10.0)
        assert (answer.wait_seconds, answer.awaits_end) == (SPAN, True)
        assert limiter.next_admission(30, 10.0) is None
        limiter.settle(open_exchange, 80, 10.0)
        assert limiter.next_admission(30, 10.0) == 10.0 + SPAN

    def test_by_too_many_open_exchanges_ends_with_one_of_them(self) -> None:
        limiter = a_limiter(concurrent=1)
        open_exchange = admitted(limiter, 0, 0.0)
        answer = denied(limiter, 0, 1.0)
        assert (answer.limit, answer.ceiling, answer.used) == ("concurrent", 1, 1)
        assert answer.awaits_end
        limiter.settle(open_exchange, 0, 2.0)
        admitted(limiter, 0, 2.0)

    def test_by_a_ceiling_of_zero_is_for_ever(self) -> None:
        assert denied(a_limiter(requests=0), 0, 0.0).wait_seconds is None
        assert denied(a_limiter(concurrent=0), 0, 0.0).wait_seconds is None

    @given(
        st.lists(st.tuples(st.floats(0, 10), st.integers(0, 40)), max_size=30),
        st.floats(0, 1e6),
        st.integers(1, 100),
    )
    def test_tells_a_wait_that_is_enough_and_not_a_moment_too_long(
        self, calls: list[tuple[float, int]], start: float, tokens: int
    ) -> None:
        limiter, now = a_limiter(requests=5, tokens=100), start
        for gap, size in calls:
            now += gap
            if isinstance(answer := answer_of(limiter, size, now), Reservation):
                limiter.settle(answer, size, now)
        if (refusal := limiter.refusal(tokens, now)) is not None:
            assert refusal.opens_at is not None
            assert refusal.wait_seconds is not None
            before = math.nextafter(refusal.opens_at, 0)
            assert limiter.refusal(tokens, before) is not None
            assert limiter.refusal(tokens, now + refusal.wait_seconds) is None


class TestTheGatewaysOwnRefusal:
    def test_closes_for_all_until_its_moment(self) -> None:
        limiter = a_limiter()
        limiter.hold_until(30.0, 0.0)
        answer = denied(limiter, 0, 10.0)
        assert (answer.limit, answer.ceiling, answer.used) == ("gateway", None, None)
        assert answer.wait_seconds == 20.0

    def test_is_not_shortened_by_a_later_one(self) -> None:
        limiter = a_limiter()
        limiter.hold_until(30.0, 0.0)
        limiter.hold_until(20.0, 1.0)
        assert limiter.next_admission(0, 1.0) == 30.0

    def test_ends_with_one_probe_and_no_stampede(self) -> None:
        limiter = a_limiter()
        limiter.hold_until(30.0, 0.0)
        admitted(limiter, 0, 30.0)
        assert denied(limiter, 0, 30.0).wait_seconds == 0.5

    def test_is_not_used_up_by_what_another_limit_denies(self) -> None:
        limiter = a_limiter(tokens=100)
        limiter.hold_until(30.0, 0.0)
        denied(limiter, 101, 30.0)
        admitted(limiter, 100, 30.0)


class TestOtherCeilings:
    def test_that_are_lower_wait_for_what_is_above_them(self) -> None:
        limiter = a_limiter(requests=10)
        for second in range(8):
            done(limiter, 0, float(second))
        limiter.change_ceilings(Ceilings(requests_per_minute=3), 10.0)
        assert limiter.next_admission(0, 10.0) == 5.0 + SPAN

    def test_that_are_higher_are_there_at_once_without_a_burst(self) -> None:
        limiter = a_limiter(requests=2)
        for _ in range(2):
            done(limiter, 0, 0.0)
        limiter.change_ceilings(Ceilings(requests_per_minute=3), 1.0)
        done(limiter, 0, 1.0)
        assert denied(limiter, 0, 1.0).wait_seconds == SPAN - 1.0

    def test_find_counted_what_was_used_while_there_were_none(self) -> None:
        limiter = a_limiter()
        for second in range(3):
            done(limiter, 40, float(second))
        limiter.change_ceilings(Ceilings(requests_per_minute=4, tokens_per_minute=100), 3.0)
        assert (requests_left_of(limiter, 3.0), limiter.used(3.0).tokens) == (1, 120)


class TestTheBalance:
    def test_of_an_account_without_ceilings_says_nothing(self) -> None:
        assert a_limiter().balance(0.0) == Balance(None, None)

    def test_of_an_unused_account_is_full(self) -> None:
        full = Balance(Allowance(5, 5, 0.0), Allowance(100, 100, 0.0))
        assert a_limiter(requests=5, tokens=100).balance(0.0) == full

    def test_tells_when_all_is_back(self) -> None:
        limiter = a_limiter(requests=5, tokens=100)
        done(limiter, 30, 0.0)
        done(limiter, 30, 10.0)
        left = Balance(Allowance(5, 3, SPAN - 10), Allowance(100, 40, SPAN - 10))
        assert limiter.balance(20.0) == left

    def test_in_debt_has_nothing_left(self) -> None:
        limiter = a_limiter(tokens=100)
        limiter.settle(admitted(limiter, 10, 0.0), 500, 0.0)
        assert limiter.balance(0.0).tokens == Allowance(100, 0, SPAN)


def test_a_clock_that_goes_back_stands_still() -> None:
    limiter = a_limiter(requests=1)
    done(limiter, 0, 100.0)
    assert limiter.next_admission(0, 3.0) == 100.0 + SPAN
    assert denied(limiter, 0, 3.0).wait_seconds == SPAN


def test_a_clock_that_leaps_ahead_gives_one_minutes_ceiling_and_no_more() -> None:
    limiter = a_limiter(requests=3)
    for now in (0.0, 1e9):
        for _ in range(3):
            done(limiter, 0, now)
        denied(limiter, 0, now)


def test_shadow_mode_counts_what_it_would_have_refused() -> None:
    limiter = a_limiter(requests=1)
    for now in (0.0, 1.0):
        limiter.settle(limiter.admit(0, now), 0, now)
    assert limiter.next_admission(0, 2.0) == 1.0 + SPAN


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_saturated_account_uses_almost_all_of_its_requests_and_tokens(seconds: float) -> None:
    limiter = AccountLimiter(Ceilings(tokens_per_minute=300))
    now, ends, sent = 0.0, list[tuple[float, Reservation]](), 0
    while now < 3_600:
        while ends and ends[0][0] <= now:
            limiter.settle(ends.pop(0)[1], 1, now)
        if isinstance(answer := answer_of(limiter, 1, now), Reservation):
            limiter.mark_sent(answer, now)
            ends.append((now + seconds, answer))
            sent += 1
        else:
            moments = [end for end, _ in ends[:1]]
            if (due := limiter.next_admission(1, now)) is not None:
                moments.append(due)
            now = min(moments)
    assert sent / (300 * 60) >= (0.99 if not seconds else 0.975)


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.1, 1.0, 17.3, 60.0]),  # the pause before
        st.integers(1, 60),  # reserved
        st.integers(0, 90),  # used, debt included
        st.sampled_from([0.0, 0.3, 5.0, 59.0, 130.0]),  # how long it is open
        st.floats(0, GUARD),  # how long its request is on the way
    ),
    min_size=1,
    max_size=60,
)


@given(STEPS, st.booleans())
def test_no_minute_of_the_gateways_passes_a_ceiling_but_by_debt(
    steps: list[tuple[float, int, int, float, float]], is_counted_at_end: bool
) -> None:
    limiter, now = a_limiter(requests=6, tokens=100), 1_000.0
    arrivals, spent, ends = list[tuple[float, int]](), list[tuple[float, int]](), list[End]()
    for pause, reserved, used, seconds, delay in steps:
        now += pause
        settle_until(limiter, ends, now)
        if isinstance(answer := answer_of(limiter, reserved, now), Reservation):
            limiter.mark_sent(answer, now)
            arrivals.append((now + delay, 1))
            ends.append((now + seconds, used, answer))
            counted_at = now + seconds if is_counted_at_end else now + delay
            spent.append((counted_at, min(used, reserved)))

    assert most_in_a_minute(arrivals) <= 6
    assert most_in_a_minute(spent) <= 100


End = tuple[float, int, Reservation]


def settle_until(limiter: AccountLimiter, ends: list[End], now: float) -> None:
    for end in sorted((end for end in ends if end[0] <= now), key=lambda end: end[0]):
        limiter.settle(end[2], end[1], end[0])
        ends.remove(end)


def most_in_a_minute(weights: list[tuple[float, int]]) -> int:
    return max(
        (sum(w for at, w in weights if start <= at < start + 60.0) for start, _ in weights),
        default=0,
    )


class TestSeveralCallsAtOnce:
    def test_need_room_for_each(self) -> None:
        limiter = a_limiter(requests=3, concurrent=3)
        done(limiter, 0, 0.0)
        done(limiter, 0, 10.0)
        assert limiter.next_admission(0, 20.0) == 20.0
        assert limiter.next_admission(0, 20.0, calls=2) == SPAN
        assert limiter.next_admission(0, 20.0, calls=3) == 10.0 + SPAN
        assert limiter.next_admission(0, 20.0, calls=4) is None

    def test_wait_for_an_end_where_too_many_are_open(self) -> None:
        limiter = a_limiter(concurrent=2)
        admitted(limiter, 0, 0.0)
        assert limiter.refusal(0, 0.0) is None
        assert limiter.next_admission(0, 0.0, calls=2) is None

    def test_wait_until_a_hold_has_opened_so_far(self) -> None:
        limiter = a_limiter()
        limiter.hold_until(10.0, 0.0)
        assert limiter.next_admission(0, 0.0, calls=2) == 10.5


class TestTheSoonestAdmission:
    def test_counts_on_all_that_is_open_to_be_given_back(self) -> None:
        limiter = a_limiter(requests=1, tokens=100)
        admitted(limiter, 100, 0.0)
        assert limiter.soonest_admission(100, 1.0) == 1.0

    def test_does_not_count_on_what_was_sent_or_used(self) -> None:
        limiter = a_limiter(requests=2, tokens=100)
        limiter.mark_sent(admitted(limiter, 10, 0.0), 0.0)
        done(limiter, 60, 5.0)
        assert limiter.soonest_admission(0, 6.0) == SPAN
        assert limiter.soonest_admission(41, 6.0) == 5.0 + SPAN

    def test_is_no_sooner_than_a_hold_ends(self) -> None:
        limiter = a_limiter()
        limiter.hold_until(30.0, 0.0)
        assert limiter.soonest_admission(0, 0.0) == 30.0

    def test_never_comes_for_what_can_never_fit(self) -> None:
        for limiter in (a_limiter(requests=0), a_limiter(tokens=9), a_limiter(concurrent=0)):
            assert limiter.soonest_admission(10, 0.0) == math.inf


class TestBeingIdle:
    def test_a_new_limiter_is(self) -> None:
        assert a_limiter().is_idle(0.0)

    def test_ends_with_a_reservation_and_begins_when_all_has_expired(self) -> None:
        limiter = a_limiter()
        reservation = admitted(limiter, 10, 0.0)
        assert not limiter.is_idle(1_000.0)
        limiter.settle(reservation, 10, 1_000.0)
        assert not limiter.is_idle(math.nextafter(1_000.0 + SPAN, 0))
        assert limiter.is_idle(1_000.0 + SPAN)

    def test_begins_at_once_when_all_is_given_back(self) -> None:
        limiter = a_limiter()
        reservation = admitted(limiter, 10, 0.0)
        limiter.mark_sent(reservation, 0.0)
        limiter.release(reservation, 1.0)
        assert limiter.is_idle(1.0)

    def test_is_not_so_while_a_hold_opens(self) -> None:
        limiter = a_limiter()
        limiter.hold_until(10.0, 0.0)
        assert not limiter.is_idle(15.0)
        assert limiter.is_idle(16.0)

    def test_is_not_so_while_somebody_waits(self) -> None:
        limiter = a_limiter()
        limiter.waiting = 1
        assert not limiter.is_idle(0.0)


class TestAbsorbing:
    def test_counts_both_each_until_its_own_moment(self) -> None:
        kept, other = a_limiter(requests=4, tokens=100), a_limiter()
        for limiter, tokens, at in ((kept, 10, 0.0), (other, 20, 1.0), (kept, 30, 2.0)):
            done(limiter, tokens, at)
        kept.absorb(other, 3.0)
        assert [kept.used(at + SPAN).tokens for at in (-1.0, 0.0, 1.0, 2.0)] == [60, 50, 30, 0]

    def test_counts_what_is_older_than_all_of_its_own_until_its_moment(self) -> None:
        kept, other = a_limiter(tokens=100), a_limiter()
        done(other, 20, 1.0)
        done(kept, 30, 40.0)
        kept.absorb(other, 41.0)
        assert [kept.used(at + SPAN).tokens for at in (0.0, 1.0, 39.0, 40.0)] == [50, 30, 30, 0]

    def test_settles_and_gives_back_what_the_other_had_open(self) -> None:
        kept, other = a_limiter(requests=3, tokens=100, concurrent=3), a_limiter()
        ends, sent, unsent = (admitted(other, 30, 0.0) for _ in range(3))
        other.mark_sent(sent, 1.0)
        kept.absorb(other, 2.0)
        assert denied(kept, 0, 2.0).limit in {"concurrent", "requests"}
        kept.settle(ends, 5, 3.0)
        kept.release(sent, 3.0)
        kept.release(unsent, 3.0)
        assert (requests_left_of(kept, 3.0), kept.used(3.0).tokens) == (2, 5)

    def test_keeps_its_own_ceilings(self) -> None:
        kept = a_limiter(requests=3)
        kept.absorb(a_limiter(requests=9), 0.0)
        assert kept.ceilings == Ceilings(3)

    def test_keeps_the_later_hold(self) -> None:
        for until, others in ((10.0, 20.0), (20.0, 10.0)):
            kept, other = a_limiter(), a_limiter()
            kept.hold_until(until, 0.0)
            other.hold_until(others, 0.0)
            kept.absorb(other, 0.0)
            assert kept.next_admission(0, 0.0) == 20.0
