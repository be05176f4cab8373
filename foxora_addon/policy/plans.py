"""Says which ceilings an account has: by its plan's name, or by what the gateway told about it.

It refuses to know where an answer comes from, how old it is, which figures the configuration puts
above it, and what the answer says of money (`spend_report` does).
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from foxora_addon.api.json_values import mapping_of, string_of
from foxora_addon.policy.keys import is_foxora_key

_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9._:@/+|=~-]{1,128}")


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The numbers of an account's limits; None: unknown, so not enforced."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None

    def over(self, others: "Ceilings") -> "Ceilings":
        """These figures, and where one is unknown the other's."""
        return Ceilings(
            _first(self.requests_per_minute, others.requests_per_minute),
            _first(self.tokens_per_minute, others.tokens_per_minute),
            _first(self.concurrent_requests, others.concurrent_requests),
        )


def tightest(ceilings: Iterable[Ceilings]) -> Ceilings:
    """Of each figure the lowest that is known."""
    each = list(ceilings)
    return Ceilings(
        _lowest(one.requests_per_minute for one in each),
        _lowest(one.tokens_per_minute for one in each),
        _lowest(one.concurrent_requests for one in each),
    )


UNLIMITED = Ceilings()

PLANS: Mapping[str, Ceilings] = {
    "free": Ceilings(30, 40_000),
    "pro": Ceilings(300, 400_000),
    "team": Ceilings(1_500, 2_000_000),
}
"""foxora-api.md, Rate limits: the default ceilings by plan id."""

OF_ANOTHER_API: Final = frozenset({404, 405, 410})
"""Statuses of GET /v1/me where something else is than Foxora's API."""


class Me(NamedTuple):
    """What GET /v1/me says that limits need; a field is None where the answer does not give it."""

    account_id: str | None
    plan: str | None
    ceilings: Ceilings


NOTHING_TOLD = Me(None, None, UNLIMITED)


def parse_me(body: object) -> Me | None:
    """Read a parsed answer of GET /v1/me (foxora-api.md, Routes).

    None: nothing in it names an account, a plan or a limit, so it is no such answer. A missing or
    odd figure is taken from the plan, and is None where the plan is none of ours.
    """
    if not isinstance(body, Mapping):
        return None
    account_id = _plain_id(body.get("id"))
    plan = string_of(mapping_of(body.get("plan")).get("id")) or None
    limits = mapping_of(body.get("limits"))
    if account_id is None and plan is None and not limits:
        return None
    usual = PLANS.get(plan.lower(), UNLIMITED) if plan else UNLIMITED
    return Me(
        account_id,
        plan,
        Ceilings(
            _first(_ceiling(limits.get("requests_per_minute")), usual.requests_per_minute),
            _first(_ceiling(limits.get("tokens_per_minute")), usual.tokens_per_minute),
            _ceiling(limits.get("concurrent_requests")),
        ),
    )


def _lowest(figures: Iterable[int | None]) -> int | None:
    return min((figure for figure in figures if figure is not None), default=None)


def _first(told: int | None, usual: int | None) -> int | None:
    return usual if told is None else told


def _plain_id(value: object) -> str | None:
    """An id that may stand in records and in the state: no key, nor one that was masked."""
    found = string_of(value)
    if not found or not _PLAIN_ID.fullmatch(found) or is_foxora_key(found, ()):
        return None
    return found


def _ceiling(value: object) -> int | None:
    """A whole number of at least 1: zero is not believed, or an odd answer would lock all out."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 1 <= value < math.inf else None
