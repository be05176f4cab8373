import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.sse import Decoder
from foxora_addon.api.whole_events import WholeEvents

LINES = st.sampled_from(["data: x", 'data: {"a": 1}', "event: y", ": ping", "id: 7", "", "data"])
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=12).map(
    lambda lines: "".join(line + end for line, end in lines).encode()
)
ERROR = b'data: {"error":1}\n\n'


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


CUTS = st.lists(st.integers(0, 1000), max_size=8)


@given(STREAMS, CUTS, st.integers(1, 40))
def test_it_changes_no_byte_and_loses_none(data: bytes, cuts: list[int], most: int) -> None:
    whole = WholeEvents(most)
    passed = [whole.feed(piece) for piece in pieces_of(data, cuts)]
    assert b"".join(passed) + whole.end() == data


@given(STREAMS, CUTS)
def test_no_event_waits_once_it_is_whole(data: bytes, cuts: list[int]) -> None:
    whole, sent, seen = WholeEvents(), Decoder(), Decoder()
    for piece in pieces_of(data, cuts):
        assert seen.feed(whole.feed(piece)) == sent.feed(piece)


@given(STREAMS, CUTS)
def test_nothing_waits_after_a_blank_line(data: bytes, cuts: list[int]) -> None:
    whole, fed, passed = WholeEvents(), b"", b""
    for piece in pieces_of(data, cuts):
        fed += piece
        passed += whole.feed(piece)
        if fed.endswith((b"\n\n", b"\n\r", b"\n\r\n", b"\r\r", b"\r\r\n")):
            assert passed == fed


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_an_event_passes_whole_at_once(end: str) -> None:
    whole = WholeEvents(10)
    for event in ("data: x", "event: y\ndata: 1", "data: x", "data: one that is too large to wait"):
        piece = f"{event}\n\n".replace("\n", end).encode()
        assert whole.feed(piece) == piece
    piece = b"data: one that comes in two pieces"
    assert whole.feed(piece) == piece
    piece = f"{end}{end}data: x{end}{end}: ping{end}".encode()
    assert whole.feed(piece) == piece


@given(STREAMS, CUTS, st.integers(1, 40))
def test_between_events_another_one_can_follow(data: bytes, cuts: list[int], most: int) -> None:
    whole, client = WholeEvents(most), Decoder()
    for piece in pieces_of(data, cuts):
        client.feed(whole.feed(piece))
    if whole.is_between:
        assert [event.data for event in client.feed(ERROR)] == ['{"error":1}']


@given(CUTS, st.integers(1, 40))
def test_it_holds_no_more_than_it_may(cuts: list[int], most: int) -> None:
    whole = WholeEvents(most)
    given_bytes = passed = 0
    for piece in pieces_of(b"data: " + b"x" * 400, cuts):
        given_bytes += len(piece)
        passed += len(whole.feed(piece))
        assert given_bytes - passed <= most
    assert not whole.is_between


def test_after_a_large_event_it_finds_the_boundaries_again() -> None:
    whole = WholeEvents(10)
    assert whole.feed(b"data: xxxxxxxxxx") == b"data: xxxxxxxxxx"
    assert whole.feed(b"xx\n") == b"xx\n"
    assert whole.feed(b"\ndata: y\n\ndata: z") == b"\ndata: y\n\n"
    assert whole.is_between


@pytest.mark.parametrize("line", [b": ping\n", b": ping\r\n", b":\n"])
def test_a_comment_that_keeps_the_connection_alive_does_not_wait(line: bytes) -> None:
    whole = WholeEvents()
    assert whole.feed(line) == line
    assert whole.feed(line + b"data: x") == line


def test_a_comment_in_small_pieces_is_read_once() -> None:
    looked_at: list[int] = []

    class Counting(WholeEvents):
        def _end_of_comments(self, start: int) -> int:
            looked_at.append(len(self._held) - start)
            return super()._end_of_comments(start)

    whole = Counting()
    comment = b"data: x\n\n: " + b"x" * 60_000 + b"\n"
    passed = [whole.feed(comment[at : at + 1]) for at in range(len(comment))]
    assert b"".join(passed) == comment
    assert sum(looked_at) < 2 * len(comment)
