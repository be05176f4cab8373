"""Which questions of our own an account's ceilings have room for, and which accounts are one."""

import json
from dataclasses import replace

import pytest

from foxora_addon.exchange import Exchange
from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.payers import AccountRules, LimitRules
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.questions import ME, MODELS
from foxora_addon.policy.remembered import Remembered
from foxora_addon.policy.waiting import Bounds
from tests.builders import an_exchange


def an_accounting(rules: AccountRules) -> Accounting:
    return Accounting(LimitRules({"acme": rules}))


def told(requests_per_minute: int) -> bytes:
    limits = {"requests_per_minute": requests_per_minute, "tokens_per_minute": 1_000}
    return json.dumps({"id": "usr_1", "limits": limits}).encode()


def test_ceilings_that_the_gateway_tells_are_asked_for_again_however_small_they_are() -> None:
    accounting = an_accounting(AccountRules())
    assert accounting.ask("acme", ME, 0.0) == 0.0
    assert accounting.take_me("acme", told(5), 0.1)
    assert accounting.ask("acme", MODELS, 0.2) > 0
    assert accounting.ask("acme", ME, 30.0) > 0
    assert accounting.ask("acme", ME, 300.0) == 0.0
    assert accounting.take_me("acme", told(9), 300.1)
    assert accounting.payers.ceilings("acme").requests_per_minute == 9


@pytest.mark.parametrize("path", [ME, MODELS])
def test_a_tiny_ceiling_of_the_configuration_is_left_to_the_calls(path: str) -> None:
    accounting = an_accounting(AccountRules(Ceilings(19), asks=False))
    assert accounting.ask("acme", path, 0.0) > 0


def test_a_twentieth_of_a_minute_is_for_questions() -> None:
    accounting = an_accounting(AccountRules(Ceilings(60), asks=False))
    waits = [accounting.ask("acme", ME, float(second)) for second in range(5)]
    assert [wait == 0 for wait in waits] == [True] * 3 + [False] * 2
    assert accounting.ask("acme", ME, 61.0) == 0.0


def test_a_ceiling_of_any_number_of_digits_leaves_room_for_questions() -> None:
    accounting = an_accounting(AccountRules(Ceilings(10**400), asks=False))
    assert accounting.ask("acme", MODELS, 0.0) == 0.0
    call = Remembered("acme", None, None, 0.0, 0.5, 0, None)
    accounting.recollection.count([call], {}, {}, 1.0)
    assert requests_of(accounting, 1.0) == [4]


def two_accounts(keys: str = "ab", requests_per_minute: int = 10) -> LimitRules:
    ceilings = Ceilings(requests_per_minute)
    return LimitRules(
        {
            name: AccountRules(ceilings, asks=False, key_digest=key)
            for name, key in zip(("acme", "lab"), keys, strict=True)
        }
    )


def who_is(account_id: str) -> bytes:
    return json.dumps({"id": account_id, "plan": {"id": "team"}}).encode()


def called(accounting: Accounting, payer: str, now: float) -> Exchange:
    exchange = an_exchange(payer=payer)
    assert accounting.reserve(exchange, now) is None
    accounting.mark_sent(exchange, now)
    exchange.was_sent = True
    return exchange


def requests_of(accounting: Accounting, now: float) -> list[int]:
    return [balance["requests"]["used"] for balance in accounting.balances(now)]


def waiting_of(accounting: Accounting, now: float) -> list[int]:
    return [balance["waiting"] for balance in accounting.balances(now)]


@pytest.mark.parametrize("leaver", ["acme", "lab"])
def test_an_account_whose_new_key_is_of_another_account_counts_by_itself(leaver: str) -> None:
    accounting = Accounting(two_accounts())
    for payer in ("acme", "lab"):
        accounting.take_me(payer, who_is("usr_1"), 0.1)
    open_ones = [called(accounting, payer, 1.0) for payer in ("acme", "lab")]
    assert requests_of(accounting, 1.0) == [2, 2]

    accounting.take_rules(two_accounts("xb" if leaver == "acme" else "ax"), 2.0)
    assert accounting.payers.lacks(leaver)
    assert requests_of(accounting, 2.0) == [2, 2]
    accounting.take_me(leaver, who_is("usr_2"), 2.1)
    assert not accounting.payers.lacks(leaver)
    expected = [0, 2] if leaver == "acme" else [2, 0]
    assert requests_of(accounting, 2.2) == expected

    for exchange in open_ones:
        accounting.settle(exchange, None, 3.0)
    concurrent = [balance["concurrent"]["used"] for balance in accounting.balances(3.0)]
    assert concurrent == [0, 0]
    called(accounting, leaver, 4.0)
    assert requests_of(accounting, 4.0) == [each or 1 for each in expected]


def test_a_new_key_of_the_same_account_changes_nothing() -> None:
    accounting = Accounting(two_accounts())
    for payer in ("acme", "lab"):
        accounting.take_me(payer, who_is("usr_1"), 0.1)
    called(accounting, "lab", 1.0)
    accounting.take_rules(two_accounts("ax"), 2.0)
    accounting.take_me("lab", who_is("usr_1"), 2.1)
    assert requests_of(accounting, 2.2) == [1, 1]


def test_calls_that_wait_go_on_when_an_account_leaves_another() -> None:
    rules = replace(two_accounts(requests_per_minute=1), bounds=Bounds(10, 90.0))
    accounting = Accounting(rules)
    called(accounting, "acme", 0.0)
    called(accounting, "lab", 0.0)
    waiting = [an_exchange(payer=payer) for payer in ("acme", "lab")]
    for exchange in waiting:
        assert accounting.reserve(exchange, 1.0) is None
    for payer in ("acme", "lab"):
        accounting.take_me(payer, who_is("usr_1"), 1.1)
    assert waiting_of(accounting, 1.1) == [2, 2], "both, in one line"
    accounting.take_me("lab", who_is("usr_2"), 2.1)
    assert waiting_of(accounting, 2.1) == [1, 1]
    assert [one.ticket for one in accounting.wake("lab", 2.1).ended] == [waiting[1].ticket]
    assert accounting.wake("acme", 2.1).ended == []
    assert [one.ticket for one in accounting.wake("acme", 60.25).ended] == [waiting[0].ticket]
    for exchange in waiting:
        accounting.settle(exchange, None, 60.25)
    assert waiting_of(accounting, 60.25) == [0, 0]
    accounting.tick(500.0)


def test_who_waits_as_shadow_mode_begins_goes_on_and_is_told_apart() -> None:
    accounts = {"acme": AccountRules(Ceilings(None, None, 1))}
    accounting = Accounting(LimitRules(accounts, bounds=Bounds(10, 90.0)))
    first, *waiting = (an_exchange(payer="acme") for _turn in range(3))
    assert [accounting.reserve(each, 0.0) for each in (first, *waiting)] == [None] * 3
    accounting.take_rules(LimitRules(accounts, bounds=Bounds(10, 90.0), is_shadow=True), 1.0)
    called = accounting.wake("acme", 1.0)
    assert [each.waited_seconds for each in called.ended] == [1.0, 1.0]
    for exchange, ended in zip(waiting, called.ended, strict=True):
        assert accounting.admitted(exchange, ended.answer, 1.0) is None
        assert exchange.shadow is not None
    assert accounting.balances(1.0)[0]["concurrent"]["used"] == 3
    assert waiting_of(accounting, 1.0) == [0]


def test_calls_of_no_account_of_the_configuration_are_looked_at_as_shadow_mode_begins() -> None:
    accounting = Accounting(LimitRules({}, bounds=Bounds(10, 90.0)))
    assert accounting.take_me("key:1", told(1), 0.1)
    waiting = [an_exchange(payer="key:1") for _turn in range(2)]
    assert [accounting.reserve(each, 1.0) for each in waiting] == [None] * 2
    woken: list[str] = []
    accounting.room_freed = woken.append
    accounting.take_rules(LimitRules({}, bounds=Bounds(10, 90.0), is_shadow=True), 2.0)
    called = [ended for name in woken for ended in accounting.wake(name, 2.0).ended]
    assert [ended.waited_seconds for ended in called] == [1.0]
    assert accounting.wake("key:1", 2.0) == ([], None)


@pytest.mark.parametrize(("back", "at"), [("ab", 3.0), ("xb", 3.0), ("xb", 500.0)])
def test_an_account_that_comes_back_with_another_key_is_asked_for_anew(
    back: str, at: float
) -> None:
    accounting = Accounting(rules := two_accounts())
    for payer in ("acme", "lab"):
        accounting.take_me(payer, who_is(f"usr_{payer}"), 0.1)
    accounting.settle(called(accounting, "acme", 1.0), None, 1.1)
    accounting.take_rules(replace(rules, accounts={"lab": rules.accounts["lab"]}), 2.0)
    accounting.tick(at)
    accounting.take_rules(two_accounts(back), at)
    assert accounting.payers.lacks("acme") is (back == "xb")
    assert not accounting.payers.lacks("lab")


@pytest.mark.parametrize("parts_by", ["the file", "the gateway"])
def test_who_waits_goes_on_as_a_call_ends_that_was_made_under_a_name_that_is_anothers_now(
    parts_by: str,
) -> None:
    ceilings = Ceilings(concurrent_requests=1)
    acme, lab = (AccountRules(ceilings, asks=False, key_digest=key) for key in "ab")
    bounds = Bounds(10, 90.0)
    accounting = Accounting(LimitRules({"acme": acme}, bounds=bounds))
    if parts_by == "the gateway":
        accounting = Accounting(LimitRules({"acme": acme, "team": lab}, bounds=bounds))
        for payer in ("acme", "team"):
            assert accounting.take_me(payer, who_is("usr_1"), 0.1)
    opened = called(accounting, "acme", 1.0)
    if parts_by == "the gateway":
        assert accounting.take_me("acme", who_is("usr_2"), 2.1)
    else:
        accounting.take_rules(LimitRules({"team": acme}, bounds=bounds), 2.0)
        accounting.take_rules(LimitRules({"team": acme, "acme": lab}, bounds=bounds), 2.1)
    assert accounting.reserve(an_exchange(payer="team"), 3.0) is None
    team = accounting.standings.canonical("team")
    assert accounting.wake(team, 3.0).ended == []
    woken: list[str] = []
    accounting.room_freed = woken.append
    accounting.settle(opened, None, 4.0)
    assert [ended.waited_seconds for name in woken for ended in accounting.wake(name, 4.0).ended]


def test_what_is_open_of_an_account_that_is_gone_goes_by_its_twin() -> None:
    rules = two_accounts(requests_per_minute=1)
    accounts = {**rules.accounts, "lab": AccountRules(Ceilings(9), asks=False, key_digest="b")}
    accounting = Accounting(replace(rules, accounts=accounts))
    for payer in ("acme", "lab"):
        accounting.take_me(payer, who_is("usr_1"), 0.1)
    exchange = called(accounting, "acme", 1.0)
    accounting.again(exchange, None, 1.1)
    assert accounting.renew(exchange, 1.2) is not None
    accounting.take_rules(LimitRules({"lab": accounts["lab"]}), 2.0)
    assert accounting.renew(exchange, 2.1) is None
