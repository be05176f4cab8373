"""What is remembered of a head is what would be read of it once more."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mitmproxy.http import Request
from mitmproxy.net.http import http1
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.test import taddons

from foxora_addon.proxy import fast
from foxora_addon.proxy.fast import heads
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


def all_of(request: Request) -> dict[str, object]:
    said = {name: value for name, value in vars(request.data).items() if name != "timestamp_start"}
    return {**said, "headers": request.headers.fields, "stream": request.stream}


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
