"""Keeps the places of those who ask again, since they can't be made to stand in line.

Whoever is refused while others wait would find no room when it comes back either: who waits takes
it in the instant in which it is there. So it has a place among them. Whoever came later goes
behind it, and once nobody stands in line who came before it, what it asked for is kept for it until
it is back. It refuses to know who stands in line, and who may pass whom.
"""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Final, NamedTuple

from foxora_addon.policy.allowances import Allowances
from foxora_addon.policy.line import Line, Ticket

# How soon it is told to ask again where nobody knows when there is room; and how late at most once
# its turn has come: for so long one that never comes back keeps others waiting.
_SOONEST_SECONDS: Final = 1.0
_LATEST_SECONDS: Final = 5.0

# How much later than it was told it may come: clients go by whole seconds, rounded up.
_LATE_SECONDS: Final = 1.2


class _Place(NamedTuple):
    """A place, and from when until when room is kept for it if its turn has come."""

    ticket: Ticket
    kept_from: float
    kept_until: float


class Absent:
    """Those who will ask again, of all accounts, by who asks.

    Times are seconds of the allowances' clock.
    """

    def __init__(self, allowances: Allowances) -> None:
        self._allowances = allowances
        self.places: dict[Hashable, _Place] = {}

    def place_of(self, asker: Hashable, now: float) -> int | None:
        """The place of one who asks again as it was told to; None: it has none, or comes late."""
        found = self.places.get(asker)
        if found is not None and now < found.kept_until:
            return found.ticket.place
        self.places = {who: each for who, each in self.places.items() if now < each.kept_until}
        return None

    def tell(
        self, asker: Hashable, ticket: Ticket, wait: float, now: float, *, is_turn: bool
    ) -> float:
        """Give a refused one its place, and return in how many seconds to tell it to ask again.

        `wait` is how long it is until there is room; 0 where that is not known. Nothing is kept for
        one whose room is far off, unless it came back when it was told to, and found none.
        """
        before = self.places.get(asker)
        has_come_back = before is not None and before.kept_from <= now
        if is_turn and (wait <= _LATEST_SECONDS or has_come_back):
            wait, kept_from = min(wait or _SOONEST_SECONDS, _LATEST_SECONDS), now
        else:
            wait = max(wait, _SOONEST_SECONDS)
            kept_from = now + wait - _SOONEST_SECONDS
        self.places[asker] = _Place(ticket, kept_from, now + wait + _LATE_SECONDS)
        return wait

    def forget(self, asker: Hashable) -> None:
        """It has what it asked for, or asks no more."""
        self.places.pop(asker, None)

    def has_due(self, account: str, now: float) -> bool:
        """Whether anything is kept of an account for which nobody stands in line."""
        return bool(self._kept(account, None, now, inf))

    @contextmanager
    def keeping_room(
        self, account: str, line: Line | None, now: float, place: float = inf
    ) -> Iterator[float]:
        """Have no room meanwhile in what is kept for those of an account before that place.

        Gives the moment until which any is; infinite: none is.
        """
        kept = self._kept(account, line, now, place) if self.places else ()
        held = [self._allowances.hold(each.ticket.scopes, each.ticket.tokens, now) for each in kept]
        try:
            yield min((each.kept_until for each in kept), default=inf)
        finally:
            for each in held:
                self._allowances.use(each, 0, now)

    def _kept(self, account: str, line: Line | None, now: float, place: float) -> Sequence[_Place]:
        return [
            each
            for each in self.places.values()
            if each.kept_from <= now < each.kept_until
            and each.ticket.place < place
            and self._allowances.name_of(each.ticket.scopes[0].name) == account
            and is_turn_of(each.ticket, line)
        ]


def is_turn_of(ticket: Ticket, line: Line | None) -> bool:
    """Whether nobody stands in line who came before one that does not."""
    first = None if line is None else line.first
    return first is None or first.place > ticket.place
