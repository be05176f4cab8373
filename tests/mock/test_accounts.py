"""What an account may still do, and what it has used."""

from decimal import Decimal
from typing import Any, Literal

import pytest

from foxora_addon.mock.accounts import Account, Charge, charge_of
from foxora_addon.mock.settings import MODELS
from tests.mock.builders import NOON, an_account

Counted = Literal["start", "end"]


def a_charge(tokens_in: int = 10, tokens_out: int = 5, cost: str = "0.1") -> Charge:
    return Charge(tokens_in, tokens_out, Decimal(cost))


def account_of(counted: Counted = "start", **settings: Any) -> Account:
    return Account(an_account(**settings), tokens_counted=counted)


def test_the_request_past_the_ceiling_is_refused_until_the_minute_is_over() -> None:
    account = account_of(requests_per_minute=2)
    assert [account.admit(NOON, a_charge()) for _ in range(2)] == [None, None]
    refusal = account.admit(NOON + 15, a_charge())
    assert refusal is not None
    assert (refusal.status, refusal.retry_after_seconds) == (429, 45)
    assert "limit 2, used 2, requested 1. Please try again in 45.000s." in refusal.message
    assert account.admit(NOON + 60, a_charge()) is None


def test_a_refusal_by_a_ceiling_leaves_no_trace() -> None:
    account = account_of(requests_per_minute=1)
    account.admit(NOON, a_charge())
    account.admit(NOON, a_charge())
    month = account.month(NOON)
    assert (month.requests, month.spend_usd) == (1, Decimal("0.1"))


def test_tokens_counted_at_the_start_must_find_room_whole() -> None:
    account = account_of(tokens_per_minute=29)
    assert account.admit(NOON, a_charge()) is None
    refusal = account.admit(NOON, a_charge())
    assert refusal is not None
    assert "tokens per minute: limit 29, used 15, requested 15" in refusal.message


def test_tokens_counted_at_the_end_enter_with_what_was_used() -> None:
    account = account_of("end", tokens_per_minute=29)
    assert account.admit(NOON, a_charge()) is None
    assert account.admit(NOON, a_charge()) is None
    account.settle(NOON, NOON + 1, a_charge(), a_charge())
    assert account.admit(NOON + 2, a_charge()) is None
    account.settle(NOON, NOON + 3, a_charge(), a_charge())
    refusal = account.admit(NOON + 4, a_charge())
    assert refusal is not None
    assert "used 30, requested 10" in refusal.message


def test_a_call_larger_than_the_ceiling_is_always_refused() -> None:
    refusal = account_of(tokens_per_minute=14).admit(NOON, a_charge())
    assert refusal is not None
    assert refusal.retry_after_seconds == 60


def test_a_call_that_would_pass_the_cap_is_refused_and_not_charged() -> None:
    account = account_of(monthly_spend_cap_usd=Decimal("0.25"))
    refusals = [account.admit(NOON, a_charge()) for _ in range(3)]
    assert refusals[:2] == [None, None]
    assert refusals[2] is not None
    assert (refusals[2].status, refusals[2].retry_after_seconds) == (402, None)
    month = account.month(NOON)
    assert (month.requests, month.spend_usd) == (3, Decimal("0.2"))


def test_a_call_that_costs_nothing_is_served_past_the_cap() -> None:
    account = account_of(monthly_spend_cap_usd=Decimal(0))
    assert account.admit(NOON, Charge()) is None


def test_the_cap_is_new_with_each_month() -> None:
    account = account_of(monthly_spend_cap_usd=Decimal("0.1"))
    december = NOON + 8 * 86_400
    assert account.admit(NOON, a_charge()) is None
    assert account.admit(NOON, a_charge()) is not None
    assert account.admit(december, a_charge()) is None


def test_what_a_call_did_not_use_is_given_back() -> None:
    account = account_of()
    account.admit(NOON, a_charge())
    account.settle(NOON, NOON + 1, a_charge(), a_charge(tokens_out=2, cost="0.04"))
    month = account.month(NOON)
    assert (month.input_tokens, month.output_tokens) == (10, 2)
    assert month.spend_usd == Decimal("0.04")


def test_a_call_across_midnight_belongs_to_the_day_of_its_start() -> None:
    account = account_of()
    midnight = NOON + 43_200
    account.admit(midnight - 1, a_charge())
    account.settle(midnight - 1, midnight + 1, a_charge(), a_charge())
    days = account.days(midnight + 1, 2)
    assert [(day.isoformat(), use.requests) for day, use in days] == [
        ("2026-11-23", 1),
        ("2026-11-24", 0),
    ]


@pytest.mark.parametrize(
    ("plan", "requests", "tokens"),
    [("free", "30", "40000"), ("pro", "300", "400000"), ("team", "1500", "2000000")],
)
def test_headers_tell_the_ceilings_of_the_plan(plan: str, requests: str, tokens: str) -> None:
    headers = dict(account_of(plan=plan).headers(NOON))
    assert headers["x-ratelimit-limit-requests"] == requests
    assert headers["x-ratelimit-limit-tokens"] == tokens
    assert headers["x-ratelimit-reset-requests"] == "0s"


def test_headers_tell_what_is_left_and_when_all_of_it_is_back() -> None:
    account = account_of(requests_per_minute=3)
    account.admit(NOON, a_charge())
    resets = [
        dict(account.headers(NOON + passed))["x-ratelimit-reset-requests"]
        for passed in (0, 53.5, 59.88)
    ]
    assert resets == ["1m0s", "6.5s", "120ms"]
    assert dict(account.headers(NOON))["x-ratelimit-remaining-requests"] == "2"


def test_an_account_without_ceilings_tells_none() -> None:
    assert account_of().headers(NOON) == ()


def test_prices_are_exact() -> None:
    mini = MODELS[0]
    assert charge_of(mini, 1, 1).cost_usd * 1_000_000 == Decimal("0.75")
