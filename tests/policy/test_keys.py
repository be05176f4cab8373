import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxora_addon.policy.keys import (
    is_foxora_key,
    is_sendable,
    issuer_of,
    key_digest,
    looks_like_key,
)


def a_token(payload: bytes) -> str:
    return f"e30.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.c2ln"


def test_a_digest_is_of_the_bytes_that_the_header_had() -> None:
    assert key_digest("sk-fake") == hashlib.sha256(b"sk-fake").hexdigest()
    from_header = b"sk-\xff\xc3\xa4".decode("utf-8", "surrogateescape")
    assert key_digest(from_header) == hashlib.sha256(b"sk-\xff\xc3\xa4").hexdigest()


@pytest.mark.parametrize("key", ["", "a b", "a\n", "a\r\nb", "ä", "a\x7f", "a" * 8193])
def test_what_a_header_cannot_hold_is_not_sendable(key: str) -> None:
    assert not is_sendable(key)


@pytest.mark.parametrize(
    "text",
    [
        "fake-9z8y7x6w5v4u",
        "9f86d081884c7d659a2feaa0c55ad015",
        "3e332970-e46e-4a40-908b-c27e6b9433bf",
        "s:fake.Q1w2E3r4T5/+=",
    ],
)
def test_letters_and_digits_at_random_look_like_a_key(text: str) -> None:
    assert looks_like_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "file-abc12345",
        "application/json",
        "gpt-4o-mini-2024-07-18",
        "claude-3-5-sonnet-20241022",
        "2024-01-01T00:00:00Z",
        "GA1.2.1234567890.1687654321",
    ],
)
def test_words_and_numbers_look_like_no_key(text: str) -> None:
    assert not looks_like_key(text)


def test_an_issuer_is_read_without_padding() -> None:
    assert issuer_of(a_token(b'{"iss":"a"}')) == "a"
    assert issuer_of(a_token(b'{"iss":"ab"}')) == "ab"
    assert issuer_of(a_token(b'{"iss":"abc"}')) == "abc"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c.d",
        "a..c",
        a_token(b"{}"),
        a_token(b'{"iss":1}'),
        a_token(b'"iss"'),
        a_token(b"\xff"),
        a_token(b'{"iss":"x"'),
        a_token(b"[" * 5000),
        a_token(b'{"iss":' + b"9" * 5000 + b"}"),
        a_token(b'{"iss":"x","pad":"' + b"p" * 9000 + b'"}'),
    ],
)
def test_what_is_no_jwt_has_no_issuer(token: str) -> None:
    assert issuer_of(token) is None
    assert not is_foxora_key(token, ("x",))


@given(st.text())
@settings(max_examples=200)
def test_everything_is_total(key: str) -> None:
    assert len(key_digest(key)) == 64
    assert issuer_of(key) is None
    assert not is_foxora_key(key, ()) or key.startswith("foxora_sk_")
