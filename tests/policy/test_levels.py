"""Which level applies to a call, and what a client may say of it."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.errors import ApiError
from foxora_addon.config import load
from foxora_addon.config.accounts import Level
from foxora_addon.policy.keys import key_digest
from foxora_addon.policy.levels import (
    LEVELS,
    Levels,
    asked_level,
    most_private,
    tags_of,
    traceparent_of,
)
from tests.builders import ACCOUNT_KEY, APP_KEY

ANY = st.sampled_from(LEVELS)


def test_where_nothing_else_is_set_the_usual_level_applies() -> None:
    assert Levels("request").level_of("acme", "chat", APP_KEY, "10.0.0.7") == "request"
    assert Levels("request").level_of(None, "other", None, None) == "request"


@given(ANY, ANY, ANY, ANY, ANY)
def test_where_several_are_set_the_most_private_one_applies(
    usual: Level, account: Level, operation: Level, key: Level, address: Level
) -> None:
    levels = Levels(
        usual,
        {"acme": account},
        {"chat": operation},
        {key_digest(APP_KEY): key},
        ((ip_network("10.0.0.0/8"), address),),
    )
    assert levels.level_of("acme", "chat", APP_KEY, "::ffff:10.0.0.7") == most_private(
        [account, operation, key, address]
    )
    assert levels.level_of("acme", "me", "another", "11.0.0.7") == account
    assert levels.level_of(None, "me", None, "no address") == usual


@given(ANY, ANY)
def test_a_client_can_raise_privacy_and_not_lower_it(asked: Level, given_level: Level) -> None:
    found = asked_level(asked.upper(), given_level)
    assert found == most_private([asked, given_level])


@pytest.mark.parametrize("text", ["", "none", "metdata", "full,minimal"])
def test_what_is_no_level_is_refused(text: str) -> None:
    assert isinstance(asked_level(text, "full"), ApiError)


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        (None, ()),
        ("", ()),
        ("a", ("a",)),
        (" a , b,, a", ("a", "b")),
        ("x" * 64 + "," + "y" * 65, ("x" * 64,)),
        ("a\x00b,ok", ("ok",)),
        ("Zürich,日本", ("Zürich", "日本")),
        (",".join(str(n) for n in range(40)), tuple(str(n) for n in range(16))),
    ],
)
def test_labels_are_bounded_in_number_and_length(header: str | None, tags: tuple[str, ...]) -> None:
    assert tags_of(header) == tags


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        (" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ", True),
        ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", True),
        (", ".join(["01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-"] * 2), False),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        ("00-4bf92f35-00f067aa0ba902b7-01", False),
        ("", False),
        (None, False),
    ],
)
def test_a_trace_context_is_kept_if_it_is_one(text: str | None, is_one: bool) -> None:
    assert (traceparent_of(text) is not None) is is_one


CONFIGURATION = """
accounts:
  - name: acme
    key: {env: FOXORA_API_KEY}
    audit_level: request
    clients:
      - {key: {env: APP_KEY}, audit_level: minimal}
      - {address: 10.0.0.0/8, audit_level: metadata}
      - {address: 11.0.0.0/8}
audit: {level: full, operations: {embeddings: minimal}}
"""


def test_they_are_read_off_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "foxora.yaml").write_text(CONFIGURATION)
    levels = Levels.of(load({}, {"FOXORA_API_KEY": ACCOUNT_KEY, "APP_KEY": APP_KEY}, tmp_path))
    found = [
        levels.level_of(*call)
        for call in (
            (None, "chat", None, None),
            ("acme", "chat", None, "11.0.0.1"),
            ("acme", "chat", None, "10.0.0.1"),
            ("acme", "chat", APP_KEY, None),
            ("acme", "embeddings", None, None),
        )
    ]
    assert found == ["full", "request", "metadata", "minimal", "minimal"]
