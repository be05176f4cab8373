"""Which names mean another one's account, so that all of them are counted under one name.

It refuses to know what is counted, and how it was found out.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator


class Twins:
    """The names that mean another, each with the one that it means."""

    def __init__(self) -> None:
        self._means: OrderedDict[str, str] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._means

    def __iter__(self) -> Iterator[str]:
        return iter(self._means)

    def name_of(self, name: str) -> str:
        """Return the name under which it is counted."""
        while name in self._means:
            name = self._means[name]
        return name

    def join(self, kept: str, other: str) -> tuple[str, str] | None:
        """From now on `other` means what `kept` means; None: it did already.

        Returns the name under which both are counted, and the one under which nothing is any more.
        """
        kept, other = self.name_of(kept), self.name_of(other)
        if kept == other:
            return None
        self._means[other] = kept
        return kept, other

    def part(self, leaver: str, heir: str) -> bool:
        """The leaver means another account than before; what it meant, all that meant it mean.

        Where it meant no other, that is the heir from now on. Returns whether what is counted under
        its name is the heir's: not where it meant another.
        """
        meant = self._means.pop(leaver, None)
        if meant is None:
            self._means.pop(heir, None)
        for name, kept in self._means.items():
            if kept == leaver:
                self._means[name] = meant or heir
        return meant is None

    def bound(self, most: int, is_needed: Callable[[str], bool]) -> None:
        """Forget old ones where there are more, unless what they mean is needed.

        Two are looked at: enough, if that is done for each one that comes.
        """
        for _ in range(2):
            if len(self._means) <= most:
                return
            name, kept = self._means.popitem(last=False)
            if is_needed(kept):
                self._means[name] = kept
