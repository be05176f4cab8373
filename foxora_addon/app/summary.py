"""Tells a configuration in a few lines for a person; never a key, nor a part of one."""

from collections.abc import Iterator

from foxora_addon.api.money import dollars
from foxora_addon.app.ceilings import asks, ceilings_of, plan_words, unknown_in, words_of
from foxora_addon.config import Account, Audit, Config
from foxora_addon.rules import account_rules_of


def summary_of(config: Config) -> Iterator[str]:
    """The gateway, the trail, how limits are kept, and a line for each account."""
    gateway = "the mock gateway, embedded" if config.gateway.is_mock else config.gateway.base_url
    yield f"gateway  {gateway}"
    yield f"trail    {config.audit.path} ({config.audit.level})"
    if config.audit.checkpoint_key is not None:
        yield f"         signed in {config.audit.checkpoint_file}, {_when_signed(config.audit)}"
    shadow = "; shadow: calls are counted, and none is refused" if config.limits.shadow else ""
    yield f"limits   kept in {config.limits.store}{shadow}"
    width = max(len(account.name) for account in config.accounts)
    for account in config.accounts:
        yield f"account  {account.name:{width}}  {', '.join(_facts_of(account))}"
    yield from _unknown(config)


def _when_signed(audit: Audit) -> str:
    records = audit.checkpoint_records
    return f"each {audit.checkpoint_seconds:g} s" + (f" or {records} records" if records else "")


def _facts_of(account: Account) -> Iterator[str]:
    if account.default:
        yield "default"
    yield plan_words(account)
    yield from words_of(ceilings_of(account))
    if (cap_usd := account_rules_of(account).cap_usd) is not None:
        yield f"a monthly spend cap of {dollars(cap_usd)}"
    if models := account.limits.models:
        yield f"further limits of {', '.join(models)}"
    if count := len(account.clients):
        yield f"{count} client{'s' if count > 1 else ''}"


def _unknown(config: Config) -> Iterator[str]:
    """The ceilings that the configuration leaves open, and who can say them."""
    for account in config.accounts:
        if missing := unknown_in(ceilings_of(account)):
            nobody = "nobody is asked without plan: auto, so not enforced"
            who = "the gateway is asked" if asks(account) else nobody
            yield f"unknown  {account.name}: {', '.join(missing)}; {who}"
