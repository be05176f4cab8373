"""How much of a call is kept on record: which level applies, and what a client may say of it.

Levels go from `minimal` (account, operation, model, status, sizes, tokens, times, and the labels
that the client chose: tags and traceparent; no content, nor who called and from where) over
`metadata` (who, from where, to what, with digests) and `request` (its body as well) to `full`
(answers too, and the words of the gateway's errors). Where several apply, the most private one
does.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, Self, get_args

from foxora_addon.api.errors import ApiError, invalid_request
from foxora_addon.config import Config
from foxora_addon.config.accounts import Level, Network, unmapped
from foxora_addon.policy.keys import key_digest

LEVELS: Final[tuple[Level, ...]] = get_args(Level)
"""From the most private to the least."""

_TRACEPARENT: Final = re.compile(
    r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[^,\n]{0,64})?"
)
_TAG: Final = re.compile(r"[^\x00-\x20,\x7f](?:[^\x00-\x1f,\x7f]{0,62}[^\x00-\x20,\x7f])?")
_MOST_TAGS: Final = 16


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels in force. Where nothing else applies it is `usual`."""

    usual: Level
    by_account: Mapping[str, Level] = field(default_factory=dict)
    by_operation: Mapping[str, Level] = field(default_factory=dict)
    by_digest: Mapping[str, Level] = field(default_factory=dict, repr=False)
    ranges: Sequence[tuple[Network, Level]] = ()

    @classmethod
    def of(cls, config: Config) -> Self:
        """Index what a configuration says of levels."""
        accounts = config.accounts
        clients = [(c, c.audit_level) for a in accounts for c in a.clients if c.audit_level]
        return cls(
            config.audit.level,
            {a.name: a.audit_level for a in accounts if a.audit_level is not None},
            config.audit.operations,
            {c.key_digest: level for c, level in clients if c.key_digest is not None},
            tuple((c.address, level) for c, level in clients if c.address is not None),
        )

    def level_of(
        self, account: str | None, operation: str, key: str | None, address: str | None
    ) -> Level:
        """The level of a call: the most private one that is set for it, else the usual one.

        `key` is the client's, None without one; `address` its IP address, if that is known.
        """
        found = [
            self.by_account.get(account or ""),
            self.by_operation.get(operation),
            self.by_digest.get(key_digest(key)) if key and self.by_digest else None,
            *(self._of_address(address) if self.ranges and address else ()),
        ]
        return most_private([level for level in found if level is not None] or [self.usual])

    def _of_address(self, address: str) -> list[Level]:
        try:
            client = unmapped(ip_address(address))
        except ValueError:
            return []
        return [level for network, level in self.ranges if client in network]


def most_private(levels: Sequence[Level]) -> Level:
    """The most private of some levels, of which there is at least one."""
    return min(levels, key=LEVELS.index)


def asked_level(value: str | None, given: Level) -> Level | ApiError:
    """The level where the client asks for one in `x-foxora-audit`: never a less private one.

    What is none is refused: a client that asks for privacy must not fail to get it by a slip.
    """
    if value is None:
        return given
    asked = next((level for level in LEVELS if level == value.strip().lower()), None)
    if asked is None:
        accepted = ", ".join(LEVELS)
        return invalid_request(f"The header x-foxora-audit must be one of: {accepted}.")
    return most_private([asked, given])


def tags_of(value: str | None) -> tuple[str, ...]:
    """The labels in `x-foxora-tag`, separated by commas: up to 16 of up to 64 characters each."""
    items = (item.strip() for item in (value or "").split(","))
    tags = dict.fromkeys(item for item in items if _TAG.fullmatch(item))
    return tuple(tags)[:_MOST_TAGS]


def traceparent_of(value: str | None) -> str | None:
    """A W3C Trace Context `traceparent`, if it is one."""
    text = (value or "").strip()
    return text if _TRACEPARENT.fullmatch(text) else None
