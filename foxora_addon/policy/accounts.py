"""Decides which account pays for a call, by the client's key and address.

It knows keys by their digests and verifies nothing: what the gateway thinks of a key that passes
through is the gateway's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple, Self

from pydantic import SecretStr

from foxora_addon.api.errors import ApiError, invalid_key, missing_key
from foxora_addon.config import Account, Config, Intercept
from foxora_addon.config.accounts import Network, unmapped
from foxora_addon.policy.keys import is_foxora_key, key_digest


class Chosen(NamedTuple):
    """The account pays, and its key is the one to send.

    `client_name` is that of the entry that claimed the call; None where none did.
    """

    account: Account
    client_name: str | None = None


class Passed(NamedTuple):
    """The client's own key is Foxora's and travels on; which account it is of is not known here."""

    key: SecretStr


type Resolved = Chosen | Passed | ApiError


@dataclass(frozen=True, slots=True)
class AccountBook:
    """Who claims what, built once for a configuration.

    `by_digest` has client keys and the accounts' own Foxora keys, by SHA-256: a look-up's time then
    tells nothing of a key. `ranges` are client addresses, the most specific first.
    """

    default: Account | None
    rules: Intercept
    by_digest: Mapping[str, Chosen] = field(repr=False)
    ranges: tuple[tuple[Network, Chosen], ...] = field(repr=False)

    @classmethod
    def of(cls, config: Config) -> Self:
        """Index the accounts of a configuration, of which no two claim the same."""
        clients = [
            (client, Chosen(account, name))
            for account in config.accounts
            for name, client in account.named_clients()
        ]
        by_digest = {c.key_digest: chosen for c, chosen in clients if c.key_digest is not None}
        own = {account.key_digest: Chosen(account) for account in config.accounts}
        ranges = [(c.address, chosen) for c, chosen in clients if c.address is not None]
        ranges.sort(key=lambda entry: entry[0].prefixlen, reverse=True)
        rules, default = config.intercept, config.default_account
        return cls(default, rules, own | by_digest, tuple(ranges))

    def resolve(self, key: str | None, address: str | None) -> Resolved:
        """Return who pays for a call.

        `key` is the client's, None or "" where it sent none; `address` is its IP address, None or
        "" where it is not known. A claim by key comes before one by address, and of addresses the
        most specific range; what nobody claims follows `intercept.unclaimed_keys` and
        `intercept.missing_key`. An address that an account claims needs no key, since any would do.
        """
        chosen = self.by_digest.get(key_digest(key)) if key else None
        chosen = chosen or self._claim_by_address(address)
        if chosen is not None:
            return chosen
        return self._unclaimed(key) if key else self._without_key()

    def _claim_by_address(self, address: str | None) -> Chosen | None:
        if not self.ranges or not address:
            return None
        try:
            client = unmapped(ip_address(address))
        except ValueError:
            return None
        return next((chosen for network, chosen in self.ranges if client in network), None)

    def _unclaimed(self, key: str) -> Resolved:
        if self.rules.unclaimed_keys == "default" and self.default is not None:
            return Chosen(self.default)
        if self.rules.unclaimed_keys == "pass" and is_foxora_key(key, self.rules.jwt_issuers):
            return Passed(SecretStr(key))
        return invalid_key(
            "The API key is not known to this proxy. Whoever runs it can list it under "
            "accounts[].clients in foxora.yaml."
        )

    def _without_key(self) -> Resolved:
        if self.rules.missing_key == "default" and self.default is not None:
            return Chosen(self.default)
        return missing_key()
