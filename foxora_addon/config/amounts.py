"""Sums of money in the configuration: exact decimals, though YAML has only binary fractions.

A YAML number is taken for its shortest text, which is what was written for all numbers of up to 15
digits; a text in quotes is taken as it is.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator

from foxora_addon.api.money import MOST_USD, PLACES, usd_of
from foxora_addon.api.prices import MOST_PER_1K_USD, PRICE_PLACES, Price
from foxora_addon.config.problems import Problem, described
from foxora_addon.config.section import Section


def _reader_of(what: str, places: int, most: Decimal) -> Callable[[object], Decimal]:
    """Return what reads an amount, and says what would be accepted where it is none."""

    def amount_of(value: object) -> Decimal:
        amount = usd_of(value, places=places, most=most)
        if amount is None or amount != usd_of(value, most=most):
            raise Problem(f"must be {what}, not {described(value)}")
        return amount

    return amount_of


_CAP: Final = "a sum of US dollars from 0 up, such as 100 or 99.50"
_PRICE: Final = (
    f"US dollars for 1,000 tokens from 0 to {MOST_PER_1K_USD}, with at most {PRICE_PLACES} "
    "decimals, such as 0.00015"
)

Usd = Annotated[Decimal, BeforeValidator(_reader_of(_CAP, PLACES, MOST_USD))]
UsdPer1k = Annotated[Decimal, BeforeValidator(_reader_of(_PRICE, PRICE_PLACES, MOST_PER_1K_USD))]


class PriceFigures(Section):
    """A row of the price table: what 1,000 tokens of a model cost."""

    input_per_1k_usd: UsdPer1k
    output_per_1k_usd: UsdPer1k

    @property
    def price(self) -> Price:
        """The row as calls are charged by it."""
        return Price(self.input_per_1k_usd, self.output_per_1k_usd)
