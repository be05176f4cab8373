"""Decides in which order the calls go on that wait for one account, and when the next may.

It refuses to know how a caller waits and wakes, how long the line may be, and what a refusal says.

Who goes first
--------------
First come, first served, in each scope: the first call that a scope's ceilings keep out claims that
scope, and whoever came later and needs it goes behind. A call that only its model's ceilings keep
out claims nothing of its account: calls of other models pass.

With one exception, for else one large call would keep small ones out of room that it can't use. A
call may go before the one that claims its scope

- if the moment at which that one may go gets no later by it (there is more room then than it
  needs; the ledger knows, and that is exact); or
- if both share what is free, half and half: a request stays free for the first, and at least as
  many tokens as have overtaken it so far. So in all less overtakes it than it asked for. And where
  it would go in time, if nothing else changes, it still must: no small call costs a large one its
  turn, which would be the last in line again when it comes back.

So small calls flow while a large one waits, and a large one waits for a bounded amount. Calls with
the same scopes whose sizes are alike (within a factor of two) keep their order among themselves:
such a lane is looked at by its first alone. So a step costs as much as there are sizes and scopes
among those who wait, and not as there are calls.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

from foxora_addon.policy.allowances import Allowances, Reserved
from foxora_addon.policy.limit_refusal import Denied
from foxora_addon.policy.limits import AccountLimiter
from foxora_addon.policy.line import Line, Ticket
from foxora_addon.policy.scopes import Refusal

# What a call is told whose time is up, that others were before, and nobody knows for how long.
_TURN_RETRY_SECONDS: Final = 1.0


class Ended(NamedTuple):
    """A ticket whose wait is over, how it ended and how long it was."""

    ticket: Ticket
    answer: Reserved | Refusal
    waited_seconds: float


class Called(NamedTuple):
    """Those whose wait ended, in order, and when the next can: None if no moment is known.

    At no moment before that does anybody's wait end, if nothing else changes.
    """

    ended: list[Ended]
    next_at: float | None


def call(line: Line, allowances: Allowances, now: float) -> Called:
    """Take out of the line, in order, those that go on now and those that can't in time.

    Whoever fits at the very moment at which its time is up goes on. Costs O(l log n) for l lanes.
    """
    ended: list[Ended] = []
    while True:
        walk = _Walk(line, allowances, now)
        ended += walk.ended
        overdue = list(_overdue(line, allowances, walk.moments, now))
        if not overdue:
            break
        ended += overdue  # and who stood behind them may go now
    deadlines = [] if line.first is None else [line.first.deadline]
    return Called(ended, min(walk.moments + deadlines, default=None))


def let_go(line: Line, allowances: Allowances, now: float) -> Called:
    """Take all out of the line, in order; what does not fit with the refusal that it would get."""
    ended: list[Ended] = []
    for ticket in line.tickets:
        line.remove(ticket)
        refusal = allowances.refusal(ticket.scopes, ticket.tokens, now)
        answer = allowances.take(ticket.scopes, ticket.tokens, now) if refusal is None else refusal
        ended.append(Ended(ticket, answer, now - ticket.joined_at))
    return Called(ended, None)


def find_hopeless(line: Line, allowances: Allowances, now: float) -> list[Ended]:
    """Take out those who can never fit, since ceilings were changed while they waited.

    They are looked for by themselves: one that stands behind a claim for less is not looked at.
    """
    ended: list[Ended] = []
    for ticket in line.tickets:
        refusal = allowances.refusal(ticket.scopes, ticket.tokens, now)
        if refusal is not None and refusal.wait_seconds is None:
            line.remove(ticket)
            ended.append(Ended(ticket, _of_changed(refusal), now - ticket.joined_at))
    return ended


def goes_past(line: Line, ticket: Ticket, allowances: Allowances, now: float) -> bool:
    """Let one go that fits, and stands in no line, before those who came before it, if it may.

    It may by the rule that holds for who stands in line, beside the first of each lane.
    """
    caller = _Caller(ticket, allowances.limiters(ticket.scopes))
    heads = [head for head in line.heads() if head.place < ticket.place]
    firsts = [_Caller(head, allowances.limiters(head.scopes)) for head in heads]
    firsts = [first for first in firsts if not set(first.limiters).isdisjoint(caller.limiters)]
    dues = [first.due(now) for first in firsts]
    moment = _latest(map(partial(caller.may_pass_at, now), firsts, dues))
    if moment is None or moment > now:
        return False
    for first, due in zip(firsts, dues, strict=True):
        first.is_overtaken(caller, due, now)
    return True


def can_never_go(
    limiters: Iterable[AccountLimiter], tokens: int, deadline: float, now: float
) -> bool:
    """Say whether a call can't go by its deadline, whatever open exchanges do."""
    return any(each.soonest_admission(tokens, now) > deadline for each in limiters)


@dataclass(eq=False, slots=True)
class _Caller:
    """A ticket that is looked at, with the limiters of its scopes, each once."""

    ticket: Ticket
    limiters: tuple[AccountLimiter, ...]

    def due(self, now: float) -> float | None:
        """Return when it may go if it were alone; None: no moment is known."""
        return next_admission(self.limiters, self.ticket.tokens, now)

    def due_after(self, other: "_Caller", now: float) -> float | None:
        """Return when it may go if the other went now; None: no moment is known."""
        tokens, both = self.ticket.tokens, self.ticket.tokens + other.ticket.tokens
        return _latest(
            each.next_admission(both, now, self.ticket.calls + other.ticket.calls)
            if each in other.limiters
            else each.next_admission(tokens, now)
            for each in self.limiters
        )

    def may_pass_at(self, now: float, first: "_Caller", due: float | None) -> float | None:
        """Return from when on it may go before one that claims a scope of its own, and is due."""
        later = first.due_after(self, now)
        if _is_by(later, due):
            return -math.inf
        deadline = first.ticket.deadline
        if _is_by(due, deadline) and not _is_by(later, deadline):
            return None
        shared = [each for each in first.limiters if each in self.limiters]
        room = first.ticket.overtaken_by + 2 * self.ticket.tokens
        return next_admission(shared, room, now, first.ticket.calls + self.ticket.calls)

    def is_overtaken(self, by: "_Caller", due: float | None, now: float) -> None:
        """Another goes before it; what that costs it is noted."""
        if not _is_by(self.due_after(by, now), due):
            self.ticket.overtaken_by += by.ticket.tokens


class _Walk:
    """One pass over the lanes, in the order in which their first ones came.

    Who goes on only takes room away, so nobody who was passed over need be looked at again. Nor
    need anybody who asks for no less than one whom the account alone keeps out: what keeps that one
    out, and until when, keeps out the other, at least as long. That is what keeps a walk short
    where there are many lanes.
    """

    def __init__(self, line: Line, allowances: Allowances, now: float) -> None:
        self._line = line
        self._allowances = allowances
        self._now = now
        self._claims: dict[AccountLimiter, _Caller] = {}
        self._dues: dict[_Caller, float | None] = {}  # of those who claim, till somebody goes
        self.ended: list[Ended] = []
        self.moments: list[float] = []  # at which somebody may go, or a claim ends
        self._most: float = math.inf  # who asks for as many tokens or more is kept out
        for ticket in line.heads():
            if ticket.tokens >= self._most:
                continue
            limiters = allowances.limiters(ticket.scopes)
            self._look_at(_Caller(ticket, limiters))
            if self._is_closed(limiters[0]):
                break

    def _look_at(self, caller: _Caller) -> None:
        ticket = caller.ticket
        if can_never_go(caller.limiters, ticket.tokens, ticket.deadline, self._now):
            refusal = self._allowances.refusal(ticket.scopes, ticket.tokens, self._now)
            if refusal is not None:
                self._end(ticket, _of_changed(refusal))
                return
        due = caller.due(self._now)
        before = self._before(caller)
        passes = (caller.may_pass_at(self._now, one, self._due(one)) for one in before)
        moment = _latest([due, *passes])
        if moment is not None and moment <= self._now:
            self._let_go(caller)
            return
        if moment is not None:
            self.moments.append(moment)
        if due is None or due > self._now:
            self._claim(caller)
        account, *below = caller.limiters
        if account in self._claims and self._claims.keys().isdisjoint(below):
            self._most = ticket.tokens

    def _before(self, caller: _Caller) -> list[_Caller]:
        """Those that claim a scope of the caller's."""
        claims = self._claims
        return list(dict.fromkeys(claims[each] for each in caller.limiters if each in claims))

    def _due(self, first: _Caller) -> float | None:
        if first not in self._dues:
            self._dues[first] = first.due(self._now)
        return self._dues[first]

    def _let_go(self, caller: _Caller) -> None:
        for first in self._before(caller):
            first.is_overtaken(caller, self._due(first), self._now)
        self._dues.clear()
        ticket = caller.ticket
        self._end(ticket, self._allowances.take(ticket.scopes, ticket.tokens, self._now))

    def _end(self, ticket: Ticket, answer: Reserved | Refusal) -> None:
        self._line.remove(ticket)
        self.ended.append(Ended(ticket, answer, self._now - ticket.joined_at))

    def _claim(self, caller: _Caller) -> None:
        """Claim the scopes that keep a caller out, until they do no longer."""
        for each in caller.limiters:
            denied = each.refusal(caller.ticket.tokens, self._now)
            if denied is None or each in self._claims:
                continue
            self._claims[each] = caller
            if denied.opens_at is not None and not denied.awaits_end:
                self.moments.append(denied.opens_at)

    def _is_closed(self, account: AccountLimiter) -> bool:
        """Say whether the account has no room for any call; then all that matters is when it has.

        That is what keeps a step short while an account's requests are used up.
        """
        if account not in self._claims or account.refusal(0, self._now) is None:
            return False
        moment = account.next_admission(0, self._now)
        if moment is not None:
            self.moments.append(moment)
        return True


def next_admission(
    limiters: Iterable[AccountLimiter], tokens: int, now: float, calls: int = 1
) -> float | None:
    """Return when all of them admit so much, if nothing else changes; None: no moment is known."""
    return _latest(each.next_admission(tokens, now, calls) for each in limiters)


def _latest(moments: Iterable[float | None]) -> float | None:
    latest = -math.inf
    for moment in moments:
        if moment is None:
            return None
        latest = max(latest, moment)
    return latest


def _is_by(moment: float | None, limit: float | None) -> bool:
    """Say whether both are known, and the moment no later than the limit."""
    return moment is not None and limit is not None and moment <= limit


def _overdue(
    line: Line, allowances: Allowances, moments: Sequence[float], now: float
) -> Iterator[Ended]:
    """Take out those whose time is up, with the refusal that they would have got without a wait."""
    while (ticket := line.first) is not None and ticket.deadline <= now:
        line.remove(ticket)
        refusal = allowances.refusal(ticket.scopes, ticket.tokens, now)
        if refusal is None:
            refusal = _turn_refusal(ticket, min(moments, default=now + _TURN_RETRY_SECONDS), now)
        yield Ended(ticket, refusal, now - ticket.joined_at)


def _of_changed(refusal: Refusal) -> Refusal:
    """Say of a call that waits and can never fit, which would have got no place in line: why."""
    if refusal.wait_seconds is not None:
        return refusal
    return replace(refusal, denied=replace(refusal.denied, has_changed=True))


def _turn_refusal(ticket: Ticket, opens_at: float, now: float) -> Refusal:
    """Refuse a ticket that would fit, but for those before it."""
    denied = Denied("turn", None, None, 1, opens_at, opens_at - now, awaits_end=True)
    return Refusal(ticket.scopes[0], denied)
