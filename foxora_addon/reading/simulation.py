"""Plays a trail against other ceilings: what would have been refused, and what would have waited.

The limiter is the proxy's own, and the times are the records'. A call that waits ends as much
later; one that the trail has as refused is taken to last as long as its account's others, and to
use what was estimated. One that had waited in the trail comes when it came then, before what went
on record as it waited. Clients are taken to do what they did: none gives up or tries again. So is
the gateway: its own 429s close the account here as they did then.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from foxora_addon.policy.allowances import Allowances, Reserved
from foxora_addon.policy.limits import DEFAULT_GUARD_SECONDS
from foxora_addon.policy.line import Ticket
from foxora_addon.policy.plans import UNLIMITED, Ceilings
from foxora_addon.policy.scopes import Scope
from foxora_addon.policy.waiting import Bounds, WaitingLines
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
_MOST_WAITING: Final = 10**9  # however many: how long they may wait is what is asked for


@dataclass(slots=True)
class _Call:
    """A call on its way: waiting, then open. The trail's `ending` tells what it is charged."""

    arrival: Arrival
    tokens: int
    admitted_at: float | None = None
    held: Reserved | None = None
    lasts: float | None = None
    ending: Ending | None = None


class Lane:
    """One account under given ceilings; a call that doesn't fit waits so many seconds at most.

    With 0 it is refused at once. Who waits goes on, or is told, as the proxy has it (`waiting`).
    """

    def __init__(self, ceilings: Ceilings, longest_wait: float, guard_seconds: float) -> None:
        self.passed = self.waited = 0
        self.refused: Counter[str] = Counter()
        self.waits = Histogram()
        self.longest = 0.0
        self._ceilings = ceilings
        self._scopes = (Scope(_ACCOUNT.name, "", ceilings),)
        self._allowances = Allowances(guard_seconds=guard_seconds)
        most = _MOST_WAITING if longest_wait > 0 else 0
        self._lines = WaitingLines(self._allowances, Bounds(most, longest_wait, longest_wait))
        self._waiting: dict[Ticket, _Call] = {}
        self._next_look = math.inf  # when somebody's wait may end next, if nothing else happens
        self._calls: dict[str, _Call] = {}
        self._endings: list[tuple[float, int, _Call]] = []
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
        came = arrival.arrived_at
        taken = self._lines.join(self._scopes, call.tokens, now, arrived_at=came)
        if isinstance(taken, Ticket):
            self._calls[arrival.exchange] = self._waiting[taken] = call
            self._look()
        elif isinstance(taken, Reserved):
            self._admit(call, taken)
        else:
            self.refused[taken.denied.limit] += 1

    def end(self, ending: Ending, moment: float) -> None:
        """The trail ends an exchange: here it ends as much later as it was admitted later.

        `moment` is when it would have ended had it been admitted as it came.
        """
        self._advance(moment)
        call = self._calls.get(ending.exchange)
        if call is None or not call.arrival.was_sent:
            return
        call.lasts = max(ending.at - call.arrival.decided_at, 0.0)
        call.ending = ending
        self._plan_ending(call)
        self._advance(moment)

    def pause(self, until: float, moment: float) -> None:
        """The gateway's own 429 closed the account at that moment."""
        self._advance(moment)
        self._allowances.limiter(_ACCOUNT).hold_until(until, moment)
        self._look()

    def finish(self) -> None:
        """The trail is over: whoever waits still waits for its turn, or for its deadline."""
        self._advance(math.inf)

    def _advance(self, until: float) -> float:
        """Let happen, in its order, all that happens by itself until then."""
        while True:
            ending = self._endings[0][0] if self._endings else math.inf
            moment = min(ending, self._next_look)
            if moment > until or moment == math.inf:
                break
            self._now = max(self._now, moment)
            if moment == ending:
                self._settle(heapq.heappop(self._endings)[2])
            self._look()
        if until < math.inf:
            self._now = max(self._now, until)
        return self._now

    def _look(self) -> None:
        """Let go on whose turn it is, and turn away whose time is up."""
        self._next_look = math.inf
        while self._waiting:
            called = self._lines.wake(_ACCOUNT.name, self._now)
            for ticket, answer, _ in called.ended:
                call = self._waiting.pop(ticket)
                if isinstance(answer, Reserved):
                    self._note_wait(self._now - call.arrival.arrived_at)
                    self._admit(call, answer)
                else:
                    del self._calls[call.arrival.exchange]
                    self.refused["waiting"] += 1
            if called.ended:
                continue  # those who went are sent by now: only now is the next moment known
            if called.next_at is not None:
                self._next_look = max(called.next_at, math.nextafter(self._now, math.inf))
            break

    def _note_wait(self, seconds: float) -> None:
        if seconds > 0:
            self.waited += 1
            self.waits.add(seconds)
            self.longest = max(self.longest, seconds)

    def _admit(self, call: _Call, held: Reserved) -> None:
        self._allowances.mark_sent(held, self._now)
        call.held, call.admitted_at = held, self._now
        self.passed += 1
        self._calls[call.arrival.exchange] = call
        self._plan_ending(call)

    def _plan_ending(self, call: _Call) -> None:
        if call.admitted_at is not None and call.lasts is not None:
            self._given += 1
            heapq.heappush(self._endings, (call.admitted_at + call.lasts, self._given, call))

    def _settle(self, call: _Call) -> None:
        self._calls.pop(call.arrival.exchange, None)
        for limiter, reservation in () if call.held is None else call.held.parts:
            if call.ending is None:
                limiter.settle(reservation, call.tokens, self._now)
            else:
                call.ending.settle(limiter, reservation, self._now)


class _Happened(NamedTuple):
    """What happened at a moment; `number` tells the order of what happened at the same one.

    A call that came, and how long it is taken to last; the end of one, at the moment at which it
    would have been had the call not waited; or until when the gateway closed the account.
    """

    moment: float
    number: int
    what: Arrival | Ending | float
    usual_seconds: float = 0.0


class _Order:
    """Gives what comes in the trail's order in that in which it happened.

    A call is on record once it is decided on, and came before: `waited_seconds` at most.
    """

    def __init__(self, waited_seconds: float) -> None:
        self._waited_seconds = waited_seconds
        self._latest = -math.inf
        self._held: list[_Happened] = []  # a heap

    def take(self, happened: _Happened, recorded_at: float) -> Iterator[_Happened]:
        """Take the next; yield all that nothing can come before any more."""
        if recorded_at < self._latest:  # the clock was set back: what is held lies before it
            yield from self.rest()
        self._latest = recorded_at
        heapq.heappush(self._held, happened)
        while self._held and self._held[0].moment <= recorded_at - self._waited_seconds:
            yield heapq.heappop(self._held)

    def rest(self) -> Iterator[_Happened]:
        """Nothing comes any more: yield what is held."""
        while self._held:
            yield heapq.heappop(self._held)


class Played:
    """What became of one account's calls, refused at once and waited for.

    All count for a minute and the guard that was in force at the first of them. `waited_seconds` is
    how long calls had waited in the trail, at most.
    """

    def __init__(
        self,
        ceilings: Ceilings,
        longest_wait: float,
        guard_seconds: float,
        waited_seconds: float = 0.0,
    ) -> None:
        self.calls = self.was_refused = 0
        self.most_requests = self.most_tokens = 0
        self.at_once = Lane(ceilings, 0.0, guard_seconds)
        self.waiting = Lane(ceilings, longest_wait, guard_seconds)
        self._as_it_was = AsItWas(guard_seconds)
        self._order = _Order(waited_seconds)
        self._taken = 0
        self._began: dict[str, Arrival] = {}
        self._lasted, self._ended = 0.0, 0

    def arrive(self, arrival: Arrival) -> None:
        """A call comes."""
        self.calls += 1
        self.was_refused += not arrival.was_sent
        usual = self._lasted / self._ended if self._ended else 0.0
        self._take(arrival.arrived_at, arrival.decided_at, arrival, usual)
        self._as_it_was.arrive(arrival, (_ACCOUNT,))
        if arrival.was_sent:
            self._began[arrival.exchange] = arrival
            self._note_used(arrival.decided_at)

    def end(self, ending: Ending) -> None:
        """An exchange ends."""
        self._as_it_was.end(ending)
        began = self._began.pop(ending.exchange, None)
        if began is not None:
            waited = began.decided_at - began.arrived_at
            self._take(ending.at - waited, ending.at, ending)
            self._lasted += max(ending.at - began.decided_at, 0.0)
            self._ended += 1
        if ending.paused_until is not None and ending.paused_until > ending.at:
            self._take(ending.at, ending.at, ending.paused_until)
        if ending.tries:
            self._note_used(ending.at)

    def _take(
        self,
        moment: float,
        recorded_at: float,
        what: Arrival | Ending | float,
        usual_seconds: float = 0.0,
    ) -> None:
        self._taken += 1
        happened = _Happened(moment, self._taken, what, usual_seconds)
        self._play(self._order.take(happened, recorded_at))

    def _play(self, happened: Iterable[_Happened]) -> None:
        for moment, _, what, usual_seconds in happened:
            for lane in (self.at_once, self.waiting):
                if isinstance(what, Arrival):
                    lane.arrive(what, usual_seconds)
                elif isinstance(what, Ending):
                    lane.end(what, moment)
                else:
                    lane.pause(what, moment)

    def _note_used(self, now: float) -> None:
        used = self._as_it_was.used(_ACCOUNT, now)
        self.most_requests = max(self.most_requests, used.requests)
        self.most_tokens = max(self.most_tokens, used.tokens)

    def finish(self) -> None:
        """The trail is over."""
        self._play(self._order.rest())
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
    """All accounts, each with the same ceilings; fed the records in the trail's order.

    `waited_seconds` is how long calls have waited by them, at most (see `waited_seconds_in`).
    """

    def __init__(
        self, ceilings: Ceilings, longest_wait: float, waited_seconds: float = 0.0
    ) -> None:
        self.accounts: dict[str, Played] = {}
        self._ceilings, self._longest_wait = ceilings, longest_wait
        self._waited_seconds = waited_seconds
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
            played = Played(self._ceilings, self._longest_wait, guard_seconds, self._waited_seconds)
            self.accounts[account] = played
            for ending in self._pauses.pop(account, ()):
                played.end(ending)
        return self.accounts[account]
