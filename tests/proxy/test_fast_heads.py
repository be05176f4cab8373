"""What is remembered of a head is what would be read of it once more."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mitmproxy.http import Request, Response
from mitmproxy.net.http import http1
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.test import taddons

from foxora_addon.proxy import fast
from foxora_addon.proxy.fast import heads
from foxora_addon.proxy.fast import http1 as fast_http1
from foxora_addon.reception import without_length
from foxora_addon.speed import Speed

LENGTH = re.compile(rb"\r\ncontent-length: ?(\d{1,9})\r\n", re.IGNORECASE)
STARTS = st.sampled_from(
    [
        b"POST /v1/chat/completions HTTP/1.1",
        b"POST http://a.b/v1/x?y HTTP/1.0",
        b"PUT ftp://a:1/v1 HTTP/1.1",
        b"CONNECT a:1 HTTP/1.1",
        b"POST / HTTP/9.9",
    ]
)
LINES = st.sampled_from(
    [
        *(b"Host: a.b", b"host: c:1", b"x: 1", b"X:  2 ", b" folded", b"expect: 100-continue"),
        *(b"content-length: %s", b"Content-Length:%s", b"content-length: 5", b"content-length: "),
        *(b"transfer-encoding: chunked", b"bad name: 1", b"content-length : 7", b"cookie: \xff"),
    ]
)
DIGITS = st.sampled_from([b"0", b"5", b"12", b"007", b"00", b"123456789"])


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    heads._known.clear()
    yield
    heads._known.clear()


def read(head: bytes) -> Request | None:
    try:
        return http1.read_request_head(head.removesuffix(b"\r\n").split(b"\r\n"))
    except ValueError:
        return None


def all_of(message: Request | Response) -> dict[str, object]:
    said = {name: value for name, value in vars(message.data).items() if name != "timestamp_start"}
    return {**said, "headers": message.headers.fields, "stream": message.stream}


@example(b"POST / HTTP/1.1", [b"content-length: %s", b"x: 1"], b"5", b"12")
@given(STARTS, st.lists(LINES, min_size=1, max_size=4), DIGITS, DIGITS)
def test_a_head_with_another_length(
    start: bytes, lines: list[bytes], first: bytes, second: bytes
) -> None:
    shape = b"\r\n".join((start, *lines, b""))
    head, other = shape.replace(b"%s", first), shape.replace(b"%s", second)
    length, other_length = LENGTH.search(head), LENGTH.search(other)
    request = read(head)
    if length is None or other_length is None or request is None:
        return
    heads._known.clear()
    heads.remember(head, length, request)
    request.headers["x-put"] = "by an addon"
    again = heads.read_again(other, other_length)
    if again is not None:
        expected = read(other)
        assert expected is not None
        assert all_of(again) == all_of(expected)
        validate_headers(again)
        assert "expect" not in again.headers
        fields, headers = again.headers.fields, again.headers
        assert headers.measured == (fields, without_length(fields))  # type: ignore[attr-defined]


STATUSES = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not  Found", b"HTTP/1.1 429 Too Many Requests"),
        *(b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK ", b"HTTP/1.1  200 OK"),
        *(b"HTTP/1.0 200 OK", b"HTTP/1.1 204 None", b"HTTP/1.1 100 Go on", b"HTTP/1.1 600 No"),
        *(b"HTTP/1.1 2000 OK", b"HTTP/1.1 +20 OK", b"HTTP/1.1 200 \xc3\xb6", b"HTTP/1.1\t200 OK"),
    ]
)
ANSWERS = st.sampled_from(
    [
        *(b"x: 1", b"X:  2 ", b"x:\t3\t", b" folded", b"\tfolded", b"connection: close", b"x:"),
        *(b"content-length: 12", b"Content-Length:12", b"content-length: 012", b"content-length:"),
        *(b"transfer-encoding: chunked", b"bad name: 1", b"content-length : 7", b": 1", b"none"),
        *(b"connection: keep-alive", b"date: a: b", b"cookie: \xff", b"x : 1", b"y: 1"),
    ]
)


@pytest.fixture
def _names_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {b"x", b"X", b"date", b"connection", b"cookie"}
    monkeypatch.setattr(fast_http1, "_plain_names", known)


@example(b"HTTP/1.1 200 OK", [b"x: 1", b"content-length: 12", b"X:  2 "])
@given(STATUSES, st.lists(ANSWERS, min_size=1, max_size=4))
@pytest.mark.usefixtures("_names_known")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_answers_head_is_read_as_mitmproxy_does(status: bytes, lines: list[bytes]) -> None:
    answer = heads.read_answer([status, *lines])
    if answer is None:
        return
    expected = http1.read_response_head([status, *lines])
    assert all_of(answer) == all_of(expected)
    assert http1.expected_http_body_size(Request.make("POST", "http://a/"), expected) == 12
    validate_headers(expected)


@pytest.mark.usefixtures("_names_known")
@pytest.mark.parametrize(
    ("lines", "is_read"),
    [
        ([b"HTTP/1.1 200 OK", b"X: 1", b"Content-Length: 12"], True),
        ([b"HTTP/1.1 429 Too Many Requests", b"content-length: 12", b"x: a", b"x: b"], True),
        ([b"HTTP/1.1 200 OK", b"X: 1"], False),
        ([b"HTTP/1.1 200 OK", b"content-length: 12", b"new: 1"], False),
        ([b"HTTP/1.1 200 OK", b"content-length: 12", b"content-length: 12"], False),
        ([b"HTTP/1.1 200 OK"], False),
    ],
)
def test_an_answers_head_is_read_here_where_its_names_are_known(
    lines: list[bytes], is_read: bool
) -> None:
    assert (heads.read_answer(lines) is not None) is is_read


def test_a_plain_head_is_remembered_and_a_long_one_is_not() -> None:
    for size, is_known in ((10, True), (5_000, False)):
        head = b"POST / HTTP/1.1\r\ncontent-length: 3\r\nx: %s\r\n" % (b"y" * size)
        length, request = LENGTH.search(head), read(head)
        assert length is not None
        assert request is not None
        heads.remember(head, length, request)
        assert (heads.read_again(head, length) is not None) is is_known


def test_no_more_are_remembered_than_are_to_be() -> None:
    for number in range(600):
        head = b"POST / HTTP/1.1\r\ncontent-length: 3\r\nx: %d\r\n" % number
        length, request = LENGTH.search(head), read(head)
        assert length is not None
        assert request is not None
        heads.remember(head, length, request)
        assert heads.read_again(head, length) is not None
    assert len(heads._known) <= 256


def test_nothing_is_kept_once_it_is_switched_off() -> None:
    head = b"POST / HTTP/1.1\r\ncontent-length: 3\r\nauthorization: Bearer sk-x\r\n"
    length, request = LENGTH.search(head), read(head)
    assert length is not None
    assert request is not None
    with taddons.context(loadcore=False):
        fast.switch(Speed.ALL)
        heads.remember(head, length, request)
        assert heads.read_again(head, length) is not None
        fast.switch(Speed.NONE)
    assert heads.read_again(head, length) is None
