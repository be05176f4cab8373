"""Names what a call counts against, and words the refusal of one of them.

A call counts against its account, and against whatever has ceilings below it: its model, its
client's key. This module refuses to know how anything is counted, and which scopes a call has.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from foxora_addon.api.errors import ApiError, rate_limit_exceeded
from foxora_addon.policy.limit_refusal import Denied, LimitName
from foxora_addon.policy.plans import Ceilings


@dataclass(frozen=True, slots=True)
class Scope:
    """One thing with ceilings. The first of a call's scopes is its account's.

    `name` is unique among all scopes; `label` begins a sentence to the client ("Account 'acme'",
    "Model 'gpt-4o' of account 'acme'") and never holds a key.
    """

    name: str
    label: str
    ceilings: Ceilings


def lowest_tokens(scopes: Iterable[Scope]) -> int | None:
    """The lowest ceiling of tokens a minute among some scopes; None: they have none."""
    lowest: int | None = None
    for scope in scopes:
        ceiling = scope.ceilings.tokens_per_minute
        if lowest is None or (ceiling is not None and ceiling < lowest):
            lowest = ceiling
    return lowest


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call may not be sent now: the scope and limit that keep it out longest."""

    scope: Scope
    denied: Denied

    @property
    def wait_seconds(self) -> float | None:
        """How long until it may be tried again; None: it can never fit."""
        return self.denied.wait_seconds


def too_large(scopes: Iterable[Scope], tokens: int) -> Refusal:
    """The refusal of a call whose prompt alone is larger than a ceiling."""
    scope = min(scopes, key=lambda scope: scope.ceilings.tokens_per_minute or math.inf)
    ceiling = scope.ceilings.tokens_per_minute
    return Refusal(scope, Denied("tokens", ceiling, None, tokens, None, None, awaits_end=False))


_LIMITS: Final[dict[LimitName, str]] = {
    "requests": "limit of requests per minute",
    "tokens": "limit of tokens per minute",
    "concurrent": "limit of concurrent requests",
    "gateway": "limit, as the gateway said",
    "waiting": "limit of waiting requests",
}


def error_of(refusal: Refusal) -> ApiError:
    """Word a refusal, with OpenAI's own "Please try again in", which some clients read.

    The wait is told as it is, however long: clients that give up above 60 or 120 s may, but none
    comes back too early because it was told less.
    """
    denied, label = refusal.denied, refusal.scope.label
    wait = denied.wait_seconds
    if wait is None:
        return rate_limit_exceeded(_never(denied, label), None)
    if denied.limit == "turn":
        said = f"{label} is busy, and the call's turn did not come while it could wait."
    elif denied.limit == "kept":
        said = f"{label} has room only for calls that were refused before and are due now."
    elif denied.limit == "line":
        said = f"{label} has room only for calls that have waited longer."
    else:
        said = f"{label} is at its {_LIMITS[denied.limit]}{_figures(denied)}."
    return rate_limit_exceeded(f"{said} Please try again in {wait:.3f}s.", wait)


def _figures(denied: Denied) -> str:
    if denied.ceiling is None:
        return ""
    return f": limit {denied.ceiling}, used {denied.used}, requested {denied.requested}"


def _never(denied: Denied, label: str) -> str:
    """Say why a call can never fit, and what would let it."""
    changed = ", changed while the call waited" if denied.has_changed else ""
    if denied.limit == "tokens" and denied.ceiling:
        return (
            f"The call needs {denied.requested} tokens, and {label[:1].lower()}{label[1:]} has a "
            f"ceiling of {denied.ceiling} tokens per minute{changed}, so it can never fit. Lower "
            "max_tokens or shorten the prompt, or have the ceiling raised."
        )
    what = {"tokens": "tokens per minute", "requests": "requests per minute"}
    return (
        f"{label} has a ceiling of {denied.ceiling} {what.get(denied.limit, 'concurrent requests')}"
        f"{changed}, so no such call can ever be sent. Have the ceiling raised."
    )
