"""Accounts of the configuration that are one at the gateway: the tighter of each figure holds."""

import json
from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.payers import AccountRules, LimitRules, Payers, Terms
from foxora_addon.policy.plans import Ceilings, Me
from foxora_addon.policy.questions import ME
from foxora_addon.policy.scopes import lowest_tokens
from foxora_addon.policy.sharing import sharing_of
from foxora_addon.policy.standing import payer_of_key
from tests.builders import an_exchange

ACME = AccountRules(Ceilings(10, 9_000), asks=False)
LAB = AccountRules(Ceilings(4, 20_000, 7), asks=False, cap_usd=Decimal(5))
MINI = AccountRules(Ceilings(10, 9_000), models={"mini": Ceilings(3, 500)})
TOGETHER = Ceilings(4, 9_000, 7)
KEY = payer_of_key("5f0c" * 16)


def an_accounting(**accounts: AccountRules) -> Accounting:
    return Accounting(LimitRules(accounts))


def who_is(account_id: str, cap_usd: float = 100, spend_usd: float = 0) -> bytes:
    limits = {
        "requests_per_minute": 8,
        "tokens_per_minute": 50_000,
        "monthly_spend_cap_usd": cap_usd,
    }
    usage = {"spend_usd": spend_usd}
    return json.dumps({"id": account_id, "limits": limits, "usage": usage}).encode()


def tell(accounting: Accounting, payer: str, account_id: str) -> None:
    """The proxy asks for a payer, and is told; tiny ceilings have room for that once."""
    assert accounting.ask(payer, ME, 0.0) == 0
    assert accounting.take_me(payer, who_is(account_id), 0.1)


def sent(accounting: Accounting, payers: list[str]) -> int:
    """How many of these calls, in this order and at one moment, are not refused."""
    exchanges = [an_exchange(payer=payer) for payer in payers]
    return sum(accounting.reserve(each, 70.0) is None for each in exchanges)


@pytest.mark.parametrize("order", [*permutations(["acme", "lab", KEY])])
def test_the_tighter_of_each_figure_holds_in_whatever_order_they_are_told_and_call(
    order: tuple[str, ...],
) -> None:
    accounting = an_accounting(acme=ACME, lab=LAB)
    for payer in order:
        tell(accounting, payer, "usr_1")
    assert {accounting.payers.ceilings(payer) for payer in order} == {TOGETHER}
    assert sent(accounting, [*order] * 5) == 4


def test_a_tiny_ceiling_is_asked_for_once_who_else_it_may_be_of() -> None:
    accounting = an_accounting(acme=ACME)
    assert accounting.ask("acme", ME, 0.0) > 0
    tell(accounting, KEY, "usr_1")
    tell(accounting, "acme", "usr_1")
    assert accounting.payers.ceilings(KEY) == ACME.ceilings
    assert accounting.ask("acme", ME, 70.0) > 0


def test_what_the_gateway_tells_one_of_them_holds_for_both() -> None:
    accounting = an_accounting(acme=AccountRules(), lab=ACME)
    tell(accounting, "acme", "usr_1")
    tell(accounting, "lab", "usr_1")
    assert accounting.payers.ceilings("lab") == Ceilings(8, 9_000)


@pytest.mark.parametrize("leaver", ["acme", "lab"])
def test_one_that_turns_out_to_be_another_account_has_its_own_figures_again(leaver: str) -> None:
    accounting = an_accounting(acme=ACME, lab=LAB)
    for payer in ("acme", "lab"):
        tell(accounting, payer, "usr_1")
    accounting.take_me(leaver, who_is("usr_2"), 70.1)
    assert accounting.payers.ceilings("acme") == ACME.ceilings
    assert accounting.payers.ceilings("lab") == LAB.ceilings


def test_other_rules_hold_at_once_for_all_of_them() -> None:
    accounting = an_accounting(acme=ACME, lab=LAB)
    for payer in ("acme", "lab"):
        tell(accounting, payer, "usr_1")
    accounting.take_rules(LimitRules({"acme": AccountRules(Ceilings(3)), "lab": LAB}), 60.0)
    assert sent(accounting, ["lab", "acme"] * 5) == 3
    accounting.take_rules(LimitRules({"acme": ACME}), 140.0)
    assert accounting.payers.ceilings("acme") == ACME.ceilings


@pytest.mark.parametrize(("own", "told", "cap"), [(5, 100, 5), (5, 3, 3)])
def test_the_lower_cap_holds_for_both(own: int, told: int, cap: int) -> None:
    accounting = an_accounting(acme=ACME, lab=LAB)
    for payer in ("acme", "lab"):
        assert accounting.ask(payer, ME, 0.0) == 0
        accounting.take_me(payer, who_is("usr_1", told), 0.1)
    assert LAB.cap_usd == own
    assert [each["spend"]["ceiling_usd"] for each in accounting.balances(1.0)] == [cap, cap]


def test_it_is_said_once_and_of_those_that_differ_what_holds() -> None:
    accounting = an_accounting(acme=ACME, lab=LAB, other=ACME)
    for payer, account_id in (("acme", "usr_1"), ("lab", "usr_1"), ("other", "usr_2")):
        tell(accounting, payer, account_id)
    sharings = [sharing_of(accounting.payers, payer) for payer in ("acme", "lab", "other")]
    assert sharings[1:] == [None, None]
    assert sharings[0] is not None
    assert sharings[0].differs
    assert sharings[0].words == (
        "accounts 'acme' and 'lab' are one account at the gateway, so they share its limits; of "
        "figures that differ the tighter holds: 4 requests per minute, 9000 tokens per minute, "
        "7 requests at once, a monthly spend cap of $5.00 or the gateway's own if lower"
    )


def test_a_new_account_by_an_old_name_is_counted_by_itself_once_it_is_told() -> None:
    one, two, new = (replace(ACME, key_digest=digest) for digest in "123")
    accounting = an_accounting(b=one, c=two)
    for payer in ("b", "c"):
        tell(accounting, payer, "usr_1")
    accounting.take_rules(LimitRules({"a": one, "c": two}), 1.0)
    accounting.take_rules(LimitRules({"a": one, "b": new, "c": two}), 2.0)
    for payer, account_id in (("c", "usr_1"), ("b", "usr_2"), ("c", "usr_1")):
        accounting.take_me(payer, who_is(account_id), 3.1)
    assert [sent(accounting, payers * 11) for payers in (["b"], ["c", "a"])] == [10, 10]


def test_those_with_the_same_figures_are_no_warning() -> None:
    accounting = an_accounting(acme=ACME, lab=ACME)
    for payer in ("acme", "lab"):
        tell(accounting, payer, "usr_1")
    sharing = sharing_of(accounting.payers, "acme")
    assert sharing is not None
    assert not sharing.differs


def test_a_thousand_accounts_that_are_one_are_looked_at_once_and_not_at_each_call() -> None:
    accounts = {f"a{number}": AccountRules(Ceilings(9 + number)) for number in range(1_000)}
    accounting = an_accounting(**accounts)
    for payer in accounts:
        accounting.standings.take(payer, Me("usr_1", None, Ceilings()), is_configured=True)
    assert accounting.payers.in_force("a7") is accounting.payers.in_force("a7")
    assert accounting.payers.ceilings("a999").requests_per_minute == 9


def worked_out_anew(payers: Payers, payer: str) -> Terms:
    scopes = (payers.account_scope(payer), *payers.scopes_below(payer))
    return Terms(scopes, lowest_tokens(scopes), payers.in_force(payer))


STEPS = st.sampled_from(
    [
        *(("is", payer, account) for payer in ("acme", "lab", KEY) for account in ("usr_1", "b")),
        *(("has", payer, rules) for payer in ("acme", "lab") for rules in (ACME, LAB, MINI, None)),
    ]
)


@given(st.lists(STEPS, max_size=8))
def test_what_a_call_is_held_to_is_what_was_told_and_configured_last(
    steps: list[tuple[str, str, Any]],
) -> None:
    accounts = {"acme": ACME, "lab": MINI}
    accounting, now = an_accounting(**accounts), 0.0
    for kind, payer, what in steps:
        now += 1
        if kind == "is":
            accounting.take_me(payer, who_is(what), now)
        else:
            accounts = {name: rules for name, rules in accounts.items() if name != payer}
            accounts |= {} if what is None else {payer: what}
            accounting.take_rules(LimitRules(accounts), now)
        for each in ("acme", "lab", KEY) * 2:
            expected = worked_out_anew(accounting.payers, each)
            assert accounting.payers.terms_of(each, "mini", None) == expected
