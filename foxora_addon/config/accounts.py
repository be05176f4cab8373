"""The accounts section: who pays, with which key, within which ceilings, and for which clients.

It decides which accounts can stand side by side. Which one takes a call is decided for each call,
by `foxora_addon.policy.accounts`.
"""

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from foxora_addon.config.amounts import Usd
from foxora_addon.config.problems import Loc, Problem, described
from foxora_addon.config.references import key_of, sources_of
from foxora_addon.config.section import BY_MODEL, Section
from foxora_addon.policy.keys import key_digest

Network = IPv4Network | IPv6Network
Plan = Literal["auto", "free", "pro", "team"]
Level = Literal["minimal", "metadata", "request", "full"]
"""How much of a call is on record, from the most private to the least."""


def unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that a socket of both families writes as `::ffff:10.0.0.7`."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _digest_of(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        raise Problem("must be 64 hexadecimal digits; printf %s KEY | sha256sum prints them")
    return text.lower()


def _network_of(value: object) -> Network:
    """Return the range that an address or a CIDR range means; IPv4 inside IPv6 is IPv4."""
    if not isinstance(value, str):
        raise Problem(f"must be an address such as 10.0.0.7 or 10.0.0.0/8, not {described(value)}")
    try:
        network = ip_network(value)
    except ValueError:
        raise ValueError(_why_no_network(value)) from None
    address = unmapped(network.network_address)
    if network.version == 6 and isinstance(address, IPv4Address) and network.prefixlen >= 96:
        return IPv4Network((address, network.prefixlen - 96))
    return network


def _why_no_network(text: str) -> str:
    try:
        return f"is an address inside a range; write {ip_network(text, strict=False)} for all of it"
    except ValueError:
        return "is not an address; write 10.0.0.7 or 10.0.0.0/8"


def _name_of(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise ValueError(
            "is not a name; use up to 64 letters, digits, dots, dashes and underscores"
        )
    return text


Ceiling = Annotated[int, Field(gt=0)] | None


class CeilingFigures(Section):
    """Ceilings in figures; None is no ceiling of this kind here."""

    requests_per_minute: Ceiling = None
    tokens_per_minute: Ceiling = None
    concurrent_requests: Ceiling = None


class Client(Section):
    """What is known of a client: its key, which only a digest is kept of, or its address.

    `name` is what records and messages call it. `limits` are further ceilings of this client alone,
    below its account's.
    """

    name: Annotated[str, AfterValidator(_name_of)] | None = None
    key_sha256: Annotated[str, AfterValidator(_digest_of)] | None = None
    key: str | None = None
    address: Annotated[Network, BeforeValidator(_network_of)] | None = None
    limits: CeilingFigures = CeilingFigures()
    audit_level: Level | None = None

    @field_validator("key", mode="before")
    @classmethod
    def _digest_of_referenced_key(cls, reference: object, info: ValidationInfo) -> str | None:
        return None if reference is None else key_digest(key_of(reference, sources_of(info)))

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if sum(value is not None for value in (self.key_sha256, self.key, self.address)) != 1:
            raise Problem("must have exactly one of key_sha256, key, address")
        return self

    @property
    def key_digest(self) -> str | None:
        """The SHA-256 of the client's key in lower-case hex; None for a client by address."""
        return self.key_sha256 or self.key


class AccountLimits(CeilingFigures):
    """Ceilings in figures, each over the plan's own; None leaves the plan's.

    `models` has further ceilings for single models, by the name that the gateway is asked for. The
    cap is in US dollars for the month that the gateway names; 0 lets no call through that is known
    to cost.
    """

    models: Annotated[Mapping[str, CeilingFigures], BY_MODEL] = Field(default_factory=dict)
    monthly_spend_cap_usd: Usd | None = None


class Account(Section):
    """Who pays. `key` is the Foxora key; `plan` "auto" asks the gateway for its ceilings."""

    name: Annotated[str, AfterValidator(_name_of)]
    default: bool = False
    key: SecretStr
    plan: Plan = "auto"
    limits: AccountLimits = AccountLimits()
    clients: tuple[Client, ...] = ()
    audit_level: Level | None = None

    @field_validator("key", mode="before")
    @classmethod
    def _key_referred_to(cls, reference: object, info: ValidationInfo) -> SecretStr:
        sources = sources_of(info)
        placeholder = f"foxora_sk_mock_{info.data.get('name')}" if sources.is_mock else None
        return SecretStr(key_of(reference, sources, placeholder))

    @property
    def key_digest(self) -> str:
        """The SHA-256 of the account's own Foxora key in lower-case hex."""
        return key_digest(self.key.get_secret_value())

    def named_clients(self) -> Iterator[tuple[str, Client]]:
        """Each client with its name; one without has its place for a name, as in "clients[0]"."""
        for place, client in enumerate(self.clients):
            yield client.name or f"clients[{place}]", client


def checked_accounts(accounts: tuple[Account, ...]) -> tuple[Account, ...]:
    """Return the accounts if they can stand side by side; raises Problem.

    A single account that does not say otherwise is the default.
    """
    _names_differ(accounts)
    _client_names_differ(accounts)
    _one_default(accounts)
    _nothing_is_claimed_twice(accounts)
    if len(accounts) == 1 and "default" not in accounts[0].model_fields_set:
        return (accounts[0].model_copy(update={"default": True}),)
    return accounts


def _names_differ(accounts: tuple[Account, ...]) -> None:
    names = [account.name for account in accounts]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise Problem(
                f"{described(name)} is the name of accounts[{names.index(name)}] already", i, "name"
            )


def _client_names_differ(accounts: tuple[Account, ...]) -> None:
    for i, account in enumerate(accounts):
        names = [client.name for client in account.clients]
        for j, name in enumerate(names):
            if name is not None and name in names[:j]:
                first = names.index(name)
                raise Problem(
                    f"{described(name)} is the name of clients[{first}] already",
                    *(i, "clients", j, "name"),
                )


def _one_default(accounts: tuple[Account, ...]) -> None:
    defaults = [i for i, account in enumerate(accounts) if account.default]
    if len(defaults) > 1:
        first, second = defaults[:2]
        raise Problem(
            f"accounts[{first}] is the default already; only one can be", second, "default"
        )


def _nothing_is_claimed_twice(accounts: tuple[Account, ...]) -> None:
    """One Foxora key is one account, and a client belongs to one account.

    Two entries with one Foxora key would each keep its ceiling, and the account pass it.
    """
    owners: dict[str | Network, int] = {}
    for i, account in enumerate(accounts):
        for claim, what, at in _claims(account):
            owner = owners.setdefault(claim, i)
            if owner != i:
                raise Problem(f"{what} belongs to accounts[{owner}] already", i, *at)


def _claims(account: Account) -> Iterator[tuple[str | Network, str, Loc]]:
    yield account.key_digest, "this key", ("key",)
    for i, client in enumerate(account.clients):
        if client.address is not None:
            yield client.address, str(client.address), ("clients", i, "address")
        elif client.key_digest is not None:
            field = "key" if client.key is not None else "key_sha256"
            yield client.key_digest, "this key", ("clients", i, field)
