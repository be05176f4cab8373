"""What faults do to answers."""

import gzip
import json
import zlib
from typing import Any

import pytest

from foxora_addon.mock.answers import DONE, Answer, event_of, json_answer, stream_answer
from foxora_addon.mock.faults import parse_fault
from foxora_addon.mock.spoiling import spoiled, stand_in

EVENTS = (b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n", DONE)


def spoil(text: str, answer: Answer | None = None) -> Answer:
    return spoiled(answer or stream_answer(EVENTS), parse_fault(text))


def stand_in_of(text: str) -> Answer:
    fault = parse_fault(text)
    return spoiled(stand_in(fault), fault)


def json_of(answer: Answer) -> Any:
    return json.loads(b"".join(answer.pieces))


def test_an_empty_fault_changes_nothing() -> None:
    assert spoil("") == stream_answer(EVENTS)


def test_a_status_answers_with_the_documented_error() -> None:
    answer = stand_in_of("status=429;retry-after=2")
    assert (answer.status, dict(answer.headers)["retry-after"]) == (429, "2")
    assert json_of(answer)["error"]["code"] == "rate_limited"
    assert answer.length == len(answer.pieces[0])


@pytest.mark.parametrize(("text", "status"), [("html", 502), ("html;status=200", 200)])
def test_html_is_a_page(text: str, status: int) -> None:
    answer = stand_in_of(text)
    assert answer.status == status
    assert dict(answer.headers)["content-type"].startswith("text/html")
    assert answer.pieces[0].startswith(b"<!DOCTYPE html>")


def test_a_body_is_sent_as_given_with_its_type_and_headers() -> None:
    answer = stand_in_of("status=418;body=%00;type=x/y;header=X-A: 1")
    assert (answer.status, answer.pieces, answer.length) == (418, (b"\x00",), 1)
    assert answer.headers == (("content-type", "x/y"), ("X-A", "1"))


def test_a_body_is_split_into_the_chosen_chunks() -> None:
    answer = stand_in_of("body=abcdefgh;chunks=1,3")
    assert answer.pieces == (b"a", b"bcd", b"efgh")
    assert answer.length is None


def test_chunks_past_the_end_of_a_body_are_not_sent() -> None:
    assert stand_in_of("body=abc;chunks=2,2,2").pieces == (b"ab", b"c")


def test_an_empty_answer_declares_no_octets() -> None:
    answer = stand_in_of("empty")
    assert (answer.status, answer.pieces, answer.length) == (200, (), 0)


def test_a_redirect_says_where() -> None:
    answer = stand_in_of("redirect=https://a.example/")
    assert answer.status == 307
    assert ("location", "https://a.example/") in answer.headers


@pytest.mark.parametrize(
    ("text", "pieces", "ending"),
    [
        ("raw=abc", (b"abc",), "cut"),
        ("raw=abc;chunks=1", (b"a", b"bc"), "cut"),
        ("raw=abc;gzip", (b"abc",), "cut"),
        ("raw=abc;mute", (b"abc",), "mute"),
        ("mute", (), "mute"),
        ("close-before-head", (), "cut"),
    ],
)
def test_some_faults_are_no_http(text: str, pieces: tuple[bytes, ...], ending: str) -> None:
    answer = stand_in_of(text)
    assert answer.raw
    assert (answer.pieces, answer.ending) == (pieces, ending)


def test_garbage_is_not_a_status_line() -> None:
    answer = stand_in_of("garbage")
    assert answer.raw
    assert not answer.pieces[0].startswith(b"HTTP/")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(status: int) -> None:
    answer = spoil(f"status={status}", json_answer({"a": 1}))
    assert (answer.status, answer.pieces, answer.length) == (status, (), None)


@pytest.mark.parametrize(
    ("text", "pieces", "ending"),
    [
        ("cut-after=2", EVENTS[:2], "cut"),
        ("cut-after=0", (), "cut"),
        ("cut-bytes=12", (EVENTS[0], b"dat"), "cut"),
        ("mute-after=1", EVENTS[:1], "mute"),
        ("no-done", EVENTS[:3], "whole"),
    ],
)
def test_a_stream_ends_where_it_is_told_to(
    text: str, pieces: tuple[bytes, ...], ending: str
) -> None:
    answer = spoil(text)
    assert (answer.pieces, answer.ending) == (pieces, ending)


def test_a_cut_body_still_promises_all_of_itself() -> None:
    whole = json_answer({"a": 1})
    answer = spoil("cut-bytes=2", whole)
    assert (answer.pieces, answer.length) == ((whole.pieces[0][:2],), whole.length)


def test_an_error_event_takes_the_place_of_a_streams_second_half() -> None:
    *events, last = spoil("error-event").pieces
    assert tuple(events) == EVENTS[:2]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_error"


def test_an_error_event_among_typed_events_is_typed_and_numbered() -> None:
    typed = tuple(event_of({"type": "x", "sequence_number": n}, "x") for n in range(4))
    *events, last = spoil("error-event", stream_answer(typed)).pieces
    assert tuple(events) == typed[:2]
    name, _, data = last.partition(b"\ndata: ")
    event = json.loads(data)
    told = event.pop("error")
    assert (name, told.pop("type")) == (b"event: error", "server_error")
    assert told["code"] == "upstream_error"
    assert event == {"type": "error", "sequence_number": 2, **told}


def test_each_compressed_event_can_be_read_before_the_next() -> None:
    answer = spoil("gzip")
    assert ("content-encoding", "gzip") in answer.headers
    decoder = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    assert tuple(decoder.decompress(piece) for piece in answer.pieces) == EVENTS


def test_a_compressed_body_declares_its_compressed_length() -> None:
    answer = spoil("gzip", json_answer({"a": "b" * 500}))
    assert answer.length == len(answer.pieces[0]) < 100
    assert json.loads(gzip.decompress(answer.pieces[0])) == {"a": "b" * 500}


def test_delays_are_kept_for_the_wire() -> None:
    answer = spoil("delay=2;chunk-delay=0.5")
    assert (answer.delay_seconds, answer.piece_delay_seconds) == (2, 0.5)
    assert answer.pieces == EVENTS
