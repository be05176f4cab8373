"""How long an answer asks to wait, in every form that a gateway may say it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.retry_after import seconds_of, should_retry_of

DATE = ("Date", "Mon, 23 Nov 2026 08:00:00 GMT")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("99999999999999999999999", 366 * 86_400),
        ("9" * 1_000, 366 * 86_400),
        ("-1", None),
        ("inf", None),
        ("nan", None),
        ("1e3", None),
        ("1_0", None),
        ("٣", None),
        ("7s", None),
        ("", None),
    ],
)
def test_seconds_are_a_plain_number(value: str, seconds: float | None) -> None:
    assert seconds_of([("Retry-After", value)]) == seconds


def test_milliseconds_come_first_as_in_the_sdks() -> None:
    assert seconds_of([("retry-after", "2"), ("Retry-After-Ms", "1234")]) == 1.234


def test_unreadable_milliseconds_leave_it_to_the_seconds() -> None:
    assert seconds_of([("retry-after-ms", "soon"), ("retry-after", "2")]) == 2


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 23 Nov 2026 08:01:30 GMT",
        "Monday, 23-Nov-26 08:01:30 GMT",
        "Mon Nov 23 08:01:30 2026",
        "Mon, 23 Nov 2026 09:01:30 +0100",
    ],
)
def test_a_date_counts_from_the_answer_s_own_date(date: str) -> None:
    assert seconds_of([DATE, ("Retry-After", date)]) == 90


def test_a_date_that_has_passed_is_now() -> None:
    assert seconds_of([DATE, ("Retry-After", "Mon, 23 Nov 2026 07:59:00 GMT")]) == 0


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (["30", "1"], 30),
        (["1", "30"], 30),
        (["30", "30"], 30),
        (["", "30"], 30),
        (["soon", "30"], 30),
        (["1, 30"], 30),
        (["30, "], 30),
        (["1", "Mon, 23 Nov 2026 08:01:30 GMT"], 90),
        (["1, soon"], None),
        (["Mon, 23 Nov 2026 08:00:05 GMT, Mon, 23 Nov 2026 08:01:30 GMT"], 90),
        (["Monday, 23-Nov-26 08:00:05 GMT, 90"], 90),
        (["90, Mon Nov 23 08:00:05 2026"], 90),
        (["Mon, 23 Nov 2026 08:01:30 GMT, soon"], None),
    ],
)
def test_of_several_waits_it_is_the_longest(lines: list[str], seconds: float | None) -> None:
    headers = [DATE, *(("Retry-After", line) for line in lines)]
    assert seconds_of(headers) == seconds
    assert seconds_of([*headers, ("retry-after-ms", "2"), ("retry-after-ms", "40")]) == 0.04


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Retry-After", "Mon, 23 Nov 2026 08:01:30 GMT")],
        [("Date", "yesterday"), ("Retry-After", "Mon, 23 Nov 2026 08:01:30 GMT")],
        [DATE, ("Retry-After", "Mon, 45 Foo 2026 08:01:30 GMT")],
    ],
)
def test_what_cannot_be_read_says_nothing(headers: list[tuple[str, str]]) -> None:
    assert seconds_of(headers) is None


@pytest.mark.parametrize("other", ["Mon, 23 Nov 2026 08:01:00 GMT", "x"])
def test_a_wait_until_a_date_counts_from_no_two(other: str) -> None:
    headers = [DATE, ("date", other), ("Retry-After", "Mon, 23 Nov 2026 08:01:30 GMT")]
    assert seconds_of(headers) is None
    assert seconds_of([*headers, ("retry-after", "7")]) == 7


@given(st.text(), st.text(), st.text())
def test_any_headers_give_a_finite_wait_or_none(seconds: str, milliseconds: str, date: str) -> None:
    wait = seconds_of([("retry-after", seconds), ("retry-after-ms", milliseconds), ("date", date)])
    assert wait is None or (math.isfinite(wait) and wait >= 0)


@pytest.mark.parametrize(
    ("headers", "advice"),
    [
        ([("X-Should-Retry", "true")], True),
        ([("x-should-retry", " false ")], False),
        ([("x-should-retry", "yes")], None),
        ([("x-should-retry", "false"), ("X-Should-Retry", "false")], False),
        ([("x-should-retry", "false"), ("x-should-retry", "true")], None),
        ([], None),
    ],
)
def test_advice_is_true_false_or_absent(
    headers: list[tuple[str, str]], advice: bool | None
) -> None:
    assert should_retry_of(headers) is advice
