"""A model of a waiting line: each ticket looked at, whenever anything can change by itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from foxora_addon.policy.scopes import Scope
from tests.policy.naive import Naive


@dataclass(eq=False)
class NaiveTicket:
    number: int
    scopes: Sequence[Scope]
    tokens: int
    deadline: float
    overtaken_by: int = 0

    @property
    def lane(self) -> tuple[tuple[str, ...], int]:
        return tuple(scope.name for scope in self.scopes), self.tokens.bit_length()


@dataclass
class NaiveLine:
    """`ended`: the tickets' numbers, how and when; what is admitted is sent at once."""

    limits: Naive
    max_wait: float
    tickets: list[NaiveTicket] = field(default_factory=list)
    ended: list[tuple[int, str, float]] = field(default_factory=list)

    def join(self, number: int, scopes: Sequence[Scope], tokens: int, now: float) -> None:
        self.limits.enforce(scopes)
        ticket = NaiveTicket(number, scopes, tokens, now + self.max_wait)
        self.tickets.append(ticket)
        if self.is_in_vain(ticket, now):
            self.end(ticket, "refused", now)
        self.step(now)

    def enforce(self, scopes: Sequence[Scope], now: float) -> None:
        """Ceilings are others: whoever can never fit is told, wherever he stands."""
        self.limits.enforce(scopes)
        for ticket in list(self.tickets):
            if self.limits.soonest_at(ticket.scopes, ticket.tokens, now) == math.inf:
                self.end(ticket, "refused", now)

    def run_to(self, start: float, end: float) -> None:
        """Let each moment in between come, the end's too."""
        now = start
        while (moment := self.next_moment(now)) <= end:
            now = moment
            self.step(now)
        self.step(end)

    def next_moment(self, now: float) -> float:
        deadlines = [ticket.deadline for ticket in self.tickets if ticket.deadline > now]
        return min([*self.limits.moments(now)[:1], *deadlines], default=math.inf)

    def step(self, now: float) -> None:
        self.walk(now)
        while overdue := [ticket for ticket in self.tickets if ticket.deadline <= now]:
            for ticket in overdue:
                self.end(ticket, "refused", now)
            self.walk(now)
        unsent = [call for call in self.limits.calls if call.is_open and call.sent_at is None]
        for call in unsent:
            call.sent_at = now
        if unsent:
            self.step(now)

    def walk(self, now: float) -> None:
        claims: dict[str, NaiveTicket] = {}
        lanes: set[object] = set()
        most = math.inf
        for ticket in list(self.tickets):
            if ticket.lane in lanes:
                continue
            if ticket.tokens >= most:
                lanes.add(ticket.lane)
                continue
            roots = self.limits.roots(ticket.scopes)
            if self.is_in_vain(ticket, now):
                self.end(ticket, "refused", now)
                continue
            before = list(dict.fromkeys(claims[root] for root in roots if root in claims))
            fits = self.limits.fits(ticket.scopes, ticket.tokens, now)
            if fits and all(self.may_pass(ticket, first, now) for first in before):
                self.go(ticket, before, now)
                continue
            lanes.add(ticket.lane)
            for root in roots:
                if not self.limits.fits_in(root, ticket.tokens, now):
                    claims.setdefault(root, ticket)
            if roots[0] in claims and claims.keys().isdisjoint(roots[1:]):
                most = ticket.tokens
            if roots[0] in claims and not self.limits.fits_in(roots[0], 0, now):
                break  # nobody can go, so nobody else is looked at

    def is_in_vain(self, ticket: NaiveTicket, now: float) -> bool:
        return self.limits.soonest_at(ticket.scopes, ticket.tokens, now) > ticket.deadline

    def due(self, ticket: NaiveTicket, now: float) -> float:
        return self.limits.opens_at(ticket.scopes, ticket.tokens, now)

    def due_after(self, first: NaiveTicket, other: NaiveTicket, now: float) -> float:
        others = self.limits.roots(other.scopes)
        return max(
            self.limits.opens_in(root, first.tokens + other.tokens, now, 2)
            if root in others
            else self.limits.opens_in(root, first.tokens, now)
            for root in self.limits.roots(first.scopes)
        )

    def costs_nothing(self, ticket: NaiveTicket, first: NaiveTicket, now: float) -> bool:
        return self.due_after(first, ticket, now) <= self.due(first, now) < math.inf

    def may_pass(self, ticket: NaiveTicket, first: NaiveTicket, now: float) -> bool:
        if self.costs_nothing(ticket, first, now):
            return True
        later = self.due_after(first, ticket, now)
        if self.due(first, now) <= first.deadline < later:
            return False
        firsts = self.limits.roots(first.scopes)
        shared = [root for root in self.limits.roots(ticket.scopes) if root in firsts]
        room = first.overtaken_by + 2 * ticket.tokens
        return all(self.limits.fits_in(root, room, now, 2) for root in shared)

    def go(self, ticket: NaiveTicket, before: list[NaiveTicket], now: float) -> None:
        for first in before:
            if not self.costs_nothing(ticket, first, now):
                first.overtaken_by += ticket.tokens
                assert first.overtaken_by < first.tokens or not first.overtaken_by
        self.limits.admit(ticket.scopes, ticket.tokens, now)
        self.end(ticket, "admitted", now)

    def end(self, ticket: NaiveTicket, how: str, now: float) -> None:
        self.tickets.remove(ticket)
        self.ended.append((ticket.number, how, now))

    def leave(self, number: int, now: float) -> None:
        self.tickets = [ticket for ticket in self.tickets if ticket.number != number]
        self.step(now)
