"""Settings from mappings, and what is said about wrong ones."""

import re
from decimal import Decimal
from typing import Any

import pytest

from foxora_addon.mock.settings import AccountSettings, MockSettings

SECRET = "foxora_sk_live_obviously-fake-secret"


def test_nothing_given_means_any_key_and_no_ceilings() -> None:
    settings = MockSettings.from_mapping({})
    assert settings.accept_any_key
    assert settings.accounts == ()


def test_a_mapping_becomes_settings() -> None:
    settings = MockSettings.from_mapping(
        {
            "accept_any_key": False,
            "window": "sliding",
            "accounts": [
                {"name": "acme", "keys": [SECRET], "plan": "free", "requests_per_minute": 5}
            ],
            "models": [{"id": "tiny", "input_per_1k_usd": 0.1}],
        }
    )
    ceilings = settings.accounts[0].ceilings()
    assert (ceilings.requests_per_minute, ceilings.tokens_per_minute) == (5, 40_000)
    assert ceilings.monthly_spend_cap_usd == Decimal(1)
    assert settings.models[0].input_per_1k_usd == Decimal("0.1")


def test_an_account_without_a_plan_has_its_own_figures_only() -> None:
    ceilings = AccountSettings(name="acme", monthly_spend_cap_usd=Decimal(0)).ceilings()
    assert ceilings.requests_per_minute is None
    assert ceilings.monthly_spend_cap_usd == 0


@pytest.mark.parametrize(
    ("mapping", "line"),
    [
        ({"windw": "fixed"}, "windw: unknown key; did you mean 'window'? Known keys: accounts"),
        ({"window": "monthly"}, "window: Input should be 'fixed' or 'sliding'"),
        (
            {"accounts": [{"name": "a", "plan": "gold"}]},
            "accounts.0.plan: Input should be 'free', 'pro' or 'team'",
        ),
        ({"accounts": [{"name": "a", "key": SECRET}]}, "accounts.0.key: unknown key; did you mean"),
        ({"accounts": [{"keys": [SECRET]}]}, "accounts.0.name: Field required"),
        ({"accounts": [SECRET]}, "accounts.0: must be a mapping of keys to values"),
        (
            {"accounts": [{"name": "a"}, {"name": "a"}]},
            "settings: two accounts are named 'a'; names must differ",
        ),
        (
            {"accounts": [{"name": "a", "keys": [SECRET]}, {"name": "b", "keys": [SECRET]}]},
            "settings: accounts 'a' and 'b' share a key",
        ),
        ({"models": []}, "models: Tuple should have at least 1 item"),
        ([], "settings: must be a mapping of keys to values"),
        (None, "settings: must be a mapping of keys to values"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_without_any_value(mapping: Any, line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(line)) as caught:
        MockSettings.from_mapping(mapping)
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in message


def test_keys_stand_in_no_repr_and_in_no_validation_error() -> None:
    assert SECRET not in repr(MockSettings(accounts=(AccountSettings(name="a", keys=(SECRET,)),)))
    with pytest.raises(ValueError, match="name") as caught:
        AccountSettings.model_validate({"keys": [SECRET]})
    assert SECRET not in str(caught.value)
