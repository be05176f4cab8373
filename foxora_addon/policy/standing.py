"""Knows which payers are one account, and what the gateway told of each.

A *payer* is whoever a call is charged to before anything is known of it: a configured account, by
its name, or a Foxora key that passes through, by its digest. GET /v1/me names the account behind a
key (foxora-api.md, Routes): two payers with one id share one allowance. This module refuses to know
how the gateway is asked, and what its figures mean for a call.
"""

from collections.abc import Collection
from typing import Final

from cachetools import LRUCache

from foxora_addon.policy.plans import Me

# Keys that pass through are whoever's: of so many is something kept, the longest unused go first.
_MOST_STRANGERS: Final = 10_000


def payer_of_key(digest: str) -> str:
    """The payer of a key that passes through, by its SHA-256. No account's name has a space."""
    return f"key {digest}"


def payer_of_id(account_id: str) -> str:
    """The payer that stands for an account which is not in the configuration, by its id."""
    return f"id {account_id}"


def is_nobodys(payer: str) -> bool:
    """Whether it is a key that passes through, of which is not known whose it is."""
    return payer.startswith("key ")


class Standings:
    """What is known of payers. `configured` are the names of the accounts of the configuration."""

    def __init__(self) -> None:
        self.changes = 0  # how often what a configured payer is, or is told, became another
        self._configured: dict[str, Me] = {}
        self._sharers: dict[str, dict[str, None]] = {}  # account id -> configured payers
        self._doubted: set[str] = set()
        self._strangers: LRUCache[str, Me] = LRUCache(_MOST_STRANGERS)
        self._newest: LRUCache[str, Me] = LRUCache(_MOST_STRANGERS)  # of strangers' account ids
        # Account id -> payer: of accounts that a configured payer is, and of all others.
        self._owners: dict[str, str] = {}
        self._owners_of_others: LRUCache[str, str] = LRUCache(_MOST_STRANGERS)

    def take(self, payer: str, me: Me, *, is_configured: bool) -> str | None:
        """Take what was told of a payer; another payer that turns out to be the same account.

        The configured one of two is the one that stays, and `canonical` names it; so the answer is
        the payer whose counts are to be added to `canonical(payer)`'s.
        """
        self._doubted.discard(payer)
        if is_configured:
            self._know(payer, me)
        else:
            self._strangers[payer] = me
            if me.account_id is not None:
                self._newest[me.account_id] = me
        if me.account_id is None:
            return None
        owner = self._owner_of(me.account_id)
        mine = payer if is_configured else payer_of_id(me.account_id)
        if owner is None or (is_configured and owner not in self._configured):
            self._let_own(me.account_id, mine)
            # Under the account's id a restart may have counted what nobody stands for yet.
            other = owner or (payer_of_id(me.account_id) if is_configured else payer)
            return None if other == mine else other
        return None if owner == payer else payer

    def recall(self, payer: str, me: Me, *, is_sure: bool) -> None:
        """Know again what was told of a configured account before a restart.

        If it is not sure that it still holds, it is to be asked anew.
        """
        self._know(payer, me)
        if me.account_id is not None:
            self._let_own(me.account_id, self._owner_of(me.account_id) or payer)
        if not is_sure:
            self._doubted.add(payer)

    def owner(self, account_id: str) -> str:
        """The payer that stands for an account, by the gateway's id for it."""
        return self._owner_of(account_id) or payer_of_id(account_id)

    def _owner_of(self, account_id: str) -> str | None:
        return self._owners.get(account_id) or self._owners_of_others.get(account_id)

    def _know(self, payer: str, known: Me) -> None:
        before = self._configured.get(payer)
        if before == known:
            return
        self.changes += 1
        if before is not None and before.account_id is not None:
            self._leave(payer, before.account_id)
        if known.account_id is not None:
            self._join(payer, known.account_id)
        self._configured[payer] = known

    def _let_own(self, account_id: str, payer: str) -> None:
        owners = self._owners if account_id in self._sharers else self._owners_of_others
        owners[account_id] = payer
        self.changes += 1

    def _join(self, payer: str, account_id: str) -> None:
        if account_id in self._owners_of_others:
            self._owners[account_id] = self._owners_of_others.pop(account_id)
        self._sharers.setdefault(account_id, {})[payer] = None

    def _leave(self, payer: str, account_id: str) -> None:
        sharers = self._sharers[account_id]
        del sharers[payer]
        if not sharers:
            del self._sharers[account_id]
            if account_id in self._owners:
                self._owners_of_others[account_id] = self._owners.pop(account_id)

    def doubt(self, payer: str) -> None:
        """A configured account has another key: it may be another account, until we are told."""
        self._doubted.add(payer)

    def rename(self, payer: str, name: str) -> None:
        """A configured account has another name from now on: what was told of it is told of that.

        The old name goes on meaning the account, for what is open under it.
        """
        if self.is_doubted(payer):
            self._doubted.add(name)
        known = self._configured.get(payer)
        if known is None:
            return
        self._know(name, known)
        account_id = known.account_id
        if account_id is not None and self._owner_of(account_id) == payer:
            self._let_own(account_id, name)

    def is_doubted(self, payer: str) -> bool:
        """Whether that was said of it, and nothing was told since."""
        return payer in self._doubted

    def left(self, payer: str, me: Me) -> str | None:
        """The payer that stands for what a configured account is no longer; None: it still is that.

        To be asked before `take`, with what was told.
        """
        known = self._configured.get(payer)
        before = None if known is None else known.account_id
        if before is None or me.account_id is None or me.account_id == before:
            return None
        others = (
            name
            for name, other in self._configured.items()
            if name != payer and other.account_id == before
        )
        if self._owner_of(before) == payer:
            self._let_own(before, next(others, payer_of_id(before)))
        return self.owner(before)

    @property
    def has_strangers(self) -> bool:
        """Whether anything was told of a key that passes through."""
        return len(self._strangers) > 0

    def known(self, payer: str) -> Me | None:
        """What was last told of a payer; None if nothing was."""
        return self._configured.get(payer) or self._strangers.get(payer)

    def newest(self, payer: str) -> Me | None:
        """The same; of a key that passes through, what was last told of its account by any key."""
        known = self.known(payer)
        if known is None or known.account_id is None or payer in self._configured:
            return known
        return self._newest.get(known.account_id, known)

    def sharers(self, payer: str) -> Collection[str]:
        """The configured accounts that are the payer's account, itself if it is one of them.

        Some may be in the configuration no longer.
        """
        known = self.known(payer)
        if known is None or known.account_id is None:
            return (payer,)
        return self._sharers.get(known.account_id, ())

    def canonical(self, payer: str) -> str:
        """The payer that stands for the account which pays: itself, as long as nothing is known."""
        known = self.known(payer)
        if known is None or known.account_id is None:
            return payer
        return self._owner_of(known.account_id) or payer

    def shown(self, payer: str) -> str | None:
        """The account's name in records: the configuration's, else the gateway's id for it."""
        canonical = self.canonical(payer)
        if canonical.startswith("id "):
            return canonical.removeprefix("id ")
        if is_nobodys(canonical):
            return None
        return canonical if is_nobodys(payer) else payer
