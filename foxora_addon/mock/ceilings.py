"""How much of a ceiling's minute is used: in minutes of the clock, or in any 60 seconds.

Which of the two the real gateway keeps is not documented, so the mock keeps either. It counts
amounts at times that it is given, and decides nothing.
"""

import math
from collections import deque
from typing import Literal, Protocol

WINDOW_SECONDS = 60.0


class Minute(Protocol):
    """The use of one ceiling. Times are seconds of any one clock."""

    def used(self, now: float) -> int:
        """What is counted at that time."""

    def add(self, now: float, amount: int) -> None:
        """Count an amount at that time."""

    def seconds_until(self, now: float, at_most: int) -> float:
        """How long until `used` is at most that, if nothing is added; 0 if it is so now."""


class FixedMinute:
    """Minutes of the clock: at each full minute everything is forgotten."""

    def __init__(self) -> None:
        self._minute = -math.inf
        self._used = 0

    def used(self, now: float) -> int:
        """What was counted since the last full minute."""
        minute = now // WINDOW_SECONDS
        if minute != self._minute:
            self._minute, self._used = minute, 0
        return self._used

    def add(self, now: float, amount: int) -> None:
        """Count an amount in the current minute."""
        self._used = self.used(now) + amount

    def seconds_until(self, now: float, at_most: int) -> float:
        """Until the next full minute, unless there is room already."""
        return 0.0 if self.used(now) <= at_most else WINDOW_SECONDS - now % WINDOW_SECONDS


class SlidingMinute:
    """Any 60 seconds: an amount counts from its moment until exactly 60 seconds later."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, int]] = deque()
        self._used = 0

    def used(self, now: float) -> int:
        """What was counted in the 60 seconds up to now."""
        while self._entries and self._entries[0][0] <= now - WINDOW_SECONDS:
            self._used -= self._entries.popleft()[1]
        return self._used

    def add(self, now: float, amount: int) -> None:
        """Count an amount at that time."""
        if amount:
            self._entries.append((now, amount))
            self._used += amount

    def seconds_until(self, now: float, at_most: int) -> float:
        """Until enough of the oldest amounts are 60 seconds old."""
        left = self.used(now)
        for time, amount in self._entries:
            if left <= at_most:
                break
            left -= amount
            wait = time + WINDOW_SECONDS - now
            if left <= at_most:
                return wait
        return 0.0


def minute_of(window: Literal["fixed", "sliding"]) -> Minute:
    """An unused minute of the kind."""
    return FixedMinute() if window == "fixed" else SlidingMinute()
