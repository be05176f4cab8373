"""Keeps the calls that wait for one account in the order in which they came, by lanes.

A lane holds the calls of the same scopes whose sizes are alike: within a factor of two. It refuses
to know who may go before whom.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from foxora_addon.policy.learned import Charge
from foxora_addon.policy.scopes import Scope

type _LaneKey = tuple[tuple[str, ...], int]


@dataclass(eq=False, slots=True)
class Ticket:
    """One waiting call: compared by identity, in line by its place.

    `tokens` are what it asks for, `charge` is what they are made of; None: they are what they are.
    `calls` is 0 for tokens alone, which are asked for and no part of a line.
    """

    scopes: tuple[Scope, ...]
    tokens: int
    place: int
    joined_at: float
    deadline: float
    charge: Charge | None = None
    overtaken_by: int = 0  # the tokens that went before it at its cost, while it claimed a scope
    calls: int = 1


class Line:
    """The tickets of one account. Adding and removing cost O(1).

    `changes` says after how many changes of ceilings its tickets' tokens were reckoned.
    """

    def __init__(self, changes: int = 0) -> None:
        self.changes = changes
        # An OrderedDict gives up its first in O(1); a dict scans over all that was deleted there.
        self._tickets: OrderedDict[int, Ticket] = OrderedDict()
        self._lanes: dict[_LaneKey, OrderedDict[int, Ticket]] = {}
        self.tokens = 0  # of all tickets

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, ticket: Ticket) -> bool:
        return self._tickets.get(ticket.place) is ticket

    @property
    def tickets(self) -> Sequence[Ticket]:
        """All tickets, in order."""
        return tuple(self._tickets.values())

    @property
    def first(self) -> Ticket | None:
        """The first in line; None: nobody waits."""
        return next(iter(self._tickets.values()), None)

    @property
    def last(self) -> Ticket:
        """The last in line, which must not be empty."""
        return next(reversed(self._tickets.values()))

    def add(self, ticket: Ticket) -> None:
        """Put a ticket at the end: its place and its deadline are no lower than any other's."""
        self._tickets[ticket.place] = ticket
        self._lanes.setdefault(_lane_of(ticket), OrderedDict())[ticket.place] = ticket
        self.tokens += ticket.tokens

    def remove(self, ticket: Ticket) -> None:
        """Take a ticket out, which must be in line."""
        del self._tickets[ticket.place]
        key = _lane_of(ticket)
        lane = self._lanes[key]
        del lane[ticket.place]
        if not lane:
            del self._lanes[key]
        self.tokens -= ticket.tokens

    def heads(self) -> Iterator[Ticket]:
        """Yield the first of each lane, in order; when it is taken out, the lane's next as well."""
        first = self.first
        if first is None:
            return
        yield first  # the lanes need not be sorted where one look is enough
        heads = [(next(iter(lane)), key) for key, lane in self._lanes.items()]
        heads = [head for head in heads if head[0] != first.place]
        heapq.heapify(heads)
        while heads:
            place, key = heads[0]
            yield self._lanes[key][place]
            lane = self._lanes.get(key)
            following = place if lane is None else next(iter(lane))
            if following == place:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (following, key))


def _lane_of(ticket: Ticket) -> _LaneKey:
    return tuple(scope.name for scope in ticket.scopes), ticket.tokens.bit_length()
