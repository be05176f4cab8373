"""Decides whether a call of an account may be sent now, so that in no minute a ceiling is passed.

One account's requests, tokens, open exchanges and the gateway's own 429s are counted here. It
refuses to know who calls, how tokens are estimated and what a refusal looks like on the wire.

What counts, and when
---------------------
The gateway's minute may be fixed or sliding: what passes a ceiling in no 60 seconds is safe under
either (foxora-api.md, Rate limits). Each weight counts here for 60 seconds and a guard, since two
calls may reach the gateway closer together than they left: the guard is how much closer.

A request belongs to the moment at which it is sent. Until then it counts, however long connecting
takes; after it, for the span, whether or not its exchange is still open: that is how the gateway
sees it.

Tokens belong to the whole exchange: the gateway may count them as the call comes in or as it ends,
and which is not documented. So what was reserved counts while the exchange is open, and what was
used for a span after its end. That covers both, and it is the least that does: open exchanges may
all end at the next moment, right after those that have just ended. The price: of a ceiling that
the gateway counts exactly, exchanges of d seconds can use 60 in 60 + guard + d: 98 % at 1 s, 95 %
at 3 s, 85 % at 10 s. Counting from the start instead would let exchanges of mixed lengths pass the
ceiling of a gateway that counts at the end.

Settling changes the figure of the reservation itself: a refund cannot outlive what it was charged
for, and a debt expires with it. Debt may lift the use above the ceiling; then calls with tokens
wait until it has expired, at most a span.
"""

import math
from typing import Final, NamedTuple

from foxora_addon.api.ratelimit_headers import Allowance, Balance
from foxora_addon.policy.limit_hold import Hold
from foxora_addon.policy.limit_ledger import Ledger
from foxora_addon.policy.limit_refusal import (
    Barrier,
    Denied,
    concurrent_barrier,
    denied_by,
    hold_barrier,
    minute_barrier,
    soonest_of,
)
from foxora_addon.policy.places import Places
from foxora_addon.policy.plans import Ceilings

WINDOW_SECONDS: Final = 60.0

# Costs 0.4 % of a ceiling. Calls that left a minute apart may come in so much closer together.
DEFAULT_GUARD_SECONDS: Final = 0.25

# A figure above it is no number of tokens; it keeps a lying gateway from overflowing a ledger.
_MOST_TOKENS: Final = 10**12


class Reservation:
    """What one exchange holds of its account, from `admit` to `settle` or `release`.

    Only the limiter that gave it changes it, or the one that has absorbed that.
    """

    __slots__ = ("is_open", "sent_until", "tokens")

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.is_open = True
        self.sent_until: float | None = None  # until when its request counts; None: not sent yet


class Used(NamedTuple):
    """What counts of an account at a moment. `open_exchanges` are those not over yet."""

    requests: int
    tokens: int
    open_exchanges: int


class Latest:
    """The latest moment that anybody has told: a clock that goes back is taken for it."""

    __slots__ = ("moment",)

    def __init__(self) -> None:
        self.moment = -math.inf

    def of(self, now: float) -> float:
        """Return the moment that is taken for now."""
        if now > self.moment:  # noqa: PLR1730  # `max` takes four times as long, at each step
            self.moment = now
        return self.moment


class AccountLimiter:
    """The limits of one account.

    Times are seconds of one monotonic clock; one that goes back is taken for the latest seen, of
    all limiters that are given the same `latest`. A clock that stands still while the machine
    sleeps is fine: calls then wait longer than they need.

    Ceilings of None are not enforced, but what is used is counted all the same. So a limiter that
    is fed the exchanges of the last minute in their order, and gets its ceilings then, is as if it
    had never been away.
    """

    __slots__ = (
        "_expires_at",
        "_hold",
        "_into",
        "_latest",
        "_open",
        "_requests",
        "_span",
        "_tokens",
        "ceilings",
        "places",
        "waiting",
    )

    def __init__(
        self,
        ceilings: Ceilings,
        *,
        guard_seconds: float = DEFAULT_GUARD_SECONDS,
        latest: Latest | None = None,
    ) -> None:
        self.places: Places | None = None  # of those who were refused; None: nobody was
        self.waiting = 0  # calls that wait for their turn, which the line keeps
        self.ceilings = ceilings  # in force; `change_ceilings` changes them
        self._span = WINDOW_SECONDS + guard_seconds
        self._latest = latest or Latest()
        self._expires_at = -math.inf  # nothing expires before it
        self._hold = Hold()
        self._open = 0
        self._into: AccountLimiter | None = None  # what has absorbed it
        self._requests = Ledger()  # held: not sent yet
        self._tokens = Ledger()  # held: reserved by open exchanges

    @property
    def span(self) -> float:
        """For how many seconds a weight counts: a minute and the guard."""
        return self._span

    def refusal(self, tokens: int, now: float, calls: int = 1) -> Denied | None:
        """Say why one request and so many tokens do not fit, and take nothing; None: they do.

        `calls` asks for so many at once, with so many tokens together; 0 for tokens alone.
        """
        now = self._advance(now)
        barriers = self._barriers(_bounded(tokens), calls, now)
        return denied_by(barriers, now) if barriers else None

    def admit(self, tokens: int, now: float) -> Reservation:
        """Take one request and so many tokens, whether or not they fit."""
        self._hold.passes(self._advance(now))
        return self._admitted(_bounded(tokens))

    def admit_if_free(self, tokens: int, now: float) -> Reservation | None:
        """Take as `admit` does where it is plain at once that they fit, as mostly.

        None: nothing is taken, and they may fit or not.
        """
        self._advance(now)
        if self._hold.was_told or not 0 <= tokens <= _MOST_TOKENS:
            return None
        ceilings = self.ceilings
        most = ceilings.concurrent_requests
        if most is not None and self._open >= most:
            return None
        most, ledger = ceilings.requests_per_minute, self._requests
        if most is not None and ledger.held + ledger.expiring >= most:
            return None
        most, ledger = ceilings.tokens_per_minute, self._tokens
        if most is not None and ledger.held + ledger.expiring + tokens > most:
            return None
        return self._admitted(tokens)

    def mark_sent(self, reservation: Reservation, now: float) -> None:
        """The call is sent at this moment: its request belongs to it, whatever was before."""
        now = self._advance(now)
        if reservation.is_open:
            self._take_back_request(reservation)
            until = reservation.sent_until = now + self._span
            self._requests.add(until, 1)

    def sent_later(self, reservation: Reservation, at: float, now: float) -> None:
        """It turns out that the call was sent only at `at`, until now, and not as it was marked.

        A moment before that one changes nothing, nor does any once the exchange is over.
        """
        now = self._advance(now)
        marked, until = reservation.sent_until, min(at, now) + self._span
        if not reservation.is_open or marked is None or until <= marked:
            return
        self._take_back_request(reservation)
        reservation.sent_until = until
        if until > now:
            self._requests.insert(until, 1)
            self._expires_at = min(self._expires_at, until)

    def grow(self, reservation: Reservation, tokens: int, now: float) -> None:
        """The exchange turns out to use more than was reserved; less, or once it is over: nothing.

        It may lift what is used above the ceiling, as debt does.
        """
        self._advance(now)
        more = _bounded(tokens) - reservation.tokens
        if reservation.is_open and more > 0:
            reservation.tokens += more
            self._tokens.held += more

    def settle(self, reservation: Reservation, actual_tokens: int, now: float) -> None:
        """The exchange is over and used so many tokens; a second time changes nothing.

        A call that was never marked as sent is taken to have been sent now.
        """
        now = self._advance(now)
        if not reservation.is_open:
            return
        if reservation.sent_until is None:
            self.mark_sent(reservation, now)
        self._close(reservation)
        self._tokens.add(now + self._span, _bounded(actual_tokens))

    def hold(self, tokens: int, now: float) -> Reservation:
        """Hold tokens for an answer within an open exchange, which is no request of its own.

        Whether or not they fit: `use` ends it, and neither `settle` nor `release`.
        """
        self._advance(now)
        reservation = Reservation(_bounded(tokens))
        self._tokens.held += reservation.tokens
        return reservation

    def use(self, reservation: Reservation, actual_tokens: int, now: float) -> None:
        """What `hold` gave is over and has used so many; a second time changes nothing."""
        now = self._advance(now)
        if reservation.is_open:
            reservation.is_open = False
            self._tokens.held -= reservation.tokens
            self._tokens.add(now + self._span, _bounded(actual_tokens))

    def release(self, reservation: Reservation, now: float) -> None:
        """The call never reached the gateway: all is given back, its request too.

        A second time, or after `settle`, it changes nothing.
        """
        self._advance(now)
        if reservation.is_open:
            self._take_back_request(reservation)
            self._close(reservation)

    def hold_until(self, until: float, now: float) -> None:
        """The gateway itself said 429: nothing is admitted before `until`, then little by little.

        An hour from now at most; never sooner than what was said before (see `Hold`).
        """
        self._hold.extend(until, self._advance(now))

    def change_ceilings(self, ceilings: Ceilings, now: float) -> None:
        """Enforce other ceilings from now on; what is counted stays counted."""
        self._advance(now)
        self.ceilings = ceilings

    def next_admission(self, tokens: int, now: float, calls: int = 1) -> float | None:
        """Return the first moment at which so many fit, if nothing else changes.

        None: there is none, for they can never fit, or only the end of an open exchange can help.
        """
        denied = self.refusal(tokens, now, calls)
        if denied is None:
            return self._latest.moment
        return None if denied.awaits_end else denied.opens_at

    def soonest_admission(self, tokens: int, now: float) -> float:
        """Return a moment before which so many fit in no case but higher ceilings.

        It is what would be if every open exchange ended now and had used nothing; infinite: never.
        Only a call that was sent and yet never reached the gateway could still be given back.
        """
        now = self._advance(now)
        ceilings = self.ceilings
        if ceilings.concurrent_requests == 0:
            return math.inf
        return max(
            now,
            self._hold.opens_at(),
            soonest_of(ceilings.requests_per_minute, self._requests, 1),
            soonest_of(ceilings.tokens_per_minute, self._tokens, _bounded(tokens)),
        )

    def is_idle(self, now: float) -> bool:
        """Say whether nothing counts, is open, waits or is held: a new one would be the same."""
        now = self._advance(now)
        counts = self._open or self.waiting or self._requests.used or self._tokens.used
        return not counts and self._hold.is_over(now)

    def absorb(self, other: "AccountLimiter", now: float) -> None:
        """Count all that another counts: both turned out to be one account.

        From now on this one settles the other's reservations too, and the other must be left alone.
        The ceilings stay this one's; the later of two holds counts. Both have the same clock.
        """
        requests, tokens, hold, is_open = other.counted(self._advance(now))
        self._requests.absorb(requests)
        self._tokens.absorb(tokens)
        self._expires_at = -math.inf  # what the other counts may be older than all of this one's
        self._hold.absorb(hold)
        self._open += is_open
        self.waiting += other.waiting
        other._into = self  # noqa: SLF001  # of its own kind

    @property
    def root(self) -> "AccountLimiter":
        """What counts for it now: itself, or what has absorbed it."""
        found = self
        while found._into is not None:
            found = found._into
        return found

    def counted(self, now: float) -> tuple[Ledger, Ledger, Hold, int]:
        """Return what counts now, for another to absorb: to be read, and not changed."""
        self._advance(now)
        return self._requests, self._tokens, self._hold, self._open

    @property
    def open_exchanges(self) -> int:
        """How many exchanges are not over yet."""
        return self._open

    def used(self, now: float) -> Used:
        """Say what counts now, whether or not there is a ceiling for it."""
        self._advance(now)
        return Used(self._requests.used, self._tokens.used, self._open)

    def balance(self, now: float) -> Balance:
        """Say what is left of the ceilings, and in how long all of it is if no more is sent."""
        now, ceilings = self._advance(now), self.ceilings
        return Balance(
            self._allowance(ceilings.requests_per_minute, self._requests, now),
            self._allowance(ceilings.tokens_per_minute, self._tokens, now),
        )

    def _advance(self, now: float) -> float:
        latest = self._latest
        if now > latest.moment:  # as `Latest.of` has it, whose call would be half of this step
            latest.moment = now
        else:
            now = latest.moment
        if now >= self._expires_at:
            firsts = self._requests.expire(now), self._tokens.expire(now)
            # What is counted from here on counts for a span at least.
            self._expires_at = min(*firsts, now + self._span)
        return now

    def _barriers(self, tokens: int, calls: int, now: float) -> list[Barrier]:
        """All that keeps out so much; nothing requested always fits, in debt too."""
        found: list[Barrier] = []
        ceilings, end = self.ceilings, now + self._span
        if (opens_at := self._hold.opens_at(calls or 1)) > now:
            found.append(hold_barrier(opens_at, calls))
        ceiling = ceilings.concurrent_requests
        if ceiling is not None and calls and self._open + calls > ceiling:
            found.append(concurrent_barrier(ceiling, self._open, calls, now))
        ceiling = ceilings.requests_per_minute
        if ceiling is not None and calls and self._requests.used + calls > ceiling:
            found.append(minute_barrier("requests", ceiling, self._requests, calls, end))
        ceiling = ceilings.tokens_per_minute
        if ceiling is not None and tokens and self._tokens.used + tokens > ceiling:
            found.append(minute_barrier("tokens", ceiling, self._tokens, tokens, end))
        return found

    def _allowance(self, ceiling: int | None, ledger: Ledger, now: float) -> Allowance | None:
        if ceiling is None:
            return None
        held = ledger.held
        clears_at = now + self._span if held else ledger.clears_at
        seconds = 0.0 if clears_at is None else clears_at - now
        return Allowance(ceiling, max(ceiling - held - ledger.expiring, 0), seconds)

    def _admitted(self, tokens: int) -> Reservation:
        self._open += 1
        self._requests.held += 1
        self._tokens.held += tokens
        return Reservation(tokens)

    def _take_back_request(self, reservation: Reservation) -> None:
        if reservation.sent_until is None:
            self._requests.held -= 1
        elif reservation.sent_until > self._latest.moment:
            self._requests.take_back(reservation.sent_until, 1)

    def _close(self, reservation: Reservation) -> None:
        reservation.is_open = False
        self._open -= 1
        self._tokens.held -= reservation.tokens


def _bounded(tokens: int) -> int:
    if 0 <= tokens <= _MOST_TOKENS:
        return tokens
    return 0 if tokens < 0 else _MOST_TOKENS
