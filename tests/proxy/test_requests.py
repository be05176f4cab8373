"""The copy of a request that is sent says what it would if all of it were read once more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.http import Request

from foxora_addon.exchange import Client, Exchange, GivenHead, RequestLine
from foxora_addon.framing import FRAMES, framing_of, written
from foxora_addon.policy.hosts import parse_base_url
from foxora_addon.proxy import flows, requests
from foxora_addon.proxy.fast.http1 import framing
from foxora_addon.proxy.quick_headers import QuickHeaders
from tests.builders import CHAT, a_pipeline, admit, an_arrival, encoded, some_rules

FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"Host", b"Content-Length", b"transfer-encoding", b"connection"]),
        st.sampled_from([b"7", b"chunked", b"keep-alive", b"close"]),
    ),
    max_size=4,
)
PLACEHOLDER = (b"authorization", b"Bearer none")


@given(FIELDS, st.sampled_from([b"", b"a body"]), st.none() | st.just("sk-1"), st.booleans())
def test_what_is_known_of_the_copy_is_what_stands_in_it(
    given_fields: list[tuple[bytes, bytes]], body: bytes, key: str | None, is_changed: bool
) -> None:
    kept = tuple(given_fields)
    is_framed = any(name.lower() in FRAMES for name, _ in kept)
    fields = (*kept, PLACEHOLDER)
    head = GivenHead(fields, None, is_framed, framing_of(fields), written(kept))
    request = Request.make("POST", "http://127.0.0.1/", body)
    request.headers = QuickHeaders.of((*fields, (b"x", b"1")) if is_changed else fields)
    sent = requests._copy_with(request, head, key)
    own = [] if key is None else [(b"authorization", b"Bearer sk-1")]
    more = [(b"x", b"1")] if is_changed else []
    frames = [(name.lower(), value) for name, value in kept if name.lower() in FRAMES]
    if not is_changed and (is_framed or not body):
        assert sent.headers.fields == (*kept, *own)
    elif frames == [(b"transfer-encoding", b"chunked")] or not (frames or body):
        assert sent.headers.fields == (*kept, *more, *own)
    else:
        others = [field for field in kept if field[0].lower() not in FRAMES]
        length = (b"content-length", b"%d" % len(body))
        assert sent.headers.fields == (*others, *more, length, *own)
    assert bytes(sent.headers) == written(sent.headers.fields)
    assert framing(sent.headers) is framing_of(sent.headers.fields)
    sent.headers["connection"] = "close"
    assert bytes(sent.headers) == written(sent.headers.fields)
    assert framing(sent.headers) is None


@pytest.mark.parametrize(
    ("said", "is_now"),
    [
        ("application/json; charset=utf-16le", "application/json; charset=utf-8"),
        ('application/json; charset = "UTF-32"; x=1', "application/json; charset=utf-8; x=1"),
        ("application/json; charset=utf-8", "application/json; charset=utf-8"),
        ("application/json", "application/json"),
        ('x/y; boundary="; charset=utf-16b"', 'x/y; boundary="; charset=utf-16b"'),
        (None, None),
    ],
)
def test_a_body_that_a_rule_has_changed_is_said_to_be_what_it_is(
    said: str | None, is_now: str | None
) -> None:
    request = Request.make("POST", "http://127.0.0.1/", b"{}")
    if said is not None:
        request.headers["content-type"] = said
    requests.put_body(request, b'{"a": 1}')
    assert request.headers.get("content-type") == is_now
    assert request.headers["content-length"] == "8"


@pytest.mark.parametrize("is_mapped", [True, False])
def test_what_was_to_be_sent_is_put_back_under_the_head_that_it_had(is_mapped: bool) -> None:
    given_fields = (
        (b"Content-Type", b"application/json; charset=utf-16"),
        (b"Content-Encoding", b"gzip"),
        (b"content-length", b"3"),
        PLACEHOLDER,
    )
    request = Request.make("POST", "http://127.0.0.1/", b"own")
    request.headers = QuickHeaders.of(given_fields)
    exchange = Exchange(
        "ex_1", 0.0, Client(None, None, None, None), RequestLine("POST", "/", "HTTP/1.1")
    )
    exchange.own_fields = given_fields
    exchange.changes = {"stream_options": {}, **({"model": "mini"} if is_mapped else {})}

    requests.put_body(request, b"more than its own")
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert "content-encoding" not in request.headers
    exchange.sent_body = b"own"
    requests.put_back(request, exchange)

    said = "utf-8" if is_mapped else "utf-16"
    assert request.headers["content-type"] == f"application/json; charset={said}"
    assert request.headers.get("content-encoding") == (None if is_mapped else "gzip")
    assert (request.raw_content, request.headers["content-length"]) == (b"own", "3")


def test_a_call_goes_to_the_gateway_that_it_came_for_and_to_no_other() -> None:
    pipeline, body = a_pipeline(), encoded(CHAT)
    came_for = pipeline.rules.gateway
    rewritten = pipeline.arrive(an_arrival(), 100.0)
    assert rewritten is not None
    exchange = rewritten.exchange
    admit(pipeline, exchange, body, 100.0)

    pipeline.take(some_rules(gateway=parse_base_url("https://another.example/v1")), 101.0)
    request = Request.make("POST", exchange.gateway_url or "", body)
    assert requests.check_decided(exchange, request) == came_for
    request.host = "another.example"
    with pytest.raises(requests.NotSent, match="was turned to"):
        requests.check_decided(exchange, request)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("host", "another.example"), ("port", 9), ("scheme", "http")),
        *(("path", "/v1/models"), ("method", "PUT")),
    ],
)
def test_a_call_that_was_turned_or_made_another_is_not_sent(name: str, value: object) -> None:
    pipeline, body = a_pipeline(), encoded(CHAT)
    gateway, rewritten = pipeline.rules.gateway, pipeline.arrive(an_arrival(), 100.0)
    assert rewritten is not None
    exchange, request = rewritten.exchange, Request.make("POST", "http://127.0.0.1/", body)
    exchange.turned = flows.rewrite(request, gateway, rewritten.head, rewritten.target)
    admit(pipeline, exchange, body, 100.0)
    assert requests.check_decided(exchange, request) == gateway

    before = getattr(request, name)
    setattr(request, name, value)
    with pytest.raises(requests.NotSent, match="after it was recorded"):
        requests.check_decided(exchange, request)
    setattr(request, name, before)
    request.host = gateway.host.upper()
    assert requests.check_decided(exchange, request) == gateway
