"""Says what holds for whoever pays: the configuration's rules, and what the gateway told.

It refuses to know what is counted, and which of an account's payers calls.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from foxora_addon.policy.plans import UNLIMITED, Ceilings, tightest
from foxora_addon.policy.scopes import Scope, lowest_tokens
from foxora_addon.policy.spending import PriceRules
from foxora_addon.policy.standing import Standings
from foxora_addon.policy.waiting import Bounds


@dataclass(frozen=True, slots=True)
class AccountRules:
    """What the configuration says of an account. `asks`: ceilings it leaves open, /v1/me tells.

    `models` and `clients` have further ceilings below the account's, by name. `client_marks` tell
    who it is that an edit may give another name, by the present one. `cap_usd` is the month's spend
    cap; None: the gateway's own. `key_digest` tells one key from another.
    """

    ceilings: Ceilings = UNLIMITED
    asks: bool = True
    models: Mapping[str, Ceilings] = field(default_factory=dict)
    clients: Mapping[str, Ceilings] = field(default_factory=dict)
    client_marks: Mapping[str, str] = field(default_factory=dict)
    cap_usd: Decimal | None = None
    key_digest: str = ""


STRANGER: Final = AccountRules()
"""What holds for a key that passes through: whatever the gateway tells of it."""


@dataclass(frozen=True, slots=True)
class LimitRules:
    """How ceilings are kept. `bounds` None: what does not fit is refused, and nothing waits."""

    accounts: Mapping[str, AccountRules] = field(default_factory=dict)
    bounds: Bounds | None = None
    is_shadow: bool = False
    prices: PriceRules = field(default_factory=PriceRules)


class InForce(NamedTuple):
    """What an account is held to.

    Where several accounts of the configuration turned out to be one, the tighter of each figure
    holds: whoever wrote the lower one meant not to pass it. `cap_usd` is the month's cap, None: the
    gateway's own; `is_told_cap_kept`: that one holds beside it, where it is known.
    """

    ceilings: Ceilings
    cap_usd: Decimal | None
    is_told_cap_kept: bool = False


class Terms(NamedTuple):
    """What a call is held to.

    `lowest_tokens` is the lowest of its scopes' ceilings of tokens a minute; None: they have none.
    """

    scopes: tuple[Scope, ...]
    lowest_tokens: int | None
    in_force: InForce


class Payers:
    """The rules of all payers, and their standing with the gateway."""

    def __init__(self, rules: LimitRules) -> None:
        self.rules = rules
        self.standings = Standings()
        self._gone: dict[str, AccountRules] = {}  # no longer in the configuration, by name
        # Of configured payers, as it was worked out when the standings had changed so often.
        self._in_force: dict[str, InForce] = {}
        self._scopes: dict[str, Scope] = {}
        self._terms: dict[str, Terms] = {}  # where nothing below the account has ceilings
        self._known_changes = 0

    def take_rules(self, rules: LimitRules) -> Mapping[str, str]:
        """Go by other rules from now on; who is new, or has another key, is to be asked for.

        What is open of an account that they leave out goes on by those that it had, or by those of
        another that is the same account: these are what it is held to from now on. One that is new
        and has the key of one that is left out is the same: returned are those names, new by old.
        """
        known = {**self._gone, **self.rules.accounts}
        gone = {name: each for name, each in known.items() if name not in rules.accounts}
        gone_by_key = {each.key_digest: name for name, each in gone.items() if each.key_digest}
        renamed: dict[str, str] = {}
        for payer, account in rules.accounts.items():
            before = known.get(payer)
            old = None if payer in self.rules.accounts else gone_by_key.get(account.key_digest)
            if old is not None:
                self.standings.rename(old, payer)
                renamed[old] = payer
            elif before is None or before.key_digest != account.key_digest:
                self.standings.doubt(payer)  # it may be one of another name, or a stranger's
        self._gone = gone
        self.rules = rules
        self._forget()
        return renamed

    def forget_gone(self, is_counted: Callable[[str], bool]) -> None:
        """Forget those accounts that the configuration left out of which nothing is counted."""
        if self._gone:
            kept = self._gone.items()
            canonical = self.standings.canonical
            self._gone = {name: rules for name, rules in kept if is_counted(canonical(name))}

    def rules_of(self, payer: str) -> AccountRules:
        """What the configuration says of a payer, or said of it last."""
        return self.rules.accounts.get(payer) or self._gone.get(payer, STRANGER)

    def is_configured(self, payer: str) -> bool:
        """Whether it is an account of the configuration."""
        return payer in self.rules.accounts

    def ceilings(self, payer: str) -> Ceilings:
        """The ceilings in force: the configuration's, then what the gateway told."""
        return self.in_force(payer).ceilings

    def in_force(self, payer: str) -> InForce:
        """What is held to, of the account behind a payer: by whichever payer it is called for."""
        if self._known_changes != self.standings.changes:
            self._forget()
        found = self._in_force.get(payer)
        if found is not None:
            return found
        sharers = self.sharers(payer)
        if payer in sharers:
            found = self._in_force[payer] = self._shared(sharers)
            return found
        if sharers:
            return self.in_force(sharers[0])
        return InForce(self._own(payer), self.rules_of(payer).cap_usd)

    def _forget(self) -> None:
        """Work out anew what is asked for next."""
        self._known_changes = self.standings.changes
        self._in_force.clear()
        self._scopes.clear()
        self._terms.clear()

    def sharers(self, payer: str) -> list[str]:
        """The accounts of the configuration that are the payer's account, in its order."""
        found = self.standings.sharers(payer)
        names = [name for name in found if name in self.rules.accounts]
        if len(names) < 2:
            return names
        order = {name: place for place, name in enumerate(self.rules.accounts)}
        return sorted(names, key=order.__getitem__)

    def differs(self, sharers: Sequence[str]) -> bool:
        """Whether accounts that are one would be held to other figures, were each alone."""
        return len({(self._own(name), self.rules_of(name).cap_usd) for name in sharers}) > 1

    def _shared(self, sharers: Sequence[str]) -> InForce:
        caps = [self.rules_of(name).cap_usd for name in sharers]
        known = [cap for cap in caps if cap is not None]
        return InForce(
            tightest(self._own(name) for name in sharers),
            min(known, default=None),
            is_told_cap_kept=0 < len(known) < len(caps),
        )

    def _own(self, payer: str) -> Ceilings:
        """What would hold for a payer that shares its account with nobody."""
        rules = self.rules_of(payer)
        known = self.standings.newest(payer)
        told = known.ceilings if known and rules.asks else UNLIMITED
        return rules.ceilings.over(told)

    def lacks(self, payer: str) -> bool:
        """Whether a ceiling could be asked for and is not known yet, or not of the key in use."""
        rules = self.rules_of(payer)
        if self.standings.is_doubted(payer):
            return True
        if not rules.asks or self.standings.known(payer):
            return False
        return None in {rules.ceilings.requests_per_minute, rules.ceilings.tokens_per_minute}

    def may_be_another(self, payer: str) -> bool:
        """Whether a configured account may be another payer's too, and was not asked for."""
        has_others = len(self.rules.accounts) > 1 or self.standings.has_strangers
        return has_others and self.standings.known(payer) is None

    def account_scope(self, payer: str) -> Scope:
        """The account behind a payer, with its ceilings."""
        if self._known_changes != self.standings.changes:
            self._forget()
        found = self._scopes.get(payer)
        return self._account_scope(payer, self.in_force(payer)) if found is None else found

    def _account_scope(self, payer: str, in_force: InForce) -> Scope:
        account = self.standings.canonical(payer)
        shown = self.standings.shown(payer)
        label = "The key's account" if shown is None else f"Account '{shown}'"
        found = Scope(account, label, in_force.ceilings)
        if self.is_configured(payer):
            self._scopes[payer] = found
        return found

    def scopes_of(self, payer: str, model: str | None, client: str | None) -> tuple[Scope, ...]:
        """The account, and what has ceilings below it: the model asked for, and the client."""
        return self.terms_of(payer, model, client).scopes

    def terms_of(self, payer: str, model: str | None, client: str | None) -> Terms:
        """What a call is held to: its scopes (see `scopes_of`), and its account's cap."""
        if self._known_changes != self.standings.changes:
            self._forget()
        found = self._terms.get(payer)
        return self._terms_anew(payer, model, client) if found is None else found

    def _terms_anew(self, payer: str, model: str | None, client: str | None) -> Terms:
        in_force, rules = self.in_force(payer), self.rules_of(payer)
        account = self._scopes.get(payer) or self._account_scope(payer, in_force)
        if not rules.models and not rules.clients:
            found = Terms((account,), account.ceilings.tokens_per_minute, in_force)
            if payer in self._in_force:
                self._terms[payer] = found
            return found
        scopes = [account]
        if model is not None and model in rules.models:
            scopes += self.below(payer, "model", {model: rules.models[model]})
        if client is not None and client in rules.clients:
            scopes += self.below(payer, "client", {client: rules.clients[client]})
        return Terms(tuple(scopes), lowest_tokens(scopes), in_force)

    def below(self, payer: str, kind: str, table: Mapping[str, Ceilings]) -> Iterator[Scope]:
        """The scopes that have ceilings below an account's."""
        marks = self.rules_of(payer).client_marks if kind == "client" else {}
        for name, ceilings in table.items():
            if ceilings != UNLIMITED:
                label = f"{kind.capitalize()} '{name}' of account '{payer}'"
                yield Scope(f"{payer} {kind} {marks.get(name, name)}", label, ceilings)

    def scopes_below(self, payer: str) -> Iterator[Scope]:
        """All that has ceilings below a configured account."""
        rules = self.rules_of(payer)
        yield from self.below(payer, "model", rules.models)
        yield from self.below(payer, "client", rules.clients)
