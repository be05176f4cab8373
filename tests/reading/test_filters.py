from typing import Any

import pytest

from foxora_addon.reading.filters import (
    OUTCOMES,
    Filters,
    parse_outcome,
    parse_status,
)
from foxora_addon.reading.times import iso_of
from tests.builders import NOON
from tests.reading.builders import a_refusal, a_request, a_response, recorded


def test_without_filters_all_are_wanted() -> None:
    assert Filters().want_all
    assert Filters().want(recorded())
    assert Filters().want(recorded(a_request()))


@pytest.mark.parametrize(
    ("filters", "is_wanted"),
    [
        ({"accounts": ["acme"]}, True),
        ({"accounts": ["globex", "acme"]}, True),
        ({"accounts": ["globex"]}, False),
        ({"models": ["gpt-4o*"]}, True),
        ({"models": ["gpt-4o"]}, False),
        ({"statuses": [range(200, 300)]}, True),
        ({"statuses": [range(429, 430)]}, False),
        ({"statuses": [None]}, False),
        ({"outcomes": ["completed"]}, True),
        ({"outcomes": ["open"]}, False),
        ({"since": iso_of(NOON)}, True),
        ({"since": iso_of(NOON + 0.5)}, False),
        ({"until": iso_of(NOON)}, False),
        ({"until": iso_of(NOON + 0.5)}, True),
        ({"accounts": ["acme"], "outcomes": ["refused"]}, False),
    ],
)
def test_each_filter_has_its_say(filters: Any, is_wanted: bool) -> None:
    assert Filters(**filters).want(recorded()) is is_wanted
    assert not Filters(**filters).want_all


def test_the_model_that_answered_counts_too() -> None:
    swapped = recorded(a_request(model="gpt-4o"), a_response(model="claude-sonnet-4"))
    assert Filters(models=["claude*"]).want(swapped)
    assert Filters(models=["gpt-4o"]).want(swapped)


def test_an_open_exchange_has_no_status() -> None:
    assert Filters(statuses=[None]).want(recorded(a_request()))
    assert not Filters(statuses=[None]).want(recorded(*a_refusal()))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("429", range(429, 430)),
        ("4xx", range(400, 500)),
        ("500-504", range(500, 505)),
        ("none", None),
    ],
)
def test_statuses_are_read(text: str, wanted: range | None) -> None:
    assert parse_status(text) == wanted


@pytest.mark.parametrize("text", ["", "4", "4x", "42", "4xxx", "2-3", "ok"])
def test_what_is_no_status_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="give 429, 4xx"):
        parse_status(text)


def test_outcomes_are_read_and_a_near_one_is_offered() -> None:
    assert [parse_outcome(name) for name in OUTCOMES] == list(OUTCOMES)
    with pytest.raises(ValueError, match="did you mean refused"):
        parse_outcome("refusd")
    with pytest.raises(ValueError, match="give one of completed"):
        parse_outcome("zzz")
