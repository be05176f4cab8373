"""How faults are written, queued and taken."""

import re
from collections import deque
from typing import Any

import pytest

from foxora_addon.mock.faults import Fault, fault_of, faults_of, parse_fault, take, vocabulary


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("status=503", Fault(status=503)),
        ("status=429;retry-after=2", Fault(status=429, retry_after="2")),
        (" delay=1.5 ; chunk-delay=0.05; ", Fault(delay_seconds=1.5, chunk_delay_seconds=0.05)),
        ("cut-after=3;no-done", Fault(cut_after=3, no_done=True)),
        ("body=a%3Bb%FF;type=text/plain", Fault(body=b"a;b\xff", type="text/plain")),
        ("header=X-A: 1;header=X-B:2", Fault(headers=(("X-A", "1"), ("X-B", "2")))),
        ("chunks=3,5", Fault(chunks=(3, 5))),
        ("redirect=https://a.example/%3Bb", Fault(redirect="https://a.example/;b")),
        ("raw=HTTP/1.1 200%0D%0A", Fault(raw=b"HTTP/1.1 200\r\n")),
        ("", Fault()),
    ],
)
def test_a_fault_is_written_in_words(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


def test_a_fault_is_written_in_json_with_the_same_words() -> None:
    written = {
        "status": 200,
        "chunk-delay": 0.5,
        "cut_after": 1,
        "body_base64": "AP8=",
        "headers": {"X-A": "1"},
    }
    expected = Fault(
        status=200,
        chunk_delay_seconds=0.5,
        cut_after=1,
        body=b"\x00\xff",
        headers=(("X-A", "1"),),
    )
    assert faults_of([written, "html"]) == [expected, Fault(html=True)]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("stats=503", "stats: unknown word; did you mean 'status'? Known words: status, "),
        ("status=99", "status: Input should be greater than or equal to 200"),
        ("status", "status: Input should be greater than or equal to 200"),
        ("delay=long", "delay: Input should be a valid number"),
        ("header=X-A: a%0D%0Ab", "header.0: a header's name or value has characters"),
        ("redirect=%0A", "redirect: a header's name or value has characters"),
        ({"body_base64": "!"}, "body_base64: not base64"),
        ({"raw_base64": 7}, "raw_base64: not base64"),
        (7, "a fault must be an object or a string"),
    ],
)
def test_what_is_wrong_with_a_fault_is_said_in_one_line(value: Any, line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(line)) as caught:
        fault_of(value)
    assert "\n" not in str(caught.value)


def test_faults_must_be_a_list() -> None:
    with pytest.raises(ValueError, match="must be a JSON list"):
        faults_of({"status": 500})


def test_faults_are_taken_in_order_as_often_as_they_say() -> None:
    faults = deque([Fault(status=500, times=2), Fault(html=True)])
    taken = [take(faults, "/v1/me") for _ in range(4)]
    assert [fault and (fault.status, fault.html) for fault in taken] == [
        (500, False),
        (500, False),
        (None, True),
        None,
    ]


def test_a_fault_for_a_path_waits_for_it() -> None:
    faults = deque([Fault(status=500, path="/v1/chat"), Fault(html=True)])
    taken = take(faults, "/v1/me")
    assert taken is not None
    assert taken.html
    assert take(faults, "/v1/me") is None
    assert take(faults, "/v1/chat/completions") == Fault(status=500, path="/v1/chat")


@pytest.mark.parametrize(
    ("text", "hides"),
    [
        *(("status=500", True), ("html", True), ("empty", True), ("garbage", True)),
        *(("mute", True), ("close-before-head", True), ("body=", True), ("redirect=/x", True)),
        *(("status=201", False), ("delay=1", False), ("gzip", False), ("cut-after=1", False)),
    ],
)
def test_only_a_fault_with_an_answer_of_its_own_hides_the_gateway(
    text: str, *, hides: bool
) -> None:
    assert parse_fault(text).hides_gateway() is hides


def test_every_word_has_a_meaning() -> None:
    assert all(vocabulary().values())
