"""Sums of money in US dollars as exact decimals: how they are read, written and said.

It refuses to know what a sum is for. No sum is ever the result of arithmetic on binary fractions.
"""

import json
import re
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

PLACES: Final = 15
"""Decimals that a sum has at most. Below MOST_USD that is what Decimal's 28 digits add exactly."""

MOST_USD: Final = Decimal(10**12)
"""A sum above it is nonsense."""

_NUMBER: Final = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_FIFTEEN_DIGITS: Final = Context(prec=15)
_SURE_CHARACTERS: Final = 15  # a sum of so many has no more digits


def parse_exactly(body: bytes) -> Any:
    """Return the value of a JSON text whose fractions are decimals; raises ValueError."""
    try:
        return json.loads(body, parse_float=_decimal_in)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _decimal_in(text: str) -> Decimal | None:
    """Return a fraction as it is written; None: it is larger than any decimal."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def usd_of(value: object, *, places: int = PLACES, most: Decimal = MOST_USD) -> Decimal | None:
    """Return the sum that a number, or a text that is one, means; None if it is no sum of money.

    A float is what its shortest text says, so one that was read from a text of up to 15 digits is
    that text exactly. Decimals beyond `places` are noise of floats at the other side, and rounded.
    """
    amount = _decimal_of(value)
    if amount is None or not amount.is_finite() or not 0 <= amount <= most:
        return None
    rounded = amount.quantize(Decimal(1).scaleb(-places))
    return abs(amount) if amount == rounded else rounded


def _decimal_of(value: object) -> Decimal | None:
    if isinstance(value, str):
        return Decimal(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation:
        return None


def json_number_of(amount: Decimal) -> float:
    """Return the float that JSON writes as this very sum, for readers who parse it as a decimal.

    JSON's writer takes no Decimal, but writes the shortest text that means the float. That text is
    the sum again for all sums of up to 15 digits, and for many longer ones; the others lose what is
    beyond the fifteenth digit.
    """
    text = str(amount)
    number = float(text)
    if len(text) <= _SURE_CHARACTERS or Decimal(repr(number)) == amount:
        return number
    return float(_FIFTEEN_DIGITS.plus(amount))


def dollars(amount: Decimal) -> str:
    """Return the words for a sum, with cents and whatever is below them: $12.40, $0.00015."""
    whole, _, fraction = f"{amount:f}".partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"
