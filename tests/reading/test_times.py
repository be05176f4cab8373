import pytest

from foxora_addon.api.json_values import moment_of
from foxora_addon.reading.times import iso_of, parse_moment
from tests.builders import NOON


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOON - 90),
        ("15m", NOON - 900),
        ("2h", NOON - 7_200),
        ("7d", NOON - 604_800),
        ("1w", NOON - 604_800),
        ("2026-11-23T12:00", NOON),
        ("2026-11-23T12:00:00Z", NOON),
        ("2026-11-23T14:00+02:00", NOON),
        ("2026-11-23", NOON - 43_200),
    ],
)
def test_moments_are_read(text: str, moment: float) -> None:
    assert parse_moment(text, NOON) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "15", "2026-13-01", "-2h", "1y"])
def test_what_is_no_moment_is_told_with_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match="2026-11-23"):
        parse_moment(text, NOON)


def test_a_moment_beyond_the_calendar_is_told() -> None:
    with pytest.raises(ValueError, match="beyond the calendar"):
        iso_of(-1e15)


def test_a_records_time_is_read_and_written_alike() -> None:
    assert iso_of(NOON) == "2026-11-23T12:00:00.000000Z"
    assert moment_of(iso_of(NOON + 0.25)) == NOON + 0.25
    early = "0999-01-01T00:00:00.000000Z"
    assert iso_of(parse_moment("0999-01-01", NOON)) == early < iso_of(NOON)
