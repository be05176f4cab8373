"""Which questions of our own an account's ceilings have room for."""

import json

import pytest

from foxora_addon.policy.accounting import ME, MODELS, Accounting, AccountRules, LimitRules
from foxora_addon.policy.plans import Ceilings


def an_accounting(rules: AccountRules) -> Accounting:
    return Accounting(LimitRules({"acme": rules}))


def told(requests_per_minute: int) -> bytes:
    limits = {"requests_per_minute": requests_per_minute, "tokens_per_minute": 1_000}
    return json.dumps({"id": "usr_1", "limits": limits}).encode()


def test_ceilings_that_the_gateway_tells_are_asked_for_again_however_small_they_are() -> None:
    accounting = an_accounting(AccountRules())
    assert accounting.ask("acme", ME, 0.0) == 0.0
    assert accounting.take_me("acme", told(5), 0.0, 0.1)
    assert accounting.ask("acme", MODELS, 0.2) > 0
    assert accounting.ask("acme", ME, 30.0) > 0
    assert accounting.ask("acme", ME, 300.0) == 0.0
    assert accounting.take_me("acme", told(9), 300.0, 300.1)
    assert accounting.ceilings("acme").requests_per_minute == 9


@pytest.mark.parametrize("path", [ME, MODELS])
def test_a_tiny_ceiling_of_the_configuration_is_left_to_the_calls(path: str) -> None:
    accounting = an_accounting(AccountRules(Ceilings(19), asks=False))
    assert accounting.ask("acme", path, 0.0) > 0


def test_a_twentieth_of_a_minute_is_for_questions() -> None:
    accounting = an_accounting(AccountRules(Ceilings(60), asks=False))
    waits = [accounting.ask("acme", ME, float(second)) for second in range(5)]
    assert [wait == 0 for wait in waits] == [True] * 3 + [False] * 2
    assert accounting.ask("acme", ME, 61.0) == 0.0
