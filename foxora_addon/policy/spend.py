"""Decides whether a call of an account may be sent without passing the account's monthly cap.

One account's spend, its open calls and its cap are kept here. It refuses to know who calls, what a
token costs, where the gateway's answers come from, and what a refusal looks like on the wire.

What counts
-----------
A call is reserved at its estimated cost before it is sent, and stays reserved while it is open,
across renewals too: the gateway may count it as it comes in or as it ends, and which is not
documented. What it really cost goes to the month in which it settles. So the cap is passed by no
more than what calls cost above their estimates.

Other callers spend of the same account. The gateway's answer (GET /v1/me) has their part, and is
laid over our own figures by this rule: the spend is what the gateway said, and our own calls that
settled after it was *asked*, since those it cannot have counted for certain; `MonthSpend` says what
it is never below. A call that was open when the gateway was asked may be in both parts. That errs
on the safe side, by no more than the calls that were open, and until the gateway is asked again.
Answers may come in any order: one to an older question than the last that was answered is dropped.

When it is renewed
------------------
At the moment that the gateway named; each month after it where no new answer comes; until one has,
with the calendar's months in UTC. The month before the renewal goes on being counted beside the new
one: a clock that ran ahead and is set back finds it again, with nothing forgotten on either side.
A month whose end was reckoned by a clock that was behind goes on, until the gateway says more.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Final, NamedTuple

from foxora_addon.policy.spend_month import NOTHING, SAME_RENEWAL_SECONDS, MonthSpend
from foxora_addon.policy.spend_report import SpendReport

# A clock that goes back by less is being set right by a little, which brings no month back.
_STEP_BACK_SECONDS: Final = 3_600.0

# An answer whose renewal passed no longer ago is about the month that has just ended: it was under
# way, or the gateway renews late. One that passed long ago says when the month is renewed all the
# same, and its figures are believed: rather a month too strict than above what the gateway says.
_JUST_ENDED_SECONDS: Final = 3_600.0


class SpendReservation:
    """What one exchange holds of its account's cap, from `admit` to `settle` or `release`.

    `cost_usd` is None where the price is not known. Only the account that gave it changes it,
    or the one that has absorbed that.
    """

    __slots__ = ("cost_usd", "is_open", "of")

    def __init__(self, cost_usd: Decimal | None, of: "AccountSpend") -> None:
        self.cost_usd = cost_usd
        self.of = of
        self.is_open = True


class OverCap(NamedTuple):
    """The call would pass the cap, and nothing is counted for it.

    `spent_usd` is by settled calls, `open_usd` what is reserved by open ones; `renews_at` is when
    the cap is whole again, in Unix seconds.
    """

    cap_usd: Decimal
    spent_usd: Decimal
    open_usd: Decimal
    requested_usd: Decimal
    renews_at: float


class Question(NamedTuple):
    """Where our own figures stood when the gateway was asked; opaque to everybody else."""

    number: int
    all_usd: Decimal
    certain_usd: Decimal


class AccountSpend:
    """The spend of one account.

    Times are Unix seconds of the wall clock, which may jump. `month` is what is known from before;
    `cap_of_config_usd` is the configuration's cap, which may change, None: the gateway's own.
    """

    __slots__ = (
        *("_all_usd", "_answered", "_asked", "_certain_usd", "_into", "_month", "_open_usd"),
        "cap_of_config_usd",
    )

    def __init__(self, month: MonthSpend, cap_of_config_usd: Decimal | None = None) -> None:
        self.cap_of_config_usd = cap_of_config_usd
        self._month = month
        self._open_usd = NOTHING
        self._all_usd = NOTHING  # running totals over all months, which a question is marked by
        self._certain_usd = NOTHING
        self._asked = 0
        self._answered = 0
        self._into: AccountSpend | None = None  # what has absorbed it

    @property
    def cap_usd(self) -> Decimal | None:
        """The cap in force; None: there is none, or it is not known yet."""
        own = self.cap_of_config_usd
        return self._month.told_cap_usd if own is None else own

    @property
    def open_usd(self) -> Decimal:
        """What open exchanges have reserved."""
        return self._open_usd

    def refusal(self, cost_usd: Decimal | None, now: float) -> OverCap | None:
        """Say why so much does not fit below the cap, and take nothing; None: it does.

        A call that costs nothing always fits, and so does one whose price is not known: what is
        to become of those is not decided by a cap.
        """
        if not cost_usd or (cap := self.cap_usd) is None:
            return None
        month = self.month(now)
        if month.spent_usd + self._open_usd + cost_usd <= cap:
            return None
        return OverCap(cap, month.spent_usd, self._open_usd, cost_usd, month.renews_at)

    def admit(self, cost_usd: Decimal | None) -> SpendReservation:
        """Take so much of the cap, whether or not it fits."""
        if cost_usd:
            self._open_usd += cost_usd
        return SpendReservation(cost_usd, self)

    def settle(
        self,
        reservation: SpendReservation,
        cost_usd: Decimal | None,
        now: float,
        *,
        is_certain: bool,
    ) -> Decimal | None:
        """The exchange is over; return what it is taken to have cost, None if that is not known.

        `cost_usd` None is not known: what was reserved, if anything, is taken for it, as an
        estimate.
        `is_certain`: it follows from usage that the gateway reported. A second time changes
        nothing, and returns None.
        """
        if not reservation.is_open:
            return None
        self._close(reservation)
        if cost_usd is None:
            cost_usd, is_certain = reservation.cost_usd or None, False
        if cost_usd:
            self._count(cost_usd, now, is_certain=is_certain)
        return cost_usd

    def release(self, reservation: SpendReservation) -> None:
        """The call cost nothing, since it never reached the gateway or was refused there.

        A second time, or after `settle`, it changes nothing.
        """
        if reservation.is_open:
            self._close(reservation)

    def question(self) -> Question:
        """The gateway is being asked now: mark what is ours from here on."""
        self._asked += 1
        return Question(self._asked, self._all_usd, self._certain_usd)

    def reconcile(self, question: Question, report: SpendReport, now: float) -> None:
        """The gateway has answered a question: lay its figures over ours.

        An answer about a month that has just ended leaves the new one as it is. One that names
        another renewal than we reckoned with is about another month than we counted: of our own
        calls then only those that settled since the question are known to be in it.
        """
        self.month(now)
        if question.number <= self._answered:
            return
        self._answered = question.number
        self._month = replace(self._month, told_cap_usd=report.cap_usd)
        renewal = report.renews_at
        if renewal is not None and 0 <= now - renewal < _JUST_ENDED_SECONDS:
            return
        known = replace(self.month(now), told_cap_usd=report.cap_usd, before=None)
        month = known if renewal is None else known.renewed_from(renewal, now)
        is_same = abs(month.renews_at - known.renews_at) < SAME_RENEWAL_SECONDS
        self._month = self._reconciled(month, question, report.spent_usd, is_same=is_same)

    def absorb(self, other: "AccountSpend", now: float) -> None:
        """Count all that another counts: both turned out to be one account.

        From now on this one settles the other's reservations too, and the other must be left alone;
        an answer to a question that was asked of it is about nothing any more. Of an open question
        of this one it is not known what of the other's the answer has: none, to be safe.
        """
        theirs = other.latest_month(now)
        self._month = self.latest_month(now).with_other(theirs)
        self._open_usd += other._open_usd  # noqa: SLF001  # of its own kind
        self._all_usd += theirs.since_usd
        self._certain_usd += theirs.certain_usd
        other._into = self  # noqa: SLF001

    @property
    def root(self) -> "AccountSpend":
        """What counts for it now: itself, or what has absorbed it."""
        found = self
        while found._into is not None:
            found = found._into
        return found

    def month(self, now: float) -> MonthSpend:
        """Return what is known of the month in which `now` is, and enter it if it is a new one."""
        if now >= self._month.renews_at:
            self._month = self._month.at(now)
        before = self._month.before
        if before is not None and now < before.renews_at - _STEP_BACK_SECONDS:
            return before
        return self._month

    def latest_month(self, now: float) -> MonthSpend:
        """Return the month that was entered last, with which the next start goes on."""
        self.month(now)
        return self._month

    def _reconciled(
        self, month: MonthSpend, question: Question, told: Decimal | None, *, is_same: bool
    ) -> MonthSpend:
        # What settled since the question, and in this month: the question may be from before it.
        since = min(month.since_usd, self._all_usd - question.all_usd)
        if not is_same:
            certain = min(month.certain_usd, self._certain_usd - question.certain_usd)
            month = replace(month, certain_usd=certain)
        return month if told is None else replace(month, told_usd=told, since_usd=since)

    def _count(self, cost_usd: Decimal, now: float, *, is_certain: bool) -> None:
        self.month(now)
        self._month = self._month.plus(cost_usd, is_certain=is_certain)
        self._all_usd += cost_usd
        self._certain_usd += cost_usd if is_certain else NOTHING

    def _close(self, reservation: SpendReservation) -> None:
        reservation.is_open = False
        if reservation.cost_usd:
            self._open_usd -= reservation.cost_usd
