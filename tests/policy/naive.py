"""A model of the limits that keeps every call in a list and counts anew at each question."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from foxora_addon.policy.limit_hold import Hold
from foxora_addon.policy.limits import DEFAULT_GUARD_SECONDS, WINDOW_SECONDS
from foxora_addon.policy.plans import UNLIMITED, Ceilings
from foxora_addon.policy.scopes import Scope

SPAN = WINDOW_SECONDS + DEFAULT_GUARD_SECONDS


@dataclass(eq=False)
class NaiveCall:
    """One admitted call and the names that it counts under; None: not sent, or not over, yet."""

    names: frozenset[str]
    tokens: int
    admitted_at: float = 0.0
    used: int | None = None
    sent_at: float | None = None
    ended_at: float | None = None
    is_released: bool = False

    @property
    def is_open(self) -> bool:
        return self.ended_at is None and not self.is_released

    def requests_at(self, now: float) -> int:
        if self.is_released:
            return 0
        return int(self.sent_at is None or self.sent_at + SPAN > now)

    def tokens_at(self, now: float) -> int:
        if self.is_released:
            return 0
        if self.ended_at is None:
            return self.tokens
        return (self.used or 0) if self.ended_at + SPAN > now else 0


@dataclass
class Naive:
    calls: list[NaiveCall] = field(default_factory=list)
    ceilings: dict[str, Ceilings] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)

    def root(self, name: str) -> str:
        while name in self.twins:
            name = self.twins[name]
        return name

    def roots(self, scopes: Iterable[Scope]) -> list[str]:
        return list(dict.fromkeys(self.root(scope.name) for scope in scopes))

    def enforce(self, scopes: Iterable[Scope]) -> None:
        for scope in scopes:
            self.ceilings[self.root(scope.name)] = scope.ceilings

    def counting(self, root: str) -> list[NaiveCall]:
        return [call for call in self.calls if root in {self.root(name) for name in call.names}]

    def fits_in(self, root: str, tokens: int, now: float, calls: int = 1) -> bool:
        ceilings, counted = self.ceilings.get(root, UNLIMITED), self.counting(root)
        requests = sum(call.requests_at(now) for call in counted)
        used = sum(call.tokens_at(now) for call in counted)
        is_open = sum(call.is_open for call in counted)
        return (
            self.hold(root).opens_at(calls) <= now
            and requests + calls <= or_infinite(ceilings.requests_per_minute)
            and (not tokens or used + tokens <= or_infinite(ceilings.tokens_per_minute))
            and is_open + calls <= or_infinite(ceilings.concurrent_requests)
        )

    def fits(self, scopes: Sequence[Scope], tokens: int, now: float) -> bool:
        return all(self.fits_in(root, tokens, now) for root in self.roots(scopes))

    def moments(self, now: float) -> list[float]:
        """Each moment after now at which anything may change by itself."""
        moments = {call.sent_at + SPAN for call in self.calls if call.sent_at is not None}
        moments |= {call.ended_at + SPAN for call in self.calls if call.ended_at is not None}
        moments |= {hold.opens_at(n) for hold in self.holds.values() for n in (1, 2)}
        return sorted(moment for moment in moments if moment > now)

    def opens_in(self, root: str, tokens: int, now: float, calls: int = 1) -> float:
        """The first moment at which a scope admits, if nothing else changes; infinite: none."""
        moments = [now, *self.moments(now)]
        fitting = (at for at in moments if self.fits_in(root, tokens, at, calls))
        return next(fitting, math.inf)

    def opens_at(self, scopes: Sequence[Scope], tokens: int, now: float) -> float:
        return max(self.opens_in(root, tokens, now) for root in self.roots(scopes))

    def soonest_at(self, scopes: Sequence[Scope], tokens: int, now: float) -> float:
        """The same, if all that is open were given back now but what was sent."""
        ended = [call for call in self.calls if not call.is_open]
        sent = [NaiveCall(c.names, 0, now, 0, c.sent_at, now) for c in self.calls if c.is_open]
        rest = [call for call in sent if call.sent_at is not None]
        alone = Naive([*ended, *rest], self.ceilings, self.holds, self.twins)
        return alone.opens_at(scopes, tokens, now)

    def admit(self, scopes: Sequence[Scope], tokens: int, now: float) -> NaiveCall:
        for root in self.roots(scopes):
            self.hold(root).passes(now)
        call = NaiveCall(frozenset(scope.name for scope in scopes), tokens, now)
        self.calls.append(call)
        return call

    def obey(self, name: str, seconds: float, now: float) -> None:
        self.hold(self.root(name)).extend(now + seconds, now)

    def unify(self, kept: str, other: str) -> None:
        kept, other = self.root(kept), self.root(other)
        if kept != other:
            self.hold(kept).absorb(self.hold(other))
            if other in self.ceilings:
                self.ceilings.setdefault(kept, self.ceilings[other])
            self.twins[other] = kept

    def hold(self, root: str) -> Hold:
        return self.holds.setdefault(root, Hold())


def or_infinite(ceiling: int | None) -> float:
    return math.inf if ceiling is None else ceiling


def most_in_a_minute(weights: Sequence[tuple[float, int]]) -> int:
    """The most that any 60 seconds hold of weights at moments."""
    return max(
        (
            sum(w for at, w in weights if start <= at < start + WINDOW_SECONDS)
            for start, _ in weights
        ),
        default=0,
    )
