import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.prices import (
    MOST_PER_1K_USD,
    PRICE_PLACES,
    Price,
    PriceTable,
    cost,
    parse_prices,
)

MINI = Price(Decimal("0.00015"), Decimal("0.0006"))
LARGE = Price(Decimal("0.0025"), Decimal("0.01"))
ODD_FIGURES: list[object] = [None, -1, True, "cheap", [], 5_000, float("nan"), float("inf")]
FIGURES = st.decimals(min_value=0, max_value=MOST_PER_1K_USD, places=PRICE_PLACES)


def a_list(*rows: str) -> bytes:
    """A body of GET /v1/models, with its rows as they stand in the text."""
    return b'{"object": "list", "data": [%s]}' % ", ".join(rows).encode()


def a_row(**changes: object) -> str:
    """The documented row."""
    row = {
        "id": "gpt-4o-mini",
        "provider": "openai",
        "context_window": 128000,
        "input_per_1k_usd": 0.00015,
        "output_per_1k_usd": 0.0006,
        "supports": ["chat"],
    }
    return json.dumps(row | changes)


def test_a_cost_is_exact() -> None:
    assert cost(MINI, 1, 1) == Decimal("0.00000075")
    assert cost(MINI, 1842, 942103) == Decimal("0.5655381")
    assert cost(MINI, 0, 0) == 0


@given(FIGURES, FIGURES, st.integers(0, 10**10), st.integers(0, 10**10))
def test_no_cost_is_rounded(of_input: Decimal, of_output: Decimal, given: int, got: int) -> None:
    exact = given * Fraction(of_input) / 1000 + got * Fraction(of_output) / 1000
    assert Fraction(cost(Price(of_input, of_output), given, got)) == exact


def test_a_count_that_is_none_costs_nothing_or_is_bounded() -> None:
    assert cost(LARGE, -5, 0) == 0
    assert cost(LARGE, 2**200, 0) == cost(LARGE, 10**12, 0)


def test_the_documented_list_is_read_without_a_float_in_between() -> None:
    odd = '{"id": "x", "input_per_1k_usd": 0.1234567890125, "output_per_1k_usd": 1e-7}'
    assert parse_prices(a_list(a_row(), odd)) == {
        "gpt-4o-mini": MINI,
        "x": Price(Decimal("0.123456789012"), Decimal("0.0000001")),
    }


@pytest.mark.parametrize(
    "row",
    [
        *("7", "null", "[]", "{}", a_row(id=None), a_row(id=""), a_row(id=5), a_row(id="x" * 300)),
        *(a_row(input_per_1k_usd=odd) for odd in ODD_FIGURES),
        *(a_row(output_per_1k_usd=odd) for odd in ODD_FIGURES),
        a_row().replace("0.0006", "1e999999999999999999999"),
    ],
)
def test_an_odd_row_is_left_out_and_the_others_stay(row: str) -> None:
    assert parse_prices(a_list(row, a_row(id="whole"))) == {"whole": MINI}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b"{}", b'{"data": {}}', b"\xff", b"[" * 100_000, b"9" * 5_000],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_list_of_models_says_nothing(body: bytes) -> None:
    assert parse_prices(body) is None


def test_an_empty_list_is_a_list() -> None:
    assert parse_prices(a_list()) == {}


def test_a_list_is_bounded() -> None:
    rows = [f'{{"id":"m{n}","input_per_1k_usd":0,"output_per_1k_usd":0}}' for n in range(20_002)]
    prices = parse_prices(a_list(*rows))
    assert prices is not None
    assert len(prices) == 20_000
    assert parse_prices(b" " * (16 * 1024 * 1024) + a_list()) is None


@given(st.binary(max_size=80))
def test_reading_is_total(body: bytes) -> None:
    parse_prices(body)
    parse_prices(b'{"data":[{"id":"a","input_per_1k_usd":' + body + b"}]}")


def test_the_gateways_price_goes_before_ours_which_stands_for_the_rest() -> None:
    table = PriceTable({"a": MINI}, {"a": LARGE, "b": LARGE})
    assert (table.find("a"), table.find("b"), table.find("c")) == (MINI, LARGE, None)


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o", "GPT-4o"),
        ("GPT-4o", "gpt-4O"),
        ("gpt-4o", "openai/gpt-4o"),
        ("gpt-4o", "OpenAI/GPT-4o"),
        ("openai/gpt-4o", "gpt-4o"),
        ("gpt-4o", "openrouter/openai/gpt-4o"),
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4o", "openai/gpt-4o-2024-08-06"),
        ("openai/gpt-4o", "gpt-4o-2024-08-06"),
        ("claude-sonnet-4", "claude-sonnet-4-20250514"),
        ("claude-sonnet-4", "claude-sonnet-4@20250514"),
        ("gpt-4", "gpt-4-0613"),
    ],
)
def test_a_model_is_found_by_its_other_spellings(row: str, asked: str) -> None:
    assert PriceTable({row: MINI}, {}).find(asked) == MINI
    assert PriceTable({}, {row: MINI}).find(asked) == MINI


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-mini", "gpt-4o"),
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4o", "ft:gpt-4o:acme::1"),
        ("gpt-4o", ""),
        ("gpt-4o", "gpt-4o-2024"[:9]),
    ],
)
def test_another_model_is_not_found(row: str, asked: str) -> None:
    assert PriceTable({row: MINI}, {}).find(asked) is None


def test_the_closest_spelling_decides_whichever_table_has_it() -> None:
    table = PriceTable({"gpt-4o": MINI}, {"gpt-4o-2024-05-13": LARGE, "GPT-4O": LARGE})
    assert table.find("gpt-4o-2024-05-13") == LARGE
    assert table.find("GPT-4O") == LARGE
    assert table.find("Gpt-4o") == MINI


def test_a_row_of_that_very_name_goes_before_another_providers() -> None:
    table = PriceTable({"gpt-4o": MINI, "azure/gpt-4o": LARGE}, {})
    assert table.find("GPT-4o") == MINI
    assert table.find("AZURE/gpt-4o") == LARGE
    assert table.find("openai/gpt-4o") == MINI


def test_of_two_rows_for_one_spelling_the_dearer_figures_count() -> None:
    cheap_input = Price(Decimal("0.1"), Decimal(3))
    table = PriceTable({"a/m": Price(Decimal(2), Decimal(1)), "b/m": cheap_input}, {})
    assert table.find("m") == Price(Decimal(2), Decimal(3))
