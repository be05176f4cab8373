"""When a refused call is told to come back."""

import pytest

from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.allowances import Allowances, Held
from foxora_addon.policy.payers import AccountRules, LimitRules
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
        assert isinstance(answer, Held)
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
