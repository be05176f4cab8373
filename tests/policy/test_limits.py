"""The limiter beside a model that keeps every moment in a list and counts anew each time."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxora_addon.policy.limit_hold import LONGEST_HOLD_SECONDS, Hold
from foxora_addon.policy.limit_ledger import Ledger
from foxora_addon.policy.limit_refusal import Denied
from foxora_addon.policy.limits import (
    DEFAULT_GUARD_SECONDS,
    WINDOW_SECONDS,
    AccountLimiter,
    Reservation,
)
from foxora_addon.policy.plans import UNLIMITED, Ceilings
from tests.builders import answer_of

SPAN = WINDOW_SECONDS + DEFAULT_GUARD_SECONDS


@dataclass
class Call:
    """One admitted call of the model; None: not sent, or not over, yet."""

    reservation: Reservation
    tokens: int
    sent_at: float | None = None
    ended_at: float | None = None
    is_released: bool = False

    def requests_at(self, now: float) -> int:
        if self.is_released:
            return 0
        return int(self.sent_at is None or self.sent_at + SPAN > now)

    def tokens_at(self, now: float) -> int:
        counts = self.ended_at is None or self.ended_at + SPAN > now
        return self.tokens if counts and not self.is_released else 0

    @property
    def is_open(self) -> bool:
        return self.ended_at is None and not self.is_released


@dataclass
class Model:
    ceilings: Ceilings
    calls: list[Call] = field(default_factory=list)

    def fits(self, tokens: int, now: float) -> bool:
        ceilings = self.ceilings
        requests = sum(call.requests_at(now) for call in self.calls)
        used = sum(call.tokens_at(now) for call in self.calls)
        return (
            requests + 1 <= _or_infinite(ceilings.requests_per_minute)
            and (not tokens or used + tokens <= _or_infinite(ceilings.tokens_per_minute))
            and len(self.open) < _or_infinite(ceilings.concurrent_requests)
        )

    def opens_at(self, tokens: int, now: float) -> float | None:
        """The first moment at which it fits, if nothing else changes; None: there is none."""
        moments = [call.sent_at + SPAN for call in self.calls if call.sent_at is not None]
        moments += [call.ended_at + SPAN for call in self.calls if call.ended_at is not None]
        later = sorted(moment for moment in moments if moment > now)
        return next((moment for moment in later if self.fits(tokens, moment)), None)

    @property
    def open(self) -> list[Call]:
        return [call for call in self.calls if call.is_open]


def _or_infinite(ceiling: int | None) -> float:
    return math.inf if ceiling is None else ceiling


CEILINGS = st.builds(
    Ceilings,
    st.none() | st.integers(1, 5),
    st.none() | st.integers(1, 100),
    st.none() | st.integers(1, 4),
)
PAUSES = st.sampled_from([0.0, 0.1, 1.0, 19.7, 59.9, 60.0, SPAN, 100.0]) | st.floats(0, 70)
ACTS = st.sampled_from(["reserve", "reserve", "reserve", "send", "settle", "release"])
SCRIPTS = st.lists(
    st.tuples(PAUSES, ACTS, st.integers(0, 120), st.integers(0, 9)), min_size=1, max_size=30
)


def reserve(limiter: AccountLimiter, model: Model, tokens: int, now: float) -> None:
    answer = answer_of(limiter, tokens, now)
    assert isinstance(answer, Reservation) is model.fits(tokens, now)
    if isinstance(answer, Reservation):
        model.calls.append(Call(answer, tokens))
    elif not answer.awaits_end:
        assert answer.opens_at == model.opens_at(tokens, now)
        if answer.wait_seconds is not None and answer.opens_at is not None:
            assert now + answer.wait_seconds >= answer.opens_at
            assert answer.wait_seconds == pytest.approx(answer.opens_at - now)


def act(limiter: AccountLimiter, call: Call, name: str, tokens: int, now: float) -> None:
    if name == "send" and call.sent_at is None:
        limiter.mark_sent(call.reservation, now)
        call.sent_at = now
    elif name == "settle":
        call.tokens = min(tokens, call.tokens)
        call.sent_at = now if call.sent_at is None else call.sent_at
        call.ended_at = now
        limiter.settle(call.reservation, call.tokens, now)
    elif name == "release":
        call.is_released = True
        limiter.release(call.reservation, now)


def play(ceilings: Ceilings, script: list[tuple[float, str, int, int]]) -> list[Call]:
    limiter, model, now = AccountLimiter(ceilings), Model(ceilings), 1_000.0
    for pause, name, tokens, index in script:
        now += pause
        if name == "reserve":
            reserve(limiter, model, tokens, now)
        elif model.open:
            act(limiter, model.open[index % len(model.open)], name, tokens, now)
    return [call for call in model.calls if not call.is_released]


@given(CEILINGS, SCRIPTS)
@settings(max_examples=200)
def test_it_admits_what_the_model_admits_and_says_when(
    ceilings: Ceilings, script: list[tuple[float, str, int, int]]
) -> None:
    calls = play(ceilings, script)

    sent = [(call.sent_at, 1) for call in calls if call.sent_at is not None]
    assert most_in_a_minute(sent) <= _or_infinite(ceilings.requests_per_minute)
    for moment in ("sent_at", "ended_at"):
        spent = [(getattr(call, moment), call.tokens) for call in calls]
        counted = [(at, tokens) for at, tokens in spent if at is not None]
        assert most_in_a_minute(counted) <= _or_infinite(ceilings.tokens_per_minute)


def most_in_a_minute(weights: list[tuple[float, int]]) -> int:
    return max(
        (sum(w for at, w in weights if end - WINDOW_SECONDS < at <= end) for end, _ in weights),
        default=0,
    )


@given(st.integers(1, 5), st.lists(PAUSES, min_size=1, max_size=20))
def test_who_waits_as_told_is_admitted(ceiling: int, pauses: list[float]) -> None:
    limiter, now = AccountLimiter(Ceilings(ceiling)), 0.0
    for pause in pauses:
        now += pause
        denied = limiter.refusal(0, now)
        if denied is not None:
            assert denied.wait_seconds is not None
            now += denied.wait_seconds
        limiter.settle(admitted(limiter, 0, now), 0, now)


def admitted(limiter: AccountLimiter, tokens: int, now: float) -> Reservation:
    answer = answer_of(limiter, tokens, now)
    assert isinstance(answer, Reservation), answer
    return answer


def denied(limiter: AccountLimiter, tokens: int, now: float) -> Denied:
    answer = answer_of(limiter, tokens, now)
    assert isinstance(answer, Denied), answer
    return answer


@given(st.lists(st.sampled_from(["settle", "release", "send"]), min_size=1, max_size=6))
def test_only_the_first_end_counts(ends: list[str]) -> None:
    limiter = AccountLimiter(Ceilings(3, 100, 2))
    reservation = admitted(limiter, 60, 10.0)
    limiter.settle(reservation, 40, 20.0)
    before = limiter.balance(21.0)
    for end in ends:
        if end == "settle":
            limiter.settle(reservation, 99, 21.0)
        elif end == "release":
            limiter.release(reservation, 21.0)
        else:
            limiter.mark_sent(reservation, 21.0)

    assert limiter.balance(21.0) == before
    assert limiter.used(21.0).tokens == 40


def test_a_release_gives_everything_back() -> None:
    limiter = AccountLimiter(Ceilings(1, 10, 1))
    reservation = admitted(limiter, 10, 0.0)
    limiter.mark_sent(reservation, 1.0)
    limiter.release(reservation, 2.0)
    limiter.release(reservation, 2.0)

    admitted(limiter, 10, 2.0)
    assert denied(limiter, 10, 2.0).awaits_end


def test_a_refund_and_a_debt_count_from_the_end() -> None:
    limiter = AccountLimiter(Ceilings(None, 100))
    limiter.settle(admitted(limiter, 90, 0.0), 10, 0.0)
    limiter.settle(admitted(limiter, 90, 1.0), 150, 1.0)

    assert limiter.used(1.0).tokens == 160
    assert denied(limiter, 1, 1.0).opens_at == 1.0 + SPAN
    admitted(limiter, 0, 1.0)
    admitted(limiter, 100, 1.0 + SPAN)


def test_what_can_never_fit_has_no_wait() -> None:
    answer = denied(AccountLimiter(Ceilings(None, 100)), 101, 0.0)

    assert (answer.limit, answer.ceiling, answer.requested) == ("tokens", 100, 101)
    assert (answer.opens_at, answer.wait_seconds) == (None, None)


def test_the_limit_that_keeps_out_longest_is_named() -> None:
    limiter = AccountLimiter(Ceilings(1, 10))
    reservation = admitted(limiter, 10, 0.0)
    limiter.mark_sent(reservation, 0.0)
    limiter.settle(reservation, 10, 5.0)

    assert denied(limiter, 5, 6.0).limit == "tokens"


def test_a_clock_that_goes_back_stands_still() -> None:
    limiter = AccountLimiter(Ceilings(1))
    limiter.settle(admitted(limiter, 0, 100.0), 0, 100.0)

    assert denied(limiter, 0, 1.0).opens_at == 100.0 + SPAN


def test_what_plainly_fits_is_taken_at_once_and_what_may_not_is_left() -> None:
    limiter = AccountLimiter(Ceilings(2, 100, 2))
    assert limiter.admit_if_free(101, 0.0) is None
    first = limiter.admit_if_free(100, 0.0)
    assert first is not None
    assert limiter.used(0.0) == (1, 100, 1)
    assert limiter.admit_if_free(1, 0.0) is None
    second = limiter.admit_if_free(0, 0.0)
    assert second is not None
    limiter.settle(second, 0, 0.0)
    assert limiter.admit_if_free(0, 0.0) is None  # two requests in a minute


def test_a_closed_account_has_nothing_that_plainly_fits() -> None:
    limiter = AccountLimiter(UNLIMITED)
    limiter.hold_until(5.0, 0.0)
    assert limiter.admit_if_free(1, 5.0) is None
    assert isinstance(answer_of(limiter, 1, 5.0), Reservation)
    assert limiter.admit_if_free(1, 5.0) is None  # it opens little by little
    assert isinstance(answer_of(limiter, 1, 100.0), Reservation)
    assert limiter.admit_if_free(1, 100.0) is not None


def test_without_ceilings_all_is_counted_and_nothing_refused() -> None:
    limiter = AccountLimiter(UNLIMITED)
    for _ in range(50):
        admitted(limiter, 10**15, 0.0)
    limiter.change_ceilings(Ceilings(50), 1.0)

    assert denied(limiter, 0, 1.0).used == 50


def test_after_a_429_the_account_opens_little_by_little() -> None:
    limiter = AccountLimiter(UNLIMITED)
    limiter.hold_until(10.0, 0.0)

    assert denied(limiter, 0, 9.0).opens_at == 10.0
    admitted(limiter, 0, 10.0)
    assert denied(limiter, 0, 10.0).opens_at == 10.5
    admitted(limiter, 0, 10.5)
    admitted(limiter, 0, 10.5)
    assert denied(limiter, 0, 10.5).limit == "gateway"


@given(st.lists(st.tuples(st.floats(0, 10_000), st.floats(0, 100)), min_size=1, max_size=6))
def test_a_hold_lasts_for_the_longest_that_was_said_and_an_hour_at_most(
    said: list[tuple[float, float]],
) -> None:
    hold = Hold()
    for until, now in said:
        hold.extend(until, now)

    assert hold.opens_at() == max(min(u, now + LONGEST_HOLD_SECONDS) for u, now in said)


@given(st.floats(0, 100), st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_after_a_hold_calls_that_pass_double_at_the_most_with_each_step(
    until: float, pauses: list[float]
) -> None:
    hold, now, passed = Hold(), until, 0
    hold.extend(until, 0.0)
    for pause in pauses:
        now += pause
        if hold.opens_at() <= now < until + 5.0:
            hold.passes(now)
            passed += 1
            assert passed < 2 ** (math.floor((now - until) / 0.5 + 1e-9) + 1)


WEIGHTS = st.lists(st.tuples(st.sampled_from([0.0, 0.01, 1.0, 7.5]), st.integers(0, 9)))


@given(WEIGHTS, st.integers(0, 60), st.none() | st.integers(0, 20))
def test_a_ledger_counts_as_a_list_of_moments_does(
    added: list[tuple[float, int]], expired_at: int, taken: int | None
) -> None:
    ledger, until, kept = Ledger(), 0.0, []
    for pause, weight in added:
        until += pause
        ledger.add(until, weight)
        kept.append((until, weight))
    now = float(expired_at)
    ledger.expire(now)
    kept = [(moment, weight) for moment, weight in kept if moment > now and weight]
    if kept and taken is not None:
        ledger.take_back(*kept.pop(taken % len(kept)))

    assert ledger.expiring == sum(weight for _, weight in kept)
    for weight in range(1, ledger.expiring + 1):
        freed = [moment for moment, _ in kept if sum(w for m, w in kept if m <= moment) >= weight]
        assert ledger.frees_at(weight) == min(freed)
