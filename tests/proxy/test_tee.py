"""How a stream passes while it is looked at, whatever goes wrong in looking or filtering."""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from foxora_addon.api.content_encoding import Undecodable
from foxora_addon.api.errors import ApiError
from foxora_addon.api.whole_events import MOST_HELD_BYTES, WholeEvents
from foxora_addon.observation import Observation
from foxora_addon.proxy.tee import Filter, Tee, Undo

EVENT = b'data: {"a": 1}\n\n'
LAST = b"data: [DONE]\n\n"


@dataclass
class Holds:
    """A filter that holds the last byte of what it was fed until it gets more."""

    fails_at: bytes | None = None
    fails_in_end: bool = False
    held: bytes = b""

    def feed(self, data: bytes) -> bytes:
        if self.fails_at is not None and self.fails_at in data:
            raise ValueError("it can't")
        data = self.held + data
        self.held = data[-1:]
        return data[:-1]

    def end(self) -> bytes:
        if self.fails_in_end:
            raise ValueError("it can't end")
        held, self.held = self.held, b""
        return held


@dataclass
class Heard:
    """What the tee told of itself."""

    arrivals: int = 0
    failures: list[Exception] = field(default_factory=list)

    def arrived(self) -> None:
        self.arrivals += 1


def observed(*, is_event_stream: bool = True) -> Observation:
    return Observation(
        content_encoding=None,
        is_event_stream=is_event_stream,
        is_json=False,
        max_head_bytes=1_000,
    )


def a_tee(
    heard: Heard,
    filters: Sequence[Filter] = (),
    *,
    undo: Undo | None = None,
    observation: Observation | None = None,
    arrived: Callable[[], None] | None = None,
) -> Tee:
    def last(error: ApiError) -> bytes:
        return error.message.encode()

    seen = observation or observed()
    return Tee(seen, arrived or heard.arrived, heard.failures.append, last, filters, undo)


def passed(tee: Tee, chunk: bytes) -> list[bytes]:
    return list(tee(chunk))


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_without_filters_each_chunk_passes_as_it_came(heard: Heard) -> None:
    observation = observed()
    tee = a_tee(heard, observation=observation)
    assert [passed(tee, b"ab"), passed(tee, b"c"), passed(tee, b"")] == [[b"ab"], [b"c"], []]
    assert (observation.size, observation.chunks, heard.arrivals) == (3, 2, 2)


def test_what_filters_hold_passes_at_the_clean_end_through_those_behind_them(heard: Heard) -> None:
    tee = a_tee(heard, [Holds(), Holds()])
    assert [passed(tee, b"a"), passed(tee, b"bc")] == [[], [b"a"]]
    assert passed(tee, b"") == [b"bc"]


def test_a_filter_that_fails_gives_what_it_holds_and_is_left_out(heard: Heard) -> None:
    tee = a_tee(heard, [Holds(fails_at=b"!")])
    assert [passed(tee, b"ab"), passed(tee, b"c!"), passed(tee, b"d")] == [[b"a"], [b"bc!"], [b"d"]]
    assert [str(error) for error in heard.failures] == ["it can't"]


def test_one_that_fails_in_the_end_is_told_of_and_the_others_end(heard: Heard) -> None:
    tee = a_tee(heard, [Holds(fails_in_end=True), Holds()])
    assert passed(tee, b"abc") == [b"a"]
    assert passed(tee, b"") == [b"b"]
    assert [str(error) for error in heard.failures] == ["it can't end"]


def test_what_cannot_be_looked_at_passes_and_is_looked_at_no_more(heard: Heard) -> None:
    asked: list[int] = []

    def fails() -> None:
        asked.append(1)
        raise ValueError("it can't")

    tee = a_tee(heard, arrived=fails)
    assert [passed(tee, b"a"), passed(tee, b"b")] == [[b"a"], [b"b"]]
    assert (len(asked), len(heard.failures)) == (1, 1)


def test_another_addons_callable_gets_what_passes_and_the_end(heard: Heard) -> None:
    got: list[bytes] = []

    def then(data: bytes) -> Iterable[bytes] | bytes:
        got.append(data)
        return [data.upper(), b""] if data else b"!"

    tee = a_tee(heard, [Holds()])
    tee.hand_on(then, heard.failures.append)
    assert [passed(tee, b"ab"), passed(tee, b"")] == [[b"A"], [b"B", b"!"]]
    assert got == [b"a", b"b", b""]


def test_another_addons_callable_may_wrap_the_tee_that_it_found(heard: Heard) -> None:
    observation = observed()
    tee = a_tee(heard, [Holds()], observation=observation)

    def then(data: bytes) -> Iterator[bytes]:
        for piece in tee(data):
            yield piece.upper()

    tee.hand_on(then, heard.failures.append)
    assert [passed(tee, b"ab"), passed(tee, b"cd"), passed(tee, b"")] == [[b"A"], [b"BC"], [b"D"]]
    assert (observation.size, observation.chunks, heard.failures) == (4, 2, [])


def test_what_passes_has_gone_before_it_is_looked_at(heard: Heard) -> None:
    passing = iter(a_tee(heard, [Holds()])(b"ab"))
    assert (next(passing), heard.arrivals) == (b"a", 0)
    assert (list(passing), heard.arrivals) == ([], 1)


def test_what_can_not_be_sent_is_looked_at_all_the_same(heard: Heard) -> None:
    def send(pieces: Iterable[bytes]) -> None:
        for _ in pieces:
            raise ValueError("the connection is gone")

    with pytest.raises(ValueError, match="gone"):
        send(a_tee(heard)(b"ab"))
    assert heard.arrivals == 1


def test_a_stream_has_said_all_with_its_last_event_and_whole_ones_only(heard: Heard) -> None:
    tee = a_tee(heard, [WholeEvents()])
    passed(tee, EVENT)
    assert not tee.has_said_all(lambda: 1)
    passed(tee, LAST)
    assert tee.has_said_all(lambda: 1)
    passed(tee, b"data: half of one")  # it is held, so none of it has passed
    assert tee.has_said_all(lambda: 1)
    passed(tee, b"x" * MOST_HELD_BYTES)
    assert not tee.has_said_all(lambda: 1)


def test_what_is_no_event_stream_has_never_said_all(heard: Heard) -> None:
    tee = a_tee(heard, [WholeEvents()], observation=observed(is_event_stream=False))
    passed(tee, LAST)
    assert not tee.has_said_all(lambda: 1)


def test_the_end_is_told_where_all_was_said_and_no_clean_end_has_come(heard: Heard) -> None:
    held = Holds()
    tee = a_tee(heard, [held])
    assert tee.ended() == b""
    held.feed(b"ab")
    tee = a_tee(heard, [held])
    tee.hand_on(lambda data: [data, b"."], heard.failures.append)
    assert tee.ended() == b"b.."


def test_anothers_callable_that_fails_at_the_end_takes_nothing_away(heard: Heard) -> None:
    held = Holds()
    held.feed(b"ab")
    tee = a_tee(heard, [held])

    others: list[Exception] = []

    def fails(data: bytes) -> bytes:
        raise ValueError("not mine")

    tee.hand_on(fails, others.append)
    assert tee.ended() == b"b"
    assert ([str(error) for error in others], heard.failures) == (["not mine"], [])


@pytest.mark.parametrize("at", [b"b", b""])
def test_anothers_callable_that_fails_makes_no_hole_and_gets_no_more(
    heard: Heard, at: bytes
) -> None:
    got: list[bytes] = []
    others: list[Exception] = []

    def then(data: bytes) -> Iterator[bytes]:
        got.append(data)
        yield b"<"
        if data == at:
            raise ValueError("not mine")
        yield data

    tee = a_tee(heard)
    tee.hand_on(then, others.append)
    sent = b"".join(piece for data in (b"a", b"b", b"c", b"") for piece in tee(data))
    assert sent == {b"b": b"<abc", b"": b"<a<b<c"}[at]
    assert got[-1] == at
    assert ([str(error) for error in others], heard.failures) == (["not mine"], [])


def backwards(data: bytes) -> Iterator[bytes]:
    """A content encoding; what has a `?` is none."""
    if b"?" in data:
        yield data.partition(b"?")[0]
        raise Undecodable("it has a question mark")
    if data:
        yield data[::-1]


class Torn:
    """What breaks when a stream can't be decoded."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.is_torn = False

    def broke(self, why: str) -> bytes:
        self.reasons.append(why)
        return b"broken"

    def tear(self) -> None:
        self.is_torn = True

    def undo(self) -> Undo:
        return Undo(backwards, self.broke, self.tear)


def test_a_decoded_stream_is_looked_at_as_it_passes(heard: Heard) -> None:
    observation = observed()
    tee = a_tee(heard, undo=Torn().undo(), observation=observation)
    assert [passed(tee, b"ab"), passed(tee, b"")] == [[b"ba"], []]
    assert (bytes(observation.head), heard.arrivals) == (b"ba", 1)


def test_a_decoded_stream_that_is_over_holds_nobody_who_would_be_told(heard: Heard) -> None:
    told = Torn()
    held = weakref.ref(told)
    tee = a_tee(heard, undo=told.undo(), observation=observed())
    del told
    passed(tee, b"ab")
    assert held() is not None
    passed(tee, b"")
    assert held() is None


def test_what_can_no_longer_be_decoded_ends_with_one_event_between_whole_ones(
    heard: Heard,
) -> None:
    torn = Torn()
    tee = a_tee(heard, [WholeEvents()], undo=torn.undo())
    assert passed(tee, EVENT[::-1]) == [EVENT]
    assert passed(tee, b"?") == []
    assert passed(tee, EVENT) == []  # nothing passes from then on
    assert passed(tee, b"") == [b"broken"]
    assert (torn.reasons, torn.is_torn) == (["it has a question mark"], False)


def test_within_an_event_it_is_torn_off(heard: Heard) -> None:
    torn = Torn()
    tee = a_tee(heard, undo=torn.undo())
    passed(tee, b"?")
    assert passed(tee, b"") == []
    assert torn.is_torn
