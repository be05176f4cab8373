"""How accounts stand, as it is told to whoever shows it."""

from foxora_addon.policy.allowances import Allowances
from foxora_addon.policy.limits import Reservation
from foxora_addon.policy.plans import UNLIMITED, Ceilings

CEILINGS = {"acme": Ceilings(300, 400_000, 4), "lab": UNLIMITED}


def test_an_account_that_nobody_used_has_all_of_its_ceilings() -> None:
    acme, lab = Allowances().standings(CEILINGS, 100.0)
    assert acme["requests"] == {
        "used": 0,
        "ceiling": 300,
        "remaining": 300,
        "resets_in_seconds": None,
    }
    assert acme["concurrent"] == {"used": 0, "ceiling": 4}
    assert lab["tokens"]["ceiling"] is lab["tokens"]["remaining"] is None


def test_what_is_used_counts_with_and_without_a_ceiling_and_debt_is_negative() -> None:
    allowances = Allowances()
    for account, ceilings in CEILINGS.items():
        taken = allowances.reserve(account, ceilings, 1_000, 100.0, is_shadow=False)
        assert isinstance(taken, Reservation)
        allowances.mark_sent(account, taken, 100.0)
        allowances.settle(account, taken, 500_000, 101.0)
    acme, lab = allowances.standings(CEILINGS, 101.0)
    assert acme["tokens"]["remaining"] == -100_000
    assert acme["requests"]["used"] == lab["requests"]["used"] == 1
    assert lab["tokens"]["used"] == 500_000
    assert acme["concurrent"]["used"] == 0
    assert 0 < acme["tokens"]["resets_in_seconds"] <= 60.25


def test_open_calls_are_told() -> None:
    allowances = Allowances()
    allowances.reserve("acme", CEILINGS["acme"], 10, 100.0, is_shadow=False)
    acme, _ = allowances.standings(CEILINGS, 100.0)
    assert acme["concurrent"]["used"] == 1
    assert acme["tokens"]["used"] == 10
