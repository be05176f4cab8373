"""Whatever a file holds: a configuration or one line, and never a secret in that line."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxora_addon.config import Config, ConfigError, load

SECRETS = [
    "sk-fakefakefakefake",
    "sk-proj-FAKEfakeFAKEfake0123",
    "foxora_sk_live_fake0123456789",
    "eyJhbGciOiJub25lIn0.eyJpc3MiOiJmYWtlIn0.ZmFrZTAxMjM0NQ",
    "0f1e2d3c-fake-4b5a-fake-69788796a5b4",
    "https://fakeuser:fakepassword@gateway.example/v1",
]
ENVIRON = {"FOXORA_API_KEY": "foxora_sk_test_0000000000000000"}
VALID: dict[str, Any] = {
    "gateway": {"base_url": "https://h.example/v1", "connect_timeout_seconds": 3},
    "intercept": {"hosts": ["h.example"], "presets": ["openai"], "jwt_issuers": ["i"]},
    "listen": {"names": ["proxy.local"], "origins": ["https://app.example"]},
    "models": {"map": {"a": "b"}, "default": "c"},
    "accounts": [
        {
            "name": "acme",
            "default": True,
            "key": {"env": "FOXORA_API_KEY"},
            "limits": {"requests_per_minute": 3},
            "clients": [{"key_sha256": "ab" * 32}, {"address": "10.0.0.0/8"}],
        }
    ],
    "audit": {"path": "trail", "sync": "each", "redact": ["secrets"]},
}


def outcome(text: str) -> Config | str:
    """What a text gives: a configuration, or the line that says why not."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "foxora.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            return load({}, ENVIRON, Path(folder))
        except ConfigError as error:
            return str(error)


def assert_is_told_well(told: Config | str) -> None:
    if isinstance(told, str):
        assert told.startswith("foxora.yaml:")
        assert told.isprintable()
        assert len(told) < 600


YAML_LIKE = st.text(st.sampled_from(list("ab1: -[]{}#&*!|>'\"%@,?~.<=+_\\x\n\t é\x00\ud800")))


@given(st.one_of(st.text(), YAML_LIKE))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_a_configuration_or_one_line(text: str) -> None:
    assert_is_told_well(outcome(text))


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.just(10**400)
)


def nodes_of(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a tree, as a container and the key or index in it."""
    places = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, below in list(places):
        yield tree, key
        if isinstance(below, dict | list):
            yield from nodes_of(below)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_value_of_any_type_in_any_place_is_told_in_one_line(data: st.DataObject) -> None:
    tree = copy.deepcopy(VALID)
    container, key = data.draw(st.sampled_from(list(nodes_of(tree))))
    container[key] = data.draw(
        st.recursive(LEAVES, lambda s: st.lists(s) | st.dictionaries(st.text(), s), max_leaves=5)
    )
    # JSON is YAML 1.2, but for its words for infinities, which YAML reads as texts.
    assert_is_told_well(outcome(json.dumps(tree)))


@given(st.sampled_from(SECRETS), st.data())
@settings(max_examples=100, deadline=None)
def test_a_secret_in_the_place_of_any_key_or_value_is_not_shown(
    secret: str, data: st.DataObject
) -> None:
    tree = copy.deepcopy(VALID)
    container, key = data.draw(st.sampled_from(list(nodes_of(tree))))
    if isinstance(container, dict) and data.draw(st.booleans()):
        container[secret] = container.pop(key)
    else:
        container[key] = data.draw(st.sampled_from([secret, [secret], {secret: secret}]))
    told = outcome(json.dumps(tree, indent=1))
    assert_is_told_well(told)
    assert_hides(secret, told)


@given(st.sampled_from(SECRETS), st.data())
@settings(max_examples=100, deadline=None)
def test_a_secret_anywhere_in_the_text_is_not_shown(secret: str, data: st.DataObject) -> None:
    text = json.dumps(VALID, indent=1)
    at = data.draw(st.integers(0, len(text)))
    glue = data.draw(
        st.sampled_from(["", " ", "\n", ": ", "'", '"', "*", "&", "!", "!!", "%", "|"])
    )
    told = outcome(text[:at] + glue + secret + glue + text[at:])
    assert_is_told_well(told)
    assert_hides(secret, told)


def assert_hides(secret: str, told: Config | str) -> None:
    core = "fakepassword" if "@" in secret else secret
    assert isinstance(told, Config) or core not in told


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_in_an_option_or_the_environment_is_not_shown(secret: str, tmp_path: Path) -> None:
    for name in ("foxora_base_url", "foxora_store"):
        for options, environ in (({name: secret + "?"}, {}), ({}, {name.upper(): secret + "?"})):
            with pytest.raises(ConfigError) as caught:
                load(options, ENVIRON | environ, tmp_path)
            assert_hides(secret, str(caught.value))


def test_what_a_key_leads_to_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2 with space")
    (tmp_path / "foxora.yaml").write_text("accounts: [{name: a, key: {file: key}}]")
    with pytest.raises(ConfigError) as caught:
        load({}, {}, tmp_path)
    assert "hunter2" not in str(caught.value)


def test_an_error_does_not_hold_the_values_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "foxora.yaml").write_text("accounts: [{name: a, key: sk-fake-in-clear}]")
    with pytest.raises(ConfigError) as caught:
        load({}, {}, tmp_path)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_aliases_do_not_unfold_without_bound() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    )
    assert outcome(bomb) == "foxora.yaml:6: a5: unfolds into too many values"


def test_nesting_does_not_exhaust_the_stack() -> None:
    assert str(outcome("[" * 100_000)).startswith("foxora.yaml:1: not valid YAML: ")
    assert outcome("a: " + "[" * 50 + "]" * 50) == "foxora.yaml:1: a: unfolds into too many values"
