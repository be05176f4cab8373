"""Keeps the sum of weights that count until they are let go or until their moment comes, exactly.

It refuses to know what the weights are, how long they count and which ceiling they stand against.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate
from math import inf
from typing import Final

# A ledger of so many entries is kept to the moment. Beyond them, weights that come closer together
# than _COARSE_SECONDS share the later one's moment: at most 0.025 % of a minute too long, never too
# short, and a busy account's memory stays bounded whatever its ceilings are.
_FINE_ENTRIES: Final = 4_096
_COARSE_SECONDS: Final = 0.015


class Ledger:
    """Weights that are held for as long as it takes, and weights that expire by themselves.

    Moments are seconds of one monotonic clock. They are given in order: none to `add` is earlier
    than one before it, nor is one to `expire`. Each step costs O(1), spread over the entries;
    `frees_at` costs O(log n), `take_back` and `insert` O(what counts for longer than theirs).

    Running totals beside the moments, not weights: so the wait for any amount is one bisection.
    """

    __slots__ = ("_expired", "_first", "_totals", "_untils", "expiring", "held")

    def __init__(self) -> None:
        self.held = 0  # the sum of what counts until somebody lets it go
        self.expiring = 0  # the sum of what expires by itself, and had not at the last `expire`
        self._untils = array("d")
        self._totals = array("q")
        self._first = 0  # the entries before it have expired, and are cut off a half at a time
        self._expired = 0  # the running total that they had reached

    def __len__(self) -> int:
        return len(self._untils) - self._first

    @property
    def used(self) -> int:
        """The sum of all that counts."""
        return self.held + self.expiring

    @property
    def clears_at(self) -> float | None:
        """The moment at which all that expires by itself has; None: there is nothing of it."""
        return self._untils[-1] if self._untils else None

    def add(self, until: float, weight: int) -> None:
        """Count a weight, 0 or more, until that moment."""
        if not weight:
            return
        untils = self._untils
        self.expiring += weight
        total = self._expired + self.expiring
        if untils and (
            untils[-1] == until
            or (len(untils) - self._first > _FINE_ENTRIES and until - untils[-2] < _COARSE_SECONDS)
        ):
            untils[-1] = until
            self._totals[-1] = total
        else:
            untils.append(until)
            self._totals.append(total)

    def insert(self, until: float, weight: int) -> None:
        """Count a weight, 1 or more, until a moment that may be before those of others."""
        untils, totals = self._untils, self._totals
        index = bisect_left(untils, until, self._first)
        if index == len(untils):
            self.add(until, weight)
            return
        least = _COARSE_SECONDS if len(self) > _FINE_ENTRIES else 0.0
        if untils[index] != until and untils[index] - until >= least:
            totals.insert(index, totals[index - 1] if index > self._first else self._expired)
            untils.insert(index, until)
        for later in range(index, len(totals)):
            totals[later] += weight
        self.expiring += weight

    def take_back(self, until: float, weight: int) -> None:
        """Count a weight no longer that was added with this moment and has not expired."""
        totals = self._totals
        for index in range(bisect_left(self._untils, until, self._first), len(totals)):
            totals[index] -= weight
        while len(self) and totals[-1] == self._total_before_last():
            totals.pop()
            self._untils.pop()
        if not len(self):
            self._forget(self._first)
        else:
            self.expiring = totals[-1] - self._expired

    def expire(self, now: float) -> float:
        """Drop what counts until `now` or earlier; return when the next of it does, or infinity."""
        untils = self._untils
        if self._first < len(untils) and untils[self._first] <= now:
            self._forget(bisect_right(untils, now, self._first))
        return untils[self._first] if self._first < len(untils) else inf

    def frees_at(self, weight: int) -> float:
        """Return the first moment by which at least so much more has expired; 1 to `expiring`."""
        return self._untils[bisect_left(self._totals, self._expired + weight, self._first)]

    def absorb(self, other: "Ledger") -> None:
        """Count all that another counts, each weight until its own moment."""
        entries = sorted([*self.entries(), *other.entries()])
        self.held += other.held
        self._forget(len(self._untils))
        self._untils.extend(until for until, _ in entries)
        self._totals.extend(accumulate(weight for _, weight in entries))
        self.expiring = self._totals[-1] if entries else 0

    def entries(self) -> Iterator[tuple[float, int]]:
        """Yield what expires by itself: each moment, in order, and the weight that it frees."""
        total = self._expired
        for index in range(self._first, len(self._untils)):
            yield self._untils[index], self._totals[index] - total
            total = self._totals[index]

    def _total_before_last(self) -> int:
        return self._totals[-2] if len(self) > 1 else self._expired

    def _forget(self, first: int) -> None:
        if first == len(self._untils):
            del self._untils[:], self._totals[:]
            self._first = self._expired = self.expiring = 0
            return
        self._first = first
        if first:
            self._expired = self._totals[first - 1]
            self.expiring = self._totals[-1] - self._expired
        if 2 * first >= len(self._untils):
            del self._untils[:first], self._totals[:first]
            self._first = 0
