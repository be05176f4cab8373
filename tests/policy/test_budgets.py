from decimal import Decimal

from foxora_addon.api.errors import ApiError
from foxora_addon.policy.budgets import Budgets, SpendRules
from foxora_addon.policy.spend import SpendReservation
from foxora_addon.policy.spend_month import MonthSpend, calendar_month
from foxora_addon.policy.spend_report import SpendReport
from tests.policy.test_spend_rules import DAY, NOON, RENEWAL, usd

CAPPED = SpendRules(cap_usd=Decimal(10))


def taken(found: SpendReservation | ApiError) -> SpendReservation:
    assert isinstance(found, SpendReservation)
    return found


def refused(found: SpendReservation | ApiError) -> ApiError:
    assert isinstance(found, ApiError)
    return found


def test_a_refusal_is_402_and_says_all_that_helps() -> None:
    budgets = Budgets({"acme": MonthSpend(RENEWAL, told_usd=usd("9.95"))})
    taken(budgets.reserve("acme", CAPPED, usd("0.04"), NOON))
    error = refused(budgets.reserve("acme", CAPPED, usd("0.0301"), NOON))
    assert error.message == (
        "Account 'acme' is at its monthly spend cap: cap $10.00, spent $9.95, in open calls $0.04, "
        "requested $0.0301. It is renewed on 28 November 2026 at 12:00 UTC."
    )
    assert (error.status, error.code, error.source) == (402, "spend_limit_reached", "addon")
    assert ("x-should-retry", "false") in error.headers()


def test_accounts_are_apart() -> None:
    budgets = Budgets()
    call = taken(budgets.reserve("acme", CAPPED, usd("10"), NOON))
    taken(budgets.reserve("other", CAPPED, usd("10"), NOON))
    refused(budgets.reserve("acme", CAPPED, usd("1"), NOON))
    budgets.release(call)
    taken(budgets.reserve("acme", CAPPED, usd("1"), NOON))


def test_in_shadow_mode_all_is_counted_and_nothing_refused() -> None:
    budgets = Budgets()
    shadow = SpendRules(Decimal(1), is_shadow=True, refuses_unknown=True)
    call = taken(budgets.reserve("acme", shadow, usd("5"), NOON))
    taken(budgets.reserve("acme", shadow, None, NOON))
    assert budgets.settle(call, usd("4"), NOON, is_certain=True) == 4
    assert budgets.months(NOON)["acme"].spent_usd == 4


def test_an_unknown_price_is_refused_only_where_that_is_asked_for() -> None:
    budgets = Budgets()
    taken(budgets.reserve("acme", CAPPED, None, NOON))
    strict = SpendRules(refuses_unknown=True)
    error = refused(budgets.reserve("acme", strict, None, NOON))
    assert (error.status, error.code, error.param) == (400, "invalid_request", "model")
    taken(budgets.reserve("acme", strict, usd("0"), NOON))


def test_what_is_written_down_is_where_the_next_start_goes_on() -> None:
    budgets = Budgets()
    call = taken(budgets.reserve("acme", CAPPED, usd("5"), NOON))
    budgets.settle(call, usd("6"), NOON, is_certain=False)
    spend = budgets.spend_of("acme", NOON)
    spend.reconcile(spend.question(), SpendReport(usd("7"), None, RENEWAL), NOON)
    told = MonthSpend(RENEWAL, told_usd=usd("7"), anchor=RENEWAL)
    assert budgets.months(NOON) == {"acme": told}

    later = Budgets(budgets.months(NOON))
    refused(later.reserve("acme", CAPPED, usd("3.01"), NOON))
    taken(later.reserve("acme", CAPPED, usd("3"), NOON))


def test_a_clock_that_ran_ahead_at_one_start_and_is_right_at_the_next_forgets_no_month() -> None:
    before = MonthSpend(RENEWAL, since_usd=usd("9"))
    ahead = Budgets({"acme": before})
    call = taken(ahead.reserve("acme", CAPPED, usd("0.5"), RENEWAL + DAY))
    ahead.settle(call, usd("0.5"), RENEWAL + DAY, is_certain=True)

    right = Budgets(ahead.months(RENEWAL + DAY))
    refused(right.reserve("acme", CAPPED, usd("0.51"), NOON))
    taken(right.reserve("acme", CAPPED, usd("0.5"), NOON))
    assert right.spend_of("acme", NOON).month(NOON).renews_at == RENEWAL
    assert right.spend_of("acme", RENEWAL).month(RENEWAL).spent_usd == usd("0.5")


def test_a_clock_that_ran_ahead_forgets_no_month_of_accounts_that_are_one() -> None:
    months = {name: MonthSpend(RENEWAL, since_usd=usd("4")) for name in ("acme", "lab")}
    budgets = Budgets(months)
    budgets.unify("acme", "lab", RENEWAL + DAY)
    assert budgets.spend_of("lab", NOON).month(NOON).spent_usd == 8


def test_a_name_of_which_nothing_was_spent_takes_over_the_others_renewal() -> None:
    budgets = Budgets({"old": MonthSpend(RENEWAL, since_usd=usd("4"))})
    budgets.unify("new", "old", NOON)
    assert budgets.months(NOON) == {"new": MonthSpend(RENEWAL, since_usd=usd("4"))}


def test_a_changed_cap_holds_at_once() -> None:
    budgets = Budgets()
    taken(budgets.reserve("acme", CAPPED, usd("9"), NOON))
    refused(budgets.reserve("acme", SpendRules(Decimal(9)), usd("1"), NOON))
    taken(budgets.reserve("acme", CAPPED, usd("1"), NOON))
    taken(budgets.reserve("acme", SpendRules(), usd("1"), NOON))


def test_an_account_that_is_met_for_the_first_time_has_the_calendars_month() -> None:
    budgets = Budgets()
    assert budgets.spend_of("acme", NOON).month(NOON) == calendar_month(NOON)
    next_month = calendar_month(NOON + 30 * DAY)
    assert budgets.months(NOON + 30 * DAY)["acme"].renews_at == next_month.renews_at
