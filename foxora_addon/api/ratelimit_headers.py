"""Reads and writes `x-ratelimit-*` headers in OpenAI's forms, and says which of two is tighter.

It refuses to know who counts and how; `retry_after` reads what an answer says about trying again.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from foxora_addon.field_lines import single


@dataclass(slots=True)
class Allowance:
    """One limit's figures: its ceiling, what is left, and the seconds until all of it is back.

    None: not said.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


@dataclass(slots=True)
class Balance:
    """How an account stands, in the two limits that OpenAI's headers know; None: no such limit."""

    requests: Allowance | None = None
    tokens: Allowance | None = None


KINDS: Final = ("requests", "tokens")
# For each kind, as `Balance` has them, the names of the figures, as `Allowance` has those.
_NAMES_OF: Final = tuple(
    (f"x-ratelimit-limit-{kind}", f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}")
    for kind in KINDS
)
_WRITTEN: Final = tuple(tuple(map(str.encode, names)) for names in _NAMES_OF)
NAMES: Final = frozenset(name for names in _NAMES_OF for name in names)
"""Every header name that `headers_of` may give, in lower case."""

NAMES_AS_WRITTEN: Final = frozenset(name for names in _WRITTEN for name in names)
"""The same as they are on the wire."""

# What a sum or difference of moments may be off by: it lifts no duration to the next millisecond.
_NOISE_MILLISECONDS: Final = 5e-7

_MOST_DIGITS: Final = 18  # of a count
_LONGEST_KNOWN: Final = 32  # characters of a duration that is remembered
_DURATION: Final = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{0,12})?(?:h|ms|m|s|us|\u00b5s|ns))+")
_TERM: Final = re.compile(r"([0-9.]+)(h|ms|m|s|us|\u00b5s|ns)")
_SECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{0,12})?")
_UNITS: Final[Mapping[str, float]] = {
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "ns": 1e-9,
}


def parse_balance(headers: Sequence[tuple[str, str]]) -> Balance:
    """Read an answer's rate-limit headers; what is absent or unreadable is None. Total."""
    told: dict[str, str] = {}
    for name, value in headers:
        if (low := name.lower()) in NAMES:
            line = value.strip()
            told[low] = line if low not in told else single((told[low], line)) or ""
    if not told:
        return Balance()
    return Balance(_parse_allowance(told, _NAMES_OF[0]), _parse_allowance(told, _NAMES_OF[1]))


def headers_of(balance: Balance) -> list[tuple[bytes, bytes]]:
    """Write a balance as headers: `x-ratelimit-limit-requests`, ...; only what is known."""
    found: list[tuple[bytes, bytes]] = []
    for (limit, remaining, reset), allowance in (
        (_WRITTEN[0], balance.requests),
        (_WRITTEN[1], balance.tokens),
    ):
        if allowance is None:
            continue
        if (most := allowance.limit) is not None:
            found.append((limit, b"%d" % most))
        if (left := allowance.remaining) is not None:
            found.append((remaining, b"%d" % left))
        if (seconds := allowance.reset_seconds) is not None:
            found.append((reset, format_duration(seconds).encode()))
    return found


def tighter(ours: Balance, gateways: Balance) -> Balance:
    """Choose, for requests and for tokens, the side that has less left.

    The three figures of a limit stay together. A side that does not say what is left loses to one
    that does; a tie goes to the one that takes longer to come back.
    """
    return Balance(
        _tighter_of(ours.requests, gateways.requests), _tighter_of(ours.tokens, gateways.tokens)
    )


def parse_duration(text: str) -> float | None:
    """Read "1.234s", "6m0s", "2ms" (Go's form, which OpenAI sends) or a bare number of seconds.

    None: it is neither.
    """
    return _known_duration(text) if len(text) <= _LONGEST_KNOWN else _duration_of(text)


def _duration_of(text: str) -> float | None:
    if _SECONDS.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        return None
    return math.fsum(float(number) * _UNITS[unit] for number, unit in _TERM.findall(text))


_known_duration: Final = lru_cache(maxsize=1_024)(_duration_of)  # most come again


def format_duration(seconds: float) -> str:
    """Write as OpenAI does, to whole milliseconds, rounded up: "0s", "2ms", "1.234s", "6m0s"."""
    milliseconds = seconds * 1000 if seconds > 0 else 0.0
    whole = int(milliseconds)
    return _written(whole + 1 if milliseconds - whole > _NOISE_MILLISECONDS else whole)


@lru_cache(maxsize=1_024)  # of a busy account it is some quarter of a second below a minute
def _written(milliseconds: int) -> str:
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    tail = f"{rest / 1000:g}s"  # exact: of its six digits, below a minute five are needed
    if minutes < 60:
        return f"{minutes}m{tail}" if minutes else tail
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{tail}"


def _parse_allowance(told: Mapping[str, str], names: tuple[str, str, str]) -> Allowance | None:
    limit = _parse_count(told.get(names[0], ""))
    remaining = _parse_count(told.get(names[1], ""))
    reset_seconds = parse_duration(told.get(names[2], ""))
    if limit is None and remaining is None and reset_seconds is None:
        return None
    return Allowance(limit, remaining, reset_seconds)


def _parse_count(text: str) -> int | None:
    is_count = len(text) <= _MOST_DIGITS and text.isascii() and text.isdigit()
    return int(text) if is_count else None


def _tighter_of(ours: Allowance | None, gateways: Allowance | None) -> Allowance | None:
    if ours is None or gateways is None:
        return ours or gateways
    return min(ours, gateways, key=_room_of)


def _room_of(allowance: Allowance) -> tuple[float, float]:
    remaining = math.inf if allowance.remaining is None else allowance.remaining
    return remaining, -(allowance.reset_seconds or 0.0)
