"""Tells a configuration in a few lines for a person; never a key, nor a part of one."""

from collections.abc import Iterator

from foxora_addon.config import Account, Config


def summary_of(config: Config) -> Iterator[str]:
    """The gateway, the trail, and a line for each account."""
    gateway = "the mock gateway, embedded" if config.gateway.is_mock else config.gateway.base_url
    yield f"gateway  {gateway}"
    yield f"trail    {config.audit.path} ({config.audit.level})"
    width = max(len(account.name) for account in config.accounts)
    for account in config.accounts:
        yield f"account  {account.name:{width}}  {', '.join(_facts_of(account))}"


def _facts_of(account: Account) -> Iterator[str]:
    if account.default:
        yield "default"
    yield f"plan {account.plan}"
    for name, ceiling in account.limits.model_dump(exclude_none=True, exclude={"models"}).items():
        yield f"{name} {ceiling}"
    if models := account.limits.models:
        yield f"further limits of {', '.join(models)}"
    if count := len(account.clients):
        yield f"{count} client{'s' if count > 1 else ''}"
