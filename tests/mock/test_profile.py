"""What an account is told about itself, and the list of models."""

import pytest

from foxora_addon.mock.settings import MockSettings, ModelSettings
from tests.mock.builders import (
    Clock,
    a_gateway,
    a_get,
    a_request,
    an_account,
    answered,
    body_of,
    settings_of,
)


def test_me_tells_plan_use_and_ceilings() -> None:
    gateway = a_gateway(settings_of(an_account(plan="free", email="a@example.org")))
    usage = body_of(answered(gateway, a_request()))["usage"]
    me = body_of(answered(gateway, a_get("/v1/me")))
    assert me["id"].startswith("usr_")
    assert me["email"] == "a@example.org"
    assert me["plan"] == {"id": "free", "label": "Free", "renews_at": "2026-12-01T00:00:00Z"}
    assert me["usage"]["requests_this_month"] == 1
    assert me["usage"]["tokens_this_month"] == usage["total_tokens"]
    spent = usage["prompt_tokens"] * 0.00015 + usage["completion_tokens"] * 0.0006
    assert me["usage"]["spend_usd"] == pytest.approx(spent / 1000)
    assert me["limits"] == {
        "requests_per_minute": 30,
        "tokens_per_minute": 40_000,
        "monthly_spend_cap_usd": 1,
    }
    assert set(map(type, me["features"].values())) == {bool}


def test_an_account_without_ceilings_says_so_with_null() -> None:
    me = body_of(answered(a_gateway(), a_get("/v1/me")))
    assert set(me["limits"].values()) == {None}


def test_usage_has_a_bucket_a_day_oldest_first() -> None:
    clock = Clock()
    gateway = a_gateway(clock=clock)
    answered(gateway, a_request())
    clock.now += 86_400
    days = body_of(answered(gateway, a_get("/v1/me/usage?days=3")))
    assert [(day["date"], day["requests"]) for day in days] == [
        ("2026-11-22", 0),
        ("2026-11-23", 1),
        ("2026-11-24", 0),
    ]
    assert days[1]["input_tokens"] > 0
    assert days[1]["spend_usd"] > 0


def test_usage_without_days_tells_thirty() -> None:
    assert len(body_of(answered(a_gateway(), a_get("/v1/me/usage")))) == 30


@pytest.mark.parametrize(
    "days", ["0", "367", "-1", "x", "", "1e3", "9" * 5_000, "0" + "&a=b" * 999]
)
def test_an_impossible_number_of_days_is_refused(days: str) -> None:
    exchange = answered(a_gateway(), a_get(f"/v1/me/usage?days=1&days={days or '%20'}"))
    assert exchange.answer.status == 400
    assert body_of(exchange)["error"]["param"] == "days"


def test_models_are_listed_with_the_documented_fields() -> None:
    listed = body_of(answered(a_gateway(), a_get("/v1/models")))
    assert listed["object"] == "list"
    assert listed["data"][0] == {
        "id": "gpt-4o-mini",
        "provider": "openai",
        "context_window": 128_000,
        "input_per_1k_usd": 0.00015,
        "output_per_1k_usd": 0.0006,
        "supports": ["chat", "tools", "vision", "json_mode"],
    }


def test_a_model_is_told_in_openais_shape_beside_its_row() -> None:
    gateway = a_gateway(MockSettings(models=(ModelSettings(id="meta/llama", provider="meta"),)))
    (row,) = body_of(answered(gateway, a_get("/v1/models")))["data"]
    model = body_of(answered(gateway, a_get("/v1/models/meta%2Fllama")))
    assert model["object"] == "model"
    assert model["owned_by"] == "meta"
    assert isinstance(model["created"], int)
    assert model.items() > row.items()


def test_a_model_that_is_not_there_is_not_found() -> None:
    exchange = answered(a_gateway(), a_get("/v1/models/gpt-0"))
    assert exchange.answer.status == 404
    assert body_of(exchange)["error"]["code"] == "model_not_found"
