"""Says why a call may not be sent now, and exactly when it may.

It refuses to know how the figures came about; it only reads them, and changes nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from foxora_addon.policy.limit_ledger import Ledger

LimitName = Literal[
    "requests", "tokens", "concurrent", "gateway", "waiting", "turn", "kept", "line"
]

# What a call is told that finds all its account's exchanges taken: when one ends is unknown.
_CONCURRENT_RETRY_SECONDS: Final = 1.0


class Barrier(NamedTuple):
    """One limit that keeps a call out until a moment; infinite: it can never fit.

    `awaits_end`: open exchanges stand in the way, and the moment is the one that would be if they
    all ended now with what they reserved. `ceiling` and `used` are None where they are unknown.
    """

    limit: LimitName
    ceiling: int | None
    used: int | None
    requested: int
    opens_at: float
    awaits_end: bool = False


@dataclass(frozen=True, slots=True)
class Denied:
    """The call may not be sent now, and nothing is counted for it.

    The limit named is the one that keeps it out longest; the gateway's own has no figures.
    `opens_at` and `wait_seconds` are the moment and how long it is till then, None if the call can
    never fit. If nothing else changes, a call of this size is admitted at that moment and no
    sooner; unless it `awaits_end`, as `Barrier` says, or was told the moment of its own place (see
    `places`). `has_changed`: the ceiling was another when the call came, and it could have fitted.
    """

    limit: LimitName
    ceiling: int | None
    used: int | None
    requested: int
    opens_at: float | None
    wait_seconds: float | None
    awaits_end: bool
    has_changed: bool = False


def denied_by(barriers: Sequence[Barrier], now: float) -> Denied:
    """Make one answer of all that keeps a call out (at least one)."""
    longest = max(barriers, key=lambda barrier: barrier.opens_at)
    fits = longest.opens_at < math.inf
    return Denied(
        longest.limit,
        longest.ceiling,
        longest.used,
        longest.requested,
        longest.opens_at if fits else None,
        wait_until(longest.opens_at, now) if fits else None,
        any(barrier.awaits_end for barrier in barriers),
    )


def hold_barrier(opens_at: float, calls: int) -> Barrier:
    """Say until when the gateway's own 429 keeps so many calls out."""
    return Barrier("gateway", None, None, calls, opens_at)


def concurrent_barrier(ceiling: int, used: int, calls: int, now: float) -> Barrier:
    """Say until when so many more calls are kept out, since too many exchanges are open."""
    opens_at = now + _CONCURRENT_RETRY_SECONDS if calls <= ceiling else math.inf
    return Barrier("concurrent", ceiling, used, calls, opens_at, awaits_end=True)


def minute_barrier(
    limit: LimitName,
    ceiling: int,
    ledger: Ledger,
    requested: int,
    all_expired_at: float,
) -> Barrier:
    """Say until when a minute's ceiling keeps out a weight for which it has no room.

    `all_expired_at`: the moment by which everything has expired if what is held were let go now to
    expire by itself.
    """
    excess = ledger.used + requested - ceiling
    if requested > ceiling:
        return Barrier(limit, ceiling, ledger.used, requested, math.inf)
    if excess > ledger.expiring:
        return Barrier(limit, ceiling, ledger.used, requested, all_expired_at, awaits_end=True)
    return Barrier(limit, ceiling, ledger.used, requested, ledger.frees_at(excess))


def soonest_of(ceiling: int | None, ledger: Ledger, requested: int) -> float:
    """Return the moment at which a weight fits if all that is held were let go now.

    Long ago if it would fit at once; infinite if it can never fit.
    """
    if ceiling is None or not requested:
        return -math.inf
    if requested > ceiling:
        return math.inf
    excess = ledger.expiring + requested - ceiling
    return ledger.frees_at(excess) if excess > 0 else -math.inf


def wait_until(moment: float, now: float) -> float:
    """How long from now to the moment, rounded so that waiting so long never ends before it."""
    wait = moment - now
    return wait if now + wait >= moment else math.nextafter(wait, math.inf)
