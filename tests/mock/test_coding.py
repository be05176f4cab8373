"""Request bodies in a content coding."""

import gzip
import zlib

import pytest

from foxora_addon.mock import coding
from foxora_addon.mock.coding import decoded
from foxora_addon.mock.fields import RequestError
from tests.mock.builders import a_chat, a_gateway, a_request, answered, body_of, encoded

BODY = encoded(a_chat("packed"))
PACKED = gzip.compress(BODY, mtime=0)  # of no second, so that each worker collects the same tests


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (None, BODY),
        ("identity", BODY),
        ("gzip", PACKED),
        ("X-GZip", PACKED),
        ("deflate", zlib.compress(BODY)),
        ("deflate, gzip", gzip.compress(zlib.compress(BODY), mtime=0)),
    ],
)
def test_the_coding_is_taken_off(name: str | None, body: bytes) -> None:
    assert decoded(body, name) == BODY


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("br", BODY, 415),
        ("gzip", BODY, 400),
        ("gzip", PACKED[:-9], 400),
        ("deflate", b"", 400),
    ],
)
def test_what_is_not_so_coded_is_refused(name: str, body: bytes, status: int) -> None:
    with pytest.raises(RequestError) as refusal:
        decoded(body, name)
    assert refusal.value.status == status


def test_a_body_that_grows_without_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding, "_MOST_OCTETS", len(BODY) - 1)
    with pytest.raises(RequestError) as refusal:
        decoded(PACKED, "gzip")
    assert refusal.value.status == 413


def test_a_packed_chat_is_answered_and_logged_as_it_came() -> None:
    gateway = a_gateway()
    exchange = answered(gateway, a_request(body=PACKED, content_encoding="gzip"))
    assert "packed" in body_of(exchange)["choices"][0]["message"]["content"]
    assert next(iter(gateway.log)).body == PACKED
