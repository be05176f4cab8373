"""How accounts stand, as a person reads it."""

import io
from typing import Any

import pytest
from rich.console import Console

from foxora_addon.app.limits_view import notes_of, view_of
from foxora_addon.policy.allowances import Allowances
from foxora_addon.policy.plans import PLANS, UNLIMITED, Ceilings
from foxora_addon.policy.scopes import Scope


def shown(*accounts: dict[str, Any], width: int = 200) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width)
    console.print(view_of(accounts, console))
    return out.getvalue()


def a_standing(ceilings: Ceilings = PLANS["pro"], calls: int = 0, tokens: int = 0) -> Any:
    scope = Scope("acme", "Account 'acme'", ceilings)
    allowances = Allowances()
    for _ in range(calls):
        allowances.admit([scope], tokens, 100.0)
    spend = {"used_usd": None, "ceiling_usd": None}
    return {
        "account": "acme",
        **allowances.standing(scope, 100.0),
        "waiting": 0,
        "spend": spend,
    }


def test_an_account_that_nobody_has_used_is_shown_with_its_ceilings() -> None:
    text = shown(a_standing())
    assert "acme" in text
    assert "0 of 300" in text
    assert "0 of 400,000" in text


def test_what_is_used_is_shown_with_the_time_until_it_is_back() -> None:
    text = shown(a_standing(calls=150, tokens=1_000))
    assert "█████░░░░░ 150 of 300, all back in 60 s" in text
    assert "150,000 of 400,000" in text


def test_more_than_all_fills_the_bar_and_no_more() -> None:
    assert "██████████ 301 of 300" in shown(a_standing(calls=301))


def test_without_a_ceiling_what_is_used_is_shown_alone_and_noted() -> None:
    standing = a_standing(UNLIMITED, calls=2)
    assert " of " not in shown(standing)
    (note,) = notes_of([standing])
    assert "acme" in note
    assert not notes_of([a_standing()])


def test_spend_is_money_where_it_is_known() -> None:
    standing = a_standing() | {"spend": {"used_usd": 1.5, "ceiling_usd": 100}}
    assert "$1.50 of $100.00" in shown(standing)
    assert "not known" in shown(a_standing())


def test_a_small_sum_is_not_rounded_to_nothing() -> None:
    standing = a_standing() | {"spend": {"used_usd": 1.98e-05, "ceiling_usd": 0.001}}
    assert "$0.00002 of $0.001" in shown(standing)


def test_a_narrow_terminal_has_a_line_for_each_figure() -> None:
    standing = a_standing(calls=150, tokens=1_000)
    standing |= {"spend": {"used_usd": 12.345678, "ceiling_usd": 100}}
    lines = [line.rstrip() for line in shown(standing, width=80).splitlines()]
    assert lines == [
        "acme",
        "  requests a minute  █████░░░░░ 150 of 300, all back in 60 s",
        "  tokens a minute    ████░░░░░░ 150,000 of 400,000, all back in 60 s",
        "  at once            150",
        "  waiting            0",
        "  spent              $12.345678 of $100.00",
    ]


@pytest.mark.parametrize("width", [36, 30, 20, 16])
def test_no_figure_is_cut_however_narrow_it_is(width: int) -> None:
    words = "".join(shown(a_standing(calls=150, tokens=1_000), width=width).split())
    assert "150,000of400,000,allbackin60s" in words
    assert "…" not in words
