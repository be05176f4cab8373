"""Figures in few letters."""

import pytest

from foxora_addon.reading.texts import brief_cost, brief_count, cost_text


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (9_999, "9999"), (12_034, "12k"), (999_999, "999k"), (1_234_567, "1.2M")],
)
def test_a_large_count_is_told_in_thousands(count: int, shown: str) -> None:
    assert brief_count(count) == shown


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        *((0.0, "$0.00"), (0.00025, "$0.00025"), (0.012345, "$0.012"), (0.1, "$0.10")),
        *((12.4, "$12.40"), (0.00999, "$0.01"), (0.0000005, "$0.0000005"), (1e6, "$1000000.00")),
    ],
)
def test_a_brief_cost_has_two_digits_that_say_something(usd: float, shown: str) -> None:
    assert brief_cost(usd) == shown


def test_a_cost_is_never_told_as_nothing_unless_it_is() -> None:
    assert cost_text(0.00000004) == "<$0.000001"
    assert cost_text(0.000001) == "$0.000001"
    assert cost_text(0.0) == "$0.00"
    assert cost_text(None) == "-"
