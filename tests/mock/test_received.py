"""The log of what was received."""

from foxora_addon.mock.settings import MockSettings
from tests.mock.builders import (
    KEY,
    a_gateway,
    a_get,
    a_request,
    answered,
)


def test_the_log_keeps_everything_that_came() -> None:
    gateway = a_gateway()
    answered(gateway, a_request(body=b"\xff", x_tag="a"))
    answered(gateway, a_get("/v1/me?x=1"))
    first, second = gateway.log
    assert (first.method, first.path, first.body) == ("POST", "/v1/chat/completions", b"\xff")
    assert first.header("X-Tag") == "a"
    assert first.json()["body_base64"] == "/w=="
    assert (second.path, second.query) == ("/v1/me", "x=1")
    assert second.json()["path"] == "/v1/me?x=1"
    assert (second.account, second.fate) == ("default", "answered")


def test_the_log_is_bounded_in_entries() -> None:
    gateway = a_gateway(MockSettings(log_size=2))
    for number in range(3):
        answered(gateway, a_get(f"/v1/me?{number}"))
    assert [each.query for each in gateway.log] == ["1", "2"]


def test_the_log_is_bounded_in_octets_but_keeps_the_newest() -> None:
    gateway = a_gateway(MockSettings(log_bytes=100))
    for size in (60, 30, 40, 500):
        answered(gateway, a_request(body=b"x" * size))
        assert list(gateway.log)[-1].body == b"x" * size
    assert len(gateway.log) == 1


def test_an_entry_shows_no_key_in_its_repr() -> None:
    exchange = answered(a_gateway(), a_request(body={"key": KEY}))
    assert KEY not in repr(exchange.received)
