"""Scopes beside the naive model, and each rule of the allowances by itself."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxora_addon.api.ratelimit_headers import Allowance, Balance
from foxora_addon.policy.allowances import Allowances, Reserved
from foxora_addon.policy.limit_hold import LONGEST_HOLD_SECONDS
from foxora_addon.policy.plans import UNLIMITED, Ceilings
from foxora_addon.policy.remembered import Closing
from foxora_addon.policy.scopes import Refusal, Scope
from tests.policy.naive import SPAN, Naive, NaiveCall, most_in_a_minute, or_infinite


def a_scope(name: str = "acme", *ceilings: int | None) -> Scope:
    return Scope(name, f"Account '{name}'", Ceilings(*ceilings))


def held(allowances: Allowances, scopes: list[Scope], tokens: int, now: float) -> Reserved:
    answer = allowances.reserve(scopes, tokens, now)
    assert isinstance(answer, Reserved), answer
    return answer


def refused(allowances: Allowances, scopes: list[Scope], tokens: int, now: float) -> Refusal:
    answer = allowances.reserve(scopes, tokens, now)
    assert isinstance(answer, Refusal)
    return answer


def done(allowances: Allowances, scopes: list[Scope], tokens: int, now: float) -> None:
    """One exchange that is sent and over at once."""
    reservation = held(allowances, scopes, tokens, now)
    allowances.mark_sent(reservation, now)
    allowances.settle(reservation, tokens, now)


class TestScopes:
    def test_are_taken_together_or_not_at_all(self) -> None:
        allowances, account = Allowances(), a_scope("acme", 5, 100)
        mini = a_scope("acme model mini", 1, 30)
        done(allowances, [account, mini], 30, 0.0)
        before = allowances.balance([account], 0.0)

        refusal = refused(allowances, [account, mini], 10, 0.0)

        assert (refusal.scope, refusal.wait_seconds) == (mini, SPAN)
        assert allowances.balance([account], 0.0) == before
        done(allowances, [account, a_scope("acme model large", 1)], 70, 0.0)

    def test_name_the_one_that_keeps_out_longest(self) -> None:
        allowances, account = Allowances(), a_scope("acme", 1)
        done(allowances, [a_scope("acme client key:ab", 1)], 0, 0.0)
        done(allowances, [account], 0, 10.0)

        both = [account, a_scope("acme client key:ab", 1)]
        assert refused(allowances, both, 0, 20.0).scope is account

    def test_tell_no_exact_moment_where_any_of_them_awaits_an_end(self) -> None:
        allowances, account = Allowances(), a_scope("acme", 1)
        mini = a_scope("acme model mini", None, None, 1)
        allowances.mark_sent(held(allowances, [account, mini], 0, 0.0), 0.0)
        refusal = refused(allowances, [account, mini], 0, 1.0)
        assert (refusal.scope, refusal.denied.awaits_end) == (account, True)

    def test_that_lack_tokens_tell_none_either(self) -> None:
        allowances, account = Allowances(), a_scope("acme")
        mini = a_scope("acme model mini", None, 50)
        allowances.mark_sent(held(allowances, [mini], 50, 0.0), 0.0)
        allowances.obey("acme", 300.0, 10.0)
        refusal = allowances.no_room([account, mini], 10, 20.0)
        assert refusal is not None
        assert (refusal.scope, refusal.denied.awaits_end) == (account, True)

    def test_that_can_never_fit_outlast_any_wait(self) -> None:
        allowances, account = Allowances(), a_scope("acme", 1)
        done(allowances, [account], 0, 0.0)

        small = a_scope("acme model mini", None, 10)
        refusal = refused(allowances, [account, small], 11, 0.0)
        assert (refusal.scope, refusal.wait_seconds) == (small, None)

    def test_have_the_balance_of_the_tightest(self) -> None:
        allowances, account = Allowances(), a_scope("acme", 10, 100)
        mini = a_scope("acme model mini", 3, 1_000)
        done(allowances, [account, mini], 40, 0.0)

        left = Balance(Allowance(3, 2, SPAN), Allowance(100, 60, SPAN))
        assert allowances.balance([account, mini], 0.0) == left

    def test_that_mean_the_same_are_charged_once(self) -> None:
        allowances = Allowances()
        both = [a_scope("acme", 2), a_scope("key:ab", 2)]
        allowances.unify("acme", "key:ab", 0.0)
        done(allowances, both, 0, 0.0)
        done(allowances, both, 0, 0.0)
        refused(allowances, both, 0, 0.0)

    def test_get_other_ceilings_with_any_call(self) -> None:
        allowances = Allowances()
        done(allowances, [a_scope("acme", 1)], 0, 0.0)
        done(allowances, [a_scope("acme", 2)], 0, 0.0)
        refused(allowances, [a_scope("acme", 1)], 0, 0.0)

    def test_get_other_ceilings_without_a_call(self) -> None:
        allowances = Allowances()
        allowances.enforce([a_scope("acme", 7)], 0.0)
        assert allowances.limiter(a_scope()).ceilings == Ceilings(7)

    def test_that_come_anew_as_they_were_change_nothing_and_are_known_at_a_glance(self) -> None:
        allowances, anew = Allowances(), a_scope("acme", 7)
        allowances.enforce([a_scope("acme", 7)], 0.0)
        before = allowances.changes
        allowances.enforce([anew], 0.0)
        assert allowances.changes == before
        assert allowances.limiter(anew).ceilings is anew.ceilings


@pytest.mark.parametrize("order", [("acme", "key k"), ("key k", "acme")])
def test_of_twins_that_the_gateway_closed_the_longer_time_is_told(order: tuple[str, str]) -> None:
    closings = {"acme": Closing(0.0, 3_000.0), "key k": Closing(0.0, 5.0)}
    allowances = Allowances()
    for name in order:
        allowances.close(name, closings[name], 0.0)
    allowances.unify("acme", "key k", 1.0)
    assert allowances.closed(2.0) == {"acme": Closing(0.0, 3_000.0)}


def test_whoever_goes_on_for_one_that_left_stays_closed_for_the_longer_of_both() -> None:
    allowances = Allowances()
    allowances.close("id usr_1", Closing(0.0, 500.0), 0.0)
    allowances.close("acme", Closing(0.0, 50.0), 0.0)
    allowances.part("acme", "id usr_1", 1.0)
    assert allowances.closed(2.0) == {"id usr_1": Closing(0.0, 500.0)}


def test_a_closing_is_told_for_no_longer_than_it_holds() -> None:
    allowances = Allowances()
    allowances.obey("acme", 1e9, 10.0)
    assert allowances.closed(20.0) == {"acme": Closing(10.0, 10.0 + LONGEST_HOLD_SECONDS)}
    assert allowances.closed(10.0 + LONGEST_HOLD_SECONDS) == {}


def test_shadow_mode_takes_what_would_have_been_refused() -> None:
    allowances, scopes = Allowances(), [a_scope("acme", 1)]
    for now in (0.0, 1.0):
        allowances.settle(allowances.admit(scopes, 0, now), 0, now)
    refusal = allowances.refusal(scopes, 0, 2.0)
    assert refusal is not None
    assert (refusal.denied.used, refusal.denied.opens_at) == (2, 1.0 + SPAN)


@pytest.mark.parametrize("end", ["settle", "release"])
def test_a_second_end_changes_nothing_even_when_all_is_forgotten(end: str) -> None:
    allowances, scopes = Allowances(), [a_scope("acme", 5, 100)]
    reservation = held(allowances, scopes, 10, 0.0)
    allowances.settle(reservation, 10, 0.0)
    for now in (1.0, 1_000.0):
        before = allowances.balance(scopes, now)
        if end == "settle":
            allowances.settle(reservation, 99, now)
        else:
            allowances.release(reservation, now)
        allowances.mark_sent(reservation, now)
        assert allowances.balance(scopes, now) == before
        allowances.forget_idle(now + 1_000)


def test_the_gateways_429_closes_an_account_and_not_what_is_below_it() -> None:
    allowances, account, mini = Allowances(), a_scope("acme"), a_scope("acme model mini")
    allowances.obey("acme", 90.5, 0.0)
    refusal = refused(allowances, [account, mini], 0, 1.0)
    assert (refusal.scope, refusal.denied.limit, refusal.wait_seconds) == (account, "gateway", 89.5)


def test_a_clock_that_goes_back_stands_still_also_for_what_was_not_there() -> None:
    allowances = Allowances()
    done(allowances, [a_scope("acme", 1)], 0, 1_000.0)
    done(allowances, [a_scope("other", 1)], 0, 5.0)
    assert refused(allowances, [a_scope("other", 1)], 0, 6.0).denied.opens_at == 1_000.0 + SPAN


class TestTwoNamesOfOneAccount:
    def test_share_what_counts_and_what_is_open(self) -> None:
        allowances, kept, other = Allowances(), a_scope("acme", 4, 100), a_scope("key:ab", 4, 100)
        done(allowances, [kept], 10, 0.0)
        done(allowances, [other], 20, 5.0)
        first = held(allowances, [kept], 30, 6.0)
        second = held(allowances, [other], 40, 6.0)
        allowances.unify("acme", "key:ab", 10.0)

        for scope in (kept, other):
            assert refused(allowances, [scope], 1, 10.0).denied.used in {4, 100}
        allowances.release(second, 11.0)
        allowances.settle(first, 5, 11.0)
        # 10 + 20 + 5 tokens and 3 requests are left of both together
        assert allowances.balance([other], 11.0) == Balance(
            Allowance(4, 1, SPAN), Allowance(100, 65, SPAN)
        )

    def test_share_a_hold(self) -> None:
        allowances = Allowances()
        allowances.obey("key:ab", 30.0, 0.0)
        allowances.unify("acme", "key:ab", 1.0)
        assert refused(allowances, [a_scope("acme")], 0, 1.0).wait_seconds == 29.0

    def test_are_unified_once_and_in_any_order(self) -> None:
        allowances = Allowances()
        for kept, other in (("a", "b"), ("b", "c"), ("c", "a"), ("a", "b"), ("a", "a")):
            allowances.unify(kept, other, 0.0)
        done(allowances, [a_scope("c", 1)], 0, 0.0)
        for name in "abc":
            refused(allowances, [a_scope(name, 1)], 0, 0.0)
        assert len(allowances) == 1

    def test_stay_one_after_all_was_forgotten(self) -> None:
        allowances = Allowances()
        done(allowances, [a_scope("key:ab", 1)], 0, 0.0)
        allowances.unify("acme", "key:ab", 0.0)
        allowances.forget_idle(100.0)
        assert len(allowances) == 0
        done(allowances, [a_scope("key:ab", 1)], 0, 100.0)
        refused(allowances, [a_scope("acme", 1)], 0, 100.0)

    def test_are_remembered_up_to_a_bound_and_while_anything_counts(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("foxora_addon.policy.allowances._MOST_TWINS", 8)
        allowances = Allowances()
        done(allowances, [a_scope("key:0", 1)], 0, 0.0)
        allowances.unify("account 0", "key:0", 0.0)
        for number in range(1, 100):
            allowances.unify(f"account {number}", f"key:{number}", 1.0)

        known = [n for n in range(100) if allowances.name_of(f"key:{n}") != f"key:{n}"]
        assert len(known) <= 9
        assert 0 in known
        refused(allowances, [a_scope("key:0", 1)], 0, 1.0)


class TestWhatIsIdle:
    def test_is_forgotten_and_what_counts_is_not(self) -> None:
        allowances = Allowances()
        for number in range(500):
            done(allowances, [a_scope(f"key:{number}", 5)], 1, 0.0)
        open_one = held(allowances, [a_scope("open")], 1, 0.0)
        allowances.obey("held", 300.0, 0.0)
        done(allowances, [a_scope("late", 1)], 1, 30.0)
        for _ in range(30):
            allowances.forget_idle(SPAN)

        assert len(allowances) == 3
        refused(allowances, [a_scope("late", 1)], 0, SPAN)
        refused(allowances, [a_scope("held")], 0, SPAN)
        allowances.settle(open_one, 7, SPAN)
        tokens = allowances.balance([a_scope("open", 1, 10)], SPAN).tokens
        assert tokens is None or tokens.remaining == 3

    def test_is_looked_at_a_little_at_a_time(self) -> None:
        allowances = Allowances()
        for number in range(30_000):
            allowances.limiter(a_scope(f"key:{number}"))
        before = len(allowances)
        allowances.forget_idle(1.0)
        assert 0 < before - len(allowances) <= 1_100
        for _ in range(40):
            allowances.forget_idle(1.0)
        assert len(allowances) < 100

    def test_that_was_refused_leaves_nothing_behind(self) -> None:
        allowances = Allowances()
        refused(allowances, [a_scope("unknown", None, 5)], 6, 0.0)
        allowances.forget_idle(0.0)
        assert len(allowances) == 0

    def test_stays_while_somebody_waits_for_it(self) -> None:
        allowances = Allowances()
        allowances.limiter(a_scope()).waiting += 1
        allowances.forget_idle(0.0)
        assert len(allowances) == 1


NAMES = ("acme", "key:ab", "other")
MODELS = ("", " mini", " large")
CEILINGS = st.builds(
    Ceilings,
    st.none() | st.integers(1, 4),
    st.none() | st.integers(1, 100),
    st.none() | st.integers(1, 3),
)
PAUSES = st.sampled_from([0.0, 0.0, 0.25, 1.0, 19.75, 59.75, 60.0, SPAN, 100.0, -5.0])
STEPS = st.lists(
    st.tuples(
        PAUSES,
        st.sampled_from(
            ["reserve"] * 5 + ["send", "settle", "settle", "release", "unify", "obey", "enforce"]
        ),
        st.integers(0, 8),  # which name, model, or open call
        st.integers(0, 110),  # tokens
        CEILINGS,
    ),
    min_size=1,
    max_size=40,
)


@dataclass
class Played:
    """Both, side by side."""

    allowances: Allowances = field(default_factory=Allowances)
    naive: Naive = field(default_factory=Naive)
    open: list[tuple[Reserved, NaiveCall]] = field(default_factory=list)
    behind: float = 0.0  # how far the allowances' clock has gone back

    def scopes(self, which: int) -> list[Scope]:
        account, model = NAMES[which % 3], MODELS[which // 3 % 3]
        names = [account, account + model] if model else [account]
        return [Scope(name, name, self.naive_ceilings(name)) for name in names]

    def naive_ceilings(self, name: str) -> Ceilings:
        return self.naive.ceilings.get(self.naive.root(name), UNLIMITED)

    def step(self, name: str, which: int, tokens: int, ceilings: Ceilings, now: float) -> None:
        if name == "reserve":
            self.reserve(self.scopes(which), tokens, now)
        elif name == "unify":
            for model in MODELS:
                self.allowances.unify(
                    NAMES[0] + model, NAMES[1 + which % 2] + model, now - self.behind
                )
                self.naive.unify(NAMES[0] + model, NAMES[1 + which % 2] + model)
        elif name == "obey":
            self.allowances.obey(NAMES[which % 3], float(tokens), now - self.behind)
            self.naive.obey(NAMES[which % 3], float(tokens), now)
        elif name == "enforce":
            scope = Scope(self.scopes(which)[-1].name, "", ceilings)
            self.allowances.enforce([scope], now - self.behind)
            self.naive.enforce([scope])
        elif self.open:
            self.end(name, which, tokens, now)

    def reserve(self, scopes: list[Scope], tokens: int, now: float) -> None:
        answer = self.allowances.reserve(scopes, tokens, now - self.behind)
        assert isinstance(answer, Reserved) is self.naive.fits(scopes, tokens, now)
        if isinstance(answer, Reserved):
            self.open.append((answer, self.naive.admit(scopes, tokens, now)))
        elif not answer.denied.awaits_end:
            opens_at = self.naive.opens_at(scopes, tokens, now)
            assert or_infinite_moment(answer.denied.opens_at) == opens_at

    def end(self, name: str, which: int, tokens: int, now: float) -> None:
        reservation, call = self.open[which % len(self.open)]
        if name == "send":
            self.allowances.mark_sent(reservation, now - self.behind)
            call.sent_at = now
            return
        self.open.remove((reservation, call))
        if name == "release":
            self.allowances.release(reservation, now - self.behind)
            call.is_released = True
        else:
            call.used, call.ended_at = min(tokens, call.tokens), now
            call.sent_at = now if call.sent_at is None else call.sent_at
            self.allowances.settle(reservation, call.used, now - self.behind)


def or_infinite_moment(moment: float | None) -> float:
    return float("inf") if moment is None else moment


@given(STEPS)
@settings(max_examples=300)
def test_it_admits_what_the_model_admits_and_says_when(
    steps: list[tuple[float, str, int, int, Ceilings]],
) -> None:
    played, told, now = Played(), 1_000.0, float("-inf")
    for pause, name, which, tokens, ceilings in steps:
        told += pause
        now = max(now, told)
        played.behind = now - told
        played.step(name, which, tokens, ceilings, now)
        played.allowances.forget_idle(now)


@given(STEPS, CEILINGS, CEILINGS)
@settings(max_examples=200)
def test_no_minute_passes_a_ceiling_of_any_scope_whatever_is_unified(
    steps: list[tuple[float, str, int, int, Ceilings]], account: Ceilings, below: Ceilings
) -> None:
    """The account's three names may be found to be one: from then on they share one ceiling."""
    played, now = Played(), 1_000.0
    unified_at = 0.0
    for root in NAMES:
        for model in MODELS:
            played.naive.ceilings[root + model] = below if model else account
    for pause, name, which, tokens, _ in steps:
        now += max(pause, 0.0)
        if name == "unify":
            unified_at = now
        if name != "enforce":
            played.step(name, which, tokens, UNLIMITED, now)
        played.allowances.forget_idle(now)

    for name in (name + model for name in NAMES for model in MODELS):
        root = played.naive.root(name)
        calls = [call for call in played.naive.counting(root) if not call.is_released]
        check_minutes([call for call in calls if name in call.names], played.naive.ceilings[root])
        known = [call for call in calls if call.admitted_at > unified_at]
        check_minutes(known, played.naive.ceilings[root])


def check_minutes(calls: list[NaiveCall], ceilings: Ceilings) -> None:
    sent = [(call.sent_at, 1) for call in calls if call.sent_at is not None]
    assert most_in_a_minute(sent) <= or_infinite(ceilings.requests_per_minute)
    for is_at_end in (False, True):
        spent = [((c.ended_at if is_at_end else c.sent_at), c.used or 0) for c in calls]
        counted = [(at, used) for at, used in spent if at is not None]
        assert most_in_a_minute(counted) <= or_infinite(ceilings.tokens_per_minute)


def test_of_a_ceiling_below_what_was_used_nothing_remains() -> None:
    allowances = Allowances()
    for _turn in range(10):
        done(allowances, [a_scope("acme", 20, 1_000)], 50, 0.0)
    standing = allowances.standing(a_scope("acme", 5, 100), 1.0)
    assert (standing["requests"]["used"], standing["requests"]["remaining"]) == (10, 0)
    assert (standing["tokens"]["used"], standing["tokens"]["remaining"]) == (500, 0)


def test_a_scope_that_is_merely_shown_is_not_kept() -> None:
    allowances = Allowances()
    standing = allowances.standing(a_scope("acme", 5, 100), 0.0)
    assert standing["requests"]["remaining"] == 5
    assert len(allowances) == 0
