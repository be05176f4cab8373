import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.reading.statistics import Histogram, Statistics, parse_by
from tests.reading.builders import a_refusal, a_request, a_response, recorded

MILLISECONDS = st.floats(min_value=0.001, max_value=1e9)


@given(st.lists(MILLISECONDS, min_size=1, max_size=200), st.floats(0.0, 1.0))
def test_a_quantile_is_within_one_percent_of_the_exact_one(
    values: list[float], share: float
) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[max(math.ceil(share * len(values)), 1) - 1]
    found = histogram.quantile(share)
    assert found == pytest.approx(exact, rel=0.0100001)


def test_quantiles_rise_and_memory_does_not() -> None:
    histogram = Histogram()
    for number in range(1, 50_000):
        histogram.add(number / 10)
    found = [histogram.quantile(share / 20) or 0 for share in range(21)]
    assert all(before <= after for before, after in pairwise(found))
    assert len(histogram._counts) < 700


def test_of_nothing_there_is_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None


def test_zero_is_counted() -> None:
    histogram = Histogram()
    histogram.add(0.0)
    assert histogram.quantile(0.5) == pytest.approx(0.0, abs=1e-5)


def test_exchanges_add_up() -> None:
    statistics = Statistics(["account"])
    statistics.add(recorded(a_request(), a_response(cost_usd=0.25)))
    statistics.add(recorded(*a_refusal("b", at=2)))
    statistics.add(recorded(a_request("c")))
    statistics.add(
        recorded(a_request("d", account="globex"), a_response(outcome="timeout", usage=None))
    )
    total = statistics.total.as_json()
    assert (total["exchanges"], total["refused"], total["failed"], total["open"]) == (4, 1, 1, 1)
    assert (total["input_tokens"], total["output_tokens"], total["cost_usd"]) == (5, 7, 0.25)
    assert total["outcomes"] == {"completed": 1, "refused": 1, "open": 1, "timeout": 1}
    assert {key: group.exchanges for key, group in statistics.groups.items()} == {
        ("acme",): 3,
        ("globex",): 1,
    }


def test_a_refusals_latency_does_not_count() -> None:
    statistics = Statistics([])
    statistics.add(recorded(*a_refusal()))
    assert statistics.total.as_json()["duration_ms"]["p50"] is None


def test_an_exchange_is_in_the_group_of_each_of_its_tags_and_in_the_total_once() -> None:
    statistics = Statistics(["tag", "hour"])
    statistics.add(recorded(a_request(tags=["batch", "night"]), a_response()))
    assert set(statistics.groups) == {
        ("batch", "2026-11-23T12:00Z"),
        ("night", "2026-11-23T12:00Z"),
    }
    assert statistics.total.exchanges == 1


def test_hours_come_in_their_order_and_others_by_size() -> None:
    by_hour, by_model = Statistics(["hour"]), Statistics(["model"])
    for number, (at, model) in enumerate([(7_200, "b"), (0, "a"), (10, "b")]):
        pair = recorded(a_request(f"x{number}", at=at, model=model), a_response())
        by_hour.add(pair)
        by_model.add(pair)
    assert [key for key, _ in by_hour.sorted_groups()] == [
        ("2026-11-23T12:00Z",),
        ("2026-11-23T14:00Z",),
    ]
    assert [key for key, _ in by_model.sorted_groups()] == [("b",), ("a",)]


def test_groups_are_read_and_others_told() -> None:
    assert parse_by(["account, model", "hour", "model"]) == ["account", "model", "hour"]
    with pytest.raises(ValueError, match="give account, model, client, tag, hour"):
        parse_by(["colour"])
