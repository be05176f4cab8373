from pathlib import Path

import pytest

from foxora_addon.config import Config, load
from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.hosts import parse_base_url
from foxora_addon.policy.plans import UNLIMITED, Ceilings
from foxora_addon.policy.recognise import Recognised, recognise
from foxora_addon.policy.waiting import Bounds
from foxora_addon.rules import Rules, gateway_origin, gateway_path, rules_of
from tests.builders import ACCOUNT_KEY, a_head, an_exchange

ENVIRON = {"FOXORA_API_KEY": ACCOUNT_KEY}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def config_of(folder: Path, text: str) -> Config:
    (folder / "foxora.yaml").write_text(text, encoding="utf-8")
    return load({}, ENVIRON, folder)


def rules(folder: Path, text: str = "") -> Rules:
    return rules_of(config_of(folder, text), {"proxy.example"})


def is_ours(rules: Rules, host: str, target: str, port: int = 443) -> bool:
    head = a_head(target, hosts=(host,), port=port, addressed="host", host_header=host)
    return isinstance(recognise(head, rules.territory), Recognised)


def test_the_defaults_serve_openai_azure_and_the_gateway_itself(folder: Path) -> None:
    found = rules(folder)

    assert is_ours(found, "api.openai.com", "/v1/chat/completions")
    assert is_ours(found, "api.openai.com", "/anything")
    assert is_ours(found, "mine.openai.azure.com", "/openai/v1/responses")
    assert is_ours(found, "api.foxora.ai", "/v1/models")
    assert not is_ours(found, "api.foxora.ai", "/dashboard")
    assert not is_ours(found, "example.com", "/v1/chat/completions")


def test_with_paths_api_the_other_paths_of_a_host_are_left_alone(folder: Path) -> None:
    found = rules(folder, "intercept: {paths: api}")

    assert is_ours(found, "api.openai.com", "/chat/completions")
    assert not is_ours(found, "api.openai.com", "/anything")


def test_listed_hosts_take_the_place_of_the_defaults(folder: Path) -> None:
    found = rules(folder, "intercept: {hosts: ['llm.example:8443'], presets: []}")

    assert is_ours(found, "llm.example", "/v1/embeddings", 8443)
    assert not is_ours(found, "llm.example", "/v1/embeddings", 443)
    assert not is_ours(found, "api.openai.com", "/v1/embeddings")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "proxy.example", "mine.example"])
def test_the_listener_answers_to_its_own_names(folder: Path, name: str) -> None:
    assert name in rules(folder, "listen: {names: [mine.example]}").territory.own_names


ACCOUNT = "accounts: [{name: acme, default: true, key: {env: FOXORA_API_KEY}, %s}]"


@pytest.mark.parametrize(
    ("figures", "ceilings"),
    [
        ("plan: auto", UNLIMITED),
        ("plan: free", Ceilings(30, 40_000)),
        ("plan: free, limits: {requests_per_minute: 3}", Ceilings(3, 40_000)),
        ("plan: pro, limits: {concurrent_requests: 2}", Ceilings(300, 400_000, 2)),
        ("limits: {tokens_per_minute: 7}", Ceilings(None, 7)),
    ],
)
def test_figures_of_an_account_stand_over_those_of_its_plan(
    folder: Path, figures: str, ceilings: Ceilings
) -> None:
    assert rules(folder, ACCOUNT % figures).limits.accounts["acme"].ceilings == ceilings


def test_switches_are_read_off_the_configuration(folder: Path) -> None:
    usual = rules(folder)
    other = rules(folder, "limits: {shadow: true}\naudit: {level: metadata, on_failure: allow}\n")

    known = (usual.limits.is_shadow, usual.levels.usual, usual.needs_record)
    assert known == (False, "full", True)
    known = (other.limits.is_shadow, other.levels.usual, other.needs_record)
    assert known == (True, "metadata", False)


def test_the_accounts_keys_are_redacted_and_not_shown(folder: Path) -> None:
    found = rules(folder)

    assert ACCOUNT_KEY not in found.redactor.scrub(f"it is {ACCOUNT_KEY}")
    assert ACCOUNT_KEY not in repr(found)


def test_the_mock_gateway_is_where_it_is_said_to_be(folder: Path) -> None:
    config = config_of(folder, "gateway: {base_url: mock}")

    assert (
        str(rules_of(config, (), "http://127.0.0.1:9999/v1").gateway) == "http://127.0.0.1:9999/v1"
    )
    with pytest.raises(ValueError, match="mock"):
        rules_of(config, ())


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("https://h.example/v1", "https://h.example", "/v1/models?a=b"),
        ("http://[::1]:8000", "http://[::1]:8000", "/models?a=b"),
    ],
)
def test_a_path_at_the_gateway_lies_below_its_base(url: str, origin: str, target: str) -> None:
    gateway = parse_base_url(url)

    assert gateway_origin(gateway) == origin
    assert gateway_path(gateway, "/models", "a=b") == target
    assert gateway_path(gateway, "/models", "") == target.partition("?")[0]


def test_a_call_waits_no_longer_than_the_whole_of_it_may_take(folder: Path) -> None:
    found = rules(folder, "gateway: {exchange_timeout_seconds: 5}\nlimits: {on_limit: wait}")
    assert found.limits.bounds == Bounds(1_000, 30.0, 5.0)
    found = rules(folder, "gateway: {exchange_timeout_seconds: null}\nlimits: {on_limit: wait}")
    assert found.limits.bounds == Bounds(1_000, 30.0)


ACME = "accounts:\n  - name: acme\n    key: {env: FOXORA_API_KEY}\n    clients:\n"
FIRST = "      - {address: 10.0.0.7, limits: {requests_per_minute: 1}}\n"
SECOND = f"      - {{key_sha256: {'5f' * 32}, limits: {{requests_per_minute: 1}}}}\n"


def test_a_client_without_a_name_keeps_its_minute_at_another_place_of_the_list(
    folder: Path,
) -> None:
    accounting = Accounting(rules(folder, ACME + FIRST).limits)

    def may_go(name: str) -> bool:
        exchange = an_exchange(payer="acme")
        exchange.client = exchange.client._replace(name=name)
        return accounting.reserve(exchange, 0.0) is None

    assert [may_go("clients[0]"), may_go("clients[0]")] == [True, False]
    accounting.take_rules(rules(folder, ACME + SECOND + FIRST).limits, 0.0)
    assert not may_go("clients[1]")
    assert [may_go("clients[0]"), may_go("clients[0]")] == [True, False]
    accounting.take_rules(rules(folder, ACME + FIRST + SECOND).limits, 0.0)
    assert not may_go("clients[0]")
    assert not may_go("clients[1]")
