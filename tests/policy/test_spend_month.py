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
    renewal = at("2026-05-19T00:00:00")
    month = MonthSpend(renewal, Decimal(3), Decimal(2), Decimal(4))
    assert month.at(at("2026-05-18T23:59:59")) is month
    for now, then in (("2026-05-19", "2026-06-19"), ("2026-11-25", "2026-12-19")):
        renews_at = at(f"{then}T00:00:00")
        later = MonthSpend(renews_at, anchor=renewal, before=month)
        assert month.at(at(f"{now}T00:00:00")) == later


def test_a_month_goes_on_whose_end_was_reckoned_by_a_clock_that_was_behind() -> None:
    told = at("2026-12-01T00:00:00")
    month = MonthSpend(told, Decimal(3), Decimal(2), Decimal(6))
    behind = month.renewed_from(told, at("2026-05-14T00:00:00"))
    assert behind.renews_at == at("2026-06-01T00:00:00")
    found = behind.at(at("2026-11-30T00:00:00"))
    assert (found.renews_at, found.spent_usd) == (told, Decimal(6))
    assert found.at(told).spent_usd == 0


def test_a_plan_that_is_renewed_by_the_year_has_its_cap_by_the_month() -> None:
    told = at("2027-12-01T00:00:00")
    month = MonthSpend(0.0, Decimal(3)).renewed_from(told, at("2026-12-05T00:00:00"))
    assert month.at(at("2027-01-01T00:00:05")).spent_usd == 0
    assert month.at(at("2027-01-02T00:00:00")).spent_usd == 3, "until the gateway is asked"


def test_a_day_that_a_month_lacks_is_not_lost_for_the_months_after_it() -> None:
    month = MonthSpend(at("2026-01-31T12:00:00"))
    for now, then in (
        ("01-31", "02-28"),
        ("02-28", "03-31"),
        ("03-31", "04-30"),
        ("12-01", "12-31"),
    ):
        month = month.at(at(f"2026-{now}T12:00:00")).plus(Decimal(1), is_certain=True)
        assert month.renews_at == at(f"2026-{then}T12:00:00")


@pytest.mark.parametrize("more", [0.0, 0.4, -0.4])
def test_a_renewal_that_is_told_again_in_a_month_that_lacks_its_day_is_no_other_one(
    more: float,
) -> None:
    month = MonthSpend(at("2026-01-31T12:00:00")).at(at("2026-02-01T00:00:00"))
    told = month.renewed_from(at("2026-02-28T12:00:00") + more, at("2026-02-02T00:00:00"))
    assert told.at(at("2026-03-01T00:00:00")).renews_at == at("2026-03-31T12:00:00")


def test_spent_is_what_the_gateway_said_and_ours_since_and_never_below_what_is_certain() -> None:
    assert MonthSpend(0.0, Decimal(3), Decimal(2), Decimal(4)).spent_usd == 5
    assert MonthSpend(0.0, Decimal(1), Decimal(2), Decimal(4)).spent_usd == 4


def test_an_estimate_is_not_certain() -> None:
    month = MonthSpend(0.0).plus(Decimal(2), is_certain=False).plus(Decimal(1), is_certain=True)
    assert month == MonthSpend(0.0, Decimal(0), Decimal(3), Decimal(1))
