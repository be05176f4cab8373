"""Decides in which order the calls that wait for one account's limits go on, and which give up.

It refuses to know how a caller waits and wakes: futures, timers and disconnects are elsewhere.

Who goes first
--------------
First come, first served. With one exception, for a large call must not starve small ones: while
the first in line lacks only tokens, a smaller one behind it may go before it, as long as

- what has overtaken the first is no more than what is left free for it. They share half and half,
  so that at most twice as much must become free before the first may go; and
- the first still goes in time, if nothing else changes, where it would have without: no small call
  costs a large one its turn.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from foxora_addon.policy.limit_refusal import Denied
from foxora_addon.policy.limits import AccountLimiter, Admitted


@dataclass(eq=False, slots=True)
class Ticket:
    """One waiting call: its place in line, compared by identity."""

    tokens: int
    entered_at: float
    deadline: float
    overtaken_by: int = 0  # the tokens that went before it while it was the first in line


@dataclass(frozen=True, slots=True)
class Called:
    """A ticket whose wait is over, and how it ended."""

    ticket: Ticket
    answer: Admitted | Denied


class WaitQueue:
    """The line of one account: bounded in length and in time.

    After anything that may change who can go (the time of `next_wake` has come, a reservation was
    settled or released, a ticket entered or was cancelled, ceilings changed) call `pop_ready` and
    then `next_wake`. Times are seconds of the limiter's clock. `enter` and `cancel` cost O(1), the
    other two at most O(length).
    """

    def __init__(
        self, limiter: AccountLimiter, *, max_waiting: int, max_wait_seconds: float
    ) -> None:
        self._limiter = limiter
        self._max_waiting = max_waiting
        self._max_wait_seconds = max_wait_seconds
        # It gives up its first in O(1), where a dict scans over all that was deleted before it.
        self._line: OrderedDict[Ticket, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._line)

    def enter(self, tokens: int, now: float) -> Admitted | Denied | Ticket:
        """Admit a call if it fits and nobody waits; else give it a place in line, or refuse it.

        Refused at once is what can never fit, what could not go in time even if it were alone, and
        what finds the line full (the limit "waiting"; the wait is until somebody may leave it).
        """
        denied = self._limiter.refusal(tokens, now)
        if denied is None and not self._line:
            return Admitted(self._limiter.admit(tokens, now))
        deadline = now + self._max_wait_seconds
        if denied is not None and (not self._max_waiting or _is_in_vain(denied, deadline)):
            return denied
        if len(self._line) >= self._max_waiting:
            return self._full(now)
        ticket = Ticket(tokens, now, deadline)
        self._line[ticket] = None
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Give up a place in line; nothing happens if the ticket has none any more."""
        self._line.pop(ticket, None)

    def pop_ready(self, now: float) -> list[Called]:
        """Take out of the line, in order, those that go on now and those whose time is up.

        Whoever fits at the very moment at which its time is up goes on.
        """
        called: list[Called] = []
        while self._line:
            first = self._first()
            denied = self._limiter.refusal(first.tokens, now)
            if denied is not None and denied.wait_seconds is not None and now < first.deadline:
                return called + list(self._overtakers(first, now))
            called.append(self._call(first, denied, now))
        return called

    def next_wake(self, now: float) -> float | None:
        """Return the first moment after now at which `pop_ready` may find somebody.

        None: nobody waits. Asked right after `pop_ready`: sooner, and it may be in the past.
        """
        if not self._line:
            return None
        first = self._first()
        moments = [first.deadline, self._limiter.next_admission(first.tokens, now)]
        smallest = min(ticket.tokens for ticket in self._line)
        if self._keeps_its_turn(first, smallest, now):
            moments.append(self._limiter.next_admission(_shared(first, smallest), now))
        return min(moment for moment in moments if moment is not None)

    def _first(self) -> Ticket:
        return next(iter(self._line))

    def _call(self, ticket: Ticket, denied: Denied | None, now: float) -> Called:
        del self._line[ticket]
        if denied is not None:
            return Called(ticket, denied)
        return Called(ticket, Admitted(self._limiter.admit(ticket.tokens, now)))

    def _overtakers(self, first: Ticket, now: float) -> Iterator[Called]:
        """Let go who may overtake the first in line, which lacks something."""
        if self._limiter.refusal(0, now) is not None:
            return  # it is not tokens that are lacking, or not only
        most = first.tokens - 1
        for ticket in list(self._line):
            if ticket.tokens > most:
                continue
            shared = self._limiter.refusal(_shared(first, ticket.tokens), now)
            if shared is None and self._keeps_its_turn(first, ticket.tokens, now):
                first.overtaken_by += ticket.tokens
                yield self._call(ticket, None, now)
            else:
                most = ticket.tokens - 1  # what is larger asks for more of both

    def _keeps_its_turn(self, first: Ticket, tokens: int, now: float) -> bool:
        """Say whether the first still goes in time after so many tokens, if it did before."""
        due = self._limiter.next_admission(first.tokens, now)
        if due is None or due > first.deadline:
            return True
        later = self._limiter.next_admission(first.tokens + tokens, now)
        return later is not None and later <= first.deadline

    def _full(self, now: float) -> Denied:
        first = self._first()
        due = self._limiter.next_admission(first.tokens, now)
        leaves_at = max(now, first.deadline if due is None else min(due, first.deadline))
        count = len(self._line)
        wait = leaves_at - now
        return Denied("waiting", self._max_waiting, count, 1, leaves_at, wait, awaits_end=True)


def _is_in_vain(denied: Denied, deadline: float) -> bool:
    if denied.opens_at is None:
        return True
    return not denied.awaits_end and denied.opens_at > deadline


def _shared(first: Ticket, tokens: int) -> int:
    """What must be free for so many tokens to overtake: them, and as much as has overtaken then."""
    return first.overtaken_by + 2 * tokens
