"""Tells those who are refused when to come back, each at a moment of its own.

Whoever is refused could be told the first moment at which there is room. Then all come back at it
as a herd, one goes on, and the others are refused again, some fifty times each with 64 clients. So
each is told the moment at which there is room for it and for those who were refused before it and
are still to come. Nothing is kept free for anybody, and nobody is known again: whoever comes when
there is room goes on, and who does not come back is forgotten as its moment passes.
"""

from heapq import heappop, heappush
from typing import Final, Protocol

# How much later than the first moment somebody is told. What comes beyond it gets no place and is
# told this much, so clients who never come back, or too early, keep others waiting no longer.
_LATEST_SECONDS: Final = 10.0

# OpenAI's clients go by a wait of up to 60 s, and their own way above it.
_LONGEST_WAIT_SECONDS: Final = 59.0


class Room(Protocol):
    """What says when there is room."""

    def next_admission(self, tokens: int, now: float, calls: int = 1) -> float | None:
        """Return the first moment for so many calls with so many tokens together; None: unknown."""


class Places:
    """The moments that were told to those who were refused for want of one thing's room.

    Times are seconds of one monotonic clock. Their number is bounded by the ceiling's.
    """

    __slots__ = ("_tokens", "_told")

    def __init__(self) -> None:
        self._told: list[tuple[float, int]] = []
        self._tokens = 0

    def __len__(self) -> int:
        return len(self._told)

    def next_for(self, room: Room, tokens: int, first: float, now: float) -> float:
        """Return the moment to tell a call that may go at `first` were it alone."""
        told = self._told
        while told and told[0][0] <= now:
            self._tokens -= heappop(told)[1]
        latest = max(first, min(first + _LATEST_SECONDS, now + _LONGEST_WAIT_SECONDS))
        moment = room.next_admission(self._tokens + tokens, now, len(told) + 1)
        if moment is None or moment > latest:
            return latest
        moment = max(first, moment)
        heappush(told, (moment, tokens))
        self._tokens += tokens
        return moment
