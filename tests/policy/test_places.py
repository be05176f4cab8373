"""When a refused call is told to come back."""

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.allowances import Allowances, Reserved
from foxora_addon.policy.limits import AccountLimiter
from foxora_addon.policy.payers import AccountRules, LimitRules
from foxora_addon.policy.places import KEPT_SECONDS, Caller, Places
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.scopes import Refusal, Scope
from tests.builders import an_exchange
from tests.policy.naive import SPAN


def an_account(*ceilings: int | None) -> tuple[Allowances, Scope]:
    return Allowances(), Scope("acme", "Account 'acme'", Ceilings(*ceilings))


def use(allowances: Allowances, scope: Scope, tokens: int, now: float) -> None:
    held = allowances.admit([scope], tokens, now)
    allowances.mark_sent(held, now)
    allowances.settle(held, tokens, now)


def told(allowances: Allowances, scope: Scope, tokens: int, now: float) -> float:
    """The moment that a refused call is told."""
    answer = allowances.reserve([scope], tokens, now)
    assert isinstance(answer, Refusal), answer
    wait = allowances.in_turn(answer, tokens, now).wait_seconds
    assert wait is not None
    return now + wait


def test_each_is_told_the_moment_of_its_own_place() -> None:
    allowances, scope = an_account(3)
    for moment in (0.0, 1.0, 2.0):
        use(allowances, scope, 0, moment)
    assert [told(allowances, scope, 0, 5.0) for _ in range(3)] == [SPAN, SPAN + 1, SPAN + 2]


def test_each_is_told_when_its_tokens_fit_behind_those_before_it() -> None:
    allowances, scope = an_account(None, 100)
    for moment in (0.0, 1.0, 2.0, 3.0):
        use(allowances, scope, 25, moment)
    assert [told(allowances, scope, 30, 10.0) for _ in range(2)] == [SPAN + 1, SPAN + 2]


def test_a_place_is_forgotten_once_its_moment_has_passed() -> None:
    allowances, scope = an_account(2)
    for moment in (0.0, 1.0):
        use(allowances, scope, 0, moment)
    assert told(allowances, scope, 0, 50.0) == SPAN
    use(allowances, scope, 0, SPAN)
    assert told(allowances, scope, 0, SPAN) == SPAN + 1
    places = allowances.limiter(scope).places
    assert places is not None
    assert len(places) == 1


def test_nobody_is_kept_waiting_for_long_by_those_who_do_not_come_back() -> None:
    allowances, scope = an_account(60)
    for second in range(60):
        use(allowances, scope, 0, float(second))
    assert max(told(allowances, scope, 0, 60.0) for _ in range(500)) == SPAN + 10
    places = allowances.limiter(scope).places
    assert places is not None
    assert len(places) == 11


def test_one_for_whom_there_is_room_is_told_no_more_than_it_is_kept_for_others() -> None:
    allowances, scope = an_account(None, 1_000)
    use(allowances, scope, 500, 0.0)
    allowances.admit([scope], 400, 1.0)  # open from here on
    assert told(allowances, scope, 500, 1.0) == SPAN
    answer = allowances.reserve_in_turn([scope], 200, SPAN, lambda: Caller("b", 2))
    assert isinstance(answer, Refusal)
    assert answer.denied.limit == "kept"
    assert answer.wait_seconds == pytest.approx(KEPT_SECONDS)
    back = SPAN + KEPT_SECONDS + 0.001
    assert isinstance(
        allowances.reserve_in_turn([scope], 200, back, lambda: Caller("b", 2)), Reserved
    )


def test_nobody_is_told_more_than_clients_go_by() -> None:
    allowances, scope = an_account(60)
    for second in range(60):
        use(allowances, scope, 0, second / 10)
    assert max(told(allowances, scope, 0, 6.0) for _ in range(500)) == 6.0 + 59


def test_whoever_comes_back_at_its_moment_in_turn_goes_on() -> None:
    """No second refusal, where before all but one were refused again."""
    allowances, scope = an_account(30)
    for second in range(30):
        use(allowances, scope, 0, float(second))
    moments = [told(allowances, scope, 0, 55.0) for _ in range(9)]
    assert moments == sorted(set(moments))
    for moment in moments:
        answer = allowances.reserve([scope], 0, moment)
        assert isinstance(answer, Reserved)
        allowances.mark_sent(answer, moment)


@pytest.mark.parametrize("count", [2, 5])
def test_after_the_gateways_own_429_each_is_told_its_step_of_the_opening(count: int) -> None:
    allowances, scope = an_account(100)
    allowances.obey("acme", 5.0, 0.0)
    moments = [told(allowances, scope, 0, 0.0) for _ in range(count)]
    assert moments == [5.0, 5.5, 5.5, 6.0, 6.0][:count]


def test_the_refusal_of_a_call_says_it() -> None:
    accounting = Accounting(LimitRules({"acme": AccountRules(Ceilings(2), asks=False)}))
    for moment in (0.0, 1.0):
        exchange = an_exchange(payer="acme")
        assert accounting.reserve(exchange, moment) is None
        accounting.mark_sent(exchange, moment)
    errors = [accounting.reserve(an_exchange(payer="acme"), 5.0) for _ in range(2)]
    assert [error and error.retry_after_seconds for error in errors] == [SPAN - 5, SPAN - 4]


def test_room_that_is_kept_for_one_who_does_not_come_is_another_ones_a_moment_later() -> None:
    accounting = Accounting(LimitRules({"acme": AccountRules(Ceilings(1), asks=False)}))
    first, other = (an_exchange(payer="acme", sent_body=body) for body in (b"first", b"other"))
    spent = an_exchange(payer="acme")
    assert accounting.reserve(spent, 0.0) is None
    accounting.mark_sent(spent, 0.0)
    assert accounting.reserve(first, 1.0) is not None
    error = accounting.reserve(other, SPAN + 0.01)
    assert error is not None
    assert error.message == (
        "Account 'acme' has room only for calls that were refused before and are due now. Please "
        "try again in 0.100s."
    )
    assert accounting.reserve(other, SPAN + 0.11) is None


CALLERS = [Caller(call, port) for call in ("a", "b") for port in (1, 2, None)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.05, 0.5, 2.0, 30.0]),  # the pause before
        st.sampled_from(["refused", "refused", "comes"]),
        st.sampled_from([None, *CALLERS]),
        st.integers(0, 40),  # tokens
    ),
    max_size=60,
)


@given(STEPS)
def test_whoever_comes_in_whatever_order_no_place_is_counted_twice_or_kept_for_ever(
    steps: list[tuple[float, str, Caller | None, int]],
) -> None:
    limiter, places, now = AccountLimiter(Ceilings(20, 100)), Places(), 0.0
    for pause, what, caller, tokens in steps:
        now += pause
        if what == "comes" and caller is not None:
            calls, kept = places.before(lambda caller=caller: caller, now)  # type: ignore[misc]
            assert calls >= 0
            assert kept >= 0
        else:
            first = now + tokens / 10
            told = places.next_for(limiter, tokens, first, now, caller)
            assert first <= told <= max(first + 10.0, now + 59.0)
        assert places._tokens == sum(each.tokens for each in places._to_come)
        assert places._others_tokens == sum(each.tokens for each in places._others)
    places.before(lambda: CALLERS[0], now + 100.0)
    assert not places._to_come
    assert not places._due
    assert not places._others
    assert not places._of_call


# A client that does not wait, among others that do.


class Mix:
    """Clients of one account, in simulated time; by default of 120 requests a minute.

    Obedient ones come back `late` seconds after the moment that they were told, and call again at
    once; a poller asks each `pause` seconds, whatever it is told.
    """

    def __init__(self, *, late: float = 0.005, ceiling: int = 120) -> None:
        self.ceiling = ceiling
        rules = AccountRules(Ceilings(ceiling), asks=False)
        self.accounting = Accounting(LimitRules({"acme": rules}))
        self.late = late
        self.came: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.sent: list[float] = []
        self._ports = count(40_000)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        for number in range(ceiling):  # a minute before them: so room comes evenly, in no burst
            assert not self.ask("before", b"", 0, number * 60.0 / ceiling)

    def ask(self, name: str, body: bytes, port: int, now: float) -> float:
        """Call once; how long the answer says to wait, 0 if it went through."""
        exchange = an_exchange(payer="acme", sent_body=body, client_port=port)
        error = self.accounting.reserve(exchange, now)
        if error is not None:
            self.refused[name] += 1
            assert error.retry_after_seconds is not None
            return error.retry_after_seconds
        self.accounting.mark_sent(exchange, now)
        exchange.was_sent = True
        self.accounting.settle(exchange, None, now)
        self.came[name] += 1
        self.sent.append(now)
        return 0.0

    def obedient(self, name: str, *, body: bytes = b"a call", rounds: bool = False) -> None:
        """One that waits as it is told; `rounds`: by whole seconds, rounded up."""
        port = next(self._ports)

        def come(now: float) -> None:
            wait = self.ask(name, body, port, now)
            wait = ceil(wait) if rounds else wait
            self._at(now + (wait + self.late if wait else 0.01), come)

        self._at(60.0, come)

    def poller(self, pause: float, *, reconnects: bool, varies: bool = False) -> None:
        """`varies`: each of its calls has a body of its own."""
        port, numbers = next(self._ports), count()

        def poll(now: float) -> None:
            body = b"poll %d" % (next(numbers) if varies else 0)
            self.ask("poller", body, next(self._ports) if reconnects else port, now)
            self._at(now + pause, poll)

        self._at(60.0, poll)

    def run(self, seconds: float) -> None:
        while self._events[0][0] < seconds:
            now, _, come = heappop(self._events)
            come(now)

    def _at(self, moment: float, come: Callable[[float], None]) -> None:
        heappush(self._events, (moment, next(self._ports), come))

    def least_share(self, clients: int, *, of: int, until: float) -> float:
        """What that of `clients` obedient ones got who got least, beside an even share `of` all.

        Counted from 90 seconds on, when the beginning is over.
        """
        self.run(90.0)
        self.came.clear()
        self.run(until)
        least = min(self.came[f"obedient {number}"] for number in range(clients))
        return least / (sum(self.came.values()) / of)

    def use(self, begins: float, ends: float) -> float:
        return sum(begins <= moment < ends for moment in self.sent) / (
            self.ceiling / 60 * (ends - begins)
        )

    def places(self) -> int:
        limiter = self.accounting._allowances._limiters["acme"]
        assert limiter.places is not None
        return len(limiter.places)


@pytest.mark.parametrize("pause", [0.002, 0.1])
@pytest.mark.parametrize("late", [0.001, 0.05])
def test_a_client_that_polls_takes_no_more_than_those_that_wait(pause: float, late: float) -> None:
    """It had all of it but for what the others got before it came."""
    mix = Mix(late=late)
    for number in range(6):
        mix.obedient(f"obedient {number}")
    mix.poller(pause, reconnects=False)
    assert mix.least_share(6, of=7, until=240.0) > 0.8
    assert mix.use(90.0, 240.0) >= 0.99


@pytest.mark.parametrize("late", [0.001, 0.05])
def test_one_that_polls_on_a_new_connection_each_time_leaves_the_others_their_turns(
    late: float,
) -> None:
    mix = Mix(late=late)
    for number in range(6):
        mix.obedient(f"obedient {number}", body=b"%d" % number)
    mix.poller(0.01, reconnects=True)
    assert mix.least_share(6, of=7, until=240.0) > 0.3
    assert mix.use(90.0, 240.0) >= 0.99


def test_one_that_polls_with_another_call_each_time_shuts_nobody_out_and_fills_no_memory() -> None:
    mix = Mix()
    for number in range(6):
        mix.obedient(f"obedient {number}", body=b"%d" % number)
    mix.poller(0.01, reconnects=True, varies=True)
    assert mix.least_share(6, of=7, until=210.0) > 0.2
    places = mix.accounting._allowances._limiters["acme"].places
    assert places is not None
    assert len(places._of_call) <= 1_100


def test_a_client_that_goes_by_whole_seconds_is_not_starved_by_one_that_polls() -> None:
    mix = Mix(late=0.9)
    for number in range(6):
        mix.obedient(f"obedient {number}")
    mix.poller(0.005, reconnects=False)
    assert mix.least_share(6, of=7, until=240.0) > 0.6


@pytest.mark.parametrize("reconnects", [True, False])
def test_one_that_polls_alone_gets_all_there_is_and_fills_no_memory(reconnects: bool) -> None:
    mix = Mix()
    mix.poller(0.005, reconnects=reconnects)
    mix.run(240.0)
    assert mix.use(90.0, 240.0) >= 0.985
    assert mix.places() <= 16


def test_more_clients_than_have_room_soon_each_get_their_share() -> None:
    """Each that went on had the next place at once, and those who were told none never had one."""
    mix = Mix()
    for number in range(24):
        mix.obedient(f"obedient {number}", body=b"%d" % number)
    assert mix.least_share(24, of=24, until=330.0) > 0.5
    assert mix.use(90.0, 330.0) >= 0.99


def test_those_that_wait_are_refused_about_once_a_call() -> None:
    mix = Mix(ceiling=600)
    for number in range(64):
        mix.obedient(f"obedient {number}", body=b"%d" % (number % 24))
    mix.run(90.0)
    mix.refused.clear()
    mix.came.clear()
    mix.run(180.0)
    assert sum(mix.refused.values()) < 1.2 * sum(mix.came.values())
    assert mix.use(90.0, 180.0) >= 0.99
