"""What was sent before a restart or a reload counts for whoever the account turns out to be."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.budgets import Budgets
from foxora_addon.policy.payers import AccountRules, LimitRules
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.questions import ME
from foxora_addon.policy.remembered import Remembered, Told
from foxora_addon.policy.spend_month import calendar_month
from foxora_addon.policy.standing import payer_of_key
from tests.builders import an_exchange

DIGEST = "5f0c" * 16
NOW = 1_000.0
RULES = AccountRules(Ceilings(10), asks=False, key_digest=DIGEST)
OTHER = replace(RULES, key_digest="77ab" * 16)


def admitted(accounting: Accounting, payer: str, now: float) -> int:
    """How many of twenty calls at one moment are not refused."""
    return sum(accounting.reserve(an_exchange(payer=payer), now) is None for _ in range(20))


def tell(accounting: Accounting, payer: str, now: float) -> None:
    assert accounting.take_me(payer, json.dumps({"id": "usr_1"}).encode(), now)


@pytest.mark.parametrize(
    ("before", "kept_as"),
    [("acme", "acme"), ("old", "old"), (payer_of_key(DIGEST), "usr_1")],
    ids=["the same name", "renamed", "a key that passed through"],
)
def test_a_restart_with_another_name_begins_no_other_minute_and_month(
    before: str, kept_as: str
) -> None:
    accounting = Accounting(LimitRules({"acme": RULES}))
    is_known = before == kept_as
    told = {before: Told(Ceilings(), (), "usr_1", DIGEST[:8])} if is_known else {}
    recollection = accounting.recollection
    recollection.know(told, [before if is_known else "id usr_1"])
    spent = calendar_month(NOW).plus(Decimal(9), is_certain=True)
    accounting.spending.budgets = Budgets({recollection.account_of(kept_as): spent})
    calls = [Remembered(kept_as, "m", None, NOW - 5, NOW - 4, 0, None) for _ in range(10)]
    recollection.count(calls, told, {}, NOW)

    tell(accounting, "acme", NOW)

    assert admitted(accounting, "acme", NOW) == 0
    balance = accounting.spending.balance("acme", None, NOW)
    assert balance["used_usd"] == 9


def test_an_account_of_which_nothing_was_told_is_known_by_its_key_under_another_name() -> None:
    before = Accounting(LimitRules({"old": RULES}))
    told = {"older": Told(Ceilings(), (), None, "else"), **before.recollection.told(NOW)}
    assert admitted(before, "old", NOW) == 10

    accounting = Accounting(LimitRules({"new": RULES}))
    accounting.recollection.know(told, ["old"])
    assert accounting.recollection.account_of("old") == "new"
    assert accounting.recollection.account_of("older") != "new"
    calls = [Remembered("old", "m", None, NOW - 5, NOW - 4, 0, None) for _ in range(9)]
    asked = {"old": replace(told["old"], asked=(NOW - 5,))}
    accounting.recollection.count(calls, asked, {}, NOW)
    assert admitted(accounting, "new", NOW) == 0


@pytest.mark.parametrize("names", [("acme", "old"), ("old", "acme")])
def test_an_account_that_got_its_name_back_was_asked_of_under_either_name(
    names: tuple[str, str],
) -> None:
    moments = {"acme": (NOW - 9, NOW - 5), "old": (NOW - 7, NOW - 5)}
    told = {name: Told(Ceilings(), moments[name], "usr_1", DIGEST[:8]) for name in names}
    accounting = Accounting(LimitRules({"acme": RULES}))
    accounting.recollection.know(told, ["acme"])
    accounting.recollection.count([], told, {}, NOW)
    assert accounting.recollection.told(NOW)["acme"].asked == (NOW - 9, NOW - 7, NOW - 5)


@pytest.mark.parametrize("is_told", [False, True])
def test_an_account_that_is_renamed_live_goes_on_with_its_minute_and_month(
    is_told: bool,
) -> None:
    accounting = Accounting(LimitRules({"old": RULES}))
    if is_told:
        tell(accounting, "old", NOW)
    sent = [an_exchange(payer="old") for _ in range(10)]
    assert [accounting.reserve(each, NOW) for each in sent] == [None] * 10
    spend = accounting.spending.budgets.spend_of("old", NOW)
    spend.settle(spend.admit(Decimal(9)), Decimal(9), NOW, is_certain=True)

    for name in ("new", "newer", "old", "new"):
        accounting.take_rules(LimitRules({name: RULES}), NOW + 1)
        assert not accounting.payers.lacks(name)
        assert admitted(accounting, name, NOW + 1) == 0
        assert accounting.spending.balance(name, None, NOW + 1)["used_usd"] == 9
        on_record = {
            accounting.scopes_on_record(each, None, None)[0].name for each in ("old", name)
        }
        assert len(on_record) == 1, "what the records call by either name counts for both"
    assert admitted(accounting, "old", NOW + 1) == 0, "what is open under the old name"

    accounting.take_rules(LimitRules({"new": RULES, "old": OTHER}), NOW + 1)
    assert accounting.payers.lacks("old")
    accounting.take_me("old", json.dumps({"id": "usr_2"}).encode(), NOW + 1)
    assert admitted(accounting, "old", NOW + 1) == 10
    assert admitted(accounting, "new", NOW + 1) == 0


@pytest.mark.parametrize(
    "before",
    ["old", payer_of_key(DIGEST)],
    ids=["renamed, with another key", "a key that passed through"],
)
def test_calls_of_an_account_that_is_new_in_the_file_wait_until_it_is_known_who_it_is(
    before: str,
) -> None:
    accounting = Accounting(LimitRules({"old": OTHER} if before == "old" else {}))
    tell(accounting, before, NOW)
    sent = [an_exchange(payer=before) for _ in range(10)]
    assert [accounting.reserve(each, NOW) for each in sent] == [None] * 10

    accounting.take_rules(LimitRules({"acme": RULES}), NOW + 1)

    assert accounting.payers.lacks("acme")
    assert accounting.ask("acme", ME, NOW + 1) == 0
    tell(accounting, "acme", NOW + 1)
    assert not accounting.payers.lacks("acme")
    assert admitted(accounting, "acme", NOW + 1) == 0


def test_a_key_that_passes_through_stays_closed_over_a_restart() -> None:
    payer = payer_of_key(DIGEST)
    accounting = Accounting(LimitRules())
    accounting.obey(payer, 600.0, NOW)
    closed = accounting.recollection.closed(NOW)

    anew = Accounting(LimitRules())
    anew.recollection.know({}, [])
    anew.recollection.count([], {}, closed, NOW + 1)

    assert admitted(accounting, payer, NOW + 2) == admitted(anew, payer, NOW + 2) == 0


def test_who_an_account_is_that_is_new_in_the_file_is_asked_for_once_a_minute_at_most() -> None:
    rules = AccountRules(Ceilings(3), asks=False, key_digest=DIGEST)
    accounting = Accounting(LimitRules())
    accounting.take_rules(LimitRules({"acme": rules}), NOW)
    waits = [accounting.ask("acme", ME, NOW + after) for after in (0, 5, 15, 35)]
    assert waits[0] == 0
    assert min(waits[1:]) > 0
    assert admitted(accounting, "acme", NOW + 36) == 2
    assert accounting.ask("acme", ME, NOW + 100) == 0
