"""What is learned of outputs, and what a call is charged: near the truth, and bounded."""

import heapq
import random
from collections.abc import Callable
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.learned import START_TOKENS, Charge, Learned, charge
from foxora_addon.policy.limit_refusal import Denied
from foxora_addon.policy.limits import AccountLimiter, Reservation
from foxora_addon.policy.plans import Ceilings
from tests.builders import answer_of

OUTPUTS = st.integers(0, 10**6)
MANY = 399  # calls that are open: what each holds to be safe is a quarter of the deviation


def learned_of(outputs: list[int]) -> int:
    learned = Learned()
    for tokens in outputs:
        learned.observe("acme", "gpt-4o", tokens)
    return learned.expected("acme", "gpt-4o", MANY)


def drawn(name: str, count: int, seed: int = 1) -> list[int]:
    """Outputs as they come in life: of one length, of many, and now and then a very long one."""
    chance = random.Random(seed)
    draws: dict[str, Callable[[], float]] = {
        "constant": lambda: 400.0,
        "normal": lambda: max(chance.gauss(400, 80), 1),
        "heavy-tailed": lambda: min(chance.lognormvariate(5.6, 0.9), 16_000),
        "of two kinds": lambda: chance.choice([20, 20, 20, 1_500]),
        "few": lambda: 5.0,
        "many": lambda: chance.gauss(20_000, 3_000),
    }
    return [int(draws[name]()) for _ in range(count)]


KINDS = ["constant", "normal", "heavy-tailed", "of two kinds", "few", "many"]


def test_before_anything_is_known_there_is_a_start_value() -> None:
    assert Learned().expected("acme", "gpt-4o", MANY) == START_TOKENS
    assert Learned().expected("acme", None, MANY) == START_TOKENS


def test_accounts_and_models_learn_apart() -> None:
    learned = Learned()
    for _ in range(100):
        learned.observe("acme", "gpt-4o", 20)
    assert learned.expected("acme", "gpt-4o", MANY) < 50
    assert learned.expected("acme", "o1", MANY) == START_TOKENS
    assert learned.expected("other", "gpt-4o", MANY) == START_TOKENS


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_error_is_a_little_too_much_and_never_too_little(kind: str) -> None:
    learned = Learned()
    errors, outputs = [], drawn(kind, 4_000)
    for tokens in outputs:
        errors.append(learned.expected("acme", "m", MANY) - tokens)
        learned.observe("acme", "m", tokens)
    assert -0.02 * mean(outputs) <= mean(errors) <= 0.4 * mean(outputs) + 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_habit_is_learned_in_some_dozens_of_calls(kind: str) -> None:
    outputs = drawn(kind, 300)
    for before in ([1] * 100, [30_000] * 100):
        assert learned_of(before + outputs) == pytest.approx(learned_of(outputs), rel=0.25, abs=10)


def test_the_more_calls_are_open_the_less_each_holds_to_be_safe() -> None:
    learned, outputs = Learned(), drawn("normal", 300)
    for tokens in outputs:
        learned.observe("acme", "m", tokens)
    held = [learned.expected("acme", "m", others) for others in (0, 3, 24, 399)]
    over = [each - mean(outputs) for each in held]
    assert held == sorted(held, reverse=True)
    assert over[0] == pytest.approx(2 * over[1], rel=0.25)
    assert held[-1] < 1.2 * mean(outputs)


@pytest.mark.parametrize("open_calls", [1, 4, 16, 64])
def test_open_calls_together_hold_what_they_come_to(open_calls: int) -> None:
    learned, passed = Learned(), 0
    outputs = drawn("normal", 200 + 50 * open_calls)
    for tokens in outputs[:200]:
        learned.observe("acme", "m", tokens)
    for first in range(200, len(outputs), open_calls):
        together = outputs[first : first + open_calls]
        held = open_calls * learned.expected("acme", "m", open_calls - 1)
        passed += sum(together) > held
        for tokens in together:
            learned.observe("acme", "m", tokens)
    assert passed == 0


def test_one_answer_of_a_hundred_times_the_usual_length_changes_little() -> None:
    usual = drawn("normal", 200)
    assert learned_of([*usual, 40_000]) <= 1.25 * learned_of(usual)


@given(st.lists(OUTPUTS, min_size=1))
def test_what_is_expected_stays_near_what_was_seen(outputs: list[int]) -> None:
    most = max(*outputs, START_TOKENS)
    assert 0 <= learned_of(outputs) <= 1.3 * most + 1


@given(st.lists(st.integers(-(10**30), 10**30), max_size=50))
def test_no_figure_is_too_odd_to_be_learned(outputs: list[int]) -> None:
    assert 0 <= learned_of(outputs) <= 2 * 10**12


def test_memory_is_bounded_whatever_clients_name() -> None:
    learned = Learned(most_known=100)
    for number in range(1_000):
        learned.observe("acme", f"model-{number}", 5)
    assert (
        sum(learned.expected("acme", f"model-{n}", MANY) != START_TOKENS for n in range(1_000))
        == 100
    )
    learned.observe("acme", "x" * 10_000_000, 5)
    assert learned.expected("acme", "x" * 200, MANY) < START_TOKENS


def test_what_is_used_is_remembered() -> None:
    learned = Learned(most_known=10)
    learned.observe("acme", "gpt-4o", 5)
    for number in range(100):
        learned.observe("acme", f"model-{number}", 5)
        assert learned.expected("acme", "gpt-4o", MANY) < START_TOKENS


# Charges.


def test_a_charge_is_the_prompt_and_the_output_that_is_named_or_expected() -> None:
    assert charge(100, 50, 300, 40_000).tokens == 150
    assert charge(100, None, 300, 40_000).tokens == 400
    assert charge(100, 0, 300, 40_000).tokens == 100
    assert charge(100, None, 300, None).tokens == 400


def test_a_call_whose_prompt_fits_is_never_impossible() -> None:
    assert charge(100, 1_000_000, 300, 40_000) == Charge(
        40_000, can_fit=True, input_tokens=100, output_tokens=1_000_000, certain_tokens=100
    )
    assert charge(40_000, None, 300, 40_000).can_fit


def test_a_call_whose_prompt_does_not_fit_never_can() -> None:
    assert not charge(40_001, None, 300, 40_000).can_fit
    assert charge(40_001, None, 300, 40_000, input_doubt=0.05).can_fit
    assert not charge(60_000, None, 300, 40_000, input_doubt=0.3).can_fit


@given(
    st.integers(0, 10**7),
    st.none() | st.integers(0, 2**64),
    st.integers(0, 10**6),
    st.none() | st.integers(1, 10**7),
    st.floats(0, 0.5),
)
def test_a_charge_that_can_fit_is_admitted_by_an_idle_account(
    prompt: int, cap: int | None, expected: int, ceiling: int | None, doubt: float
) -> None:
    asked = charge(prompt, cap, expected, ceiling, input_doubt=doubt)
    limiter = AccountLimiter(Ceilings(tokens_per_minute=ceiling))
    assert isinstance(answer_of(limiter, asked.tokens, 0.0), Reservation)
    assert asked.can_fit or (ceiling is not None and prompt > ceiling)


# Under saturation.


class Run:
    """Connections that always have a next call, on a clock of their own, against one limiter."""

    def __init__(self, ceiling: int, outputs: list[int], *, knows: bool, connections: int) -> None:
        self.ceiling, self.used, self.worst_debt = ceiling, 0, 0.0
        self._limiter = AccountLimiter(Ceilings(tokens_per_minute=ceiling))
        self._learned, self._knows = Learned(), knows
        self._outputs, self._prompt = iter(outputs), 200
        self._connections = connections
        self._seconds = random.Random(2)

    def expected(self, output: int) -> int:
        return output if self._knows else self._learned.expected("acme", "m", MANY)

    def run(self, minutes: int) -> float:
        """Return the part of the ceiling that was used, after a first minute to learn in."""
        end = 60.0 * (minutes + 1)
        waiting = [(0.0, number, next(self._outputs)) for number in range(self._connections)]
        ends: list[tuple[float, int, Reservation, int]] = []
        while waiting or ends:
            if ends and (not waiting or ends[0][0] <= waiting[0][0]):
                now, number, admitted, output = heapq.heappop(ends)
                self._settle(admitted, output, now, counts=60 <= now < end)
                if now < end:
                    heapq.heappush(waiting, (now, number, next(self._outputs)))
                continue
            now, number, output = heapq.heappop(waiting)
            asked = charge(self._prompt, None, self.expected(output), self.ceiling)
            answer = answer_of(self._limiter, asked.tokens, now)
            if isinstance(answer, Denied):
                later = answer.opens_at if answer.opens_at and not answer.awaits_end else now + 0.1
                heapq.heappush(waiting, (max(later, now + 0.001), number, output))
            else:
                self._limiter.mark_sent(answer, now)
                heapq.heappush(
                    ends, (now + self._seconds.uniform(0.5, 1.5), number, answer, output)
                )
        return self.used / (self.ceiling * minutes)

    def _settle(self, admitted: Reservation, output: int, now: float, *, counts: bool) -> None:
        self._limiter.settle(admitted, self._prompt + output, now)
        self._learned.observe("acme", "m", output)
        self.worst_debt = max(self.worst_debt, self._limiter.used(now).tokens - self.ceiling)
        if counts:
            self.used += self._prompt + output


@pytest.mark.parametrize("kind", ["constant", "heavy-tailed", "of two kinds"])
def test_a_busy_ceiling_is_used_as_fully_as_if_outputs_were_known(kind: str) -> None:
    outputs = drawn(kind, 20_000)
    learning = Run(400_000, outputs, knows=False, connections=64)
    knowing = Run(400_000, outputs, knows=True, connections=64)
    used, best = learning.run(2), knowing.run(2)
    assert used >= 0.95
    assert used >= 0.97 * best
    assert learning.worst_debt <= 0.05 * learning.ceiling


@pytest.mark.parametrize("ceiling", [2_000, 10_000, 40_000])
def test_a_small_ceiling_is_not_starved(ceiling: int) -> None:
    outputs = drawn("normal", 5_000)
    learning = Run(ceiling, outputs, knows=False, connections=8)
    assert learning.run(5) >= 0.9
    assert learning.worst_debt <= 2_000
