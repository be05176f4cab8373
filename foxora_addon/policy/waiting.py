"""Lets the calls of each account wait for room in a line of its own, bounded in length and time.

It refuses to know how a caller waits and wakes: futures, timers and disconnects are elsewhere. Who
goes first is `turns`' business.

How it is driven: `join` for each call; `wake` once a ticket was given or has left, after anything
that may free room (a settled or released exchange, other ceilings, `unify`), and at the moment
that the last `wake` named. Nothing need be asked in between.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple

from foxora_addon.policy.absent import Absent, is_turn_of
from foxora_addon.policy.allowances import Allowances, Reserved
from foxora_addon.policy.learned import Charge
from foxora_addon.policy.limit_refusal import Denied
from foxora_addon.policy.limits import AccountLimiter
from foxora_addon.policy.line import Line, Ticket
from foxora_addon.policy.scopes import Refusal, Scope
from foxora_addon.policy.turns import (
    Called,
    Ended,
    call,
    can_never_go,
    find_hopeless,
    goes_past,
    let_go,
)


class Bounds(NamedTuple):
    """How many calls of one account may wait at a time, and each for how long.

    Nor does one wait beyond the moment, `longest_call_seconds` after it arrived, at which it would
    be too late for it to be sent.
    """

    max_waiting: int
    max_wait_seconds: float
    longest_call_seconds: float = inf


class WaitingLines:
    """The lines of all accounts; one exists for as long as somebody stands in it.

    Times are seconds of the allowances' clock. `bounds` may be replaced at any time: who waits
    already keeps its own, and nobody gives up before somebody who came to its line earlier. Once
    `is_shadow`, nobody waits any more.
    """

    def __init__(self, allowances: Allowances, bounds: Bounds) -> None:
        self.bounds = bounds
        self.is_shadow = False
        self._allowances = allowances
        self._lines: dict[str, Line] = {}
        self._absent = Absent(allowances)
        self._places = 0

    def join(
        self,
        scopes: Sequence[Scope],
        tokens: int,
        now: float,
        charge: Charge | None = None,
        arrived_at: float | None = None,
    ) -> Reserved | Refusal | Ticket:
        """Admit a call if it fits and nobody waits; else give it a place in line, or refuse it.

        Refused at once is what can't go in time even if it were alone, whatever open exchanges do;
        and what finds the line full: it is told how long the last in it has to wait. After a
        ticket was given, call `wake`, which may let it go at once.

        `charge` is what the tokens are made of: should ceilings change while the call waits, it
        asks for what it would ask for if it came anew. `arrived_at` None: it has just come.
        """
        now = self._allowances.latest(now)
        self._allowances.enforce(scopes, now)
        refusal = self._allowances.refusal(scopes, tokens, now)
        name = self._allowances.name_of(scopes[0].name)
        line, absent = self._lines.get(name), self._absent
        if refusal is None and line is None:
            is_kept = absent.places and self.bounds.max_waiting and absent.has_due(name, now)
            if not is_kept:
                return self._allowances.take(scopes, tokens, now)
        too_late = (now if arrived_at is None else arrived_at) + self.bounds.longest_call_seconds
        deadline = min(now + self.bounds.max_wait_seconds, too_late)
        if line is not None:
            deadline = max(deadline, line.last.deadline)
        if refusal is not None and self._is_in_vain(scopes, tokens, min(deadline, too_late), now):
            return refusal
        if line is not None and len(line) >= self.bounds.max_waiting:
            return self._full(line, scopes[0], now)
        return self._queued(scopes, tokens, deadline, now, charge)

    def ask(
        self, asker: Hashable, scopes: Sequence[Scope], tokens: int, now: float
    ) -> Refusal | None:
        """Say why one that can't be made to wait may not take tokens alone now; None: it may.

        It passes who waits by the rule that holds for those in line. Refused, it has its place all
        the same if it asks again as it is told to (see `absent`).
        """
        now = self._allowances.latest(now)
        refusal = self._allowances.no_room(scopes, tokens, now)
        name = self._allowances.name_of(scopes[0].name)
        line = self._lines.get(name)
        if refusal is None and line is None and not self._absent.places:
            return None
        if refusal is not None and refusal.wait_seconds is None:
            return refusal
        place = self._absent.place_of(asker, now) or self._next_place()
        ticket = Ticket(tuple(scopes), tokens, place, now, inf, calls=0)
        if refusal is None:
            with self._absent.keeping_room(name, line, now, place):
                fits = self._allowances.no_room(scopes, tokens, now) is None
            if fits and (line is None or goes_past(line, ticket, self._allowances, now)):
                self._absent.forget(asker)
                return None
        return self._told_to_ask_again(asker, ticket, refusal, now)

    def forget(self, asker: Hashable) -> None:
        """One that can't be made to wait asks no more. Call `wake`: its room may be free."""
        self._absent.forget(asker)

    def wake(self, account: str, now: float) -> Called:
        """Say whose wait in an account's line is over now, and when to ask again.

        Everybody in it ends here once, unless it leaves.
        """
        name = self._allowances.name_of(account)
        line = self._lines.get(name)
        if line is None:
            return Called([], None)
        now = self._allowances.latest(now)
        hopeless: list[Ended] = []
        if line.changes != self._allowances.changes:
            self._lines[name] = line = self._charged_anew(line)
            hopeless = find_hopeless(line, self._allowances, now)
        with self._absent.keeping_room(name, line, now) as kept_until:
            called = (let_go if self.is_shadow else call)(line, self._allowances, now)
        called.ended[:0] = hopeless
        for ended in called.ended:
            self._unpin(ended.ticket)
        if not line:
            del self._lines[name]
        elif kept_until < inf:
            next_at = kept_until if called.next_at is None else min(kept_until, called.next_at)
            called = called._replace(next_at=next_at)
        return called

    def leave(self, ticket: Ticket) -> bool:
        """Give up a place in line; False: the wait was over already, and what it gave is held."""
        name = self._allowances.name_of(ticket.scopes[0].name)
        line = self._lines.get(name)
        if line is None or ticket not in line:
            return False
        line.remove(ticket)
        self._unpin(ticket)
        if not line:
            del self._lines[name]
        return True

    def unify(self, kept: str, other: str, now: float) -> None:
        """Two accounts turned out to be one: so do their lines, in the order of coming."""
        names = self._allowances.name_of(kept), self._allowances.name_of(other)
        self._allowances.unify(kept, other, now)
        lines = [self._lines.pop(name) for name in dict.fromkeys(names) if name in self._lines]
        if lines:
            self._lines[names[0]] = _merged(lines)

    def part(self, leaver: str, heir: str, now: float) -> None:
        """A name means another account than before (see `Allowances.part`): so do their lines."""
        line = self._lines.pop(self._allowances.name_of(leaver), None)
        tickets = () if line is None else line.tickets
        for ticket in tickets:
            self._unpin(ticket)
        self._allowances.part(leaver, heir, now)
        for ticket in tickets:
            self._put(ticket)

    @property
    def accounts(self) -> Sequence[str]:
        """Those in whose lines somebody stands."""
        return tuple(self._lines)

    def waiting(self, account: str) -> int:
        """Return how many calls of an account wait."""
        if not self._lines:
            return 0
        line = self._lines.get(self._allowances.name_of(account))
        return 0 if line is None else len(line)

    def _told_to_ask_again(
        self, asker: Hashable, ticket: Ticket, refusal: Refusal | None, now: float
    ) -> Refusal:
        account = ticket.scopes[0]
        if refusal is None:
            denied = Denied("line", None, None, 1, now, 0.0, awaits_end=True)
            refusal = Refusal(account, denied)
        denied = refusal.denied
        wait = 0.0 if denied.awaits_end else denied.wait_seconds or 0.0
        line = self._lines.get(self._allowances.name_of(account.name))
        is_turn = line is None or is_turn_of(ticket, line)
        if line is not None and not is_turn:
            wait = max(wait, _wait_of_the_last(line, self._allowances.limiter(account), now))
        wait = self._absent.tell(asker, ticket, wait, now, is_turn=is_turn)
        return replace(refusal, denied=replace(denied, opens_at=now + wait, wait_seconds=wait))

    def _is_in_vain(
        self, scopes: Sequence[Scope], tokens: int, deadline: float, now: float
    ) -> bool:
        limiters = self._allowances.limiters(scopes)
        return self.bounds.max_waiting == 0 or can_never_go(limiters, tokens, deadline, now)

    def _charged_anew(self, line: Line) -> Line:
        """The line after a change of ceilings; who can fit no longer asks for its whole prompt."""
        anew = Line(self._allowances.changes)
        for ticket in line.tickets:
            if ticket.charge is not None:
                limiters = self._allowances.limiters(ticket.scopes)
                known = [each.ceilings.tokens_per_minute for each in limiters]
                ceilings = [ceiling for ceiling in known if ceiling is not None]
                charge = ticket.charge = ticket.charge.under(min(ceilings, default=None))
                ticket.tokens = charge.tokens if charge.can_fit else charge.input_tokens
            anew.add(ticket)
        return anew

    def _queued(
        self,
        scopes: Sequence[Scope],
        tokens: int,
        deadline: float,
        now: float,
        charge: Charge | None,
    ) -> Ticket:
        ticket = Ticket(tuple(scopes), tokens, self._next_place(), now, deadline, charge)
        self._put(ticket)
        return ticket

    def _next_place(self) -> int:
        self._places += 1
        return self._places

    def _put(self, ticket: Ticket) -> None:
        name = self._allowances.name_of(ticket.scopes[0].name)
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = Line(self._allowances.changes)
        line.add(ticket)
        for limiter in self._allowances.limiters(ticket.scopes):
            limiter.waiting += 1

    def _unpin(self, ticket: Ticket) -> None:
        for limiter in self._allowances.limiters(ticket.scopes):
            limiter.waiting -= 1

    def _full(self, line: Line, account: Scope, now: float) -> Refusal:
        wait = _wait_of_the_last(line, self._allowances.limiter(account), now)
        most = self.bounds.max_waiting
        denied = Denied("waiting", most, len(line), 1, now + wait, wait, awaits_end=True)
        return Refusal(account, denied)


def _wait_of_the_last(line: Line, account: AccountLimiter, now: float) -> float:
    """Return when the last in line goes if nobody leaves, in seconds, or when its time is up.

    An account's ceiling and what is over of it go by each span; where that can't be foreseen,
    since open exchanges are in the way, the time that it has left is told.
    """
    ceilings = account.ceilings
    spans, calls = _spans_and_rest(len(line), ceilings.requests_per_minute)
    for_calls = account.next_admission(0, now, calls)
    more_spans, tokens = _spans_and_rest(line.tokens, ceilings.tokens_per_minute)
    for_tokens = account.next_admission(tokens, now)
    left = max(line.last.deadline - now, 0.0)
    if for_calls is None or for_tokens is None:
        return left
    goes_at = max(for_calls + spans * account.span, for_tokens + more_spans * account.span)
    return min(goes_at - now, left)


def _spans_and_rest(amount: int, ceiling: int | None) -> tuple[int, int]:
    """Return how many times a ceiling is used up before an amount is through, and what is over."""
    if not ceiling or not amount:
        return 0, amount
    spans, rest = divmod(amount - 1, ceiling)
    return spans, rest + 1


def _merged(lines: Sequence[Line]) -> Line:
    """The lines as one, in which nobody gives up before somebody who came earlier either."""
    merged, deadline = Line(), -inf
    tickets = [ticket for line in lines for ticket in line.tickets]
    for ticket in sorted(tickets, key=lambda ticket: ticket.place):
        deadline = ticket.deadline = max(deadline, ticket.deadline)
        merged.add(ticket)
    return merged
