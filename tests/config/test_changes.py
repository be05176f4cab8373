"""What an edited configuration may change while the proxy runs."""

from collections.abc import Callable

import pytest

from foxora_addon.config import Config, why_not_live

type LoadYaml = Callable[..., Config]

LISTED = "accounts: [{name: acme, key: {env: FOXORA_API_KEY}, clients: [{key: {env: APP_KEY}}]}]\n"


def test_only_the_trail_and_the_store_need_a_restart(load_yaml: LoadYaml) -> None:
    old = load_yaml("")
    new = load_yaml("audit: {path: other.jsonl, level: metadata}\nlimits: {shadow: true}")
    assert why_not_live(old, old) is None
    assert why_not_live(old, new) == "audit.path can't change while the proxy runs; start it anew"

    elsewhere = new.limits.model_copy(update={"store": "redis://127.0.0.1"})
    moved = new.model_copy(update={"limits": elsewhere})
    assert str(why_not_live(old, moved)).startswith("audit.path, limits.store can't change")


@pytest.mark.parametrize("text", ["", "# all\n", "gateway:\nlimits: {}\n"])
def test_a_file_in_which_nothing_is_set_any_more_is_not_taken(
    load_yaml: LoadYaml, text: str
) -> None:
    old, new = load_yaml("limits: {shadow: true}"), load_yaml(text)
    assert str(why_not_live(old, new)).startswith("its file is empty, or has comments alone")
    assert why_not_live(new, new) is None
    assert why_not_live(new, old) is None


@pytest.mark.parametrize("left", ["accounts: []\n", "accounts:\n", ""])
def test_accounts_that_are_gone_are_not_taken_for_the_single_one(
    load_yaml: LoadYaml, left: str
) -> None:
    rest = "limits: {shadow: true}\n"
    old, new = load_yaml(LISTED + rest), load_yaml(left + rest)
    assert str(why_not_live(old, new)).startswith("its file lists no accounts any more")
    assert why_not_live(new, new) is None
    assert why_not_live(new, old) is None
    assert why_not_live(old, load_yaml(LISTED.replace("acme", "lab") + rest)) is None


def test_the_single_account_may_be_listed_or_not(load_yaml: LoadYaml) -> None:
    old = load_yaml("accounts: [{name: default, key: {env: FOXORA_API_KEY}}]\nmodels: {}\n")
    assert why_not_live(old, load_yaml("limits: {shadow: true}")) is None
