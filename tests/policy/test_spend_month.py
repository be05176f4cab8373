from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.spend_month import MonthSpend, calendar_month, renewal_after


def at(text: str) -> float:
    return datetime.fromisoformat(text + "Z").timestamp()


MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=UTC).timestamp()
)


@pytest.mark.parametrize(
    ("renewal", "now", "then"),
    [
        ("2026-05-19T00:00:00", "2026-05-01T00:00:00", "2026-05-19T00:00:00"),
        ("2026-05-19T00:00:00", "2026-05-18T23:59:59.999999", "2026-05-19T00:00:00"),
        ("2026-05-19T00:00:00", "2026-05-19T00:00:00", "2026-06-19T00:00:00"),
        ("2026-05-19T10:30:00", "2026-11-25T03:00:00", "2026-12-19T10:30:00"),
        ("2026-05-19T10:30:00", "2026-12-20T03:00:00", "2027-01-19T10:30:00"),
        ("2027-05-19T10:30:00", "2026-12-19T10:29:59", "2026-12-19T10:30:00"),
        ("2026-01-31T00:00:00", "2026-02-01T00:00:00", "2026-02-28T00:00:00"),
        ("2026-01-31T00:00:00", "2028-02-28T00:00:00", "2028-02-29T00:00:00"),
        ("2026-01-31T00:00:00", "2026-02-28T00:00:00", "2026-03-31T00:00:00"),
    ],
)
def test_renewals_are_whole_months_from_each_other(renewal: str, now: str, then: str) -> None:
    assert renewal_after(at(renewal), at(now)) == at(then)


@given(MOMENTS, MOMENTS)
def test_the_next_renewal_is_within_a_month_and_on_the_same_day(renewal: float, now: float) -> None:
    after = renewal_after(renewal, now)
    assert now < after <= now + 31 * 86_400 + 0.001  # calendars count microseconds
    day = datetime.fromtimestamp(renewal, UTC).day
    assert datetime.fromtimestamp(after, UTC).day == day or day > 28
    assert renewal_after(renewal, after) > after


def test_without_a_known_renewal_the_month_is_the_calendars() -> None:
    assert calendar_month(at("2026-11-25T03:00:00")).renews_at == at("2026-12-01T00:00:00")
    assert calendar_month(at("2026-12-31T23:59:59")).renews_at == at("2027-01-01T00:00:00")


def test_a_month_is_itself_until_its_renewal_and_then_one_without_spend() -> None:
    month = MonthSpend(at("2026-05-19T00:00:00"), Decimal(3), Decimal(2), Decimal(4))
    assert month.at(at("2026-05-18T23:59:59")) is month
    assert month.at(at("2026-05-19T00:00:00")) == MonthSpend(at("2026-06-19T00:00:00"))
    assert month.at(at("2026-11-25T00:00:00")) == MonthSpend(at("2026-12-19T00:00:00"))


def test_spent_is_what_the_gateway_said_and_ours_since_and_never_below_what_is_certain() -> None:
    assert MonthSpend(0.0, Decimal(3), Decimal(2), Decimal(4)).spent_usd == 5
    assert MonthSpend(0.0, Decimal(1), Decimal(2), Decimal(4)).spent_usd == 4


def test_an_estimate_is_not_certain() -> None:
    month = MonthSpend(0.0).plus(Decimal(2), is_certain=False).plus(Decimal(1), is_certain=True)
    assert month == MonthSpend(0.0, Decimal(0), Decimal(3), Decimal(1))
