"""What is to be seen of an account's spend, case by case."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.spend import AccountSpend, OverCap, SpendReservation
from foxora_addon.policy.spend_month import MonthSpend, renewal_after
from foxora_addon.policy.spend_report import SpendReport

NOON = 1_795_435_200.0
"""2026-11-23T12:00:00Z."""
HOUR = 3_600.0
DAY = 24 * HOUR
RENEWAL = NOON + 5 * DAY
NEXT_RENEWAL = renewal_after(RENEWAL, RENEWAL)


def usd(text: str) -> Decimal:
    return Decimal(text)


def a_spend(cap: str | None = "10", **figures: Any) -> AccountSpend:
    return AccountSpend(MonthSpend(RENEWAL, **figures), None if cap is None else usd(cap))


def reserved(spend: AccountSpend, cost: str | None, now: float = NOON) -> SpendReservation:
    amount = None if cost is None else usd(cost)
    assert spend.refusal(amount, now) is None
    return spend.admit(amount)


def spent(spend: AccountSpend, cost: str, now: float = NOON, *, is_certain: bool = True) -> None:
    """One whole call, whether or not it fits."""
    spend.settle(spend.admit(usd(cost)), usd(cost), now, is_certain=is_certain)


def told(spend: AccountSpend, figure: str, now: float = NOON, renews_at: float = RENEWAL) -> None:
    """The gateway is asked and answers at once."""
    spend.reconcile(spend.question(), SpendReport(usd(figure), None, renews_at), now)


def of(spend: AccountSpend, now: float = NOON) -> Decimal:
    return spend.month(now).spent_usd


def open_and_spent(spend: AccountSpend) -> tuple[str, str]:
    return f"{spend.open_usd:f}", f"{of(spend):f}"


def test_a_call_fits_up_to_the_very_cap() -> None:
    spend = a_spend("10")
    spent(spend, "9.99999")
    assert isinstance(spend.refusal(usd("0.0000100001"), NOON), OverCap)
    reserved(spend, "0.00001")
    assert isinstance(spend.refusal(usd("0.000000000001"), NOON), OverCap)


def test_open_calls_count_at_their_estimates() -> None:
    spend = a_spend("10")
    spent(spend, "3")
    reserved(spend, "4")
    over = spend.refusal(usd("3.5"), NOON)
    assert over == OverCap(usd("10"), usd("3"), usd("4"), usd("3.5"), RENEWAL)


def test_a_refusal_leaves_nothing_counted() -> None:
    spend = a_spend("10")
    assert isinstance(spend.refusal(usd("11"), NOON), OverCap)
    assert open_and_spent(spend) == ("0", "0")


def test_settling_counts_what_it_cost_and_gives_the_rest_back() -> None:
    spend = a_spend()
    call = reserved(spend, "4")
    assert spend.settle(call, usd("1.5"), NOON, is_certain=True) == usd("1.5")
    assert open_and_spent(spend) == ("0", "1.5")


def test_settling_above_the_estimate_counts_whole() -> None:
    spend = a_spend("1")
    spend.settle(reserved(spend, "1"), usd("2"), NOON, is_certain=True)
    assert of(spend) == 2
    assert isinstance(spend.refusal(usd("0.1"), NOON), OverCap)


def test_settling_or_releasing_twice_is_once() -> None:
    spend = a_spend()
    call, other = reserved(spend, "4"), reserved(spend, "1")
    spend.settle(call, usd("2"), NOON, is_certain=True)
    assert spend.settle(call, usd("2"), NOON, is_certain=True) is None
    spend.release(call)
    assert open_and_spent(spend) == ("1", "2")
    spend.release(other)
    spend.release(other)
    assert spend.settle(other, usd("2"), NOON, is_certain=True) is None
    assert open_and_spent(spend) == ("0", "2")


def test_a_cost_that_is_not_known_is_what_was_reserved_and_no_certainty() -> None:
    spend = a_spend()
    assert spend.settle(reserved(spend, "4"), None, NOON, is_certain=True) == 4
    assert spend.month(NOON) == MonthSpend(RENEWAL, since_usd=usd("4"))


def test_a_price_that_is_not_known_counts_nothing_and_is_never_over_the_cap() -> None:
    spend = a_spend("0")
    call = reserved(spend, None)
    assert spend.settle(call, None, NOON, is_certain=False) is None
    assert open_and_spent(spend) == ("0", "0")


def test_what_was_to_cost_nothing_is_no_guess_at_a_cost_that_is_not_known() -> None:
    spend = a_spend()
    assert spend.settle(reserved(spend, "0"), None, NOON, is_certain=True) is None
    assert open_and_spent(spend) == ("0", "0")


def test_what_costs_nothing_is_never_refused() -> None:
    spend = a_spend("1")
    spent(spend, "5")
    reserved(spend, "0")


def test_without_a_cap_nothing_is_refused_and_all_is_counted() -> None:
    spend = a_spend(None)
    spent(spend, "1000000")
    reserved(spend, "1000000")
    assert of(spend) == 1_000_000
    spend.cap_of_config_usd = usd("5")
    assert isinstance(spend.refusal(usd("1"), NOON), OverCap)


def test_the_configurations_cap_goes_before_the_gateways() -> None:
    spend = a_spend(None)
    spend.reconcile(spend.question(), SpendReport(cap_usd=usd("7")), NOON)
    assert spend.cap_usd == 7
    spend.cap_of_config_usd = usd("0")
    assert spend.cap_usd == 0
    spend.cap_of_config_usd = None
    spend.reconcile(spend.question(), SpendReport(usd("1")), NOON)
    assert spend.cap_usd is None


def test_the_gateways_cap_holds_in_later_months_too() -> None:
    spend = a_spend(None)
    spend.reconcile(spend.question(), SpendReport(usd("1"), usd("7"), RENEWAL), NOON)
    assert isinstance(spend.refusal(usd("6.1"), NOON), OverCap)
    reserved(spend, "7", RENEWAL)
    assert spend.month(RENEWAL).told_cap_usd == 7


def test_a_cap_is_believed_though_the_answers_month_has_just_ended() -> None:
    spend = a_spend(None)
    question = spend.question()
    spend.reconcile(question, SpendReport(usd("6"), usd("7"), RENEWAL), RENEWAL + 1)
    assert (of(spend, RENEWAL + 1), spend.cap_usd) == (usd("0"), usd("7"))


# What the gateway says.


def test_other_callers_of_the_account_count() -> None:
    spend = a_spend("10")
    spent(spend, "1")
    told(spend, "9.5")
    assert of(spend) == usd("9.5")
    assert isinstance(spend.refusal(usd("1"), NOON), OverCap)


def test_our_calls_that_settled_since_the_question_come_on_top() -> None:
    spend = a_spend()
    spent(spend, "1")
    question = spend.question()
    spent(spend, "2")
    spend.reconcile(question, SpendReport(usd("5")), NOON)
    spent(spend, "0.5")
    assert of(spend) == usd("7.5")


def test_a_meter_that_lags_makes_nothing_forgotten_that_is_certain() -> None:
    spend = a_spend()
    spent(spend, "3")
    told(spend, "0.5")
    assert of(spend) == 3


def test_a_guess_gives_way_to_the_gateways_figure() -> None:
    spend = a_spend()
    spent(spend, "3", is_certain=False)
    spent(spend, "1")
    told(spend, "1.2")
    assert of(spend) == usd("1.2")


def test_an_answer_to_an_older_question_is_dropped() -> None:
    spend = a_spend()
    first, second = spend.question(), spend.question()
    spend.reconcile(second, SpendReport(usd("5")), NOON)
    spend.reconcile(first, SpendReport(usd("2")), NOON)
    spend.reconcile(second, SpendReport(usd("3")), NOON)
    assert of(spend) == 5


def test_an_answer_without_a_figure_leaves_ours() -> None:
    spend = a_spend()
    spent(spend, "3", is_certain=False)
    spend.reconcile(spend.question(), SpendReport(None, usd("9"), RENEWAL + DAY), NOON)
    assert of(spend) == 3
    assert spend.month(NOON).renews_at == RENEWAL + DAY


def test_what_was_known_from_before_is_what_the_gateway_was_not_asked_since() -> None:
    spend = a_spend(told_usd=usd("2"), since_usd=usd("1"), certain_usd=usd("1"))
    assert of(spend) == 3
    told(spend, "2.9")
    assert of(spend) == usd("2.9")


# Renewal.


def test_at_its_renewal_the_month_is_whole_again_without_any_call() -> None:
    spend = a_spend("1")
    spent(spend, "1")
    assert isinstance(spend.refusal(usd("1"), RENEWAL - 0.001), OverCap)
    assert of(spend, RENEWAL) == 0
    assert spend.month(RENEWAL).renews_at == NEXT_RENEWAL
    reserved(spend, "1", RENEWAL)


def test_months_that_passed_unseen_are_skipped() -> None:
    spend = a_spend("1")
    spent(spend, "1")
    month = spend.month(RENEWAL + 100 * DAY)
    assert month.spent_usd == 0
    assert 0 < month.renews_at - (RENEWAL + 100 * DAY) <= 31 * DAY


def test_a_call_that_is_open_across_the_renewal_counts_on_both_sides() -> None:
    spend = a_spend("10")
    call = reserved(spend, "6", RENEWAL - 1)
    assert isinstance(spend.refusal(usd("5"), RENEWAL + 1), OverCap)
    spend.settle(call, usd("5"), RENEWAL + 2, is_certain=True)
    assert of(spend, RENEWAL + 2) == 5
    assert spend.open_usd == 0


def test_an_answer_about_the_month_that_has_just_ended_is_not_taken_for_the_new_one() -> None:
    spend = a_spend("10")
    spent(spend, "9")
    question = spend.question()
    reserved(spend, "1", RENEWAL)
    spend.reconcile(question, SpendReport(usd("9"), None, RENEWAL), RENEWAL + 1)
    assert of(spend, RENEWAL + 1) == 0


def test_an_answer_about_the_new_month_has_all_our_calls_of_it_on_top() -> None:
    spend = a_spend()
    question = spend.question()
    spent(spend, "3", RENEWAL - 1)
    spent(spend, "2", RENEWAL + 1)
    spend.reconcile(question, SpendReport(usd("1"), None, NEXT_RENEWAL), RENEWAL + 2)
    assert of(spend, RENEWAL + 2) == 3


def test_a_renewal_that_passed_long_ago_says_the_day_and_its_figure_is_believed() -> None:
    spend = a_spend("10")
    told(spend, "9.9", renews_at=NOON - 200 * DAY)
    assert of(spend) == usd("9.9")
    assert spend.month(NOON).renews_at == renewal_after(NOON - 200 * DAY, NOON)


def test_a_renewal_on_a_day_that_some_months_lack_is_on_it_again_where_there_is_one() -> None:
    spend = a_spend()
    march = datetime(2027, 3, 31, 12, tzinfo=UTC).timestamp()
    told(spend, "1", renews_at=datetime(2027, 1, 31, 12, tzinfo=UTC).timestamp())
    for now in range(int(NOON), int(march), int(DAY)):
        spend.month(now)
    assert spend.month(march - HOUR).renews_at == march


def test_the_first_answer_corrects_the_month_that_we_reckoned_with() -> None:
    spend = a_spend("10")
    spent(spend, "8")
    question = spend.question()
    spent(spend, "0.5")
    spend.reconcile(question, SpendReport(usd("2"), None, RENEWAL + 10 * DAY), NOON)
    assert of(spend) == usd("2.5")
    assert spend.month(NOON).renews_at == RENEWAL + 10 * DAY


def test_a_renewal_that_wavers_is_one_renewal() -> None:
    spend = a_spend()
    spent(spend, "8")
    told(spend, "1", renews_at=RENEWAL + 5)
    assert of(spend) == 8


# The clock.


def test_a_clock_that_ran_ahead_and_is_set_back_finds_the_month_again() -> None:
    spend = a_spend("10")
    spent(spend, "9")
    spent(spend, "0.25", RENEWAL + DAY)
    assert of(spend, NOON) == usd("9.25")
    assert isinstance(spend.refusal(usd("1"), NOON), OverCap)
    spent(spend, "0.5", NOON)
    assert of(spend, RENEWAL + DAY) == usd("0.75")


def test_a_small_step_back_over_the_renewal_keeps_the_new_month() -> None:
    spend = a_spend()
    spent(spend, "9")
    spent(spend, "1", RENEWAL + 1)
    assert of(spend, RENEWAL - 60) == 1


def test_a_clock_that_was_behind_as_the_gateway_told_and_is_set_right_renews_nothing() -> None:
    spend = a_spend("10")
    spent(spend, "9")
    told(spend, "9", NOON - 200 * DAY)
    assert isinstance(spend.refusal(usd("2"), NOON), OverCap)
    question = spend.question()
    spent(spend, "0.5")
    spend.reconcile(question, SpendReport(usd("8.75"), None, RENEWAL), NOON)
    assert of(spend) == usd("9.25")


def test_the_gateways_word_ends_a_clocks_mistake() -> None:
    spend = a_spend()
    spent(spend, "9")
    assert of(spend, RENEWAL + DAY) == 0
    told(spend, "9.5", NOON)
    assert of(spend, NOON) == usd("9.5")
    assert of(spend, RENEWAL) == 0


@given(
    st.lists(
        st.tuples(st.sampled_from([NOON, RENEWAL - DAY, RENEWAL, RENEWAL + DAY]), st.integers(1, 9))
    )
)
def test_wherever_the_clock_jumps_no_month_forgets_what_was_spent_in_it(
    calls: list[tuple[float, int]],
) -> None:
    spend = a_spend(None)
    for now, cost in calls:
        spent(spend, str(cost), now)
    is_ahead = any(now >= RENEWAL for now, _ in calls)
    later = sum(cost for now, cost in calls if now >= RENEWAL)
    assert of(spend, NOON) == sum(cost for _, cost in calls)
    assert of(spend, RENEWAL) >= later
    assert is_ahead or of(spend, RENEWAL) == 0


@pytest.mark.parametrize("is_first", [True, False])
def test_the_order_in_which_calls_settle_does_not_matter(is_first: bool) -> None:
    spend = a_spend()
    calls = [reserved(spend, "1"), reserved(spend, "2")]
    for call in calls if is_first else reversed(calls):
        spend.settle(call, usd("1.5"), NOON, is_certain=call is calls[0])
    assert spend.month(NOON) == MonthSpend(RENEWAL, usd("0"), usd("3"), usd("1.5"))
