import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxora_addon.policy.keys import is_foxora_key, is_sendable, issuer_of, key_digest


def a_token(payload: bytes) -> str:
    return f"e30.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.c2ln"


def test_a_digest_is_of_the_bytes_that_the_header_had() -> None:
    assert key_digest("sk-fake") == hashlib.sha256(b"sk-fake").hexdigest()
    from_header = b"sk-\xff\xc3\xa4".decode("utf-8", "surrogateescape")
    assert key_digest(from_header) == hashlib.sha256(b"sk-\xff\xc3\xa4").hexdigest()


@pytest.mark.parametrize("key", ["", "a b", "a\n", "a\r\nb", "ä", "a\x7f", "a" * 8193])
def test_what_a_header_cannot_hold_is_not_sendable(key: str) -> None:
    assert not is_sendable(key)


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
