"""What is read of HTTP/1 heads in fewer steps comes to what mitmproxy reads."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.flow import Flow
from mitmproxy.http import Headers, HTTPFlow, Request, Response
from mitmproxy.net.http import http1
from mitmproxy.net.http.http1 import read
from mitmproxy.options import Options
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server
from mitmproxy.test import taddons, tflow

from foxora_addon.framing import framing_of
from foxora_addon.proxy import fast
from foxora_addon.proxy.fast import http1 as quick
from foxora_addon.proxy.fast.messages import flow_init
from foxora_addon.proxy.fast.originals import before
from foxora_addon.proxy.quick_headers import QuickHeaders
from foxora_addon.speed import Speed

layers_of_http: Any = http_layers
NAMES = st.sampled_from(
    [b"Content-Length", b"content-length", b"Transfer-Encoding", b"Connection", b"CONNECTION", b"x"]
)
VALUES = st.sampled_from(
    [
        *(b"0", b"12", b"012", b"-1", b"1" * 15, b"1" * 40, b"", b"1, 1", b"\xb2"),
        *(
            b"chunked",
            b"gzip",
            b"identity",
            b"close",
            b"keep-alive",
            b"keep-alive, Close",
            b"x, close",
        ),
    ]
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"CONNECT", b"post", b"QUERY"])
VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.1\n", b""])


@pytest.fixture(autouse=True)
def _sped_up() -> Iterator[None]:
    with taddons.context(loadcore=False):
        fast.switch(Speed.ALL)
        yield
        fast.switch(Speed.NONE)


def outcome_of(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except (ValueError, TypeError) as error:
        return type(error), str(error)


def a_request(method: bytes, fields: list[tuple[bytes, bytes]]) -> Request:
    made = Request.make("GET", "http://127.0.0.1/")
    made.data.method = method
    made.headers.fields = tuple(fields)
    return made


@given(METHODS, FIELDS, st.none() | st.tuples(st.sampled_from([100, 101, 200, 204, 304]), FIELDS))
def test_the_size_of_a_body(
    method: bytes,
    fields: list[tuple[bytes, bytes]],
    answer: tuple[int, list[tuple[bytes, bytes]]] | None,
) -> None:
    request, response = a_request(method, fields), None
    if answer is not None:
        response = Response.make(answer[0])
        response.headers.fields = tuple(answer[1])
    expected = outcome_of(before[quick.expected_http_body_size], request, response)
    assert outcome_of(http1.expected_http_body_size, request, response) == expected


@given(VERSIONS, FIELDS)
def test_whether_a_connection_closes(version: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    expected = before[quick.connection_close](version, Headers(fields))
    assert http1.connection_close(version, Headers(fields)) is expected


@given(
    METHODS,
    VERSIONS,
    st.lists(st.tuples(NAMES | st.just(b"bad name"), VALUES), max_size=3),
    st.sampled_from([100, 200, 204, 500]),
)
def test_headers_are_looked_through(
    method: bytes, version: bytes, fields: list[tuple[bytes, bytes]], status: int
) -> None:
    request, response = a_request(method, fields), Response.make(status)
    request.data.http_version = response.data.http_version = version
    response.headers.fields = tuple(fields)
    for message in (request, response, response, request):
        expected = outcome_of(before[quick.validate_headers], message)
        assert outcome_of(layers_of_http.validate_headers, message) == expected


@given(
    METHODS,
    VERSIONS,
    FIELDS,
    st.sampled_from([100, 101, 200, 204, 304, 500]),
    FIELDS,
    st.sampled_from([Http1Server, Http1Client]),
)
def test_what_a_connection_does_after_a_message(
    method: bytes,
    version: bytes,
    asked: list[tuple[bytes, bytes]],
    status: int,
    answered: list[tuple[bytes, bytes]],
    side: Any,
) -> None:
    def done_by(mark_done: Any, *sides: str) -> Any:
        client = tflow.tclient_conn()
        connection: Any = side(Context(client, Options()))
        connection.stream_id, connection.state = 1, connection.read_body
        connection.request, connection.response = a_request(method, asked), Response.make(status)
        connection.request.data.http_version = version
        connection.response.headers.fields = tuple(answered)
        told = [
            type(command).__name__
            for each in sides
            for command in mark_done(connection, **{each: True})
        ]
        names = ("request_done", "response_done", "stream_id")
        is_over = connection.request is None, connection.response is None
        state = connection.state.__name__
        return told, state, is_over, *(getattr(connection, name) for name in names)

    for sides in (["request"], ["response"], ["request", "response"], ["response", "request"]):
        usual = done_by(before[quick.mark_done], *sides)
        assert done_by(Http1Connection.mark_done, *sides) == usual


@given(st.lists(FIELDS, min_size=1))
def test_a_head_is_read_anew_as_its_fields_are_replaced(
    replaced: list[list[tuple[bytes, bytes]]],
) -> None:
    headers = QuickHeaders()
    for fields in replaced:
        headers.fields = tuple(fields)
        assert quick.framing(headers) is framing_of(headers.fields)
        assert quick.framing(headers) is framing_of(headers.fields)


def test_fields_that_an_addon_may_change_in_place_are_read_each_time() -> None:
    headers: Any = QuickHeaders()
    headers.fields = []
    assert quick.framing(headers) is False
    headers.fields.append((b"transfer-encoding", b"chunked"))
    assert quick.framing(headers) is None


@given(VERSIONS)
def test_the_version(version: bytes) -> None:
    expected = outcome_of(before[quick.raise_if_http_version_unknown], version)
    assert outcome_of(read.raise_if_http_version_unknown, version) == expected


@given(
    st.lists(
        st.tuples(NAMES, VALUES)
        | st.lists(VALUES, min_size=2, max_size=2)
        | st.tuples(NAMES)
        | st.tuples(st.just("text"), VALUES),
        max_size=3,
    ),
    st.dictionaries(st.sampled_from(["content_type", "x"]), st.text("ab")),
)
def test_headers_are_made(fields: Any, more: dict[str, str]) -> None:
    def made_by(init: Any) -> Any:
        headers = object.__new__(Headers)
        init(headers, fields, **more)
        return headers.fields

    expected = outcome_of(made_by, before[quick.headers_init])
    assert outcome_of(made_by, Headers.__init__) == expected


@given(FIELDS)
def test_headers_are_written(fields: list[tuple[bytes, bytes]]) -> None:
    assert bytes(Headers(fields)) == before[quick.headers_bytes](Headers(fields))


def test_a_flow_is_made_with_an_id_that_no_other_has() -> None:
    client, server = tflow.tclient_conn(), tflow.tserver_conn()
    flows = [HTTPFlow(client, server, live=True) for _ in range(200)]
    ids = [UUID(flow.id) for flow in flows]
    assert len(set(ids)) == 200
    assert {each.version for each in ids} == {4}
    plain = object.__new__(HTTPFlow)
    before[flow_init](plain, client, server, live=True)
    first = dict(vars(flows[0]))
    for made in (first, vars(plain)):
        del made["id"], made["timestamp_created"]
    assert {name: first[name] for name in vars(plain)} == vars(plain)
    assert Flow.__init__ is flow_init


def test_what_is_in_use_works_on_once_it_is_switched_off() -> None:
    in_use = http1.expected_http_body_size
    assert in_use is quick.expected_http_body_size
    fast.switch(Speed.NONE)
    assert http1.expected_http_body_size is not in_use
    assert in_use(a_request(b"HEAD", [(b"content-length", b"5")])) == 5
