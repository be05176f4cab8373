"""Knows which payers are one account, and what the gateway told of each.

A *payer* is whoever a call is charged to before anything is known of it: a configured account, by
its name, or a Foxora key that passes through, by its digest. GET /v1/me names the account behind a
key (foxora-api.md, Routes): two payers with one id share one allowance. This module refuses to know
how the gateway is asked, and what its figures mean for a call.
"""

from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from foxora_addon.policy.plans import Me

# Keys that pass through are whoever's: of so many is something kept, the longest unused go first.
_MOST_STRANGERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Known:
    """What was told, and when: seconds of the monotonic clock at which the question was sent."""

    me: Me
    asked_at: float


def payer_of_key(digest: str) -> str:
    """The payer of a key that passes through, by its SHA-256. No account's name has a space."""
    return f"key {digest}"


def _payer_of_id(account_id: str) -> str:
    return f"id {account_id}"


class Standings:
    """What is known of payers. `configured` are the names of the accounts of the configuration."""

    def __init__(self) -> None:
        self._configured: dict[str, Known] = {}
        self._strangers: LRUCache[str, Known] = LRUCache(_MOST_STRANGERS)
        self._owners: LRUCache[str, str] = LRUCache(_MOST_STRANGERS)  # account id -> payer

    def take(self, payer: str, me: Me, asked_at: float, *, is_configured: bool) -> str | None:
        """Take what was told of a payer; another payer that turns out to be the same account.

        The configured one of two is the one that stays, and `canonical` names it; so the answer is
        the payer whose counts are to be added to `canonical(payer)`'s.
        """
        known = Known(me, asked_at)
        if is_configured:
            self._configured[payer] = known
        else:
            self._strangers[payer] = known
        if me.account_id is None:
            return None
        owner = self._owners.get(me.account_id)
        mine = payer if is_configured else _payer_of_id(me.account_id)
        if owner is None or (is_configured and owner not in self._configured):
            self._owners[me.account_id] = mine
            other = owner if owner is not None else payer
            return None if other == mine else other
        return None if owner == payer else payer

    def known(self, payer: str) -> Known | None:
        """What was last told of a payer; None if nothing was."""
        return self._configured.get(payer) or self._strangers.get(payer)

    def canonical(self, payer: str) -> str:
        """The payer that stands for the account which pays: itself, as long as nothing is known."""
        known = self.known(payer)
        if known is None or known.me.account_id is None:
            return payer
        return self._owners.get(known.me.account_id, payer)

    def shown(self, payer: str) -> str | None:
        """The account's name in records: the configuration's, else the gateway's id for it."""
        canonical = self.canonical(payer)
        if canonical.startswith("id "):
            return canonical.removeprefix("id ")
        return None if canonical.startswith("key ") else payer
