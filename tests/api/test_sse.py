"""The WHATWG rules for event streams, whatever the chunks, in bounded memory and linear time."""

import re
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.sse import Decoder, Event, begins_stream

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpora"
RECORDED = sorted(CORPUS.glob("sse_streams/*"))

FRAME = 'event: x\r\nid: 7\r\ndata: {"ü": "€ 😀"}\r\ndata: b\r\n\r\n: ping\r\r\ndata\n\n'.encode()


def decoded(pieces: Iterable[bytes], **limits: int) -> list[Event]:
    decoder = Decoder(**limits)
    return [event for piece in pieces for event in decoder.feed(piece)]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("line", [b"data: x", b"event:x", b"id: 1", b"retry: 3", b": hello", b":"])
def test_a_stream_is_told_by_its_first_line(line: bytes, mark: bytes) -> None:
    assert begins_stream(mark + line)


@pytest.mark.parametrize("body", [b"", b'{"data": 1}', b'"data:"', b"database", b" data: x", b"<"])
def test_nothing_else_begins_as_a_stream_does(body: bytes) -> None:
    assert not begins_stream(body)


def bytewise(stream: bytes) -> Iterator[bytes]:
    return (stream[at : at + 1] for at in range(len(stream)))


def reference(stream: bytes, max_event_bytes: int = 2**62) -> list[Event]:
    """The rules once more, in one go over the whole stream."""
    lines = re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf"))
    events: list[Event] = []
    data: list[str] = []
    kind, size = "", 0
    for line in lines[:-1]:
        if not line:
            if data and size <= max_event_bytes:
                events.append(Event("\n".join(data), kind or "message"))
            data, kind, size = [], "", 0
            continue
        size += len(line)
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if size > max_event_bytes:
            continue
        if field == "data":
            data.append(value)
        elif field == "event":
            kind = value
    return events


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: x\n\n", [Event("x")]),
        (b"data:x\n\n", [Event("x")]),
        (b"data:  x\n\n", [Event(" x")]),
        (b"data: x\r\n\r\n", [Event("x")]),
        (b"data: x\r\r", [Event("x")]),
        (b"data: x\r\n\n", [Event("x")]),
        (b"data: a\ndata: b\ndata\n\n", [Event("a\nb\n")]),
        (b"data\n\n", [Event("")]),
        (b"data:\n\n\n\n", [Event("")]),
        (b"\n\n\n", []),
        (b": comment\n\n", []),
        (b"event: a\n\ndata: x\n\n", [Event("x")]),
        (b"event: a\nevent: b\ndata: x\n\ndata: y\n\n", [Event("x", "b"), Event("y")]),
        (b"event: a\nevent\ndata: x\n\n", [Event("x")]),
        (b"id: 1\ndata: x\n\nid\ndata: y\n\n", [Event("x"), Event("y")]),
        (b"id: 1\n\ndata: x\n\n", [Event("x")]),
        (b"retry: 10\ndata: x\n\n", [Event("x")]),
        (b"Data: x\ndatax: x\n data: x\n\n", []),
        (b"data: a:b: c\n\n", [Event("a:b: c")]),
        (b"data: a\x0bb\x0cc\x85d\xe2\x80\xa8e\n\n", [Event("a\x0bb\x0cc\ufffdd\u2028e")]),
        (b"\xef\xbb\xbfdata: x\n\n", [Event("x")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n", []),
        (b"data: \xef\xbb\xbfx\n\n", [Event("\ufeffx")]),
        (b"data: \xe2\x82\ndata: \xff\n\n", [Event("\ufffd\n\ufffd")]),
        (b"data: x\n", []),
        (b"data: x", []),
        (b"data: x\n\ndata: y\n", [Event("x")]),
        (b"data: x\r\n\r", [Event("x")]),
    ],
)
def test_the_rules_hold_whole_and_byte_by_byte(stream: bytes, events: list[Event]) -> None:
    assert decoded([stream]) == events
    assert decoded(bytewise(stream)) == events
    assert reference(stream) == events


@pytest.mark.parametrize("split", range(len(FRAME) + 1))
def test_a_frame_may_be_cut_anywhere(split: int) -> None:
    events = [Event('{"ü": "€ 😀"}\nb', "x"), Event("")]
    assert decoded([FRAME[:split], b"", FRAME[split:]]) == events


def test_an_event_comes_with_the_chunk_that_ends_it() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: a\r") == []
    assert decoder.feed(b"\n\r") == [Event("a")]
    assert decoder.feed(b"\ndata: b\n\ndata: c") == [Event("b")]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_stream_reads_the_same_in_any_pieces(recorded: Path) -> None:
    stream = recorded.read_bytes()
    events = reference(stream)
    assert decoded([stream]) == events
    for size in (1, 7, 1_000):
        pieces = (stream[at : at + size] for at in range(0, len(stream), size))
        assert decoded(pieces) == events


STREAMS = st.lists(
    st.sampled_from(
        [
            *(b"data", b"event", b"id", b"retry", b":", b": ", b" ", b"x", b"\0", b"\xef\xbb\xbf"),
            *(b"\n", b"\r", b"\r\n", b"\n\n", "€".encode(), "😀".encode(), b"\xff", b"\xe2"),
        ]
    )
    | st.binary(max_size=3),
    max_size=40,
).map(b"".join)


@st.composite
def cut(draw: st.DrawFn) -> list[bytes]:
    """A stream in pieces."""
    stream = draw(STREAMS)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@given(cut())
def test_no_cut_changes_what_is_read(pieces: list[bytes]) -> None:
    assert decoded(pieces) == reference(b"".join(pieces))


@given(cut(), st.integers(0, 20))
def test_no_cut_changes_what_is_too_large(pieces: list[bytes], limit: int) -> None:
    assert decoded(pieces, max_event_bytes=limit) == reference(b"".join(pieces), limit)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize(
    "large",
    [[b"data: 12345"], [b"data: 1", b"data: 2"], [b":234567890a"], [b"id: 1", b"data: 123"]],
)
def test_an_event_over_the_limit_is_skipped_and_the_next_is_read(
    large: list[bytes], ending: bytes
) -> None:
    lines = [b"data: 1234", b"", *large, b"event: no", b"data: no", b"", b"data: y", b"", b""]
    stream = ending.join(lines)
    for pieces in ([stream], bytewise(stream)):
        assert decoded(pieces, max_event_bytes=10) == [Event("1234"), Event("y")]


def test_an_endless_line_costs_no_memory() -> None:
    decoder, piece = Decoder(max_event_bytes=4_096), b"x" * 65_536
    tracemalloc.start()
    for _ in range(256):
        assert decoder.feed(piece) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * len(piece)
    assert decoder.feed(b"\n\ndata: x\n\n") == [Event("x")]


def test_many_events_leave_nothing_behind() -> None:
    decoder = Decoder()
    for _ in range(100):
        decoder.feed(b"event: e\nid: 1\ndata: x\n\n")
    assert not decoder._data
    assert not decoder._line
    assert decoder._event_bytes == 0


# Copying what is there for every piece would be 100 GB and more for each of these.
@pytest.mark.parametrize(("size", "piece"), [(16 * 2**20, 1_024), (2**19, 1), (16 * 2**20, 2**24)])
def test_a_large_event_in_small_pieces_is_read_in_linear_time(size: int, piece: int) -> None:
    decoder = Decoder(max_event_bytes=2 * size)
    decoder.feed(b"data:")
    for _ in range(size // piece):
        assert decoder.feed(b"x" * piece) == []
    (event,) = decoder.feed(b"\n\n")
    assert len(event.data) == size


def test_many_lines_of_one_event_are_read_in_linear_time() -> None:
    (event,) = Decoder().feed(b"data: x\n" * 100_000 + b"\n")
    assert event.data == "\n".join("x" * 100_000)


def calls_of(stream: bytes) -> int:
    """How many steps of Python's the decoding takes, which time alone could not tell."""
    counted = 0

    class Counting(Decoder):
        def __getattribute__(self, name: str) -> object:
            nonlocal counted
            counted += 1
            return super().__getattribute__(name)

    decoder = Counting()
    for piece in bytewise(stream):
        decoder.feed(piece)
    return counted


def test_steps_grow_with_the_bytes_and_no_faster() -> None:
    stream = b"data: xyz\r\n: comment\r\n\r\n"
    first, second = calls_of(stream * 10), calls_of(stream * 20)
    assert calls_of(stream * 30) - second == second - first


def test_a_line_feed_after_a_line_that_began_in_an_earlier_chunk_ends_that_line() -> None:
    decoder = Decoder()
    decoder.feed(b"data: x\r: ping")
    assert [event.data for event in decoder.feed(b"\n\n")] == ["x"]
