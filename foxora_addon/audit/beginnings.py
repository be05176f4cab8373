"""Tells with which beginning of a secret a text ends that was cut off, of however many secrets."""

from bisect import bisect_left
from collections.abc import Iterable
from functools import cached_property
from typing import Final

_SHORTEST: Final = 8


class Beginnings:
    """The beginnings of some texts, of 8 characters or more; they are sorted when first asked for.

    The keys of a gateway's accounts all begin alike, so that looking at each of thousands, at each
    place where one might begin, would take seconds.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts: Final = tuple(texts)

    @cached_property
    def longest(self) -> int:
        """How many characters the longest of them has."""
        return max(map(len, self._texts), default=0)

    def at_end_of(self, text: str) -> int:
        """Return how many characters at the end of a text one of them begins with; 0: none does."""
        heads = self._heads
        for start in range(max(len(text) - self.longest, 0), len(text) - _SHORTEST + 1):
            if text[start : start + _SHORTEST] in heads and self._begins_one(text[start:]):
                return len(text) - start
        return 0

    def _begins_one(self, text: str) -> bool:
        place = bisect_left(self._sorted, text)
        return place < len(self._sorted) and self._sorted[place].startswith(text)

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._texts)

    @cached_property
    def _heads(self) -> frozenset[str]:
        return frozenset(text[:_SHORTEST] for text in self._texts)
