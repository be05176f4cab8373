"""Plays a trail against other ceilings: what would have been refused, and what would have waited.

The limiter is the proxy's own, and the times are the records'. A call that waits ends as much
later; one that the trail has as refused is taken to last as long as its account's others, and to
use what was estimated. Clients are taken to do what they did: none gives up or tries again. So is
the gateway: its own 429s close the account here as they did then.
"""

import heapq
import math
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Final

from foxora_addon.policy.limits import DEFAULT_GUARD_SECONDS, AccountLimiter, Reservation
from foxora_addon.policy.plans import UNLIMITED, Ceilings
from foxora_addon.policy.scopes import Scope
from foxora_addon.reading.demand import (
    Arrival,
    AsItWas,
    Ending,
    arrival_of,
    ending_of,
    fitted,
    guard_of,
)
from foxora_addon.reading.records import Record
from foxora_addon.reading.statistics import Histogram

_ACCOUNT: Final = Scope("", "", UNLIMITED)  # each is played by itself


@dataclass(slots=True)
class _Call:
    """A call on its way: waiting, then open. The trail's `ending` tells what it is charged."""

    arrival: Arrival
    tokens: int
    admitted_at: float | None = None
    reservation: Reservation | None = None
    lasts: float | None = None
    ending: Ending | None = None


class Lane:
    """One account under given ceilings; a call that doesn't fit waits so many seconds at most.

    With 0 it is refused at once. First come, first served.
    """

    def __init__(self, ceilings: Ceilings, longest_wait: float, guard_seconds: float) -> None:
        self.passed = self.waited = 0
        self.refused: Counter[str] = Counter()
        self.waits = Histogram()
        self.longest = 0.0
        self._ceilings = ceilings
        self._limiter = AccountLimiter(ceilings, guard_seconds=guard_seconds)
        self._longest_wait = longest_wait
        self._queue: deque[_Call] = deque()
        self._calls: dict[str, _Call] = {}
        self._endings: list[tuple[float, int, _Call]] = []
        self._opening: float | None = None
        self._now = -math.inf
        self._given = 0

    @property
    def wait_seconds(self) -> dict[str, float | None]:
        """How long calls waited, by name; the two that are estimates are not above the longest."""
        if not self.waited:
            return dict.fromkeys(("p50", "p95", "max"))
        p50, p95 = self.waits.quantile(0.5), self.waits.quantile(0.95)
        longest = self.longest
        return {"p50": min(p50 or 0.0, longest), "p95": min(p95 or 0.0, longest), "max": longest}

    def arrive(self, arrival: Arrival, usual_seconds: float) -> None:
        """A call comes; `usual_seconds` is how long it is taken to last if the trail has no end."""
        now = self._advance(arrival.arrived_at)
        call = _Call(arrival, fitted(arrival.tokens, self._ceilings))
        if not arrival.was_sent:
            call.lasts = usual_seconds
        denied = None if self._queue else self._limiter.refusal(call.tokens, now)
        if not self._queue and denied is None:
            self._admit(call, now)
        elif self._longest_wait <= 0 or (denied is not None and _never(denied.opens_at)):
            self.refused[denied.limit if denied else "waiting"] += 1
        else:
            self._queue.append(call)
            self._calls[arrival.exchange] = call

    def end(self, ending: Ending) -> None:
        """The trail ends an exchange: here it ends as much later as it was admitted later."""
        self._advance(ending.at)
        if ending.paused_until is not None and ending.paused_until > ending.at:
            self._opening = None
            self._limiter.hold_until(ending.paused_until, ending.at)
        call = self._calls.get(ending.exchange)
        if call is None or not call.arrival.was_sent:
            return
        call.lasts = max(ending.at - call.arrival.decided_at, 0.0)
        call.ending = ending
        self._plan_ending(call)
        self._advance(ending.at)

    def finish(self) -> None:
        """The trail is over: whoever waits still waits for its turn, or for its deadline."""
        self._advance(math.inf)

    def _advance(self, until: float) -> float:
        """Let happen, in its order, all that happens by itself until then."""
        while True:
            ending = self._endings[0][0] if self._endings else math.inf
            opening = self._next_opening()
            deadline = self._deadline()
            moment = min(ending, opening, deadline)
            if moment > until or moment == math.inf:
                break
            self._now = max(self._now, moment)
            if moment == ending:
                self._settle(heapq.heappop(self._endings)[2])
            elif opening <= deadline:
                self._admit(self._queue.popleft(), self._now)
            else:
                self._give_up(self._queue.popleft())
        if until < math.inf:
            self._now = max(self._now, until)
        return self._now

    def _next_opening(self) -> float:
        """When the first in the queue may pass; it stays so until a call passes or ends."""
        if not self._queue:
            return math.inf
        if self._opening is None:
            opening = self._limiter.next_admission(self._queue[0].tokens, self._now)
            self._opening = math.inf if opening is None else opening
        return max(self._opening, self._now)

    def _deadline(self) -> float:
        return self._queue[0].arrival.arrived_at + self._longest_wait if self._queue else math.inf

    def _admit(self, call: _Call, now: float) -> None:
        self._opening = None
        call.reservation = self._limiter.admit(call.tokens, now)
        self._limiter.mark_sent(call.reservation, now)
        call.admitted_at = now
        self.passed += 1
        wait = now - call.arrival.arrived_at
        if call.arrival.exchange in self._calls:  # it was queued
            self.waited += 1
            self.waits.add(wait)
            self.longest = max(self.longest, wait)
        self._calls[call.arrival.exchange] = call
        self._plan_ending(call)

    def _plan_ending(self, call: _Call) -> None:
        if call.admitted_at is not None and call.lasts is not None:
            self._given += 1
            heapq.heappush(self._endings, (call.admitted_at + call.lasts, self._given, call))

    def _settle(self, call: _Call) -> None:
        self._opening = None
        self._calls.pop(call.arrival.exchange, None)
        if call.reservation is None:
            return
        if call.ending is None:
            self._limiter.settle(call.reservation, call.tokens, self._now)
        else:
            call.ending.settle(self._limiter, call.reservation, self._now)

    def _give_up(self, call: _Call) -> None:
        self._opening = None
        self._calls.pop(call.arrival.exchange, None)
        self.refused["waiting"] += 1


def _never(opens_at: float | None) -> bool:
    return opens_at is None


class Played:
    """What became of one account's calls, refused at once and waited for.

    All count for a minute and the guard that was in force at the first of them.
    """

    def __init__(self, ceilings: Ceilings, longest_wait: float, guard_seconds: float) -> None:
        self.calls = self.was_refused = 0
        self.most_requests = self.most_tokens = 0
        self.at_once = Lane(ceilings, 0.0, guard_seconds)
        self.waiting = Lane(ceilings, longest_wait, guard_seconds)
        self._as_it_was = AsItWas(guard_seconds)
        self._began: dict[str, float] = {}
        self._lasted, self._ended = 0.0, 0

    def arrive(self, arrival: Arrival) -> None:
        """A call comes."""
        self.calls += 1
        self.was_refused += not arrival.was_sent
        usual = self._lasted / self._ended if self._ended else 0.0
        self.at_once.arrive(arrival, usual)
        self.waiting.arrive(arrival, usual)
        self._as_it_was.arrive(arrival, (_ACCOUNT,))
        if arrival.was_sent:
            self._began[arrival.exchange] = arrival.decided_at
            self._note_used(arrival.decided_at)

    def end(self, ending: Ending) -> None:
        """An exchange ends."""
        self.at_once.end(ending)
        self.waiting.end(ending)
        self._as_it_was.end(ending)
        if (began := self._began.pop(ending.exchange, None)) is not None:
            self._lasted += max(ending.at - began, 0.0)
            self._ended += 1
        if ending.tries:
            self._note_used(ending.at)

    def _note_used(self, now: float) -> None:
        used = self._as_it_was.used(_ACCOUNT, now)
        self.most_requests = max(self.most_requests, used.requests)
        self.most_tokens = max(self.most_tokens, used.tokens)

    def finish(self) -> None:
        """The trail is over."""
        self.at_once.finish()
        self.waiting.finish()

    def as_json(self) -> dict[str, Any]:
        """The figures by name, times in milliseconds."""
        return {
            "calls": self.calls,
            "refused_in_trail": self.was_refused,
            "busiest_minute": {"requests": self.most_requests, "tokens": self.most_tokens},
            "refusing": {
                "passed": self.at_once.passed,
                "refused": self.at_once.refused.total(),
                "by_limit": dict(self.at_once.refused),
            },
            "waiting": {
                "passed": self.waiting.passed,
                "waited": self.waiting.waited,
                "refused": self.waiting.refused.total(),
                "wait_ms": {
                    name: None if seconds is None else round(seconds * 1000, 3)
                    for name, seconds in self.waiting.wait_seconds.items()
                },
            },
        }


class Simulation:
    """All accounts, each with the same ceilings; fed the records in the trail's order."""

    def __init__(self, ceilings: Ceilings, longest_wait: float) -> None:
        self.accounts: dict[str, Played] = {}
        self._ceilings, self._longest_wait = ceilings, longest_wait
        self._pauses: dict[str, list[Ending]] = {}  # of accounts before the first call that came

    def take(self, record: Record) -> None:
        """Take the next record."""
        if record.get("event") == "request":
            if arrival := arrival_of(record):
                self._played(arrival.account, guard_of(record)).arrive(arrival)
        elif record.get("event") == "response" and (ending := ending_of(record)):
            if played := self.accounts.get(ending.account):
                played.end(ending)
            else:
                pauses = self._pauses.setdefault(ending.account, [])
                pauses += [ending] if ending.paused_until is not None else []

    def finish(self) -> None:
        """The trail is over."""
        for account in list(self._pauses):
            self._played(account, DEFAULT_GUARD_SECONDS)
        for played in self.accounts.values():
            played.finish()

    def _played(self, account: str, guard_seconds: float) -> Played:
        if account not in self.accounts:
            played = Played(self._ceilings, self._longest_wait, guard_seconds)
            self.accounts[account] = played
            for ending in self._pauses.pop(account, ()):
                played.end(ending)
        return self.accounts[account]
