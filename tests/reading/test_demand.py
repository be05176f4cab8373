"""What a trail says of a limiter's calls is what the limiter did with them."""

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

import pytest

from foxora_addon.policy.allowances import Allowances, Reserved
from foxora_addon.policy.limits import DEFAULT_GUARD_SECONDS, Used
from foxora_addon.policy.line import Ticket
from foxora_addon.policy.payers import AccountRules, LimitRules, Payers
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.scopes import Refusal, Scope
from foxora_addon.policy.waiting import Bounds, WaitingLines
from foxora_addon.reading.decision import Decision, Rebuilding
from foxora_addon.reading.demand import guard_of, waited_seconds_in
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.simulation import Simulation
from tests.builders import NOON
from tests.reading.builders import a_refusal, a_request, a_response, line_of, recorded


class Refused(NamedTuple):
    """A call that the limiter kept out, and what counted then."""

    pair: Recorded
    used: Used
    refusal: Refusal


class History:
    """Random calls of one account before a real limiter, and their trail.

    Seconds are from noon, to the hundredth: none of them is the end of another's minute.
    """

    def __init__(self, seed: int, guard_seconds: float, longest_connect: int) -> None:
        self.random, self.longest_connect = Random(seed), longest_connect
        is_usual = guard_seconds == DEFAULT_GUARD_SECONDS
        self.guard = {} if is_usual else {"guard_seconds": guard_seconds}
        self.trail: list[Any] = []
        self.refused: list[Refused] = []
        pick = self.random.choice
        self.ceilings = Ceilings(pick([1, 2, 3, 5]), pick([None, 100, 200]), pick([None, 2]))
        self._scopes = (Scope("acme", "", self.ceilings),)
        self._allowances = Allowances(guard_seconds=guard_seconds)
        calls = [(self._up_to(200), number, self._call(number)) for number in range(30)]
        heapq.heapify(calls)
        while calls:  # whichever goes on next
            at, number, call = heapq.heappop(calls)
            self._now = at
            if (wait := next(call, None)) is not None:
                heapq.heappush(calls, (at + wait, number, call))

    def _up_to(self, seconds: int) -> float:
        return self.random.randint(0, seconds * 100) / 100

    def _call(self, number: int) -> Iterator[float]:
        """Be what a call is: each time, for how many seconds nothing happens."""
        name, came, limits = f"x{number}", self._now, self._allowances
        tokens = self.random.randint(1, 60)
        used = limits.limiter(self._scopes[0]).used(NOON + came)
        held = limits.reserve(self._scopes, tokens, NOON + came)
        decision = {"estimated_tokens": tokens} | self.guard
        if not isinstance(held, Reserved):
            request, response = a_refusal(name, at=came)
            request["decision"] |= decision
            self.trail += [request, response]
            self.refused.append(Refused(recorded(request, response), used, held))
            return
        self.trail.append(a_request(name, at=came, decision=decision))
        yield self._up_to(self.longest_connect)
        if self.random.random() < 0.1:
            limits.release(held, NOON + self._now)
            self._end(name, came, None, 0)
            return
        limits.mark_sent(held, NOON + self._now)
        sent = self._now
        yield self._up_to(20)
        actual = self.random.randint(0, 80)
        limits.settle(held, actual, NOON + self._now)
        self._end(name, came, sent, actual)

    def _end(self, name: str, came: float, sent: float | None, tokens: int) -> None:
        usage = {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens}
        self.trail.append(
            a_response(
                name,
                at=self._now,
                duration_ms=(self._now - came) * 1000,
                sent_ms=None if sent is None else (sent - came) * 1000,
                usage=usage | {"source": "reported"},
            )
        )


def decided(history: History, exchange: Recorded) -> Decision:
    payers = Payers(LimitRules({"acme": AccountRules(history.ceilings)}))
    rebuilding = Rebuilding(exchange, payers.scopes_of)
    for record in history.trail:
        rebuilding.take(record)
    rebuilding.finish()
    return rebuilding.decision


@pytest.mark.parametrize("longest_connect", [0, 9])
@pytest.mark.parametrize("guard_seconds", [DEFAULT_GUARD_SECONDS, 7.505])
@pytest.mark.parametrize("seed", range(6))
def test_why_a_call_was_refused_is_what_the_limiter_said(
    seed: int, guard_seconds: float, longest_connect: int
) -> None:
    history = History(seed, guard_seconds, longest_connect)
    assert history.refused
    for exchange, used, refusal in history.refused:
        decision, denied = decided(history, exchange), refusal.denied
        assert decision.balances[0].used == used
        assert decision.limit == denied.limit
        if longest_connect and used.open_exchanges:
            continue  # when those were sent is on record once they are over
        opens_at = None if denied.awaits_end else denied.opens_at
        assert decision.opens_at == pytest.approx(opens_at, abs=1e-4)


@pytest.mark.parametrize("longest_connect", [0, 9])
@pytest.mark.parametrize("guard_seconds", [DEFAULT_GUARD_SECONDS, 7.505])
@pytest.mark.parametrize("seed", range(6))
def test_under_the_ceilings_that_it_had_a_simulation_refuses_what_the_limiter_did(
    seed: int, guard_seconds: float, longest_connect: int
) -> None:
    history = History(seed, guard_seconds, longest_connect)
    simulation = Simulation(history.ceilings, 0.0)
    for record in history.trail:
        simulation.take(record)
    simulation.finish()
    refused = Counter(refusal.denied.limit for _, _, refusal in history.refused)
    assert simulation.accounts["acme"].at_once.refused == refused


class Come(NamedTuple):
    """A call: when it comes, the tokens that it asks for and uses, and how long it lasts."""

    at: float
    tokens: int
    lasts: float


class InLine:
    """The same calls in the proxy's own line, looked at each quarter of a second.

    `waits` is how long each waits; None: it is refused.
    """

    def __init__(self, calls: list[Come], ceilings: Ceilings, longest_wait: float) -> None:
        self.waits: list[float | None] = [None] * len(calls)
        self._calls = calls
        self._allowances, self._scopes = Allowances(), (Scope("acme", "", ceilings),)
        self._lines = WaitingLines(self._allowances, Bounds(1_000, longest_wait))
        self._numbers: dict[Ticket, int] = {}
        self._open: dict[int, tuple[float, Reserved]] = {}
        for quarter in range(1_000):
            self._end(NOON + quarter / 4)
            self._look(NOON + quarter / 4)
            self._come(NOON + quarter / 4)

    def _end(self, now: float) -> None:
        for number in [number for number, (at, _) in self._open.items() if at <= now]:
            _, held = self._open.pop(number)
            self._allowances.settle(held, self._calls[number].tokens, now)

    def _come(self, now: float) -> None:
        for number, call in enumerate(self._calls):
            if NOON + call.at == now:
                taken = self._lines.join(self._scopes, call.tokens, now)
                if isinstance(taken, Reserved):
                    self._go(number, taken, now)
                elif isinstance(taken, Ticket):
                    self._numbers[taken] = number
                self._look(now)

    def _look(self, now: float) -> None:
        while (called := self._lines.wake("acme", now)).ended:
            for ticket, answer, _ in called.ended:
                if isinstance(answer, Reserved):
                    self._go(self._numbers[ticket], answer, now)

    def _go(self, number: int, held: Reserved, now: float) -> None:
        self._allowances.mark_sent(held, now)
        self.waits[number] = now - NOON - self._calls[number].at
        self._open[number] = now + self._calls[number].lasts, held


def random_calls(random: Random) -> tuple[Ceilings, list[Come]]:
    """Ceilings, and calls for which they have no room at once."""
    ceilings = Ceilings(random.choice([None, 5]), 100, random.choice([None, 3]))
    comes = sorted(random.sample(range(360), 30))
    tokens, quarters = [5, 20, 60, 95], range(1, 10)
    calls = [Come(at / 4, random.choice(tokens), random.choice(quarters) / 4) for at in comes]
    return ceilings, calls


def trail_of(calls: list[Come], waits: Sequence[float] | None = None) -> list[Any]:
    """The records of these calls, each of which had waited so many seconds."""
    trail = []
    for number, (came, tokens, lasts) in enumerate(calls):
        waited = 0.0 if waits is None else waits[number]
        at = came + waited
        decision = {"estimated_tokens": tokens, "waited_ms": waited * 1000}
        trail.append((at, 1, number, a_request(f"x{number}", at=at, decision=decision)))
        usage = {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens}
        times = {"at": at + lasts, "duration_ms": (waited + lasts) * 1000, "sent_ms": waited * 1000}
        response = a_response(f"x{number}", usage=usage | {"source": "reported"}, **times)
        trail.append((at + lasts, 0, number, response))
    return [record for _, _, _, record in sorted(trail, key=lambda item: item[:3])]


def simulated(trail: list[Any], ceilings: Ceilings, longest_wait: float) -> Simulation:
    waited_seconds = max(waited_seconds_in(line_of(record)) for record in trail)
    simulation = Simulation(ceilings, longest_wait, waited_seconds)
    for record in trail:
        simulation.take(record)
    simulation.finish()
    return simulation


@pytest.mark.parametrize("longest_wait", [8.0, 30.0])
@pytest.mark.parametrize("seed", range(8))
def test_in_a_simulation_calls_wait_as_they_do_in_the_proxys_own_line(
    seed: int, longest_wait: float
) -> None:
    ceilings, calls = random_calls(Random(seed))
    simulation = simulated(trail_of(calls), ceilings, longest_wait)
    lane = simulation.accounts["acme"].waiting
    waits = [wait for wait in InLine(calls, ceilings, longest_wait).waits if wait is not None]
    assert lane.passed == len(waits)
    assert lane.waited == sum(wait > 0 for wait in waits)
    assert lane.longest == max(waits)
    assert lane.refused.total() == len(calls) - len(waits)


@pytest.mark.parametrize("seed", range(8))
def test_of_calls_that_had_waited_a_simulation_tells_what_it_tells_of_them_as_they_came(
    seed: int,
) -> None:
    ceilings, calls = random_calls(Random(seed))
    waits = InLine(calls, ceilings, 1_000.0).waits
    assert any(waits)
    calls = [call._replace(lasts=call.lasts + 0.1) for call in calls]  # none ends as another comes
    had_waited = trail_of(calls, [wait or 0.0 for wait in waits])
    for other in (ceilings, Ceilings(7, 150), Ceilings(12)):
        told = simulated(had_waited, other, 20.0).accounts["acme"]
        as_they_came = simulated(trail_of(calls), other, 20.0).accounts["acme"]
        assert told.at_once.refused == as_they_came.at_once.refused
        assert told.waiting.refused == as_they_came.waiting.refused
        assert told.waiting.wait_seconds == as_they_came.waiting.wait_seconds


def test_a_clock_that_was_set_back_meanwhile_leaves_no_call_open_in_a_simulation() -> None:
    decision = {"waited_ms": 20_000.0}
    trail = [a_request("a", at=0, decision=decision), a_response("a", at=1)]
    trail += [a_request("b", at=5), a_response("b", at=-3_600)]
    trail += [a_request(f"x{number}", at=number - 3_500) for number in range(2)]
    lane = simulated(trail, Ceilings(None, None, 3), 0.0).accounts["acme"].at_once
    assert (lane.passed, lane.refused.total()) == (4, 0)


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        (line_of(a_request(decision={"waited_ms": 1_500.25})), 1.50025),
        (line_of(a_request(body={"waited_ms": 7_000.0})), 0.0),
        (line_of(a_request(decision={"waited_ms": 1e9})), 86_400.0),
        (line_of(a_request(decision={"waited_ms": None})), 0.0),
        (line_of(a_response(message={"waited_ms": 7_000.0})), 0.0),
        (b'{"event":"request","waited_ms":1.2.3}', 0.0),
        (b"no record", 0.0),
    ],
)
def test_how_long_a_call_had_waited_is_read_off_its_line(line: bytes, seconds: float) -> None:
    assert waited_seconds_in(line) == pytest.approx(seconds)


@pytest.mark.parametrize("told", [None, "5", -1.0, 31.0, float("inf"), float("nan"), True])
def test_a_guard_that_is_none_is_taken_for_the_usual_one(told: Any) -> None:
    assert guard_of(a_request(decision={"guard_seconds": told})) == DEFAULT_GUARD_SECONDS
    assert guard_of(a_request()) == DEFAULT_GUARD_SECONDS
    assert guard_of(a_request(decision={"guard_seconds": 30})) == 30


def test_the_guard_is_that_of_the_calls_also_where_the_trail_begins_with_an_end() -> None:
    decision = {"guard_seconds": 5.0}
    trail = [a_response("o", at=-1), a_request("a", decision=decision), a_response("a", at=1)]
    trail += [a_request("b", at=62, decision=decision), a_response("b", at=63)]
    simulation = Simulation(Ceilings(1), 30.0)
    for record in trail:
        simulation.take(record)
    simulation.finish()
    assert dict(simulation.accounts["acme"].at_once.refused) == {"requests": 1}
    assert simulation.accounts["acme"].waiting.longest == pytest.approx(3.01)
