"""Tells those who are refused when to come back, each at its own moment, and lets them in then.

Whoever is refused could be told the first moment at which there is room. Then all come back at it
as a herd, one goes on, and the others are refused again, some fifty times each with 64 clients. So
each is told the moment at which there is room for it and for those who were refused before it and
are still to come.

A client that asks again and again without waiting would take all room in the instant in which it
is there, before anybody who obeys is back. So the room that was told to somebody is not given to
others right after its moment, for as long as a client that obeys needs to come; and whoever comes
back before its own moment is told that one again, has no second place, and goes before nobody.

For those who find no room in the next seconds there is none to keep. They are told to ask again,
and do so before whoever has come later: else those who went on would come back for each place that
they leave, and the others for none.

A call is known again by what it is and by its connection, but is not held to either: a client may
come back on another connection, and one that never comes back is forgotten as its moment passes.
"""

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple, Protocol

# How much later than the first moment somebody is told. What comes beyond it gets no place and is
# told this much, so clients who never come back, or too early, keep others waiting no longer.
_LATEST_SECONDS: Final = 10.0

# OpenAI's clients go by a wait of up to 60 s, and their own way above it.
_LONGEST_WAIT_SECONDS: Final = 59.0

# For how long room is kept for whoever was told of it: it costs a sixth of a per cent of a ceiling,
# and those that go by milliseconds are back by then. From one that did not wait for its own moment
# it is kept for those too that go by whole seconds, rounded up.
KEPT_SECONDS: Final = 0.1
_KEPT_FROM_EARLY_SECONDS: Final = 1.2

# Of one call so many places: one that comes on a new connection each time looks like another one.
_MOST_OF_ONE_CALL: Final = 16
_MOST_OTHERS: Final = 1_000
_MOST_LOOKED_AT: Final = 64


class Caller(NamedTuple):
    """What a call is known by when it comes back: what it asks for and whose it is, and from where.

    `connection` None: not known.
    """

    call: Hashable
    connection: Hashable | None


@dataclass(eq=False, slots=True)
class _Place:
    """A moment that was told. `has_room`: there is room for it then; else it is told to ask again.

    `is_open`: nobody has come for it yet.
    """

    moment: float
    tokens: int
    caller: Caller | None
    has_room: bool
    is_open: bool = True

    def __lt__(self, other: "_Place") -> bool:
        return self.moment < other.moment

    def is_of(self, caller: Caller) -> bool:
        """Whether it was told to this very caller, on this connection."""
        mine = self.caller
        return mine is not None and mine.connection is not None and mine == caller


class Room(Protocol):
    """What says when there is room."""

    def next_admission(self, tokens: int, now: float, calls: int = 1) -> float | None:
        """Return the first moment for so many calls with so many tokens together; None: unknown."""


class Places:
    """The moments that were told to those who were refused for want of one thing's room.

    Times are seconds of one monotonic clock. Their number is bounded by the ceiling's.
    """

    __slots__ = ("_due", "_of_call", "_others", "_others_tokens", "_to_come", "_tokens")

    def __init__(self) -> None:
        self._to_come: list[_Place] = []  # a heap
        self._tokens = 0  # of those to come
        self._due: deque[_Place] = deque()  # whose moment has come, the latest last
        self._others: list[_Place] = []  # a heap of those without room
        self._others_tokens = 0
        self._of_call: dict[Hashable, list[_Place]] = {}

    def __len__(self) -> int:
        return len(self._to_come)

    def next_for(
        self, room: Room, tokens: int, first: float, now: float, caller: Caller | None = None
    ) -> float:
        """Return the moment to tell a call that may go at `first` were it alone."""
        self._advance(now)
        if (early := self._early(caller, now)) is not None:
            if first <= early.moment:
                return early.moment
            self._drop(early)
        calls, in_all = len(self._to_come), self._tokens
        if (told := self._told_to_ask_again(caller, now)) is not None:
            self._drop(told)
        else:  # they have asked before it
            calls, in_all = calls + len(self._others), in_all + self._others_tokens
        latest = max(first, min(first + _LATEST_SECONDS, now + _LONGEST_WAIT_SECONDS))
        moment = room.next_admission(in_all + tokens, now, calls + 1)
        has_room = moment is not None and moment <= latest
        moment = latest if moment is None or not has_room else max(first, moment)
        if has_room or len(self._others) < _MOST_OTHERS:
            self._add(_Place(moment, tokens, caller, has_room))
        return moment

    def before(self, caller_of: Callable[[], Caller], now: float) -> tuple[int, int]:
        """How many calls with how many tokens room is kept for at this moment, before this caller.

        One that comes back at its moment finds it kept for itself: nobody is before it.
        """
        self._advance(now)
        if not self._due:
            return 0, 0
        caller = caller_of()
        early = self._early(caller, now)
        due = self._due_of(caller, now, may_be_anothers=early is None)
        if due is not None:
            due.is_open = False
            return 0, 0
        since = now - (KEPT_SECONDS if early is None else _KEPT_FROM_EARLY_SECONDS)
        calls = tokens = 0
        for place in reversed(self._due):
            if place.moment <= since or calls >= _MOST_LOOKED_AT:
                break
            if place.is_open:
                calls += 1
                tokens += place.tokens
        return calls, tokens

    def _due_of(self, caller: Caller, now: float, *, may_be_anothers: bool) -> _Place | None:
        places = [
            each
            for each in self._of_call.get(caller.call, ())
            if each.has_room and each.is_open and each.moment <= now
        ]
        own = next((each for each in places if each.is_of(caller)), None)
        return places[0] if own is None and places and may_be_anothers else own

    def _early(self, caller: Caller | None, now: float) -> _Place | None:
        """What was told to a caller that has come before its moment; None: it has not."""
        if caller is None:
            return None
        places = [each for each in self._of_call.get(caller.call, ()) if each.moment > now]
        if len(places) >= _MOST_OF_ONE_CALL and caller.connection is not None:
            return next((each for each in places if each.is_of(caller)), places[-1])
        return next((each for each in places if each.is_of(caller)), None)

    def _told_to_ask_again(self, caller: Caller | None, now: float) -> _Place | None:
        """What was told to a caller that asks again as it was told to; None: it was not."""
        if caller is None:
            return None
        places = [
            each
            for each in self._of_call.get(caller.call, ())
            if not each.has_room and each.moment <= now
        ]
        return next((each for each in places if each.is_of(caller)), places[0] if places else None)

    def _add(self, place: _Place) -> None:
        heappush(self._to_come if place.has_room else self._others, place)
        self._weigh(place, place.tokens)
        if place.caller is not None:
            self._of_call.setdefault(place.caller.call, []).append(place)

    def _drop(self, place: _Place) -> None:
        heap = self._to_come if place.has_room else self._others
        heap.remove(place)
        heapify(heap)
        self._weigh(place, -place.tokens)
        self._forget(place)

    def _advance(self, now: float) -> None:
        over = now - _KEPT_FROM_EARLY_SECONDS
        while self._to_come and self._to_come[0].moment <= now:
            place = heappop(self._to_come)
            self._weigh(place, -place.tokens)
            self._due.append(place)
        while self._due and self._due[0].moment <= over:
            self._forget(self._due.popleft())
        while self._others and self._others[0].moment <= over:
            place = heappop(self._others)
            self._weigh(place, -place.tokens)
            self._forget(place)

    def _weigh(self, place: _Place, tokens: int) -> None:
        if place.has_room:
            self._tokens += tokens
        else:
            self._others_tokens += tokens

    def _forget(self, place: _Place) -> None:
        if place.caller is None:
            return
        places = self._of_call[place.caller.call]
        places.remove(place)
        if not places:
            del self._of_call[place.caller.call]
