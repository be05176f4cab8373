import hashlib
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from foxora_addon.config import Config, ConfigError, load
from foxora_addon.policy.hosts import BaseUrl, HostPattern

type LoadYaml = Callable[..., Config]

KEY = "foxora_sk_test_0000000000000000"
ENVIRON = {"FOXORA_API_KEY": KEY}


def test_without_anything_but_a_key_there_is_one_default_account(tmp_path: Path) -> None:
    config = load({}, ENVIRON, tmp_path)

    (account,) = config.accounts
    assert (account.name, account.default, account.plan) == ("default", True, "auto")
    assert account.key.get_secret_value() == KEY
    assert config.default_account == account
    assert config.gateway.base_url == "https://api.foxora.ai/v1"
    assert config.audit.path == tmp_path / "foxora-audit.jsonl"
    assert config.file is None


def test_a_key_stands_in_no_repr(tmp_path: Path) -> None:
    config = load({}, ENVIRON, tmp_path)

    assert KEY not in repr(config)
    assert KEY not in str(config.model_dump())
    assert KEY not in config.model_dump_json()


def test_values_are_frozen(tmp_path: Path) -> None:
    config = load({}, ENVIRON, tmp_path)

    with pytest.raises(ValidationError):
        config.gateway.base_url = "https://elsewhere.example"  # type: ignore[misc]


OVERRIDES = [
    ("foxora_base_url", "FOXORA_BASE_URL", "gateway: {base_url: '%s'}", "https://%s.example/v1"),
    ("foxora_audit", "FOXORA_AUDIT", "audit: {path: '%s'}", "/trails/%s.jsonl"),
]


@pytest.mark.parametrize(("option", "variable", "yaml", "value"), OVERRIDES)
def test_an_option_beats_the_environment_which_beats_yaml(
    load_yaml: LoadYaml, option: str, variable: str, yaml: str, value: str
) -> None:
    def outcome(*, option_given: str | None, variable_given: str) -> str:
        config = load_yaml(
            yaml % (value % "yaml"), ENVIRON | {variable: variable_given}, {option: option_given}
        )
        return f"{config.gateway.base_url} {config.audit.path}"

    assert value % "option" in outcome(
        option_given=value % "option", variable_given=value % "environ"
    )
    assert value % "environ" in outcome(option_given=None, variable_given=value % "environ")
    assert value % "environ" in outcome(option_given="", variable_given=value % "environ")
    assert value % "yaml" in outcome(option_given=None, variable_given="")


def test_a_wrong_value_in_yaml_does_not_matter_where_an_option_stands_over_it(
    load_yaml: LoadYaml,
) -> None:
    config = load_yaml("limits: {store: nowhere}", options={"foxora_store": "memory"})
    assert config.limits.store == "memory"


def test_the_file_is_named_by_option_then_environment_then_default(tmp_path: Path) -> None:
    for name in ("option", "environ", "foxora"):
        (tmp_path / f"{name}.yaml").write_text(f"models: {{default: {name}}}")
    named = ENVIRON | {"FOXORA_CONFIG": str(tmp_path / "environ.yaml")}

    def model(options: Mapping[str, str | None], environ: Mapping[str, str]) -> str | None:
        return load(options, environ, tmp_path).models.default

    assert model({"foxora_config": "option.yaml"}, named) == "option"
    assert model({"foxora_config": None}, named) == "environ"
    assert model({}, ENVIRON) == "foxora"


def test_a_default_file_with_the_other_ending_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "foxora.yml").write_text("models: {default: other}")

    with pytest.raises(ConfigError) as told:
        load({}, ENVIRON, tmp_path)

    assert str(told.value) == (
        "foxora.yml is not read: rename it to foxora.yaml, or name it by FOXORA_CONFIG"
    )


def test_a_file_with_the_other_ending_may_be_named_or_lie_beside_the_default(
    tmp_path: Path,
) -> None:
    (tmp_path / "foxora.yml").write_text("models: {default: other}")
    assert load({"foxora_config": "foxora.yml"}, ENVIRON, tmp_path).models.default == "other"
    assert load({}, ENVIRON | {"FOXORA_CONFIG": "foxora.yml"}, tmp_path).models.default == "other"

    (tmp_path / "foxora.yaml").write_text("models: {default: usual}")
    assert load({}, ENVIRON, tmp_path).models.default == "usual"


def test_the_file_that_was_read_is_known(load_yaml: LoadYaml, tmp_path: Path) -> None:
    assert load_yaml("").file == tmp_path / "foxora.yaml"


def test_a_tilde_is_the_home_of_the_given_environment(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("audit: {path: ~/trail.jsonl}")
    environ = ENVIRON | {"HOME": str(tmp_path)}

    config = load({"foxora_config": "~/mine.yaml"}, environ, Path("/nowhere"))

    assert config.audit.path == tmp_path / "trail.jsonl"


def test_key_files_lie_beside_the_yaml_file_and_the_trail_in_the_working_directory(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "key").write_text(KEY + "\n")
    (folder / "my.yaml").write_text("audit: {path: trail}\naccounts: [{name: a, key: {file: key}}]")

    config = load({"foxora_config": "etc/my.yaml"}, {}, tmp_path)

    assert config.accounts[0].key.get_secret_value() == KEY
    assert config.audit.path == tmp_path / "trail"


def test_empty_sections_and_an_empty_file_count_as_not_given(load_yaml: LoadYaml) -> None:
    assert load_yaml("gateway:\naccounts:\n") == load_yaml("") == load_yaml("# nothing\n---\n")


def test_yaml_is_1_2(load_yaml: LoadYaml) -> None:
    config = load_yaml(
        "models: {default: no, map: {4: yes, 2026-01-01: 0x10x}}\n"
        "audit: {max_body_bytes: 0x10}\n"
        "gateway: {connect_timeout_seconds: 1.5e1}"
    )
    assert config.models.default == "no"
    assert config.models.map == {"4": "yes", "2026-01-01": "0x10x"}
    assert config.audit.max_body_bytes == 16
    assert config.gateway.connect_timeout_seconds == 15


def test_an_alias_repeats_a_value(load_yaml: LoadYaml) -> None:
    config = load_yaml("models: {default: &m gpt-4o, map: {a: *m}}")
    assert config.models.map == {"a": "gpt-4o"}


ACCOUNTS = """
accounts:
  - name: acme
    default: true
    key: {env: FOXORA_API_KEY}
    plan: pro
    limits: {requests_per_minute: 10}
    clients:
      - key: {env: APP_KEY}
      - key_sha256: ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789
      - address: 10.0.0.0/8
      - address: ::ffff:192.168.1.7
  - {name: other, key: {env: OTHER_KEY}}
"""


def test_clients_are_kept_as_digests_and_networks(load_yaml: LoadYaml) -> None:
    acme, other = load_yaml(ACCOUNTS).accounts

    by_reference, by_digest, by_range, by_address = acme.clients
    assert by_reference.key_digest == hashlib.sha256(b"sk-app-fake-1111111111111111").hexdigest()
    assert by_digest.key_digest == "abcdef0123456789" * 4
    assert by_range.address == ip_network("10.0.0.0/8")
    assert by_address.address == ip_network("192.168.1.7/32")
    assert acme.limits.requests_per_minute == 10
    assert not other.default


def test_with_several_accounts_none_is_the_default_unless_marked(load_yaml: LoadYaml) -> None:
    several = load_yaml(ACCOUNTS.replace("default: true", "default: false"))
    assert several.default_account is None


def test_a_single_account_can_say_that_it_is_not_the_default(load_yaml: LoadYaml) -> None:
    alone = load_yaml("accounts: [{name: a, default: false, key: {env: FOXORA_API_KEY}}]")
    assert alone.default_account is None


@pytest.mark.parametrize("where", ["option", "environ", "yaml"])
def test_the_mock_gateway_needs_no_key_wherever_it_is_asked_for(
    load_yaml: LoadYaml, where: str
) -> None:
    config = load_yaml(
        ("gateway: {base_url: mock}" if where == "yaml" else "")
        + "\naccounts: [{name: a, key: {env: NO_A}}, {name: b, key: {env: NO_B}}]",
        {"FOXORA_BASE_URL": "mock"} if where == "environ" else {},
        {"foxora_base_url": "mock"} if where == "option" else {},
    )
    assert config.gateway.is_mock
    keys = [account.key.get_secret_value() for account in config.accounts]
    assert keys == ["foxora_sk_mock_a", "foxora_sk_mock_b"]


def test_the_mock_gateway_takes_a_key_that_is_set(tmp_path: Path) -> None:
    config = load({"foxora_base_url": "mock"}, ENVIRON, tmp_path)
    assert config.accounts[0].key.get_secret_value() == KEY


def test_hosts_names_and_origins_come_in_one_spelling(load_yaml: LoadYaml) -> None:
    config = load_yaml(
        "intercept: {hosts: [API.Example.COM., '*.bücher.example', '[::0001]:8000', 'h:80']}\n"
        "listen: {names: [Host.Docker.Internal], origins: ['HTTPS://App.Example:443']}\n"
        "gateway: {base_url: 'HTTPS://Api.Foxora.AI:443/v1/'}"
    )
    assert config.intercept.hosts == (
        HostPattern("api.example.com"),
        HostPattern("*.xn--bcher-kva.example"),
        HostPattern("::1", 8000),
        HostPattern("h", 80),
    )
    assert config.listen.names == ("host.docker.internal",)
    assert config.listen.origins == ("https://app.example",)
    assert config.gateway.base_url == "https://api.foxora.ai/v1"


@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost", "[::1]:9", "gateway.localhost"])
def test_plain_http_is_for_this_machine(load_yaml: LoadYaml, host: str) -> None:
    config = load_yaml("", options={"foxora_base_url": f"http://{host}/v1"})
    assert config.gateway.base_url == f"http://{host}/v1"


def test_plain_http_to_elsewhere_can_be_allowed(load_yaml: LoadYaml) -> None:
    config = load_yaml("gateway: {base_url: 'http://10.0.0.1', allow_plain_http: true}")
    assert config.gateway.base_url == "http://10.0.0.1"


def test_the_origin_of_the_proxys_own_environment_is_read(tmp_path: Path) -> None:
    environ = ENVIRON | {"OPENAI_BASE_URL": " http://LLM.internal:8000/api/v1/ "}
    config = load({}, environ, tmp_path)
    assert config.origin_base_url == BaseUrl("http", "llm.internal", 8000, "/api/v1")
    assert config.warnings == ()


def test_an_unreadable_origin_is_a_warning_that_quotes_nothing(tmp_path: Path) -> None:
    environ = ENVIRON | {"OPENAI_BASE_URL": "https://user:sk-fake@llm.internal/v1"}
    config = load({}, environ, tmp_path)
    assert config.origin_base_url is None
    assert config.warnings == (
        "OPENAI_BASE_URL of the proxy's environment is ignored: "
        "it has a user name or password; write it without",
    )


def test_equal_texts_give_equal_configurations(load_yaml: LoadYaml) -> None:
    assert load_yaml(ACCOUNTS) == load_yaml(ACCOUNTS)
    assert load_yaml(ACCOUNTS) != load_yaml(ACCOUNTS.replace("plan: pro", "plan: team"))


def test_a_link_that_leads_nowhere_is_not_the_absence_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "foxora.yaml").symlink_to(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match=r"^foxora.yaml: can't be read: No such file"):
        load({}, ENVIRON, tmp_path)


def test_what_is_no_file_but_makes_nobody_wait_is_read_while_calls_are_open(
    tmp_path: Path,
) -> None:
    config = load({"foxora_config": "/dev/null"}, ENVIRON, tmp_path, is_live=True)
    assert config.is_blank


def test_who_sends_nothing_needs_no_key(tmp_path: Path) -> None:
    assert load({}, {}, tmp_path, opens_keys=False).default_account is not None
    (tmp_path / "foxora.yaml").write_text(
        "accounts:\n"
        "- {name: a, key: {env: NO_A}, clients: [{key: {env: NO_B}}, {key: {env: NO_C}}]}\n"
        "- {name: b, key: {file: gone}, clients: [{key: {file: gone.too}}]}\n"
    )
    config = load({}, {}, tmp_path, opens_keys=False)
    assert [account.name for account in config.accounts] == ["a", "b"]
    with pytest.raises(ConfigError, match="NO_A is not set"):
        load({}, {}, tmp_path)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("sk-fake-0000", "never written in clear"),
        ("{env: sk-fake-0000}", "must be the name of an environment variable"),
        ("{envv: A}", "must be {env: NAME} or {file: PATH}"),
    ],
)
def test_what_is_no_reference_to_a_key_is_told_to_them_too(
    tmp_path: Path, key: str, words: str
) -> None:
    (tmp_path / "foxora.yaml").write_text(f"accounts: [{{name: a, key: {key}}}]\n")
    with pytest.raises(ConfigError, match=re.escape(words)):
        load({}, {}, tmp_path, opens_keys=False)
