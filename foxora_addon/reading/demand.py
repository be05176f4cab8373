"""Reads what an account's limiter was told off the records: who arrived, when, and for how much.

Only calls that came to the limiter count: those that were forwarded, those that it refused, and
those that left, or were told to, as they waited for it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from foxora_addon.api.json_values import mapping_of, moment_of
from foxora_addon.policy.allowances import Allowances, Reserved
from foxora_addon.policy.limit_hold import UNTOLD_WAIT_SECONDS
from foxora_addon.policy.limits import (
    DEFAULT_GUARD_SECONDS,
    WINDOW_SECONDS,
    AccountLimiter,
    Reservation,
    Used,
)
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.remembered import Tried, charged_tokens, is_given_up, tries_before
from foxora_addon.policy.scopes import Refusal, Scope
from foxora_addon.reading.records import Record, count_of, number_of, text_of

LIMIT_REASON: Final = "rate_limit_exceeded"
LONGEST_WAIT_SECONDS: Final = 86_400.0
"""What a configuration may have calls wait at most."""
_BYTES_PER_TOKEN: Final = 4
_LONGEST_GUARD_SECONDS: Final = 30.0
# Quotes inside a JSON text are escaped, so these stand inside of none.
_REQUEST: Final = b'"event":"request"'
_WAITED: Final = b'"waited_ms":'
_NUMBER: Final = re.compile(rb"[0-9.]+")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call that came to its account's limiter. Moments are Unix seconds.

    `decided_at` is when its record was written: what it waited lies before. `was_sent` tells
    whether it was forwarded in the trail. `model` and `client` are what may have ceilings of its
    own below the account's; None where the record names none.
    """

    exchange: str
    account: str
    arrived_at: float
    decided_at: float
    tokens: int
    was_sent: bool
    model: str | None
    client: str | None


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of an exchange, and the tokens that it was charged.

    `tokens` is None where a crash cut it off: what it had reserved counts. Where `was_sent` is
    False the gateway was never reached, and all was given back, the request too. `sent_at` is when
    it was sent, the last time; None: never, or not known. `paused_until` is until when the
    gateway's own 429 closed the account; None: it did not. `tries` are all of them that were sent,
    where there was more than one.
    """

    exchange: str
    account: str
    at: float
    tokens: int | None
    was_sent: bool
    sent_at: float | None = None
    paused_until: float | None = None
    tries: tuple[Tried, ...] = ()

    def settle(self, limiter: AccountLimiter, reservation: Reservation, now: float) -> None:
        """Settle at `now` what the call had reserved, as the proxy did at its end.

        Of several tries each counts as a call of its own; all of them as much later as `now` is.
        One that a crash cut off counts from the start after it, its request too (`remembered`).
        Any other was taken to be sent as it was decided on, and may have had to connect first.
        """
        if self.tries:
            limiter.release(reservation, now)
            limiter.absorb(_counted(self.tries, now - self.at, limiter), now)
        elif not self.was_sent:
            limiter.release(reservation, now)
        elif self.tokens is None:
            limiter.mark_sent(reservation, now)
            limiter.settle(reservation, reservation.tokens, now)
        else:
            if self.sent_at is not None:
                limiter.sent_later(reservation, self.sent_at + now - self.at, now)
            limiter.settle(reservation, self.tokens, now)


def _counted(tries: Sequence[Tried], delay: float, other: AccountLimiter) -> AccountLimiter:
    """A limiter that has counted these as the other would, each so many seconds later."""
    limiter = AccountLimiter(Ceilings(), guard_seconds=other.span - WINDOW_SECONDS)
    for tried in tries:
        reservation = limiter.admit(tried.tokens, tried.sent_at + delay)
        limiter.mark_sent(reservation, tried.sent_at + delay)
        limiter.settle(reservation, tried.tokens, tried.ended_at + delay)
    return limiter


def arrival_of(record: Record) -> Arrival | None:
    """The arrival that a request record tells of; None if the limiter had no part in it."""
    decision = mapping_of(record.get("decision"))
    account, decided_at = text_of(record.get("account")), moment_of(record.get("time"))
    was_sent = decision.get("verdict") == "forward"
    if account is None or decided_at is None:
        return None
    waited = (number_of(decision.get("waited_ms")) or 0.0) / 1000
    if not was_sent and decision.get("reason") != LIMIT_REASON and waited <= 0:
        return None
    tokens = count_of(decision.get("estimated_tokens"))
    if tokens is None:
        tokens = -(-(count_of(record.get("body_bytes")) or 0) // _BYTES_PER_TOKEN)
    return Arrival(
        record["exchange"],
        account,
        decided_at - waited,
        decided_at,
        tokens,
        was_sent,
        text_of(record.get("model")),
        text_of(mapping_of(record.get("client")).get("name")),
    )


def guard_of(record: Record) -> float:
    """The guard of the limiter that decided on a call, as its request record tells it, in seconds.

    After a restart with another one, it holds for what was sent before as well.
    """
    told = number_of(mapping_of(record.get("decision")).get("guard_seconds"))
    is_guard = told is not None and 0 <= told <= _LONGEST_GUARD_SECONDS
    return told if told is not None and is_guard else DEFAULT_GUARD_SECONDS


def waited_seconds_in(line: bytes) -> float:
    """How long a call had waited, by the line of its request record; a day at most, 0 for others.

    The line is not read as JSON, so that a whole trail is soon looked through.
    """
    start = line.find(_WAITED)
    if start < 0 or line.find(_REQUEST, 0, start) < 0:
        return 0.0
    found = _NUMBER.match(line, start + len(_WAITED))
    try:
        waited = float(found[0]) / 1000 if found else 0.0
    except ValueError:
        return 0.0
    return min(waited, LONGEST_WAIT_SECONDS)


def ending_of(record: Record) -> Ending | None:
    """The ending that a response record tells of; None without an account or a time."""
    account, at = text_of(record.get("account")), moment_of(record.get("time"))
    if account is None or at is None:
        return None
    is_cut_off = number_of(record.get("duration_ms")) is None
    sent_at = None if is_cut_off else _sent_at(record, at)
    tokens = None if is_cut_off else count_of(charged_tokens(record))
    paused_until = _paused_until(record, at)
    tries = _tries_of(record, at)
    was_sent = is_cut_off or sent_at is not None
    return Ending(record["exchange"], account, at, tokens, was_sent, sent_at, paused_until, tries)


def _sent_at(record: Record, ended_at: float) -> float | None:
    """When it was sent, the last time; None: never."""
    sent = number_of(record.get("sent_ms"))
    duration = number_of(record.get("duration_ms")) or 0.0
    return None if sent is None else ended_at - (duration - sent) / 1000


def _tries_of(record: Record, at: float) -> tuple[Tried, ...]:
    """All tries that were sent of a call that had more than one; empty for others."""
    before = tuple(tries_before(record, at))
    sent_at = _sent_at(record, at)
    if not before or sent_at is None or is_given_up(record):
        return before
    return (*before, Tried(sent_at, at, count_of(charged_tokens(record)) or 0))


def _paused_until(record: Record, at: float) -> float | None:
    """The latest moment until which a 429 of the gateway's closed the account.

    A record without the wait, as earlier versions wrote it, tells of none; one with null is of a
    429 that named no time. A try that the call went on after was answered that much sooner; so was
    the last of one that was given up, whose end says the same again.
    """
    last = {"status": record.get("status"), "source": record.get("source")}
    is_told_again = is_given_up(record)
    answers = [] if is_told_again else [({**mapping_of(record.get("error")), **last}, at)]
    began = at - (number_of(record.get("duration_ms")) or 0.0) / 1000
    tries = record.get("tries")
    answers.extend(
        (each, began + (number_of(each.get("after_ms")) or 0.0) / 1000)
        for each in map(mapping_of, tries if isinstance(tries, list) else ())
    )
    found = [
        moment + _wait_of(answer)
        for answer, moment in answers
        if answer.get("status") == 429
        and answer.get("source") == "gateway"
        and "retry_after_ms" in answer
    ]
    return max(found, default=None)


def _wait_of(answer: Record) -> float:
    told = number_of(answer.get("retry_after_ms"))
    return UNTOLD_WAIT_SECONDS if told is None else told / 1000


class AsItWas:
    """What counts for some scopes, fed with what really happened: nothing is refused here."""

    def __init__(self, guard_seconds: float) -> None:
        self._allowances = Allowances(guard_seconds=guard_seconds)
        self._open: dict[str, Reserved] = {}
        self.paused_until: float | None = None
        """Until when the gateway's own 429s have closed the account; None: there was none."""

    def arrive(self, arrival: Arrival, scopes: Sequence[Scope]) -> None:
        """A call of these scopes came; if it was sent it counts from now on."""
        if arrival.was_sent:
            held = self._allowances.take(scopes, arrival.tokens, arrival.decided_at)
            self._allowances.mark_sent(held, arrival.decided_at)
            self._open[arrival.exchange] = held

    def end(self, ending: Ending) -> None:
        """An exchange ended: what it was charged takes the place of what was reserved."""
        held = self._open.pop(ending.exchange, None)
        if held is not None:
            for limiter, reservation in held.parts:
                ending.settle(limiter, reservation, ending.at)

    def pause(self, account: Scope, ending: Ending) -> None:
        """The gateway's own 429 closed the account, if the exchange ended so."""
        if ending.paused_until is not None and ending.paused_until > ending.at:
            self.paused_until = max(ending.paused_until, self.paused_until or 0.0)
            self._allowances.limiter(account).hold_until(ending.paused_until, ending.at)

    def used(self, scope: Scope, now: float) -> Used:
        """What counts for a scope at a moment."""
        return self._allowances.limiter(scope).used(now)

    def refusal(self, scopes: Sequence[Scope], tokens: int, now: float) -> Refusal | None:
        """What keeps such a call out longest; None: it would be admitted."""
        return self._allowances.refusal(scopes, tokens, now)


def fitted(tokens: int, ceilings: Ceilings) -> int:
    """An estimate as it is reserved: never more than can fit."""
    ceiling = ceilings.tokens_per_minute
    return tokens if ceiling is None else min(tokens, ceiling)
