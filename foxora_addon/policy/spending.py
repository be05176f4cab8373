"""Works out what calls cost and keeps accounts within their monthly caps.

Prices come from the gateway's list, and from the configuration for models that it lacks; what is
spent is `budgets`' business. It refuses to know which payers are one account. Times are Unix
seconds of the wall clock, since a month is the calendar's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from cachetools import LRUCache

from foxora_addon.api.errors import ApiError
from foxora_addon.api.money import json_number_of
from foxora_addon.api.prices import Price, PriceTable, cost, parse_prices
from foxora_addon.api.usage import Usage
from foxora_addon.exchange import Exchange
from foxora_addon.policy.budgets import Budgets, SpendRules
from foxora_addon.policy.learned import Charge
from foxora_addon.policy.spend import AccountSpend, Question, SpendReservation
from foxora_addon.policy.spend_report import parse_spend

# Gateways list some hundreds of models; a list that changes all the time must not fill memory.
_MOST_PRICES: Final = 10_000
_MOST_QUESTIONS: Final = 10_000

_FREE: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class PriceRules:
    """`prices` are of models that the gateway's own list lacks."""

    prices: Mapping[str, Price] = field(default_factory=dict)
    refuses_unknown: bool = False
    is_shadow: bool = False


class Spending:
    """The costs of calls, and the months of accounts by name."""

    def __init__(self, rules: PriceRules) -> None:
        self.budgets = Budgets()
        self._rules = rules
        self._spend_rules = SpendRules(None, rules.is_shadow, rules.refuses_unknown)
        self._told: dict[str, Price] = {}
        self._table = PriceTable({}, rules.prices)
        # By payer: what was asked of, which may be part of another by the time of the answer.
        self._questions: LRUCache[str, tuple[AccountSpend, Question]] = LRUCache(_MOST_QUESTIONS)

    def take_rules(self, rules: PriceRules) -> None:
        """Work by other rules from now on."""
        self._rules = rules
        self._spend_rules = SpendRules(None, rules.is_shadow, rules.refuses_unknown)
        self._table = PriceTable(self._told, rules.prices)

    def take_models(self, body: bytes) -> bool:
        """Take an answer of GET /v1/models; whether it is one. Other models keep their prices."""
        told = parse_prices(body)
        if told is None:
            return False
        self._told = {**self._told, **told} if len(self._told) < _MOST_PRICES else told
        self._table = PriceTable(self._told, self._rules.prices)
        return True

    def ask(self, payer: str, account: str, now: float) -> None:
        """GET /v1/me is being asked now, with the key of a payer of that account."""
        spend = self.budgets.spend_of(account, now)
        self._questions[payer] = spend, spend.question()

    def reconcile(self, payer: str, body: bytes, now: float) -> None:
        """Lay the gateway's figures of the month over ours, as they were when it was asked."""
        asked, report = self._questions.pop(payer, None), parse_spend(body)
        if asked is not None and report is not None and asked[0].root is asked[0]:
            asked[0].reconcile(asked[1], report, now)

    def meet(self, account: str, body: bytes, now: float) -> None:
        """The gateway told of an account of which we have spent nothing yet."""
        report = parse_spend(body)
        if report is not None and not self.budgets.has_met(account):
            spend = self.budgets.spend_of(account, now)
            spend.reconcile(spend.question(), report, now)

    def unify(self, kept: str, other: str, now: float) -> None:
        """Two names turned out to be one account."""
        self.budgets.unify(kept, other, now)

    def part(self, leaver: str, heir: str, now: float) -> None:
        """A payer turned out to be another account than before; what was told is not of the old."""
        self._questions.pop(leaver, None)
        self.budgets.part(leaver, heir, now)

    def reserve(
        self, exchange: Exchange, account: str, cap_usd: Decimal | None, charged: Charge, now: float
    ) -> ApiError | None:
        """Take the estimated cost of a call from the month's cap, or say why it may not be sent.

        In shadow mode that is noted on the exchange, and the cost is taken all the same.
        """
        rules = self._spend_rules
        if rules.cap_usd is not cap_usd:
            rules = self._spend_rules = rules._replace(cap_usd=cap_usd)
        cost_usd = self._cost_of(exchange, charged.input_tokens, charged.output_tokens)
        if rules.is_shadow:
            exchange.shadow = self.budgets.refusal(account, rules, cost_usd, now)
        taken = self.budgets.reserve(account, rules, cost_usd, now)
        if isinstance(taken, ApiError):
            return taken
        exchange.spending = taken
        return None

    def release(self, exchange: Exchange) -> None:
        """The call costs nothing: it was never sent, or refused by the gateway."""
        spending, exchange.spending = exchange.spending, None
        if spending is not None:
            self.budgets.release(spending)

    def settle(
        self, exchange: Exchange, usage: Usage | None, now: float, told_model: str | None = None
    ) -> None:
        """Count what a try has cost, and add it to its exchange's; `usage` None: nothing.

        By the model that the answer names where the price of the one asked for is not known.
        """
        spending, exchange.spending = exchange.spending, None
        if spending is None:
            return
        cost_usd: Decimal | None = _FREE
        is_certain = True
        if usage is not None:
            output_tokens = _output_of(usage)
            cost_usd = self._cost_of(exchange, usage.input_tokens or 0, output_tokens, told_model)
            is_certain = cost_usd is not None and usage.source == "reported"
            if is_certain and spending.cost_usd is None:
                is_certain = self._has_price(exchange.model)
        spent_usd = self.budgets.settle(spending, cost_usd, now, is_certain=is_certain)
        if spent_usd is not None:
            before_usd = exchange.cost_usd
            exchange.cost_usd = spent_usd if before_usd is None else before_usd + spent_usd
        if not is_certain:
            exchange.is_cost_certain = False

    def hold(
        self,
        account: str,
        cap_usd: Decimal | None,
        model: str | None,
        charged: Charge,
        now: float,
    ) -> SpendReservation | ApiError:
        """Take the estimated cost of an answer within an open exchange, or say why there is none.

        `use` or `let_go` ends it.
        """
        rules = self._spend_rules._replace(cap_usd=cap_usd)
        cost_usd = self._price([model], charged.input_tokens, charged.output_tokens)
        return self.budgets.reserve(account, rules, cost_usd, now)

    def hold_nothing(self, account: str, now: float) -> SpendReservation:
        """What `use` settles of an answer for which nothing was held."""
        return self.budgets.spend_of(account, now).admit(None)

    def use(
        self, taken: SpendReservation, usage: Usage, models: Sequence[str | None], now: float
    ) -> tuple[Decimal | None, bool]:
        """Count what an answer within an open exchange has cost; return it, and if it is certain.

        By the first of these models whose price is known; the last is the one asked for. None: the
        cost is not known.
        """
        cost_usd = self._price(models, usage.input_tokens or 0, _output_of(usage))
        has_price = cost_usd is not None and self._has_price(models[-1])
        is_certain = has_price and usage.source == "reported"
        return self.budgets.settle(taken, cost_usd, now, is_certain=is_certain), is_certain

    def let_go(self, taken: SpendReservation) -> None:
        """The answer has cost nothing."""
        self.budgets.release(taken)

    def _has_price(self, asked_model: str | None) -> bool:
        """Whether a cost is not by another model's price; none may be asked for.

        The one that answers may cost more than what was asked for, such as its free variant.
        """
        return asked_model is None or self._table.find(asked_model) is not None

    def _price(
        self, models: Sequence[str | None], input_tokens: int, output_tokens: int
    ) -> Decimal | None:
        for model in models:
            if model is not None and (price := self._table.find(model)) is not None:
                return cost(price, input_tokens, output_tokens)
        return None

    def told_cap(self, account: str, now: float) -> Decimal | None:
        """The gateway's own cap of an account; None: it has none, or it is not known."""
        return self.budgets.spend_of(account, now).month(now).told_cap_usd

    def balance(self, account: str, cap_usd: Decimal | None, now: float) -> dict[str, Any]:
        """What is spent and what may be, in US dollars, as JSON has it; None: not known."""
        spend = self.budgets.spend_of(account, now)
        cap = spend.cap_usd if cap_usd is None else cap_usd
        return {
            "used_usd": json_number_of(spend.month(now).spent_usd),
            "ceiling_usd": None if cap is None else json_number_of(cap),
        }

    def _cost_of(
        self,
        exchange: Exchange,
        input_tokens: int,
        output_tokens: int,
        told_model: str | None = None,
    ) -> Decimal | None:
        """What tokens of a call's model cost; 0 for calls that no model answers."""
        if not (exchange.estimated_tokens or input_tokens or output_tokens):
            return _FREE
        models = (exchange.model,) if told_model == exchange.model else (exchange.model, told_model)
        return self._price(models, input_tokens, output_tokens)


def _output_of(usage: Usage) -> int:
    if usage.output_tokens is not None:
        return usage.output_tokens
    return max((usage.total_tokens or 0) - (usage.input_tokens or 0), 0)
