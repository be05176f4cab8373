"""Counts after a restart what was sent before it, and says what else must outlive one.

It refuses to know where any of it is kept (`remembered` reads it off the trail).
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from foxora_addon.policy.allowances import Allowances, Reserved
from foxora_addon.policy.learned import Learned
from foxora_addon.policy.limits import WINDOW_SECONDS
from foxora_addon.policy.payers import AccountRules, Payers
from foxora_addon.policy.plans import NOTHING_TOLD, UNLIMITED, Me
from foxora_addon.policy.questions import Questions
from foxora_addon.policy.remembered import Closing, Remembered, Told
from foxora_addon.policy.standing import is_nobodys

# Of a key's SHA-256: a guess that agrees is one of 2^32 that do.
_MARK_CHARACTERS: Final = 8


class Recollection:
    """The memory of the books that it is given. Times are seconds of their clock."""

    def __init__(
        self, payers: Payers, allowances: Allowances, questions: Questions, learned: Learned
    ) -> None:
        self._payers = payers
        self._allowances = allowances
        self._questions = questions
        self._learned = learned
        self._kept: Collection[str] = ()
        self._ids: Mapping[str, str] = {}  # the gateway's ids of accounts by name, as it was told
        self._renamed: Mapping[str, str] = {}  # new names by those that had the same key

    # For a restart.

    def told(self, now: float) -> dict[str, Told]:
        """What the gateway was asked and told of the configured accounts, and of which keys."""
        found: dict[str, Told] = {}
        for payer, rules in self._payers.rules.accounts.items():
            me = self._payers.standings.known(payer) or NOTHING_TOLD
            ceilings = me.ceilings if rules.asks else UNLIMITED
            lately = self._questions.lately(payer, now)
            found[payer] = Told(ceilings, lately, me.account_id, _mark_of(rules))
        return found

    def closed(self, now: float) -> dict[str, Closing]:
        """The accounts that the gateway's own 429s keep closed."""
        return self._allowances.closed(now)

    # After it. In this order, and before anything else is counted.

    def know(self, told: Mapping[str, Told], accounts: Collection[str] = ()) -> None:
        """Know again who the accounts are, and their ceilings, which hold until told anew.

        A key that was changed meanwhile is mostly the same account's: until it is told, all that is
        known counts for it. An account with the key of a name that is gone was renamed. `accounts`
        are the names under which anything was kept.
        """
        self._renamed = self._renamed_of(told)
        last_of = {**{new: told[old] for old, new in self._renamed.items()}, **told}
        self._kept = frozenset(accounts)
        self._ids = {name: each.account_id for name, each in told.items() if each.account_id}
        for payer in self._payers.rules.accounts:
            last, rules = last_of.get(payer), self._payers.rules_of(payer)
            if last is None:
                continue
            is_same_key = last.key != "" and last.key == _mark_of(rules)
            ceilings = last.ceilings if rules.asks else UNLIMITED
            if last.account_id is not None or ceilings != UNLIMITED:
                is_sure = is_same_key and not rules.asks
                me = Me(last.account_id, None, ceilings)
                self._payers.standings.recall(payer, me, is_sure=is_sure)

    def _renamed_of(self, told: Mapping[str, Told]) -> dict[str, str]:
        accounts = self._payers.rules.accounts
        by_mark = {_mark_of(rules): payer for payer, rules in accounts.items()}
        return {
            name: by_mark[each.key]
            for name, each in told.items()
            if each.key in by_mark and each.key and name not in accounts
        }

    def account_of(self, name: str) -> str:
        """The name under which is counted what stands under another in records or the state."""
        name = self._renamed.get(name, name)
        if self._payers.is_configured(name):
            return self._payers.standings.canonical(name)
        if is_nobodys(name):
            return name  # a key that passed through, which the gateway has closed
        account_id = self._ids.get(name)
        if account_id is None and name in self._kept and not name.startswith("id "):
            return name  # it is in the configuration no longer, and may come back
        return self._payers.standings.owner(account_id or name.removeprefix("id "))

    def count(
        self,
        calls: Collection[Remembered],
        told: Mapping[str, Told],
        closed: Mapping[str, Closing],
        now: float,
    ) -> None:
        """Count what was sent before the proxy was started, at the moments at which it was.

        The last questions of the proxy before us may not have been written down: as many as are
        usual are taken to have been sent just now.
        """
        for payer, asked in self._asked_of(told).items():
            self._questions.recall(payer, asked)
            questions = [Remembered(payer, None, None, at, at, 0, None) for at in asked]
            calls = [*calls, *questions]
        self._count_calls(calls)
        for payer in {
            self._payer_of(call)
            for call in calls
            if call.is_request and now - call.sent_at < WINDOW_SECONDS
        }:
            self._questions.remember_usual(payer, now)
        for account, closing in closed.items():
            self._allowances.close(self.account_of(account), closing, now)
        for call in calls:
            if call.closes_for is not None:
                closing = Closing(call.ended_at, call.ended_at + call.closes_for)
                self._allowances.close(self.account_of(call.account), closing, now)

    def _asked_of(self, told: Mapping[str, Told]) -> dict[str, list[float]]:
        """When each configured account was asked of, under whichever of its names.

        What stands under two is the same: a name that takes over has what the one before it had.
        """
        found: dict[str, Counter[float]] = {}
        for name, last in told.items():
            payer = self._renamed.get(name, name)
            if self._payers.is_configured(payer):
                found[payer] = found.get(payer, Counter()) | Counter(last.asked)
        return {payer: sorted(moments.elements()) for payer, moments in found.items()}

    def _count_calls(self, calls: Collection[Remembered]) -> None:
        events: list[tuple[float, int, Remembered]] = []
        for call in calls:
            events += [(call.sent_at, 0, call), (call.ended_at, 1, call)]
        held: dict[int, Reserved] = {}
        for moment, kind, call in sorted(events, key=lambda event: event[:2]):
            if not call.is_request:
                if kind:
                    self._count_tokens(call, moment)
            elif kind == 0:
                payer = self._payer_of(call)
                scopes = self._payers.scopes_of(payer, call.model, call.client)
                taken = held[id(call)] = self._allowances.admit(scopes, call.tokens, moment)
                self._allowances.mark_sent(taken, moment)
            else:
                self._allowances.settle(held[id(call)], call.tokens, moment)
                if call.output_tokens is not None:
                    account = self.account_of(call.account)
                    self._learned.observe(account, call.model, call.output_tokens)

    def _count_tokens(self, call: Remembered, moment: float) -> None:
        scopes = self._payers.scopes_of(self._payer_of(call), call.model, call.client)
        self._allowances.use(self._allowances.hold(scopes, 0, moment), call.tokens, moment)

    def _payer_of(self, call: Remembered) -> str:
        is_configured = self._payers.is_configured(call.account)
        return call.account if is_configured else self.account_of(call.account)


def _mark_of(rules: AccountRules) -> str:
    """What tells an account's key from another, and is no use to whoever guesses at keys."""
    return rules.key_digest[:_MARK_CHARACTERS]
