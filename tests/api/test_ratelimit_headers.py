import json
import math
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.ratelimit_headers import (
    NAMES,
    Allowance,
    Balance,
    format_duration,
    headers_of,
    parse_balance,
    parse_duration,
    tighter,
)

CORPORA = Path(__file__).parents[2].parent / "shared" / "corpora"

DURATIONS = [
    ("0s", 0.0),
    ("2ms", 0.002),
    ("896ms", 0.896),
    ("1.234s", 1.234),
    ("11.355s", 11.355),
    ("6s", 6.0),
    ("6m0s", 360.0),
    ("1m6.5s", 66.5),
    ("1h0m0s", 3600.0),
    ("25h2m0.001s", 90_120.001),
]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_a_duration_is_read_and_written_in_openais_form(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("text", "seconds"), [("12", 12.0), ("0.5", 0.5), ("500\u00b5s", 0.0005)])
def test_other_gateways_durations_are_read_too(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1e9", "nan", "1 s", "1.2.3s", "2026-05-19", "٣s"]
)
def test_what_is_no_duration_is_not_read(text: str) -> None:
    assert parse_duration(text) is None


def test_a_duration_is_never_written_shorter_than_it_is() -> None:
    assert format_duration(0.0000011) == "1ms"
    assert format_duration(59.9999) == "1m0s"
    assert format_duration(-1.0) == "0s"


@given(st.floats(-1.0, 100_000.0) | st.integers(0, 100_000_000).map(lambda whole: whole / 1000))
def test_a_duration_is_rounded_up_but_for_what_binary_fractions_are_off_by(seconds: float) -> None:
    for near in (seconds, math.nextafter(seconds, math.inf), seconds + 4e-10, seconds + 6e-10):
        milliseconds = math.ceil(round(max(near, 0.0) * 1000, 6))
        assert format_duration(near) == format_duration(milliseconds / 1000)
        assert parse_duration(format_duration(near)) == pytest.approx(milliseconds / 1000)


def test_no_millisecond_of_a_minute_is_written_as_another() -> None:
    written = [format_duration(milliseconds / 1000) for milliseconds in range(1_000, 60_000)]
    assert [Decimal(text.removesuffix("s")) * 1000 for text in written] == [*range(1_000, 60_000)]


@given(st.floats(0, 10**7))
def test_a_duration_survives_the_round_trip_to_a_millisecond(seconds: float) -> None:
    read = parse_duration(format_duration(seconds))
    assert read is not None
    assert -1e-6 <= read - seconds <= 0.001 + 1e-6


@given(st.text(alphabet="0123456789.hmsnuµ -", max_size=30))
def test_reading_a_duration_is_total(text: str) -> None:
    seconds = parse_duration(text)
    assert seconds is None or seconds >= 0


def test_a_balance_is_read_from_headers_of_any_case() -> None:
    headers = [
        ("X-RateLimit-Limit-Requests", "30000"),
        ("x-ratelimit-remaining-requests", " 29999 "),
        ("x-ratelimit-reset-requests", "2ms"),
        ("x-ratelimit-remaining-tokens", "12,5"),
        ("content-type", "application/json"),
    ]
    assert parse_balance(headers) == Balance(Allowance(30_000, 29_999, 0.002), None)


def test_a_figure_of_which_two_lines_say_different_things_is_not_said() -> None:
    headers = [
        ("x-ratelimit-limit-requests", "30"),
        ("X-RateLimit-Limit-Requests", " 30"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-remaining-requests", "29"),
        ("x-ratelimit-remaining-requests", "29"),
    ]
    assert parse_balance(headers) == Balance(Allowance(30, None, None), None)


FULL = Balance(Allowance(30, 7, 41.5), Allowance(40_000, 0, 60.25))
COUNTS = st.none() | st.integers(0, 10**15)
ALLOWANCES = st.builds(
    Allowance, COUNTS, COUNTS, st.none() | st.integers(0, 10**6).map(lambda ms: ms / 1000)
)
BALANCES = st.builds(Balance, st.none() | ALLOWANCES, st.none() | ALLOWANCES)


def test_a_balance_is_written_as_six_headers() -> None:
    assert headers_of(FULL) == [
        (b"x-ratelimit-limit-requests", b"30"),
        (b"x-ratelimit-remaining-requests", b"7"),
        (b"x-ratelimit-reset-requests", b"41.5s"),
        (b"x-ratelimit-limit-tokens", b"40000"),
        (b"x-ratelimit-remaining-tokens", b"0"),
        (b"x-ratelimit-reset-tokens", b"1m0.25s"),
    ]
    assert {name.decode() for name, _ in headers_of(FULL)} == NAMES


@given(BALANCES)
def test_what_is_written_is_read_back(balance: Balance) -> None:
    read = parse_balance([(name.decode(), value.decode()) for name, value in headers_of(balance)])
    for ours, again in ((balance.requests, read.requests), (balance.tokens, read.tokens)):
        expected = ours or Allowance()
        found = again or Allowance()
        assert (found.limit, found.remaining) == (expected.limit, expected.remaining)
        assert found.reset_seconds == pytest.approx(expected.reset_seconds)


def test_the_side_with_less_left_is_tighter_limit_by_limit() -> None:
    gateways = Balance(Allowance(500, 499, 0.1), Allowance(10, 0, 90.0))
    assert tighter(FULL, gateways) == Balance(FULL.requests, gateways.tokens)


@given(BALANCES)
def test_who_says_nothing_is_not_tighter(balance: Balance) -> None:
    assert tighter(balance, Balance()) == balance
    assert tighter(Balance(), balance) == balance


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the recorded traffic is not beside the repo")
def test_every_recorded_header_is_read() -> None:
    seen = 0
    for line in (CORPORA / "manifest.jsonl").read_text("utf-8").splitlines():
        headers = [(str(name), str(value)) for name, value in json.loads(line)["headers"].items()]
        told = {name for name, _ in headers if name in NAMES}
        written = {name.decode() for name, _ in headers_of(parse_balance(headers))}
        assert written == told
        seen += len(told)
    assert seen > 100
