"""Keeps every account within its monthly cap: one `AccountSpend` each, and the words of a refusal.

It refuses to know which account pays for a call, and what the call's tokens cost.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from foxora_addon.api.errors import ApiError, invalid_request, spend_limit_reached
from foxora_addon.api.money import dollars
from foxora_addon.policy.spend import AccountSpend, OverCap, SpendReservation
from foxora_addon.policy.spend_month import MonthSpend, calendar_month
from foxora_addon.policy.twins import Twins


class SpendRules(NamedTuple):
    """How an account's cap is kept.

    `cap_usd` is the configuration's, None: the gateway's own. In shadow mode all is counted and
    nothing refused. `refuses_unknown`: a call whose price is not known is refused. That is not the
    default, since the gateway, which knows the price, keeps the cap too, and its answers bring such
    calls into the books; a row that a table lacks would break an app for nothing.
    """

    cap_usd: Decimal | None = None
    is_shadow: bool = False
    refuses_unknown: bool = False


class Budgets:
    """The spend of all accounts, by name. Times are Unix seconds of the wall clock.

    `months` is what is known of them from before.
    """

    def __init__(self, months: Mapping[str, MonthSpend] | None = None) -> None:
        self._accounts = {name: AccountSpend(month) for name, month in (months or {}).items()}
        self._twins = Twins()

    def reserve(
        self, account: str, rules: SpendRules, cost_usd: Decimal | None, now: float
    ) -> SpendReservation | ApiError:
        """Take the estimated cost of a call, or say why it may not be sent.

        `cost_usd` None: the price of its model is not known. What needs no model costs 0.
        """
        if cost_usd is None and rules.refuses_unknown and not rules.is_shadow:
            return _unknown_price(account)
        spend = self._accounts.get(account) or self.spend_of(account, now)
        spend.cap_of_config_usd = rules.cap_usd
        over = None if rules.is_shadow else spend.refusal(cost_usd, now)
        return spend.admit(cost_usd) if over is None else _refusal_of(over, account)

    def refusal(
        self, account: str, rules: SpendRules, cost_usd: Decimal | None, now: float
    ) -> ApiError | None:
        """Say why `reserve` would refuse, were it not for shadow mode, and take nothing."""
        if cost_usd is None and rules.refuses_unknown:
            return _unknown_price(account)
        spend = self.spend_of(account, now)
        spend.cap_of_config_usd = rules.cap_usd
        over = spend.refusal(cost_usd, now)
        return None if over is None else _refusal_of(over, account)

    def settle(
        self,
        reservation: SpendReservation,
        cost_usd: Decimal | None,
        now: float,
        *,
        is_certain: bool,
    ) -> Decimal | None:
        """The exchange is over: return the cost for its record (see `AccountSpend.settle`)."""
        return reservation.of.root.settle(reservation, cost_usd, now, is_certain=is_certain)

    def release(self, reservation: SpendReservation) -> None:
        """The call cost nothing: it never reached the gateway, or was refused there."""
        reservation.of.root.release(reservation)

    def unify(self, kept: str, other: str, now: float) -> None:
        """Two names turned out to be one account: what was spent under either counts for both."""
        joined = self._twins.join(kept, other)
        if joined is None:
            return
        kept, other = joined
        lost = self._accounts.pop(other, None)
        if lost is not None and self._accounts.setdefault(kept, lost) is not lost:
            self._accounts[kept].absorb(lost, now)

    def part(self, leaver: str, heir: str, now: float) -> None:
        """A name turned out to mean another account than before: it begins anew.

        What was spent under it stays with the names that meant the same, as in `Allowances.part`.
        """
        if not self._twins.part(leaver, heir):
            return
        lost = self._accounts.pop(leaver, None)
        if lost is not None:
            self.spend_of(heir, now).absorb(lost, now)

    def name_of(self, name: str) -> str:
        """Return the name under which it is counted."""
        return self._twins.name_of(name)

    def has_met(self, account: str) -> bool:
        """Whether anything is kept of an account."""
        return self.name_of(account) in self._accounts

    @property
    def merged(self) -> frozenset[str]:
        """The names that mean another's account, of whom nothing is kept by themselves."""
        return frozenset(self._twins)

    def months(self, now: float) -> dict[str, MonthSpend]:
        """Return what is known of each account's month, as it may be written down."""
        return {name: spend.latest_month(now) for name, spend in self._accounts.items()}

    def spend_of(self, account: str, now: float) -> AccountSpend:
        """Return an account's spend; one that is met for the first time has none yet."""
        spend = self._accounts.get(account)
        if spend is None and account in self._twins:
            account = self.name_of(account)
            spend = self._accounts.get(account)
        if spend is None:
            spend = self._accounts[account] = AccountSpend(calendar_month(now))
        return spend


def _unknown_price(account: str) -> ApiError:
    return invalid_request(
        f"The call names no model whose price is known, and account '{account}' sends no call "
        "without one. Name a model; whoever runs the proxy can add its price to the price table.",
        "model",
    )


def _refusal_of(over: OverCap, account: str) -> ApiError:
    """Word a refusal. Its 402 says by itself that trying again does not help."""
    in_open_calls = f", in open calls {dollars(over.open_usd)}" if over.open_usd else ""
    return spend_limit_reached(
        f"Account '{account}' is at its monthly spend cap: cap {dollars(over.cap_usd)}, spent "
        f"{dollars(over.spent_usd)}{in_open_calls}, requested {dollars(over.requested_usd)}. "
        f"It is renewed on {_words_of(over.renews_at)}."
    )


def _words_of(moment: float) -> str:
    when = datetime.fromtimestamp(moment, UTC)
    return f"{when.day} {when:%B %Y} at {when:%H:%M} UTC"
