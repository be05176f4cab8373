"""What a call costs: prices by model, read from GET /v1/models or the configuration.

It refuses to know how many tokens a call used and who pays for them.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from foxora_addon.api.money import parse_exactly, usd_of

PRICE_PLACES: Final = 12
"""Decimals of a price for 1,000 tokens, so that the cost of any call has no more than PLACES."""

MOST_PER_1K_USD: Final = Decimal(1_000)
"""A price above it is nonsense."""

# More than any gateway lists; they bound what a strange answer can make us hold.
_MOST_BYTES: Final = 16 * 1024 * 1024
_MOST_MODELS: Final = 20_000
_LONGEST_ID: Final = 256
_MOST_FOUND: Final = 1_000

# A figure above it is no number of tokens.
_MOST_TOKENS: Final = 10**12

_SNAPSHOT: Final = re.compile(r"[-@](?:\d{4}-\d\d-\d\d|\d{8}|\d{4})$", re.ASCII)


class Price(NamedTuple):
    """US dollars for 1,000 tokens of a model, input and output priced apart."""

    input_per_1k_usd: Decimal
    output_per_1k_usd: Decimal


def cost(price: Price, input_tokens: int, output_tokens: int) -> Decimal:
    """Return what so many tokens cost in US dollars, exactly.

    All input is at the input price: the gateway documents no other for input that it had cached
    (foxora-api.md, Routes), so this is never less than what it charges.
    """
    input_usd = _bounded(input_tokens) * price.input_per_1k_usd
    return (input_usd + _bounded(output_tokens) * price.output_per_1k_usd).scaleb(-3)


def _bounded(tokens: int) -> int:
    return min(max(tokens, 0), _MOST_TOKENS)


def price_of(input_per_1k_usd: object, output_per_1k_usd: object) -> Price | None:
    """Return the price that two figures mean; None if either is missing or is no price."""
    figures = [
        usd_of(figure, places=PRICE_PLACES, most=MOST_PER_1K_USD)
        for figure in (input_per_1k_usd, output_per_1k_usd)
    ]
    return None if figures[0] is None or figures[1] is None else Price(figures[0], figures[1])


def parse_prices(body: bytes) -> dict[str, Price] | None:
    """Read the body of GET /v1/models (foxora-api.md, Routes), by the models' ids.

    None: it is no list of models, and says nothing. Rows without an id or with an odd figure are
    left out: a price that is not known is better than a wrong one.
    """
    if len(body) > _MOST_BYTES:
        return None
    try:
        value = parse_exactly(body)
    except ValueError:
        return None
    rows = value.get("data") if isinstance(value, dict) else None
    return dict(_priced(rows)) if isinstance(rows, list) else None


def _priced(rows: list[object]) -> Iterator[tuple[str, Price]]:
    for row in rows[:_MOST_MODELS]:
        if not isinstance(row, dict):
            continue
        model = row.get("id")
        price = price_of(row.get("input_per_1k_usd"), row.get("output_per_1k_usd"))
        if isinstance(model, str) and 0 < len(model) <= _LONGEST_ID and price is not None:
            yield model, price


class PriceTable:
    """Looks up prices, in the gateway's list first and in our own table for the rest.

    The gateway's figure is the one that is charged, so ours stands only where the gateway has none.
    A model is looked for in both under each spelling, the closest one first:

    1. as it is written, 2. in any case, 3. without its provider (`openai/gpt-4o` is `gpt-4o`, and
    `gpt-4o` finds `openai/gpt-4o`), 4. without the date of a snapshot (`gpt-4o-2024-08-06` is
    `gpt-4o`). The last is a choice: a few snapshots cost more than their model does now, but
    without a price such a call would count as nothing at all. A row of its own corrects it.
    """

    def __init__(self, gateways: Mapping[str, Price], ours: Mapping[str, Price]) -> None:
        self._exact = {**ours, **gateways}
        self._indexes = tuple(_index_of(table) for table in (gateways, ours))
        self._find = lru_cache(_MOST_FOUND)(self._look_for)

    def find(self, model: str) -> Price | None:
        """Return the price of a model; None if it is not known."""
        return self._look_for(model) if len(model) > _LONGEST_ID else self._find(model)

    def _look_for(self, model: str) -> Price | None:
        if (price := self._exact.get(model)) is not None:
            return price
        found = (index.get(name) for name in _spellings(model) for index in self._indexes)
        return next((price for price in found if price is not None), None)


def _spellings(model: str) -> Iterator[str]:
    folded = model.casefold()
    undated = _SNAPSHOT.sub("", folded)
    yield folded
    yield _bare(folded)
    yield undated
    yield _bare(undated)


def _bare(folded: str) -> str:
    """Return a name without its provider."""
    return folded.rpartition("/")[2]


def _index_of(table: Mapping[str, Price]) -> dict[str, Price]:
    """Return the rows by folded name and, where no row has that name itself, by bare name."""
    folded: dict[str, Price] = {}
    bare: dict[str, Price] = {}
    for model, price in table.items():
        name = model.casefold()
        folded[name] = _dearer(price, folded.get(name))
        bare[_bare(name)] = _dearer(price, bare.get(_bare(name)))
    return bare | folded


def _dearer(price: Price, other: Price | None) -> Price:
    """Return the higher figures of two rows that one name means: no cost is put too low."""
    if other is None:
        return price
    return Price(
        max(price.input_per_1k_usd, other.input_per_1k_usd),
        max(price.output_per_1k_usd, other.output_per_1k_usd),
    )
