"""Keeps every scope of every account within its ceilings, a call's scopes together or not at all.

It refuses to know which scopes a call has, where their ceilings come from, and who waits.

What is remembered is bounded by what was used: a scope in which nothing counts any more is
forgotten, and one that comes back later begins as if it had never been away. So unknown keys
cannot fill memory; that two of them are one account is remembered for longer (see `unify`).
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import inf
from typing import Any, Final

from foxora_addon.api.ratelimit_headers import Allowance, Balance, tighter
from foxora_addon.policy.limit_hold import LONGEST_HOLD_SECONDS
from foxora_addon.policy.limit_refusal import Denied, wait_until
from foxora_addon.policy.limits import DEFAULT_GUARD_SECONDS, AccountLimiter, Latest, Reservation
from foxora_addon.policy.places import KEPT_SECONDS, Caller, Places
from foxora_addon.policy.plans import UNLIMITED
from foxora_addon.policy.remembered import Closing
from foxora_addon.policy.scopes import Refusal, Scope
from foxora_addon.policy.twins import Twins

# How much of all scopes each `forget_idle` looks at. Called once a second, it drops what is idle
# half a minute later at most, for some 3 ms a second with 10^5 scopes.
_SWEEPS: Final = 30
_FEWEST_SWEPT: Final = 64

# So many names are known to mean another account's; beyond them, those that are idle go.
_MOST_TWINS: Final = 65_536


@dataclass(slots=True)
class Reserved:
    """What one exchange holds of each of its scopes, until it is settled or released.

    Of what counts for the scope itself and not of its name, which may mean another account by then.
    """

    parts: tuple[tuple[AccountLimiter, Reservation], ...]

    @property
    def tokens(self) -> int:
        """How many tokens it holds: of each scope as many."""
        return max((reservation.tokens for _, reservation in self.parts), default=0)


class Allowances:
    """The limiters of all scopes, by name.

    Times are seconds of one monotonic clock; one that goes back is taken for the latest seen.
    Where two names of one call mean the same limiter, it is asked and charged once. `changes`
    counts how often the ceilings of any scope have changed.
    """

    def __init__(self, *, guard_seconds: float = DEFAULT_GUARD_SECONDS) -> None:
        self._guard_seconds = guard_seconds
        self.changes = 0
        self._latest = Latest()  # of all limiters
        self._limiters: dict[str, AccountLimiter] = {}
        self._to_sweep: deque[str] = deque()  # each name of `_limiters`
        self._sweep_size = self._sweep_left = 0  # at a time, and until all have been looked at
        self._twins = Twins()
        self._closed: dict[str, Closing] = {}  # by the gateway's own 429; some may be over

    def __len__(self) -> int:
        return len(self._limiters)

    def reserve(self, scopes: Sequence[Scope], tokens: int, now: float) -> Reserved | Refusal:
        """Take a request and so many tokens of all scopes in one step, or nothing of any."""
        self.enforce(scopes, now)
        refusal = self.refusal(scopes, tokens, now)
        return self.take(scopes, tokens, now) if refusal is None else refusal

    def refusal(
        self, scopes: Sequence[Scope], tokens: int, now: float, calls: int = 1
    ) -> Refusal | None:
        """Say why `reserve` would refuse, and take nothing; None: it would not.

        `calls` is 0 for tokens alone.
        """
        now = self.latest(now)
        longest: Refusal | None = None
        awaits_end = False
        for scope in scopes:
            denied = self.limiter(scope).refusal(tokens, now, calls)
            if denied is None:
                continue
            awaits_end = awaits_end or denied.awaits_end
            if longest is None or _opens_at(denied) > _opens_at(longest.denied):
                longest = Refusal(scope, denied)
        if longest is None or longest.denied.awaits_end is awaits_end:
            return longest
        return Refusal(longest.scope, replace(longest.denied, awaits_end=True))

    def reserve_in_turn(
        self, scopes: Sequence[Scope], tokens: int, now: float, caller_of: Callable[[], Caller]
    ) -> Reserved | Refusal:
        """Take as `reserve` does, but no room that is kept for those who were refused before.

        `caller_of` is asked only where somebody was refused lately.
        """
        if len(scopes) == 1:  # as it mostly is: then what plainly fits is taken in one step
            limiter, ceilings = self._limiters.get(scopes[0].name), scopes[0].ceilings
            if limiter is not None and limiter.places is None and limiter.ceilings is ceilings:
                reservation = limiter.admit_if_free(tokens, now)
                if reservation is not None:
                    return Reserved(((limiter, reservation),))
        self.enforce(scopes, now)
        refusal = self.refusal(scopes, tokens, now) or self._kept(scopes, tokens, caller_of)
        if refusal is None:
            return self.take(scopes, tokens, now)
        return self.in_turn(refusal, tokens, now, caller_of())

    def no_room_in_turn(
        self, scopes: Sequence[Scope], tokens: int, now: float, caller_of: Callable[[], Caller]
    ) -> Refusal | None:
        """Say as `no_room` does why there is none, for one that asks as in `reserve_in_turn`."""
        refusal = self.no_room(scopes, tokens, now)
        refusal = refusal or self._kept(scopes, tokens, caller_of, calls=0)
        return None if refusal is None else self.in_turn(refusal, tokens, now, caller_of())

    def _kept(
        self,
        scopes: Sequence[Scope],
        tokens: int,
        caller_of: Callable[[], Caller],
        calls: int = 1,
    ) -> Refusal | None:
        """The refusal of what there is room for only if others do not come for it.

        `calls` is 0 for tokens alone.
        """
        now = self._latest.moment
        for scope in scopes:
            limiter = self.limiter(scope)
            if limiter.places is None:
                continue
            before, others = limiter.places.before(caller_of, now)
            denied = limiter.refusal(others + tokens, now, before + calls) if before else None
            if denied is not None:
                opens_at = denied.opens_at
                if opens_at is None or denied.awaits_end:  # not known: but no longer kept than that
                    opens_at = now + KEPT_SECONDS
                wait = wait_until(opens_at, now)
                return Refusal(
                    scope, Denied("kept", None, None, 1, opens_at, wait, awaits_end=False)
                )
        return None

    def in_turn(
        self, refusal: Refusal, tokens: int, now: float, caller: Caller | None = None
    ) -> Refusal:
        """Tell a refused call that comes back by itself the moment of its own turn."""
        now, denied = self.latest(now), refusal.denied
        if denied.opens_at is None or denied.awaits_end:
            return refusal
        limiter = self.limiter(refusal.scope)
        if limiter.places is None:
            limiter.places = Places()
        opens_at = limiter.places.next_for(limiter, tokens, denied.opens_at, now, caller)
        wait = wait_until(opens_at, now)
        return replace(refusal, denied=replace(denied, opens_at=opens_at, wait_seconds=wait))

    def admit(self, scopes: Sequence[Scope], tokens: int, now: float) -> Reserved:
        """Take as `reserve` does, whether or not it fits (shadow mode, calls of our own)."""
        self.enforce(scopes, now)
        return self.take(scopes, tokens, now)

    def enforce(self, scopes: Sequence[Scope], now: float) -> None:
        """Put the ceilings of these scopes in force; what is counted stays counted."""
        now = self.latest(now)
        for scope in scopes:
            limiter = self.limiter(scope)
            if limiter.ceilings is scope.ceilings:
                continue
            if limiter.ceilings != scope.ceilings:
                limiter.change_ceilings(scope.ceilings, now)
                self.changes += 1
            limiter.ceilings = scope.ceilings  # the very same: the next call sees it at a glance

    def take(self, scopes: Sequence[Scope], tokens: int, now: float) -> Reserved:
        """Take as `admit` does, and leave the ceilings as they are."""
        now = self.latest(now)
        if len(scopes) == 1:  # as it mostly is
            limiter = self.limiter(scopes[0])
            return Reserved(((limiter, limiter.admit(tokens, now)),))
        limiters = self.limiters(scopes)
        return Reserved(tuple((limiter, limiter.admit(tokens, now)) for limiter in limiters))

    def limiters(self, scopes: Sequence[Scope]) -> tuple[AccountLimiter, ...]:
        """Return what counts for these scopes, each once."""
        return tuple(dict.fromkeys(self.limiter(scope) for scope in scopes))

    def mark_sent(self, held: Reserved, now: float) -> None:
        """The call is sent at this moment, which is the one that it belongs to."""
        for limiter, reservation in held.parts:
            limiter.root.mark_sent(reservation, now)

    def grow(self, held: Reserved, tokens: int, now: float) -> None:
        """The exchange turns out to use so many tokens at least, if that is more than it holds."""
        for limiter, reservation in held.parts:
            limiter.root.grow(reservation, tokens, now)

    def settle(self, held: Reserved, tokens: int, now: float) -> None:
        """The exchange is over and used so many tokens; a second time changes nothing."""
        for limiter, reservation in held.parts:
            limiter.root.settle(reservation, tokens, now)

    def no_room(self, scopes: Sequence[Scope], tokens: int, now: float) -> Refusal | None:
        """Say why there is no room for tokens alone, which are no call; None: there is."""
        self.enforce(scopes, now)
        return self.refusal(scopes, tokens, now, calls=0)

    def hold(self, scopes: Sequence[Scope], tokens: int, now: float) -> Reserved:
        """Hold tokens alone of all scopes, whether or not they fit, until `use`."""
        now = self.latest(now)
        held = ((limiter, limiter.hold(tokens, now)) for limiter in self.limiters(scopes))
        return Reserved(tuple(held))

    def use(self, held: Reserved, tokens: int, now: float) -> None:
        """What `hold` gave has used so many tokens now; a second time changes nothing."""
        for limiter, reservation in held.parts:
            limiter.root.use(reservation, tokens, now)

    def release(self, held: Reserved, now: float) -> None:
        """The call never reached the gateway: all is given back. A second time changes nothing."""
        for limiter, reservation in held.parts:
            limiter.root.release(reservation, now)

    def obey(self, account: str, retry_after_seconds: float, now: float) -> None:
        """The gateway's own 429 closes the account, for all its clients, for so long."""
        now = self.latest(now)
        self.close(account, Closing(now, now + retry_after_seconds), now)

    def close(self, account: str, closing: Closing, now: float) -> None:
        """Keep an account closed that the gateway's own 429 has closed, now or before a restart."""
        now = self.latest(now)
        limiter = self.limiter(Scope(account, "", UNLIMITED))
        limiter.hold_until(closing.until, now)
        # No longer than a hold: else a restart would begin another with what is left of it.
        until = min(closing.until, closing.at + LONGEST_HOLD_SECONDS)
        self._keep_closed(self.name_of(account), Closing(closing.at, until))

    def _keep_closed(self, name: str, closing: Closing) -> None:
        if name not in self._closed or self._closed[name].until < closing.until:
            self._closed[name] = closing

    def closed(self, now: float) -> dict[str, Closing]:
        """The accounts that the gateway's own 429s keep closed, by the names they are counted."""
        now = self.latest(now)
        if self._closed:
            closed = {name: each for name, each in self._closed.items() if each.until > now}
            self._closed = closed
        first_to_open = sorted(self._closed.items(), key=lambda item: item[1].until)
        return {self.name_of(name): each for name, each in first_to_open}  # of twins the longer

    def balance(self, scopes: Sequence[Scope], now: float) -> Balance:
        """Say what is left for calls of these scopes: of requests and of tokens the tightest."""
        if len(scopes) == 1:  # as it mostly is
            return self.limiter(scopes[0]).balance(now)
        return reduce(tighter, [self.limiter(scope).balance(now) for scope in scopes])

    def open_exchanges(self, scope: Scope) -> int:
        """Return how many exchanges of a scope are not over yet."""
        limiter = self._find(scope.name)
        return 0 if limiter is None else limiter.open_exchanges

    def is_counted(self, name: str) -> bool:
        """Whether anything is counted under a name, or was until just now."""
        return self._find(name) is not None

    def unify(self, kept: str, other: str, now: float) -> None:
        """Two names turned out to be one account: all that counts under either counts for both.

        From now on the other name means the kept one, whose ceilings stay in force till a call
        brings others. A second time changes nothing. Names below the account (a model's) are
        unified one by one, by the same call.
        """
        now = self.latest(now)
        joined = self._twins.join(kept, other)
        if joined is None:
            return
        kept, other = joined
        lost = self._limiters.pop(other, None)
        if lost is not None:
            self.limiter(Scope(kept, "", lost.ceilings)).absorb(lost, now)
        self._twins.bound(_MOST_TWINS, lambda name: self._is_in_use(name, now))

    def part(self, leaver: str, heir: str, now: float) -> None:
        """A name turned out to mean another account than before: it begins anew.

        What counts under it, and all other names that meant the same, go on as they were: under
        the name that they have in common, which is the heir's where it was the leaver's.
        """
        now = self.latest(now)
        if not self._twins.part(leaver, heir):
            return
        if leaver in self._closed:
            self._keep_closed(heir, self._closed.pop(leaver))
        lost = self._limiters.pop(leaver, None)
        if lost is not None:
            self.limiter(Scope(heir, "", lost.ceilings)).absorb(lost, now)

    def name_of(self, name: str) -> str:
        """Return the name under which it is counted."""
        return self._twins.name_of(name)

    def limiter(self, scope: Scope) -> AccountLimiter:
        """Return what counts for a scope; a new one has the scope's ceilings."""
        limiter = self._limiters.get(scope.name) or self._find(scope.name)
        if limiter is None:
            name = self.name_of(scope.name)
            limiter = AccountLimiter(
                scope.ceilings, guard_seconds=self._guard_seconds, latest=self._latest
            )
            self._limiters[name] = limiter
            self._to_sweep.append(name)
        return limiter

    def forget_idle(self, now: float) -> None:
        """Drop some of what counts nothing any more; to be called about once a second."""
        now = self.latest(now)
        names = self._to_sweep
        if self._sweep_left <= 0:
            self._sweep_left = len(names)
            self._sweep_size = len(names) // _SWEEPS + _FEWEST_SWEPT
        self._sweep_left -= self._sweep_size
        for _ in range(min(len(names), self._sweep_size)):
            name = names.popleft()
            limiter = self._limiters.get(name)
            if limiter is None:
                continue  # it has become part of another
            if limiter.is_idle(now):
                del self._limiters[name]
            else:
                names.append(name)

    def _find(self, name: str) -> AccountLimiter | None:
        """Return the limiter of a name; None: nothing is counted under it."""
        limiter = self._limiters.get(name)
        return limiter if limiter is not None else self._limiters.get(self.name_of(name))

    def latest(self, now: float) -> float:
        """Return the moment that is taken for now: the latest that anybody has told."""
        return self._latest.of(now)

    def _is_in_use(self, name: str, now: float) -> bool:
        limiter = self._find(name)
        return limiter is not None and not limiter.is_idle(now)

    def standing(self, scope: Scope, now: float) -> dict[str, Any]:
        """How a scope stands with its ceilings: JSON values, for whoever shows them."""
        now, ceilings = self.latest(now), scope.ceilings
        limiter = self._find(scope.name) or AccountLimiter(ceilings)  # to be shown, not kept
        used, balance = limiter.used(now), limiter.balance(now)
        return {
            "requests": _counted(used.requests, ceilings.requests_per_minute, balance.requests),
            "tokens": _counted(used.tokens, ceilings.tokens_per_minute, balance.tokens),
            "concurrent": {"used": used.open_exchanges, "ceiling": ceilings.concurrent_requests},
        }


def _counted(used: int, ceiling: int | None, allowance: Allowance | None) -> dict[str, Any]:
    return {
        "used": used,
        "ceiling": ceiling,
        "remaining": None if ceiling is None else max(ceiling - used, 0),
        "resets_in_seconds": allowance.reset_seconds if allowance else None,
    }


def _opens_at(denied: Denied) -> float:
    return inf if denied.opens_at is None else denied.opens_at
