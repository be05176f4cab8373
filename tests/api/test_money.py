import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.money import (
    MOST_USD,
    PLACES,
    dollars,
    json_number_of,
    parse_exactly,
    usd_of,
)

SUMS = st.decimals(min_value=0, max_value=MOST_USD, places=PLACES)
SHORT_SUMS = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places),
    st.integers(0, 10**12),
    st.integers(0, PLACES),
)


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (0, "0"),
        (100, "100"),
        (0.00015, "0.00015"),
        (1e-07, "0.0000001"),
        (0.1, "0.1"),
        ("12.41", "12.41"),
        ("1e-3", "0.001"),
        (Decimal("99.10"), "99.1"),
        (-0.0, "0"),
        (Decimal("1E+3"), "1000"),
        (12.410000000000002, "12.410000000000002"),
    ],
)
def test_a_sum_is_read_exactly(value: object, amount: str) -> None:
    assert usd_of(value) == Decimal(amount)


@pytest.mark.parametrize(
    "odd",
    [
        *(None, True, -1, -0.01, float("nan"), float("inf"), Decimal("sNaN"), 10**13, 10**4000),
        *("", "much", "1_0", " 1", "NaN", "Infinity", "-1", "٣", "1e9999999999", [], {}, b"1"),
    ],
)
def test_what_is_no_sum_is_none(odd: object) -> None:
    assert usd_of(odd) is None


def test_digits_below_the_last_place_are_rounded() -> None:
    assert usd_of(Decimal("0.00014999999999999999"), places=12) == Decimal("0.00015")
    assert usd_of(Decimal("1e-999999")) == 0


@given(SUMS, SUMS)
def test_two_sums_add_up_without_rounding(one: Decimal, other: Decimal) -> None:
    one, other = one / 2, other / 4
    first, second = usd_of(one), usd_of(other)
    assert first is not None
    assert second is not None
    in_parts = int(first.scaleb(PLACES)) + int(second.scaleb(PLACES))
    assert (first + second).scaleb(PLACES) == in_parts


@given(SHORT_SUMS)
def test_a_sum_of_few_digits_passes_through_json_as_it_is(amount: Decimal) -> None:
    text = json.dumps(json_number_of(amount))
    assert json.loads(text, parse_float=Decimal) == amount
    assert usd_of(json.loads(text)) == amount


@given(SUMS)
def test_of_a_longer_sum_json_keeps_fifteen_digits(amount: Decimal) -> None:
    written = json.loads(json.dumps(json_number_of(amount)), parse_float=Decimal)
    assert abs(written - amount) <= amount.scaleb(-14)


def test_a_sum_of_sixteen_digits_that_a_float_can_hold_keeps_them() -> None:
    assert repr(json_number_of(Decimal("1.234567890123456"))) == "1.234567890123456"


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        *(("100", "$100.00"), ("12.4", "$12.40"), ("0.000150", "$0.00015"), ("0", "$0.00")),
        *(("1E+3", "$1000.00"), ("1E-12", "$0.000000000001")),
    ],
)
def test_a_sum_is_said_with_cents_and_what_is_below_them(amount: str, words: str) -> None:
    assert dollars(Decimal(amount)) == words


def test_a_fraction_in_json_is_the_decimal_that_it_is_written_as() -> None:
    assert parse_exactly(b'{"a": 0.10, "b": [1e-7, 2]}') == {
        "a": Decimal("0.1"),
        "b": [Decimal("1e-7"), 2],
    }
    assert parse_exactly(b"[1e999999999999999999999]") == [None]


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_exactly(text)
