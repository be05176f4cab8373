"""Keeps the accounts: what each may still do, what a call is charged, and what it came to.

Pure: time is an argument. It refuses to know how a call reached us and what its record looks like.
Which key is whose is `standing`'s business, how ceilings are kept that of `allowances`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from foxora_addon.api.errors import ApiError
from foxora_addon.api.usage import Usage
from foxora_addon.exchange import Exchange
from foxora_addon.policy.allowances import Allowances, estimated_tokens
from foxora_addon.policy.plans import UNLIMITED, Ceilings, parse_me
from foxora_addon.policy.standing import Standings


@dataclass(frozen=True, slots=True)
class AccountRules:
    """What the configuration says of an account. `asks`: what it leaves open, GET /v1/me tells.

    `models` and `clients` have further ceilings below the account's, by name.
    """

    ceilings: Ceilings = UNLIMITED
    asks: bool = True
    models: Mapping[str, Ceilings] = field(default_factory=dict)
    clients: Mapping[str, Ceilings] = field(default_factory=dict)


STRANGER: Final = AccountRules()
"""What holds for a key that passes through: whatever the gateway tells of it."""

_NEVER_SECONDS: Final = 3_600.0


class Accounting:
    """The books of all accounts. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.standings = Standings()
        self._allowances = Allowances()

    # What is known of an account.

    def ceilings(self, payer: str, rules: AccountRules) -> Ceilings:
        """The ceilings in force: the configuration's, then what the gateway told."""
        known = self.standings.known(payer)
        told = known.me.ceilings if known and rules.asks else UNLIMITED
        return rules.ceilings.over(told)

    def lacks(self, payer: str, rules: AccountRules) -> list[str]:
        """The names of the ceilings that could be asked for and are not known yet."""
        if not rules.asks or self.standings.known(payer):
            return []
        known = rules.ceilings
        figures = {
            "requests_per_minute": known.requests_per_minute,
            "tokens_per_minute": known.tokens_per_minute,
        }
        return [name for name, figure in figures.items() if figure is None]

    def take_me(self, payer: str, body: bytes, asked_at: float, *, is_configured: bool) -> bool:
        """Take an answer of GET /v1/me; whether it is one."""
        try:
            me = parse_me(json.loads(body))
        except (ValueError, RecursionError):
            return False
        if me is None:
            return False
        self.standings.take(payer, me, asked_at, is_configured=is_configured)
        return True

    def ask(self, payer: str, rules: AccountRules, now: float) -> float:
        """Count a question of our own that is sent now; 0, or the seconds that it has to wait.

        It is a request of the account, as any HTTP call is (foxora-api.md, Rate limits).
        """
        name = self.standings.canonical(payer)
        ceilings = self.ceilings(payer, rules)
        taken = self._allowances.reserve(name, ceilings, 0, now, is_shadow=False)
        if isinstance(taken, ApiError):
            return taken.retry_after_seconds or _NEVER_SECONDS
        self._allowances.settle(name, taken, 0, now)
        return 0.0

    # One call.

    def reserve(
        self, exchange: Exchange, rules: AccountRules, now: float, *, is_shadow: bool
    ) -> ApiError | None:
        """Take a request and the tokens of a call from its account, or say why there is no room."""
        if exchange.payer is None:
            return None
        ceilings = self.ceilings(exchange.payer, rules)
        tokens = estimated_tokens(exchange.sent_body, ceilings.tokens_per_minute)
        exchange.estimated_tokens = tokens
        name = self.standings.canonical(exchange.payer)
        taken = self._allowances.reserve(name, ceilings, tokens, now, is_shadow=is_shadow)
        if isinstance(taken, ApiError):
            return taken
        exchange.reservation = taken
        return None

    def mark_sent(self, exchange: Exchange, now: float) -> None:
        """The call is sent at this moment, which is the one that it belongs to."""
        if exchange.reservation is not None and exchange.payer is not None:
            name = self.standings.canonical(exchange.payer)
            self._allowances.mark_sent(name, exchange.reservation, now)

    def settle(self, exchange: Exchange, usage: Usage | None, now: float) -> None:
        """The exchange is over: charge what it used, all that was reserved if nobody knows."""
        if exchange.reservation is None or exchange.payer is None:
            return
        name = self.standings.canonical(exchange.payer)
        if exchange.was_sent:
            used = exchange.estimated_tokens if usage is None else usage.total_tokens
            self._allowances.settle(name, exchange.reservation, used or 0, now)
        else:
            self._allowances.release(name, exchange.reservation, now)

    def obey(self, payer: str, retry_after_seconds: float, now: float) -> None:
        """The gateway's own 429 closes the account, for all its clients, for so long."""
        self._allowances.obey(self.standings.canonical(payer), retry_after_seconds, now)
