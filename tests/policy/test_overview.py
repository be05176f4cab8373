"""How accounts stand, as it is told to whoever shows it."""

from foxora_addon.policy.accounting import Accounting, AccountRules, LimitRules
from foxora_addon.policy.plans import UNLIMITED, Ceilings
from tests.builders import an_exchange

PRO = Ceilings(300, 400_000, 4)


def an_accounting() -> Accounting:
    accounts = {"acme": AccountRules(PRO, asks=False), "lab": AccountRules(UNLIMITED, asks=False)}
    return Accounting(LimitRules(accounts))


def test_an_account_that_nobody_used_has_all_of_its_ceilings() -> None:
    acme, lab = an_accounting().balances(100.0)
    assert acme["account"] == "acme"
    assert acme["requests"] == {
        "used": 0,
        "ceiling": 300,
        "remaining": 300,
        "resets_in_seconds": 0.0,
    }
    assert acme["concurrent"] == {"used": 0, "ceiling": 4}
    assert acme["waiting"] == 0
    assert lab["tokens"]["ceiling"] is lab["tokens"]["remaining"] is None


def test_an_open_call_is_told_with_what_it_has_reserved() -> None:
    accounting = an_accounting()
    exchange = an_exchange(payer="acme", input_tokens=10, output_cap=5)
    assert accounting.reserve(exchange, 100.0) is None
    acme, lab = accounting.balances(100.0)
    assert acme["concurrent"]["used"] == acme["requests"]["used"] == 1
    assert acme["tokens"]["used"] == exchange.estimated_tokens
    assert 0 < acme["tokens"]["resets_in_seconds"] <= 60.25
    assert lab["requests"]["used"] == 0
