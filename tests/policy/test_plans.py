from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.plans import PLANS, Ceilings, Me, parse_me
from tests.builders import ACCOUNT_KEY


def a_me(**changes: Any) -> dict[str, Any]:
    """The documented answer of GET /v1/me."""
    return {
        "id": "usr_1",
        "email": "a@example.com",
        "plan": {"id": "pro", "label": "Pro", "renews_at": "2026-05-19T00:00:00Z"},
        "usage": {"requests_this_month": 1842, "spend_usd": 12.41},
        "limits": {
            "requests_per_minute": 200,
            "tokens_per_minute": 300_000,
            "monthly_spend_cap_usd": 99.1,
        },
    } | changes


def test_the_documented_answer_is_read() -> None:
    assert parse_me(a_me()) == Me("usr_1", "pro", Ceilings(200, 300_000))


@pytest.mark.parametrize("plan", ["free", "pro", "team"])
def test_without_figures_the_plan_says_them(plan: str) -> None:
    me = parse_me({"plan": {"id": plan}})
    assert me == Me(None, plan, PLANS[plan])


def test_a_missing_figure_is_the_plans_and_a_given_one_stays() -> None:
    me = parse_me(a_me(limits={"requests_per_minute": 7}))
    assert me is not None
    assert me.ceilings == Ceilings(7, 400_000)


@pytest.mark.parametrize("odd", [0, -1, True, "300", None, [], float("inf"), float("nan")])
def test_an_odd_figure_is_not_believed(odd: object) -> None:
    me = parse_me(a_me(limits={"requests_per_minute": odd}, plan={"id": "own"}))
    assert me is not None
    assert me.ceilings == Ceilings()


@pytest.mark.parametrize("body", [None, [], "pro", {}, {"id": 5}, {"error": {"code": "x"}}])
def test_an_answer_that_is_none_says_nothing(body: object) -> None:
    assert parse_me(body) is None


@pytest.mark.parametrize(
    "account_id",
    [
        ACCOUNT_KEY,
        ACCOUNT_KEY[:16],
        "*" * 20,
        "usr_" + "*" * 20,
        "usr 1",
        "usr_1\n",
        "\u00fcsr",
        "u" * 129,
    ],
)
def test_an_id_that_may_be_a_key_or_is_not_plain_is_not_taken(account_id: str) -> None:
    me = parse_me(a_me(id=account_id))
    assert me == Me(None, "pro", Ceilings(200, 300_000))


@pytest.mark.parametrize(
    "account_id", ["usr_1", "a.b@example.com", "urn:foxora:acct:1", "orgs/1", "u" * 128]
)
def test_a_plain_id_is_taken_as_it_is(account_id: str) -> None:
    me = parse_me(a_me(id=account_id))
    assert me is not None
    assert me.account_id == account_id


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(JSON, JSON, JSON, JSON)
def test_it_is_total(account: object, plan: object, limits: object, figure: object) -> None:
    parse_me({"id": account, "plan": plan, "limits": limits})
    parse_me({"plan": {"id": plan}, "limits": {"tokens_per_minute": figure}})
    parse_me({"limits": {"requests_per_minute": figure, "concurrent_requests": figure}})
