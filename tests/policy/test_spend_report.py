import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given

from foxora_addon.policy.spend_report import SpendReport, cap_of_plan, parse_spend
from tests.policy.test_plans import JSON, a_me

RENEWAL = datetime(2026, 5, 19, tzinfo=UTC).timestamp()


def parsed(**changes: object) -> SpendReport | None:
    return parse_spend(json.dumps(a_me(**changes)).encode())


def test_the_documented_answer_is_read_exactly() -> None:
    assert parsed() == SpendReport(Decimal("12.41"), Decimal("99.1"), RENEWAL)
    many = b'{"usage": {"spend_usd": 12.410000000000001}}'
    assert parse_spend(many) == SpendReport(Decimal("12.410000000000001"))


@pytest.mark.parametrize(
    "text",
    ["2026-05-19T00:00:00Z", "2026-05-19T00:00:00.000Z", "2026-05-19", "2026-05-19T02:00:00+02:00"],
)
def test_a_renewal_is_read_in_all_forms_of_iso_8601(text: str) -> None:
    report = parsed(plan={"renews_at": text})
    assert report is not None
    assert report.renews_at == RENEWAL


@pytest.mark.parametrize(
    "odd", [None, 5, "", "soon", "2026-13-01", "0001-01-01T00:00+14:00", "9999-12-31", []]
)
def test_an_odd_renewal_is_not_known(odd: object) -> None:
    report = parsed(plan={"renews_at": odd})
    assert report is not None
    assert report.renews_at is None


@pytest.mark.parametrize("plan", ["free", "Free", "FREE"])
def test_the_free_plan_has_its_built_in_cap_unless_the_answer_says_another(plan: str) -> None:
    free = parsed(plan={"id": plan}, limits={})
    assert free is not None
    assert free.cap_usd == 1
    told = parsed(plan={"id": plan}, limits={"monthly_spend_cap_usd": 0})
    assert told is not None
    assert told.cap_usd == 0


@pytest.mark.parametrize("plan", ["pro", "team", "other", None, 5])
def test_no_other_plan_has_a_cap_by_itself(plan: object) -> None:
    assert cap_of_plan(plan) is None


@pytest.mark.parametrize("odd", [True, "much", None, -1, float("nan"), float("inf"), []])
def test_an_odd_sum_is_not_known(odd: object) -> None:
    report = parsed(usage={"spend_usd": odd}, limits={"monthly_spend_cap_usd": odd})
    assert report == SpendReport(None, None, RENEWAL)


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'{"id": "usr_1"}', b"[" * 100_000])
def test_an_answer_without_money_says_nothing(body: bytes) -> None:
    assert parse_spend(body) is None


@given(JSON, JSON, JSON)
def test_it_is_total(plan: object, renewal: object, amount: object) -> None:
    parse_spend(json.dumps({"plan": plan, "usage": amount, "limits": renewal}).encode())
    me = {"plan": {"id": plan, "renews_at": renewal}, "usage": {"spend_usd": amount}}
    parse_spend(json.dumps(me).encode())
