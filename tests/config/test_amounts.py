from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.prices import Price
from foxora_addon.config import Config, PriceFigures

type LoadYaml = Callable[..., Config]

LIMITS = "accounts: [{name: a, key: {env: FOXORA_API_KEY}, limits: {monthly_spend_cap_usd: %s}}]"


def test_a_price_of_yaml_is_exact(load_yaml: LoadYaml) -> None:
    config = load_yaml(
        "prices:\n"
        "  gpt-4o-mini: {input_per_1k_usd: 0.00015, output_per_1k_usd: 0.0006}\n"
        "  other/model: {input_per_1k_usd: '0.000000000001', output_per_1k_usd: 1e-7}\n"
        "  4.1: {input_per_1k_usd: 0, output_per_1k_usd: 2}\n"
    )
    assert {model: row.price for model, row in config.prices.items()} == {
        "gpt-4o-mini": Price(Decimal("0.00015"), Decimal("0.0006")),
        "other/model": Price(Decimal("0.000000000001"), Decimal("0.0000001")),
        "4.1": Price(Decimal(0), Decimal(2)),
    }


@given(st.decimals(min_value=0, max_value=100, places=12))
def test_each_price_is_what_is_written(amount: Decimal) -> None:
    row = PriceFigures.model_validate(
        {"input_per_1k_usd": float(amount), "output_per_1k_usd": f"{amount:f}"}
    )
    assert row.input_per_1k_usd == row.output_per_1k_usd == amount


@pytest.mark.parametrize(
    ("text", "cap"),
    [
        ("0", "0"),
        ("100", "100"),
        ("99.50", "99.5"),
        ("'99.50'", "99.5"),
        ("0.1", "0.1"),
        ("1e3", "1000"),
        ("0.000000000000001", "0.000000000000001"),
    ],
)
def test_a_cap_of_yaml_is_exact(load_yaml: LoadYaml, text: str, cap: str) -> None:
    assert load_yaml(LIMITS % text).accounts[0].limits.monthly_spend_cap_usd == Decimal(cap)


def test_without_a_cap_the_gateways_holds_and_without_prices_its_list(load_yaml: LoadYaml) -> None:
    config = load_yaml(LIMITS % "null" + "\nprices:\n")
    assert config.accounts[0].limits.monthly_spend_cap_usd is None
    assert config.prices == {}
    assert config.limits.unknown_price == "allow"
