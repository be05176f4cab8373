"""The spend of an account beside a naive model: a list of events, added up anew each time.

The model has a gateway too, with callers of its own on the account, which counts each call as it
comes in or as it ends, and may answer a question long after it has worked the answer out, from a
meter that lags.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from foxora_addon.policy.spend import AccountSpend, Question, SpendReservation
from foxora_addon.policy.spend_month import MonthSpend, renewal_after
from foxora_addon.policy.spend_report import SpendReport

START = 1_795_435_200.0
RENEWAL = START + 86_400.0
CAP = Decimal(10)
NONE = Decimal(0)

type Step = tuple[object, ...]

# Few amounts, few of each thing and many steps: so the cap is met, and the steps meet each other.
AMOUNTS = st.sampled_from([Decimal(text) for text in ("1.5", "3", "4.000001", "0.25", "0")])
WHICH = st.integers(0, 3)
RESERVE = st.tuples(st.just("reserve"), AMOUNTS, AMOUNTS, st.booleans())
SETTLE = st.tuples(st.just("settle"), WHICH)
STEPS: st.SearchStrategy[Step] = st.one_of(
    RESERVE,
    RESERVE,
    SETTLE,
    SETTLE,
    st.tuples(st.just("release"), WHICH),
    st.tuples(st.just("other"), AMOUNTS),
    st.tuples(st.just("ask"), st.booleans()),
    st.tuples(st.just("answer"), WHICH),
    st.tuples(st.just("pass"), st.sampled_from([1.0, 3_600.0, 40_000.0, 90_000.0, 2_700_000.0])),
)
STEP_LISTS = st.lists(STEPS, min_size=25, max_size=60)


@dataclass
class Call:
    """One call of ours; `settled_at` is an index into the model's history."""

    reservation: SpendReservation
    estimate: Decimal
    actual: Decimal
    is_certain: bool
    settled_at: int | None = None
    is_released: bool = False

    @property
    def is_open(self) -> bool:
        return self.settled_at is None and not self.is_released


@dataclass
class Asked:
    """A question; `report` is what the gateway worked out for it, at `worked_out_at`."""

    question: Question
    asked_at: int
    report: SpendReport | None = None
    worked_out_at: int = 0


@dataclass
class World:
    """The account under test, and all that ever happened, in order.

    `history` holds the month in which each step was taken.
    """

    counts_at_start: bool
    has_others: bool
    lag: int = 0
    spend: AccountSpend = field(default_factory=lambda: AccountSpend(MonthSpend(RENEWAL), CAP))
    now: float = START
    history: list[float] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    counted: list[tuple[int, Decimal, bool]] = field(default_factory=list)  # by the gateway
    asked: list[Asked] = field(default_factory=list)
    accepted: Asked | None = None
    accepted_in: float = 0.0

    @property
    def step(self) -> int:
        return len(self.history)

    @property
    def month(self) -> float:
        return RENEWAL if self.now < RENEWAL else renewal_after(RENEWAL, self.now)

    @property
    def open(self) -> list[Call]:
        return [call for call in self.calls if call.is_open]

    def take(self, step: Step) -> None:
        self.history.append(self.month)
        match step:
            case ("reserve", Decimal() as estimate, Decimal() as actual, bool() as is_certain):
                self.reserve(estimate, actual, is_certain)
            case ("settle", int() as index) if self.open:
                self.settle(self.open[index % len(self.open)])
            case ("release", int() as index) if self.open and not self.counts_at_start:
                call = self.open[index % len(self.open)]
                self.spend.release(call.reservation)
                call.is_released = True
            case ("other", Decimal() as amount) if self.has_others:
                self.counted.append((self.step, amount, False))
            case ("ask", bool() as at_once):
                self.asked.append(Asked(self.spend.question(), self.step))
                if at_once:
                    self.work_out(self.asked[-1])
            case ("answer", int() as index) if self.asked:
                self.answer(self.last_asked(index))
            case ("pass", float() as seconds):
                self.now += seconds

    def last_asked(self, index: int) -> Asked:
        latest = self.asked[-3:]
        return latest[index % len(latest)]

    def reserve(self, estimate: Decimal, actual: Decimal, is_certain: bool) -> None:
        spent, reserved = self.spent(), sum((call.estimate for call in self.open), NONE)
        fits = self.spend.refusal(estimate, self.now) is None
        assert fits is (not estimate or spent + reserved + estimate <= CAP)
        if fits:
            self.calls.append(Call(self.spend.admit(estimate), estimate, actual, is_certain))
            if self.counts_at_start:
                self.counted.append((self.step, actual, True))

    def settle(self, call: Call) -> None:
        call.settled_at = self.step
        if not self.counts_at_start:
            self.counted.append((self.step, call.actual, True))
        is_certain = call.is_certain
        self.spend.settle(call.reservation, call.actual, self.now, is_certain=is_certain)

    def work_out(self, asked: Asked) -> None:
        if asked.report is None:
            asked.report = SpendReport(self.gateways_figure(self.lag), CAP, self.month)
            asked.worked_out_at = self.step

    def answer(self, asked: Asked) -> None:
        if asked.report is None:
            self.work_out(asked)
        assert asked.report is not None
        self.spend.reconcile(asked.question, asked.report, self.now)
        is_newer = self.accepted is None or asked.asked_at > self.accepted.asked_at
        # What was worked out in a month that is over by now is believed later only, if at all.
        if is_newer and asked.report.renews_at == self.month:
            self.accepted, self.accepted_in = asked, self.month

    def gateways_figure(self, lag: int = 0) -> Decimal:
        """What the gateway has counted this month; its meter may lag by some steps."""
        counted = (item for item in self.counted if item[0] <= self.step - lag)
        return sum((amount for at, amount, _ in counted if self.is_of_this_month(at)), NONE)

    def is_of_this_month(self, at: int) -> bool:
        return self.history[at - 1] == self.month

    def settled(self) -> list[tuple[int, Call]]:
        """Our calls that settled in this month, with when they did."""
        done = [(call.settled_at, call) for call in self.calls if call.settled_at is not None]
        return [(at, call) for at, call in done if self.is_of_this_month(at)]

    def spent(self) -> Decimal:
        """What the account must take for spent, by the rule's own words."""
        told, asked_at = NONE, 0
        if self.accepted is not None and self.accepted_in == self.month:
            assert self.accepted.report is not None
            told, asked_at = self.accepted.report.spent_usd or NONE, self.accepted.asked_at
        since = sum((call.actual for at, call in self.settled() if at > asked_at), NONE)
        certain = sum((call.actual for _, call in self.settled() if call.is_certain), NONE)
        return max(told + since, certain)


def is_late(world: World, step: Step) -> bool:
    """Whether it is an answer that was worked out in a month which has ended since."""
    if step[0] != "answer" or not world.asked:
        return False
    asked = world.last_asked(int(str(step[1])))
    return asked.report is not None and asked.report.renews_at != world.month


def played(
    steps: Sequence[Step], counts_at_start: bool, others: bool, lag: int = 0
) -> Iterator[World]:
    """Play the steps, and give the world after each."""
    world = World(counts_at_start, others, lag)
    for step in steps:
        if not is_late(world, step):
            world.take(step)
            yield world


@given(STEP_LISTS, st.booleans(), st.booleans(), st.sampled_from([0, 5]))
@settings(max_examples=200)
def test_it_says_what_a_list_of_all_events_says(
    steps: list[Step], counts_at_start: bool, others: bool, lag: int
) -> None:
    for world in played(steps, counts_at_start, others, lag):
        assert world.spend.month(world.now).spent_usd == world.spent()
        assert world.spend.month(world.now).renews_at == world.month


@given(STEP_LISTS, st.booleans(), st.booleans())
def test_no_reservation_is_lost_and_none_stays(
    steps: list[Step], counts_at_start: bool, others: bool
) -> None:
    world = World(counts_at_start, others)
    for step in steps:
        if not is_late(world, step):
            world.take(step)
        assert world.spend.open_usd == sum(call.estimate for call in world.open)
    for call in world.open:
        world.take(("settle", world.open.index(call)))
    assert world.spend.open_usd == 0


@given(STEP_LISTS, st.booleans(), st.booleans())
def test_it_is_never_below_what_the_gateway_said_nor_forgets_what_that_had_not_counted(
    steps: list[Step], counts_at_start: bool, others: bool
) -> None:
    for world in played(steps, counts_at_start, others):
        spent = world.spend.month(world.now).spent_usd
        asked = world.accepted if world.accepted_in == world.month else None
        if asked is not None and asked.report is not None:
            assert spent >= (asked.report.spent_usd or NONE)
        seen = 0 if asked is None else asked.worked_out_at
        hidden = sum(
            amount
            for at, amount, is_ours in world.counted
            if world.is_of_this_month(at) and not is_ours and at > seen
        )
        in_flight = sum(call.actual for call in world.open)
        # A call that is open over the renewal counts where it ends, and came in before it.
        assert spent + hidden + in_flight >= world.gateways_figure()


@given(STEP_LISTS, st.booleans())
@settings(max_examples=200)
def test_alone_on_its_account_it_passes_the_cap_by_no_more_than_estimates_were_wrong(
    steps: list[Step], counts_at_start: bool
) -> None:
    for world in played(steps, counts_at_start, False):
        too_low = sum(max(call.actual - call.estimate, NONE) for call in world.calls)
        assert world.gateways_figure() <= CAP + too_low
