"""Which ceilings an account's configuration gives, with what the gateway said if it was asked."""

from collections.abc import Iterator

from foxora_addon.config import Account
from foxora_addon.policy.plans import PLANS, UNLIMITED, Ceilings, Me

_NAMES = {"requests_per_minute": "requests a minute", "tokens_per_minute": "tokens a minute"}


def ceilings_of(account: Account, me: Me | None = None) -> Ceilings:
    """What holds: the account's own figures over its plan's, or over what the gateway says."""
    told = me.ceilings if me is not None else UNLIMITED
    plan = told if account.plan == "auto" else PLANS[account.plan]
    own = account.limits
    return Ceilings(
        own.requests_per_minute or plan.requests_per_minute,
        own.tokens_per_minute or plan.tokens_per_minute,
        own.concurrent_requests or plan.concurrent_requests,
    )


def unknown_in(held: Ceilings) -> list[str]:
    """The keys of the ceilings that are not known, and so not enforced."""
    return [name for name in _NAMES if getattr(held, name) is None]


def words_of(held: Ceilings) -> Iterator[str]:
    """Each ceiling that is known, in words."""
    for name, words in _NAMES.items():
        if (ceiling := getattr(held, name)) is not None:
            yield f"{ceiling:,} {words}"
    if held.concurrent_requests is not None:
        yield f"{held.concurrent_requests:,} at once"
