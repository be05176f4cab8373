"""One month of one account's spend, as a value: what is known of it, and when it ends.

It refuses to know of the configuration, of exchanges that are open and of the clock. Moments are
Unix seconds, sums exact US dollars.
"""

import calendar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

NOTHING: Final = Decimal(0)

# Renewals that differ by less are one renewal: some services work it out anew for each answer.
SAME_RENEWAL_SECONDS: Final = 86_400.0

# A renewal that passed longer ago was not seen to pass: the proxy was away, or the clock was set.
_SEEN_SECONDS: Final = 3_600.0


@dataclass(slots=True)  # a value: only not frozen, for one is made for each call
class MonthSpend:
    """What is known of an account's spend in the month that ends at `renews_at`.

    `told_usd` is what the gateway last said that all callers of the account had spent, `since_usd`
    what our own calls cost that settled after it was asked. `certain_usd` is what our own calls of
    the month cost by the gateway's own figures (usage that it reported).

    So the spend is told + since, which has the other callers in it, and never less than what we
    know for certain: the gateway's meter may lag behind its answers, by how much is not documented.
    `told_cap_usd` is the gateway's cap, None: it has none, or has not said. It holds until another
    is told, in later months too. Later renewals are reckoned from `anchor`, one that was told, for
    the month of `renews_at` may lack its day; None: from `renews_at`. `before` is the month before,
    which goes on being counted: the clock may have run ahead. That one has none before it.

    A cost that was only estimated has no such standing. It counts until the gateway has been asked
    after it, and then the gateway's figure stands in its place, so that no guess lasts for a month.
    """

    renews_at: float
    told_usd: Decimal = NOTHING
    since_usd: Decimal = NOTHING
    certain_usd: Decimal = NOTHING
    told_cap_usd: Decimal | None = None
    anchor: float | None = None
    before: "MonthSpend | None" = None

    @property
    def spent_usd(self) -> Decimal:
        """What counts as spent."""
        return max(self.told_usd + self.since_usd, self.certain_usd)

    def plus(self, cost_usd: Decimal, *, is_certain: bool) -> "MonthSpend":
        """Return the month with one more call of ours."""
        return MonthSpend(  # `replace` takes several times as long, for each call
            self.renews_at,
            self.told_usd,
            self.since_usd + cost_usd,
            self.certain_usd + cost_usd if is_certain else self.certain_usd,
            self.told_cap_usd,
            self.anchor,
            self.before and self.before.plus(cost_usd, is_certain=is_certain),
        )

    def with_other(self, other: "MonthSpend") -> "MonthSpend":
        """Return the month of two accounts that turn out to be one, counted apart until now.

        What the gateway told of either was of both, so the larger figure is the later one. The
        renewal stays this one's, and so does that of the month before it.
        """
        told_cap_usd = other.told_cap_usd if self.told_cap_usd is None else self.told_cap_usd
        return replace(
            self,
            told_usd=max(self.told_usd, other.told_usd),
            since_usd=self.since_usd + other.since_usd,
            certain_usd=self.certain_usd + other.certain_usd,
            told_cap_usd=told_cap_usd,
            before=self.before and self.before.with_other(other.before or other),
        )

    def at(self, now: float) -> "MonthSpend":
        """Return the month in which `now` is: this one, or a later one without any spend yet.

        Where a renewal that was told lies ahead still, and ours before it was not seen to pass, the
        clock may have been wrong when ours was reckoned. Then this one goes on.
        """
        if now < self.renews_at:
            return self
        anchor = self.renews_at if self.anchor is None else self.anchor
        renews_at = renewal_after(anchor, now)
        if anchor > now >= self.renews_at + _SEEN_SECONDS:
            return self._until(renews_at)
        before = replace(self, before=None)
        return MonthSpend(renews_at, told_cap_usd=self.told_cap_usd, anchor=anchor, before=before)

    def _until(self, renews_at: float) -> "MonthSpend":
        """Return the month as one that ends then, which is not certain until the gateway says so.

        So its next figure stands in the place of all that was spent before it was asked.
        """
        told_usd = max(self.told_usd, self.certain_usd - self.since_usd)
        certain_usd = NOTHING
        return replace(
            self, renews_at=renews_at, told_usd=told_usd, certain_usd=certain_usd, before=None
        )

    def renewed_from(self, renewal: float, now: float) -> "MonthSpend":
        """Return the month as one that is renewed a whole number of months from one that was told.

        One that is known already, or nearly so, says nothing new of the day where its month lacks
        the anchor's.
        """
        anchor = renewal
        if self.anchor is not None and abs(renewal - self.renews_at) < SAME_RENEWAL_SECONDS:
            anchor = max(renewal, self.anchor, key=_day_of)
        return replace(self, renews_at=renewal_after(renewal, now), anchor=anchor)


def calendar_month(now: float) -> MonthSpend:
    """Return the UTC month in which `now` is: a choice, for as long as no renewal is known."""
    return MonthSpend(renewal_after(0.0, now))


def renewal_after(renewal: float, now: float) -> float:
    """Return the first moment after `now` that is a whole number of months from a renewal.

    Either may be earlier. So a plan that is renewed by the year still has a cap by the month
    (foxora-api.md, Spend), and a renewal that has passed says when the next one is. A day that a
    month lacks is its last day.
    """
    anchor = datetime.fromtimestamp(renewal, UTC)
    today = datetime.fromtimestamp(now, UTC)
    this_month = _in_month(anchor, today.year, today.month).timestamp()
    if this_month > now:
        return this_month
    years, month = divmod(today.month, 12)
    return _in_month(anchor, today.year + years, month + 1).timestamp()


def _day_of(moment: float) -> int:
    return datetime.fromtimestamp(moment, UTC).day


def _in_month(moment: datetime, year: int, month: int) -> datetime:
    last_day = calendar.monthrange(year, month)[1]
    return moment.replace(year=year, month=month, day=min(moment.day, last_day))
