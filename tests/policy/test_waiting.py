"""Each rule of the waiting lines by itself."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.allowances import Allowances, Reserved
from foxora_addon.policy.learned import Charge, charge
from foxora_addon.policy.line import Ticket
from foxora_addon.policy.plans import UNLIMITED, Ceilings
from foxora_addon.policy.scopes import Refusal, Scope, error_of
from foxora_addon.policy.waiting import Bounds, WaitingLines
from tests.policy.naive import SPAN


def a_scope(name: str = "acme", *ceilings: int | None) -> Scope:
    return Scope(name, f"Account '{name}'", Ceilings(*ceilings))


@dataclass
class Account:
    """One account with its line. What is let go is sent at once, and over if it is not kept."""

    scope: Scope
    bounds: Bounds
    allowances: Allowances = field(default_factory=Allowances)
    log: list[tuple[str, float]] = field(default_factory=list)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    open: dict[str, Reserved] = field(default_factory=dict)
    names: dict[Ticket, str] = field(default_factory=dict)
    next_at: float | None = None

    def __post_init__(self) -> None:
        self.lines = WaitingLines(self.allowances, self.bounds)

    def use(self, tokens: int, now: float) -> None:
        held = self.allowances.admit([self.scope], tokens, now)
        self.allowances.settle(held, tokens, now)

    def join(
        self,
        name: str,
        tokens: int,
        now: float,
        *below: Scope,
        arrived_at: float | None = None,
    ) -> Reserved | Refusal | Ticket:
        answer = self.lines.join([self.scope, *below], tokens, now, arrived_at=arrived_at)
        if isinstance(answer, Ticket):
            self.names[answer] = name
            self.wake(now)
        else:
            self.note(name, answer, now)
        return answer

    def join_charged(self, name: str, charged: Charge, now: float) -> None:
        answer = self.lines.join([self.scope], charged.tokens, now, charged)
        assert isinstance(answer, Ticket)
        self.names[answer] = name
        self.wake(now)

    def change(self, now: float, *ceilings: int | None) -> None:
        self.scope = a_scope(self.scope.name, *ceilings)
        self.allowances.enforce([self.scope], now)
        self.wake(now)

    def wake(self, now: float) -> None:
        called = self.lines.wake(self.scope.name, now)
        self.next_at = called.next_at
        for ended in called.ended:
            self.note(self.names.pop(ended.ticket), ended.answer, now)

    def note(self, name: str, answer: Reserved | Refusal, now: float) -> None:
        if isinstance(answer, Refusal):
            self.refusals[name] = answer
            return
        self.log.append((name, now))
        self.open[name] = answer
        self.allowances.mark_sent(answer, now)

    def settle(self, name: str, tokens: int, now: float) -> None:
        self.allowances.settle(self.open.pop(name), tokens, now)
        self.wake(now)

    def run(self) -> None:
        """Let time pass from one named moment to the next until none is."""
        for _ in range(10_000):
            if self.next_at is None:
                return
            self.wake(self.next_at)
        raise AssertionError("it never ends")


def an_account(*ceilings: int | None, bounds: Bounds | None = None) -> Account:
    return Account(a_scope("acme", *ceilings), bounds or Bounds(1_000, 90.0))


class TestTheOrder:
    def test_is_that_of_coming_at_the_moments_at_which_room_comes(self) -> None:
        account = an_account(3)
        for moment in (0.0, 1.0, 2.0):
            account.use(0, moment)
        for number in range(5):
            account.join(f"{number}", 0, 3.0 + number)
        account.run()
        assert account.log == [("0", SPAN), ("1", SPAN + 1), ("2", SPAN + 2)]
        assert set(account.refusals) == {"3", "4"}

    def test_is_kept_by_who_would_fit_but_came_later(self) -> None:
        account = an_account(None, 100)
        account.use(100, 0.0)
        account.join("first", 60, 1.0)
        account.join("second", 50, 1.0)
        account.wake(SPAN)
        assert account.log == [("first", SPAN)]

    def test_is_changed_for_one_that_costs_the_first_nothing(self) -> None:
        account = an_account(None, 100)
        account.use(80, 0.0)
        account.join("large", 70, 1.0)
        account.join("small", 20, 1.0)
        account.join("too much", 31, 1.0)
        assert account.log == [("small", 1.0)]
        account.run()
        assert account.log[1] == ("large", SPAN)

    def test_is_changed_for_small_ones_that_take_no_more_than_is_left_free(self) -> None:
        account = an_account(None, 100)
        for second in range(60):
            account.use(1, float(second))
        account.join("large", 60, 60.0)  # it lacks 20
        for number in range(25):
            account.join(f"small {number}", 1, 60.0)
        assert len(account.log) == 20  # of 40 that are free
        account.wake(1 + SPAN)
        assert len(account.log) == 21  # of 42
        account.run()
        went = [name for name, _ in account.log]
        assert went[:25] == [f"small {number}" for number in range(25)]
        assert account.log[25] == ("large", 44.0 + SPAN)  # when its 20 and their 25 were free

    def test_is_not_changed_where_the_first_would_miss_its_time(self) -> None:
        account = an_account(None, 100, bounds=Bounds(1_000, 59.0))
        for second in range(60):
            account.use(1, float(second))
        account.join("large", 100, 60.25)  # in time at the last moment
        account.join("small", 1, 60.25)
        assert account.log == []
        account.run()
        assert account.log[0] == ("large", 59.0 + SPAN)

    def test_lets_calls_without_tokens_pass_one_that_lacks_tokens_only(self) -> None:
        account = an_account(3, 100)
        account.join("open", 100, 0.0)
        account.join("large", 50, 1.0)
        account.join("list", 0, 1.0)
        account.join("another", 0, 1.0)  # the third request is the large one's
        assert [name for name, _ in account.log] == ["open", "list"]

    def test_knows_no_way_past_one_that_lacks_a_request(self) -> None:
        account = an_account(1, 100)
        account.use(0, 0.0)
        account.join("large", 100, 1.0)
        account.join("small", 0, 1.0)
        account.run()
        assert account.log == [("large", SPAN)]


class TestCeilingsBelowTheAccount:
    def test_keep_out_none_but_their_own(self) -> None:
        account, mini = an_account(10), a_scope("acme mini", 1)
        account.join("1", 0, 0.0, mini)
        account.join("2", 0, 1.0, mini)
        account.join("3", 0, 2.0, mini)
        account.join("4", 0, 3.0, a_scope("acme large", 5))
        account.join("5", 0, 3.0)
        assert [name for name, _ in account.log] == ["1", "4", "5"]
        account.run()
        assert account.log[3] == ("2", SPAN)

    def test_are_held_for_who_came_first_across_clients_of_one_model(self) -> None:
        account, mini = an_account(10), a_scope("acme mini", None, 100)
        keys = [a_scope(f"acme client key:{n}", 5) for n in range(2)]
        account.join("1", 90, 0.0, mini, keys[0])
        account.join("2", 90, 1.0, mini, keys[0])
        account.join("3", 9, 1.0, mini, keys[1])
        account.settle("1", 90, 2.0)
        assert [name for name, _ in account.log] == ["1", "3"]  # which costs the second nothing
        account.join("4", 1, 2.0, mini, keys[1])
        account.run()
        assert [name for name, _ in account.log] == ["1", "3", "4", "2"]

    def test_end_a_claim_on_the_account_once_they_alone_keep_out(self) -> None:
        account, mini = an_account(None, 100), a_scope("acme mini", None, 40)
        account.use(60, 0.0)
        account.join("used", 30, 10.0, mini)
        account.settle("used", 30, 10.0)
        account.join("mini", 40, 20.0, mini)  # until SPAN kept out by both, then by its own alone
        account.join("other", 70, 20.0)
        assert account.next_at == SPAN
        account.wake(SPAN)
        assert account.log[1:] == [("other", SPAN)]


class TestRoomThatComesEarlier:
    def test_is_used_at_once_when_an_exchange_gives_back(self) -> None:
        account = an_account(None, 100)
        account.join("1", 100, 0.0)
        account.join("2", 80, 1.0)
        assert account.next_at == 91.0  # nothing but its deadline is known
        account.settle("1", 20, 5.0)
        assert account.log == [("1", 0.0), ("2", 5.0)]

    def test_is_used_at_once_when_a_ceiling_is_raised(self) -> None:
        account = an_account(1)
        account.use(0, 0.0)
        account.join("1", 0, 1.0)
        account.allowances.enforce([a_scope("acme", 2)], 2.0)
        account.wake(2.0)
        assert account.log == [("1", 2.0)]

    def test_is_used_at_once_when_who_is_before_leaves(self) -> None:
        account = an_account(None, 100)
        account.use(50, 0.0)
        large = account.join("large", 100, 1.0)
        account.join("small", 40, 1.0)
        assert isinstance(large, Ticket)
        assert account.lines.leave(large)
        account.wake(2.0)
        assert account.log == [("small", 2.0)]


class TestLeaving:
    def test_takes_nothing_with_it_and_leaves_nothing_behind(self) -> None:
        account = an_account(1)
        account.use(0, 0.0)
        tickets = [account.join(f"{n}", 5, 1.0) for n in range(4)]
        for ticket in tickets:
            assert isinstance(ticket, Ticket)
            assert account.lines.leave(ticket)
            assert not account.lines.leave(ticket)
        assert account.lines.waiting("acme") == 0
        assert account.lines.wake("acme", 2.0).next_at is None
        assert account.allowances.limiter(account.scope).is_idle(SPAN)

    def test_is_too_late_once_the_wait_is_over(self) -> None:
        account = an_account(1)
        account.use(0, 0.0)
        ticket = account.join("1", 0, 1.0)
        assert isinstance(ticket, Ticket)
        account.wake(SPAN)
        assert not account.lines.leave(ticket)


class TestTheBoundOfTime:
    def test_refuses_at_once_what_can_not_go_in_time(self) -> None:
        account = an_account(1, bounds=Bounds(10, 30.0))
        account.use(0, 0.0)
        account.join("early", 0, 30.0)
        assert account.refusals["early"].wait_seconds == SPAN - 30.0
        account.join("in time", 0, 31.0)
        assert account.lines.waiting("acme") == 1

    def test_is_that_of_the_whole_call_where_that_comes_first(self) -> None:
        account = an_account(1, bounds=Bounds(10, 90.0, 30.0))
        account.use(0, 0.0)
        account.join("just come", 0, SPAN - 30.5)
        account.join("came in slowly", 0, SPAN - 20.0, arrived_at=SPAN - 30.5)
        account.join("in time", 0, SPAN - 20.0, arrived_at=SPAN - 25.0)
        assert set(account.refusals) == {"just come", "came in slowly"}
        account.run()
        assert account.log == [("in time", SPAN)]

    def test_goes_on_from_when_a_call_arrived_while_it_waits(self) -> None:
        account = an_account(None, 100, bounds=Bounds(10, 90.0, 30.0))
        account.join("1", 100, 0.0)
        account.join("2", 50, 5.0, arrived_at=2.0)
        assert account.next_at == 32.0
        account.run()
        assert set(account.refusals) == {"2"}

    def test_refuses_at_once_what_can_never_fit(self) -> None:
        account = an_account(None, 10)
        account.join("huge", 11, 0.0)
        assert error_of(account.refusals["huge"]).should_retry is False

    def test_refuses_at_its_end_with_the_same_words_as_without_a_wait(self) -> None:
        account = an_account(None, 100, bounds=Bounds(10, 30.0))
        account.join("1", 100, 0.0)
        account.join("2", 50, 5.0)
        assert account.next_at == 35.0
        account.wake(34.0)
        assert account.refusals == {}
        account.wake(35.0)
        refusal = account.refusals["2"]
        assert refusal == account.allowances.refusal([account.scope], 50, 35.0)

    def test_lets_go_whom_room_comes_for_at_that_very_moment(self) -> None:
        account = an_account(1, bounds=Bounds(10, 30.0))
        account.use(0, 0.0)
        account.join("1", 0, SPAN - 30.0)
        account.run()
        assert account.log == [("1", SPAN)]

    def test_tells_one_that_would_fit_that_others_were_before(self) -> None:
        account = an_account(None, 100, bounds=Bounds(10, 30.0))
        account.join("open", 50, 0.0)
        account.join("large", 80, 0.0)
        account.join("middle", 40, 0.0)
        account.run()
        refusal = account.refusals["middle"]
        assert (refusal.denied.limit, refusal.wait_seconds) == ("turn", 1.0)

    def test_ends_for_all_at_once_when_the_gateway_closes_for_longer(self) -> None:
        account = an_account(1, bounds=Bounds(10, 90.0))
        account.use(0, 0.0)
        for number in range(5):
            account.join(f"{number}", 0, 1.0)
        account.allowances.obey("acme", 120.0, 2.0)
        account.wake(2.0)
        assert len(account.refusals) == 5
        assert {refusal.wait_seconds for refusal in account.refusals.values()} == {120.0}

    def test_holds_for_those_who_come_after_it_was_changed_but_not_before_their_elders(
        self,
    ) -> None:
        account = an_account(None, 10, bounds=Bounds(10, 30.0))
        account.join("open", 10, 0.0)
        account.join("1", 10, 0.0)
        account.lines.bounds = Bounds(10, 5.0)
        account.join("2", 10, 1.0)
        account.wake(29.0)
        assert account.refusals == {}
        account.wake(30.0)
        assert set(account.refusals) == {"1", "2"}

    def test_that_was_lowered_holds_at_once_where_nobody_waits_any_more(self) -> None:
        account = an_account(1, bounds=Bounds(10, 300.0))
        account.use(0, 0.0)
        ticket = account.join("left", 0, 1.0)
        assert isinstance(ticket, Ticket)
        account.lines.leave(ticket)
        account.lines.bounds = Bounds(10, 2.0)
        assert isinstance(account.join("late", 0, 10.0), Refusal)

    def test_is_that_of_their_elders_for_those_whose_lines_become_one(self) -> None:
        lines = WaitingLines(Allowances(), Bounds(10, 90.0))
        for name, max_wait in (("other", 90.0), ("acme", 5.0)):
            lines.bounds = Bounds(10, max_wait)
            lines.join([a_scope(name, None, None, 1)], 0, 0.0)
            assert isinstance(lines.join([a_scope(name, None, None, 1)], 0, 0.0), Ticket)
        lines.unify("acme", "other", 1.0)
        assert lines.wake("acme", 89.0).ended == []
        assert len(lines.wake("acme", 90.0).ended) == 2


class TestTheBoundOfLength:
    def test_refuses_with_the_wait_of_the_last_in_line(self) -> None:
        account = an_account(2, bounds=Bounds(2, 90.0))
        account.use(0, 0.0)
        account.use(0, 10.0)
        for name in ("1", "2", "3"):
            account.join(name, 0, 20.0)
        refusal = account.refusals["3"]
        assert (refusal.denied.limit, refusal.denied.used) == ("waiting", 2)
        assert refusal.wait_seconds == 10.0 + SPAN - 20.0

    def test_tells_no_longer_wait_than_the_last_may_have(self) -> None:
        account = an_account(1, bounds=Bounds(3, 70.0))
        account.use(0, 0.0)
        for name in ("1", "2", "3", "4"):
            account.join(name, 0, 20.0)
        assert account.refusals["4"].wait_seconds == 70.0

    def test_of_none_is_no_line(self) -> None:
        account = an_account(1, bounds=Bounds(0, 90.0))
        account.use(0, 0.0)
        account.join("1", 0, 1.0)
        assert account.refusals["1"].denied.limit == "requests"

    def test_is_each_accounts_own(self) -> None:
        lines = WaitingLines(Allowances(), Bounds(1, 90.0))
        for name in ("a", "b"):
            assert isinstance(lines.join([a_scope(name, 1)], 0, 0.0), Reserved)
            assert isinstance(lines.join([a_scope(name, 1)], 0, 0.0), Ticket)
        assert isinstance(lines.join([a_scope("b", 1)], 0, 0.0), Refusal)


def test_nobody_is_let_in_before_those_who_wait() -> None:
    account = an_account(1)
    account.use(0, 0.0)
    account.join("1", 0, 1.0)
    account.join("late", 0, SPAN)  # its moment has come, and nobody has woken the line yet
    assert account.log == [("1", SPAN)]


def test_after_the_machine_has_slept_one_ceiling_goes_and_the_rest_is_refused() -> None:
    account = an_account(3)
    for _ in range(3):
        account.use(0, 0.0)
    for number in range(10):
        account.join(f"{number}", 0, 1.0)
    account.wake(10_000.0)
    assert [name for name, _ in account.log] == ["0", "1", "2"]
    assert len(account.refusals) == 7


def test_a_clock_that_goes_back_lets_nobody_go_early_and_locks_nobody_out() -> None:
    account = an_account(1)
    account.use(0, 100.0)
    account.join("1", 0, 50.0)
    assert account.next_at == 100.0 + SPAN
    account.wake(60.0)
    assert account.log == []
    account.run()
    assert account.log == [("1", 100.0 + SPAN)]


def test_a_call_that_waits_asks_for_no_more_than_it_would_if_it_came_under_the_new_ceiling() -> (
    None
):
    account = an_account(None, 1_000)
    account.use(1_000, 0.0)
    account.join_charged("capped", charge(100, 800, 0, 1_000), 1.0)
    account.change(1.5, None, 500)
    assert account.refusals == {}
    account.run()
    assert account.log == [("capped", SPAN)]
    assert account.allowances.limiter(account.scope).used(SPAN).tokens == 500


def test_a_call_that_waits_asks_for_all_of_it_again_under_a_higher_ceiling() -> None:
    account = an_account(None, 500)
    account.use(500, 0.0)
    account.join_charged("capped", charge(100, 800, 0, 500), 1.0)
    account.change(1.5, None, 1_000)
    account.run()
    assert account.allowances.limiter(account.scope).used(SPAN).tokens == 900


def test_a_call_that_waits_and_can_never_fit_any_more_is_told_that_the_ceiling_was_changed() -> (
    None
):
    account = an_account(None, 1_000)
    account.use(1_000, 0.0)
    account.join_charged("long", charge(600, None, 100, 1_000), 1.0)
    account.join_charged("short", charge(300, None, 100, 1_000), 1.0)
    account.change(1.5, None, 500)
    assert error_of(account.refusals["long"]).message.startswith(
        "The call needs 600 tokens, and account 'acme' has a ceiling of 500 tokens per minute, "
        "changed while the call waited, so it can never fit."
    )
    account.run()
    assert account.log == [("short", SPAN)]


def test_a_call_that_can_never_fit_any_more_is_told_at_once_though_others_claim_the_room() -> None:
    account = an_account(None, 1_000)
    account.use(1_000, 0.0)
    account.join_charged("capped", charge(100, 5_000, 0, 1_000), 1.0)
    account.join_charged("long", charge(600, None, 100, 1_000), 1.0)
    account.change(1.5, None, 500)
    assert list(account.refusals) == ["long"]
    account.run()
    assert account.log == [("capped", SPAN)]


def test_a_call_that_comes_and_can_never_fit_is_told_of_no_change() -> None:
    refusal = an_account(None, 100).join("large", 101, 0.0)
    assert isinstance(refusal, Refusal)
    assert "changed" not in error_of(refusal).message


def test_a_lower_ceiling_ends_the_wait_of_what_can_no_longer_fit() -> None:
    account = an_account(None, 100)
    account.join("open", 100, 0.0)
    account.join("1", 60, 1.0)
    account.allowances.enforce([a_scope("acme", None, 50)], 2.0)
    account.wake(2.0)
    assert account.refusals["1"].wait_seconds is None


def test_two_lines_become_one_in_the_order_of_coming() -> None:
    allowances = Allowances()
    lines = WaitingLines(allowances, Bounds(10, 90.0))
    kept, other = a_scope("acme", 2), a_scope("key:ab", 2)
    for now, scope in ((0.0, kept), (0.5, kept), (1.0, other), (1.5, other)):
        allowances.settle(allowances.admit([scope], 0, now), 0, now)
    tickets = [lines.join([scope], 0, 2.0) for scope in (other, kept, other, kept)]
    lines.unify("acme", "key:ab", 3.0)
    lines.unify("acme", "key:ab", 3.0)
    assert (lines.waiting("acme"), lines.waiting("key:ab")) == (4, 4)

    gone = []
    called = lines.wake("key:ab", 3.0)
    while called.next_at is not None:
        now = called.next_at
        called = lines.wake("acme", now)
        gone += [
            (ended.ticket, now) for ended in called.ended if isinstance(ended.answer, Reserved)
        ]
    # Four count: two must expire before one may go.
    assert gone == [(tickets[0], 1.0 + SPAN), (tickets[1], 1.5 + SPAN)]


@pytest.mark.parametrize("is_kept_waiting", [True, False])
def test_a_line_moves_to_the_name_that_is_kept(is_kept_waiting: bool) -> None:
    lines = WaitingLines(Allowances(), Bounds(10, 90.0))
    waiting = "acme" if is_kept_waiting else "key:ab"
    lines.join([a_scope(waiting, 1)], 0, 0.0)
    ticket = lines.join([a_scope(waiting, 1)], 0, 0.0)
    lines.unify("acme", "key:ab", 1.0)
    assert isinstance(ticket, Ticket)
    assert lines.leave(ticket)
    assert lines.waiting("acme") == 0


@given(st.lists(st.integers(0, 100), min_size=1, max_size=60), st.integers(1, 8))
def test_less_overtakes_a_call_at_its_cost_than_it_asked_for(
    sizes: list[int], ceiling: int
) -> None:
    account = an_account(ceiling, 100)
    tickets = []
    for number, size in enumerate(sizes):
        now = number * 0.75
        tickets.append(account.join(f"{number}", size, now))
        if number % 3 == 2 and account.open:
            account.settle(min(account.open), size // 2, now)
    account.run()
    waited = [ticket for ticket in tickets if isinstance(ticket, Ticket)]
    assert all(ticket.overtaken_by <= max(ticket.tokens - 1, 0) for ticket in waited)
    assert len(account.log) + len(account.refusals) == len(sizes)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=40), st.integers(1, 5))
def test_equal_calls_go_in_the_order_of_coming(pauses: list[float], ceiling: int) -> None:
    account, now = an_account(ceiling, 10), 0.0
    for number, pause in enumerate(pauses):
        now += pause
        while account.next_at is not None and account.next_at <= now:
            account.wake(account.next_at)
        account.join(f"{number:02}", 2, now)
        if len(account.open) > 1:
            account.settle(min(account.open), 2, now)
    account.run()
    assert [name for name, _ in account.log] == sorted(name for name, _ in account.log)


def test_a_call_that_need_not_wait_has_no_ticket() -> None:
    lines = WaitingLines(Allowances(), Bounds(10, 90.0))
    assert isinstance(lines.join([Scope("acme", "", UNLIMITED)], 10**9, 0.0), Reserved)
    assert lines.wake("acme", 0.0).next_at is None
