"""Passes a stream on through its filters, while an observation looks at what the gateway sent.

A callable for `flow.response.stream` (mitmproxy-facts.md row 15). Whatever goes wrong in looking or
filtering, the bytes pass: a callable that raises would crash the connection (row 11).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from foxora_addon.api.content_encoding import Decoder, Undecodable
from foxora_addon.api.errors import ApiError
from foxora_addon.api.whole_events import WholeEvents
from foxora_addon.framing import Fields
from foxora_addon.observation import Observation

type Then = Callable[[bytes], Iterable[bytes] | bytes]


class Filter(Protocol):
    """Takes bytes and gives back those that may pass by now; it may hold some until later."""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes, cut anywhere."""

    def end(self) -> bytes:
        """Give back what is still held: the stream has come to a clean end."""


class Undo:
    """Undoes the content encoding of a stream on its way to the client.

    `broke` is called once, where what comes is not so encoded or a bomb: nothing passes from then
    on. Where the gateway comes to a clean end all the same, what `broke` gave is the last word, or
    `tear` is called, since the client must not take that end for one.
    """

    def __init__(
        self, decode: Decoder, broke: Callable[[str], bytes], tear: Callable[[], None]
    ) -> None:
        self._decode = decode
        self._broke = broke
        self._tear = tear
        self.last_words: bytes | None = None

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        """What the next bytes decode to, piece by piece."""
        if self.last_words is not None:
            return
        try:
            yield from self._decode(chunk)
        except Undecodable as error:
            self.last_words = self._broke(str(error))

    def end(self) -> Callable[[], None]:
        """The gateway came to a clean end: give `tear`, and forget it and `broke`.

        They know the flow, whose answer has this: no cycle is to keep them all.
        """
        tear = self._tear
        self._broke, self._tear = _nothing_more, lambda: None
        return tear


def _nothing_more(_: str) -> bytes:
    return b""


class Tee:
    """Gives what the filters make of each chunk; `arrived` is called when each is looked at.

    The filters stand in the order in which the bytes go through them; without any, every byte
    passes as it came, or as `undo` decodes it. `then` is another addon's callable of the same kind,
    which gets what passes until it raises. `last` gives the event for an error that ends the
    stream. `head` is what was decided to go before it, when other addons heard of that.
    """

    head: Fields = ()

    def __init__(
        self,
        observation: Observation,
        arrived: Callable[[], None],
        failed: Callable[[Exception], None],
        last: Callable[[ApiError], bytes],
        filters: Sequence[Filter] = (),
        undo: Undo | None = None,
    ) -> None:
        self._observation = observation
        self._arrived = arrived
        self._failed = failed
        self.last = last
        self._filters = tuple(filters)
        self._undo = undo
        self._looking = True
        self.then: Then | None = None
        self._then_failed = failed
        self._is_handing_on = False

    def hand_on(self, then: Then | None, failed: Callable[[Exception], None]) -> None:
        """Have another addon's callable get what passes; `failed` is told where it raises."""
        self.then, self._then_failed = then, failed

    def __call__(self, chunk: bytes) -> Iterable[bytes]:
        """Pass a chunk on, and look at it once that has gone; `b""` is the clean end.

        Piece by piece, since an empty chunk on HTTP/1 would be taken for the end. What another
        addon's callable gives to this one, which it found and wraps, has passed here already.
        """
        if self._is_handing_on:
            return [chunk] if chunk else []
        if self._undo is not None:
            passed = self._undone(chunk, self._undo)
        else:
            passed = self._passing(chunk) if chunk else self._ending()
        if self.then is None:
            return passed
        ends = [] if chunk else [b""]
        return [piece for data in (*passed, *ends) for piece in self._handed_on(data) if piece]

    def _handed_on(self, data: bytes) -> list[bytes]:
        """What another addon's callable makes of it; one that has raised is not asked again."""
        if self.then is None:
            return [data]
        self._is_handing_on = True
        try:
            return list(_pieces(self.then(data)))
        except Exception as error:  # noqa: BLE001  # another's code: the client's stream comes first
            self.then = None
            self._then_failed(error)
            return [data]
        finally:
            self._is_handing_on = False

    def _passing(self, data: bytes) -> Iterator[bytes]:
        """What passes of what has come, which is looked at even where nobody can be sent that."""
        try:
            if passed := self._through(data, self._filters):
                yield passed
        finally:
            self._look(data)

    def _ending(self) -> Iterator[bytes]:
        if rest := self._rest():
            yield rest

    def _undone(self, chunk: bytes, undo: Undo) -> Iterator[bytes]:
        for piece in undo(chunk):
            yield from self._passing(piece)
        if chunk:
            return
        tear = undo.end()
        if undo.last_words is None:
            yield from self._ending()
        elif self.is_between_events:
            yield undo.last_words
        else:
            tear()

    def has_said_all(self, pictures_asked: Callable[[], int]) -> bool:
        """Whether the last event has come, and whole ones alone have passed: nothing is missing.

        `pictures_asked` gives how many pictures the call asks for.
        """
        transcript = self._observation.transcript
        is_readable = self._undo is None or self._undo.last_words is None
        if transcript is None or not is_readable or not transcript.has_said_all(pictures_asked):
            return False
        return self.is_between_events

    def ended(self) -> bytes:
        """What passes yet where all was said, though the clean end has not come."""
        rest = self._rest()
        if self.then is None:
            return rest
        given = (rest, b"") if rest else (b"",)
        return b"".join(piece for data in given for piece in self._handed_on(data))

    @property
    def is_between_events(self) -> bool:
        """Whether what has passed is whole events, so that one of our own can follow."""
        return any(isinstance(step, WholeEvents) and step.is_between for step in self._filters)

    def _look(self, chunk: bytes) -> None:
        """Have the observation see a chunk; nothing is raised, whatever becomes of that."""
        if not self._looking:
            return
        try:
            self._arrived()
            self._observation.feed(chunk)
        except Exception as error:  # noqa: BLE001  # promise 6: the client's stream comes first
            self._looking = False
            self._failed(error)

    def _through(self, data: bytes, filters: Iterable[Filter]) -> bytes:
        for step in filters:
            if not data:
                break
            try:
                data = step.feed(data)
            except Exception as error:  # noqa: BLE001  # promise 6: the client's stream comes first
                self._failed(error)
                data = self._end_of(step) + data
        return data

    def _rest(self) -> bytes:
        """What the filters still hold, each part through those that come after its own."""
        rest = b""
        for step in self._filters:
            rest = self._through(rest, (step,)) + self._end_of(step)
        return rest

    def _end_of(self, step: Filter) -> bytes:
        """What a filter holds in the end; it is asked nothing more."""
        self._filters = tuple(other for other in self._filters if other is not step)
        try:
            return step.end()
        except Exception as error:  # noqa: BLE001  # promise 6: the client's stream comes first
            self._failed(error)
            return b""


def _pieces(given: Iterable[bytes] | bytes) -> Iterable[bytes]:
    """What a callable for a stream may give back: bytes, or several of them."""
    return (given,) if isinstance(given, bytes) else given
