"""Which ceilings an account's configuration gives, with what the gateway said if it was asked."""

from collections.abc import Iterator

from foxora_addon.config import Account
from foxora_addon.policy.plans import UNLIMITED, Ceilings, Me
from foxora_addon.rules import account_rules_of

_NAMES = {"requests_per_minute": "requests a minute", "tokens_per_minute": "tokens a minute"}


def ceilings_of(account: Account, me: Me | None = None) -> Ceilings:
    """What holds: what the configuration says, and what it leaves to the gateway to say."""
    rules = account_rules_of(account)
    told = me.ceilings if me is not None and rules.asks else UNLIMITED
    return rules.ceilings.over(told)


def asks(account: Account) -> bool:
    """Whether the gateway is asked for what the configuration leaves open."""
    return account_rules_of(account).asks


def plan_words(account: Account, me: Me | None = None) -> str:
    """Which plan the ceilings are of, with the gateway's word for it; or that they are of none."""
    if account.plan != "auto":
        return f"plan {account.plan}"
    if not asks(account):
        return "figures alone"
    return f"plan auto ({me.plan})" if me is not None and me.plan else "plan auto"


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
