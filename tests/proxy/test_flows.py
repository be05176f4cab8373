"""What is read off heads is what mitmproxy reads, whatever they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http

from foxora_addon.field_lines import unbroken
from foxora_addon.framing import Index, framing_of
from foxora_addon.proxy import flows
from foxora_addon.proxy.answers import head_of
from foxora_addon.proxy.fast.http1 import framing

NAMES = st.sampled_from(
    [
        *(b"Host", b"host", b"content-type", b"Content-Type", b"X-Request-ID", b"x-request-id"),
        *(b"x-ratelimit-limit-requests", b"X-RateLimit-Remaining-Tokens", b"x", b"\xff"),
        b"Content-Encoding",
    ]
)
FRAMES = st.lists(
    st.tuples(
        st.sampled_from([b"Content-Length", b"transfer-encoding", b"Connection", b"X-One"]),
        st.sampled_from([b"7", b"chunked", b"keep-alive", b"close"]),
    ),
    max_size=4,
)
ASKED = {b"content-type", b"content-encoding", b"x-request-id"}
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=6)), max_size=6)


def a_request(fields: list[tuple[bytes, bytes]], version: str) -> http.Request:
    request = http.Request.make("POST", "http://named.test/v1", headers=http.Headers(fields))
    request.http_version = version
    return request


@given(FIELDS, st.sampled_from([b"host", b"content-type", b"x", b"y", b"\xff"]))
def test_a_header_is_what_mitmproxy_says(fields: list[tuple[bytes, bytes]], name: bytes) -> None:
    headers = http.Headers(fields)
    assert flows.header(headers, name) == headers.get(name)


@given(FIELDS, st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/3"]), st.booleans())
def test_the_host_header_is_what_mitmproxy_says(
    fields: list[tuple[bytes, bytes]], version: str, has_authority: bool
) -> None:
    request = a_request(fields, version)
    request.data.authority = b"of.authority" if has_authority else b""
    assert flows.host_header(request) == request.host_header


@given(FIELDS)
def test_the_head_of_an_answer_is_what_mitmproxy_says(fields: list[tuple[bytes, bytes]]) -> None:
    response = http.Response.make(200, b"", http.Headers(unbroken(fields)))
    headers = response.headers
    head = head_of(response)
    assert head.content_type == headers.get("content-type")
    assert head.encoding == headers.get("content-encoding")
    asked = [name.lower() for name, _ in headers.fields if name.lower() in ASKED]
    assert head.is_clear is (len(asked) == len(set(asked)))
    assert head.request_id == (headers.get("x-request-id") or None)
    limits = [name for name, _ in headers.fields if name.lower().startswith(b"x-ratelimit-")]
    assert [name.encode() for name, _ in head.limits] == limits
    assert head.size == sum(len(b"%s: %s\r\n" % field) for field in headers.fields)


@given(FRAMES)
def test_where_a_body_ends_is_known_of_a_head_in_which_something_is_put(
    fields: list[tuple[bytes, bytes]],
) -> None:
    response = http.Response.make(200, b"", http.Headers(fields))
    response.headers.fields = tuple(fields)
    flows.put(response, [(b"x-one", b"1")])
    assert framing(response.headers) is framing_of((*fields, (b"x-one", b"1")))


@pytest.mark.parametrize("value", [b"a", b"a, b"])
def test_what_is_put_takes_the_place_of_all_that_have_its_name(value: bytes) -> None:
    response = http.Response.make(
        200, b"", http.Headers([(b"X-One", b"1"), (b"two", b"2"), (b"x-one", b"3")])
    )
    flows.put(response, [(b"x-one", value)])
    kept = [field for field in response.headers.fields if field[0] != b"content-length"]
    assert kept == [(b"two", b"2"), (b"x-one", value)]


@pytest.mark.parametrize(
    ("index", "vary"),
    [
        ({}, b"origin"),
        ({b"vary": b"Accept-Encoding"}, b"Accept-Encoding, origin"),
        ({b"vary": [b"a", b"b"]}, b"a, b, origin"),
    ],
)
def test_an_answer_for_a_listed_page_varies_by_it(index: Index, vary: bytes) -> None:
    told = dict(flows.readable_by("https://app.example", index))
    assert told[b"access-control-allow-origin"] == b"https://app.example"
    assert told[b"vary"] == vary
    assert b"x-foxora-exchange" in told[b"access-control-expose-headers"]


def test_nothing_is_added_for_no_page_or_where_the_gateway_says_who_may_read() -> None:
    assert flows.readable_by(None) == []
    assert flows.readable_by("https://a.b", {b"access-control-allow-origin": b"*"}) == []
