import pytest

from foxora_addon.policy.payers import AccountRules, LimitRules, Payers
from foxora_addon.policy.plans import UNLIMITED, Ceilings, Me
from foxora_addon.policy.standing import Standings, payer_of_id, payer_of_key

KEY = payer_of_key("5f0c" * 16)
OTHER_KEY = payer_of_key("77ab" * 16)


def told(account_id: str | None) -> Me:
    return Me(account_id, "pro", UNLIMITED)


def test_an_untold_payer_stands_for_itself() -> None:
    standings = Standings()
    assert standings.known("acme") is None
    assert standings.canonical("acme") == "acme"
    assert standings.shown("acme") == "acme"
    assert standings.shown(KEY) is None


def test_two_keys_with_one_id_are_one_account_under_the_gateways_id() -> None:
    standings = Standings()
    assert standings.take(KEY, told("usr_1"), is_configured=False) == KEY
    assert standings.take(OTHER_KEY, told("usr_1"), is_configured=False) == OTHER_KEY
    assert standings.canonical(KEY) == standings.canonical(OTHER_KEY) == "id usr_1"
    assert standings.shown(OTHER_KEY) == "usr_1"


def test_what_the_gateway_told_last_of_an_account_holds_for_all_keys_that_pass() -> None:
    payers = Payers(LimitRules())
    for payer, most in ((KEY, 300), (OTHER_KEY, 30)):
        me = Me("usr_1", "pro", Ceilings(most))
        payers.standings.take(payer, me, is_configured=False)
    assert payers.ceilings(KEY) == payers.ceilings(OTHER_KEY) == Ceilings(30)
    payers.standings.take(KEY, Me("usr_1", "pro", Ceilings(60)), is_configured=False)
    assert payers.ceilings(KEY) == payers.ceilings(OTHER_KEY) == Ceilings(60)


def test_a_key_that_passes_joins_the_configured_account_with_its_id() -> None:
    standings = Standings()
    assert standings.take("acme", told("usr_1"), is_configured=True) == "id usr_1"
    assert standings.take("acme", told("usr_1"), is_configured=True) is None
    assert standings.take(KEY, told("usr_1"), is_configured=False) == KEY
    assert standings.canonical(KEY) == "acme"
    assert standings.shown(KEY) == "acme"  # and not a digest of a key


def test_a_configured_account_takes_over_what_a_key_began() -> None:
    standings = Standings()
    standings.take(KEY, told("usr_1"), is_configured=False)
    assert standings.take("acme", told("usr_1"), is_configured=True) == "id usr_1"
    assert standings.canonical(KEY) == "acme"


def test_two_configured_accounts_with_one_id_share_and_keep_their_names_in_records() -> None:
    standings = Standings()
    standings.take("acme", told("usr_1"), is_configured=True)
    assert standings.take("lab", told("usr_1"), is_configured=True) == "lab"
    assert standings.canonical("lab") == "acme"
    assert standings.shown("lab") == "lab"
    assert standings.take("lab", told("usr_1"), is_configured=True) == "lab"


def test_an_answer_without_an_id_joins_nobody() -> None:
    standings = Standings()
    assert standings.take("acme", told(None), is_configured=True) is None
    assert standings.take("lab", told(None), is_configured=True) is None
    assert standings.canonical("lab") == "lab"


def test_unknown_keys_do_not_fill_memory() -> None:
    standings = Standings()
    for number in range(10_050):
        standings.take(payer_of_key(str(number)), told(f"u{number}"), is_configured=False)
    assert standings.known(payer_of_key("0")) is None
    assert standings.known(payer_of_key("10049")) is not None


def test_an_account_that_nobody_is_any_longer_is_forgotten() -> None:
    standings = Standings()
    for number in range(3):
        standings.take("acme", told(f"usr_{number}"), is_configured=True)
    standings.take("lab", told("usr_2"), is_configured=True)
    standings.take("lab", told(None), is_configured=True)
    assert standings._sharers == {"usr_2": {"acme": None}}
    assert list(standings.sharers("acme")) == ["acme"]


@pytest.mark.parametrize("is_met_first", [True, False])
def test_no_number_of_strangers_parts_accounts_that_are_one(is_met_first: bool) -> None:
    payers = Payers(LimitRules({"acme": AccountRules(), "lab": AccountRules()}))
    standings = payers.standings
    if is_met_first:  # under the gateway's id, by a key that passes through
        standings.take(KEY, told("usr_1"), is_configured=False)
    for payer in ("acme", "lab"):
        standings.take(payer, told("usr_1"), is_configured=True)
    for number in range(10_001):
        stranger = payer_of_key(str(number))
        standings.take(stranger, told(f"usr_other_{number}"), is_configured=False)
    assert payers.account_scope("lab").name == standings.canonical("lab") == "acme"
    assert standings.owner("usr_1") == "acme"


def test_an_account_that_no_configured_one_is_any_longer_is_as_any_strangers() -> None:
    standings = Standings()
    standings.take("acme", told("usr_1"), is_configured=True)
    standings.left("acme", told("usr_2"))
    standings.take("acme", told("usr_2"), is_configured=True)
    standings.take(KEY, told("usr_1"), is_configured=False)
    assert standings.canonical(KEY) == standings.owner("usr_1") == payer_of_id("usr_1")
    for number in range(10_001):
        stranger = payer_of_key(str(number))
        standings.take(stranger, told(f"usr_other_{number}"), is_configured=False)
    assert standings._owners == {"usr_2": "acme"}
    assert standings.canonical("acme") == "acme"
