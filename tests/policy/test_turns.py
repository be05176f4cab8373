"""The order of a line beside a model that looks at every ticket at every moment."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from foxora_addon.policy.allowances import Allowances, Reserved
from foxora_addon.policy.line import Ticket
from foxora_addon.policy.plans import UNLIMITED, Ceilings
from foxora_addon.policy.scopes import Scope
from foxora_addon.policy.waiting import Bounds, WaitingLines
from tests.policy.naive import Naive
from tests.policy.naive_line import NaiveLine

SCOPES = (("acme",), ("acme", "acme mini"), ("acme", "acme large"), ("acme", "acme mini", "key"))
CEILINGS = st.builds(
    Ceilings,
    st.none() | st.integers(1, 5),
    st.none() | st.integers(20, 100),
    st.none() | st.integers(1, 4),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0, 3.25, 9.5, 20.0, 31.0, 60.25]),
        st.sampled_from(["join"] * 8 + ["settle"] * 3 + ["release", "leave", "enforce", "obey"]),
        st.integers(0, 11),
        st.integers(0, 70),
        CEILINGS,
    ),
    min_size=1,
    max_size=40,
)


@dataclass
class Both:
    """The line, driven by nothing but the moments that it names, and the model."""

    max_wait: float
    allowances: Allowances = field(default_factory=Allowances)
    numbers: dict[Ticket, int] = field(default_factory=dict)
    ended: list[tuple[int, str, float]] = field(default_factory=list)
    held: dict[int, Reserved] = field(default_factory=dict)  # what is open, by number
    now: float = 1_000.0
    next_at: float | None = None
    joined: int = 0

    def __post_init__(self) -> None:
        self.lines = WaitingLines(self.allowances, Bounds(1_000, self.max_wait))
        self.naive = NaiveLine(Naive(), self.max_wait)

    def pass_time(self, until: float) -> None:
        self.naive.run_to(self.now, until)
        while self.next_at is not None and self.next_at <= until:
            self.now = self.next_at
            self.wake()
        self.now = until

    def wake(self) -> None:
        called = self.lines.wake("acme", self.now)
        for ended in called.ended:
            assert ended.waited_seconds == self.now - ended.ticket.joined_at
            self.note(self.numbers.pop(ended.ticket), ended.answer)
        self.next_at = called.next_at
        assert self.next_at is None or self.next_at > self.now
        if called.ended:
            self.wake()  # what was let go is sent by now

    def note(self, number: int, answer: object) -> None:
        if isinstance(answer, Reserved):
            self.allowances.mark_sent(answer, self.now)
            self.held[number] = answer
        how = "admitted" if isinstance(answer, Reserved) else "refused"
        self.ended.append((number, how, self.now))

    def step(self, name: str, which: int, tokens: int, ceilings: Ceilings) -> None:
        if name == "join":
            self.join(self.scopes(which), tokens)
        elif name == "enforce":
            scope = Scope(self.scopes(which)[-1].name, "", ceilings)
            self.naive.enforce([scope], self.now)
            self.allowances.enforce([scope], self.now)
        elif name == "obey":
            self.naive.limits.obey("acme", float(tokens), self.now)
            self.allowances.obey("acme", float(tokens), self.now)
        elif name == "leave" and self.numbers:
            self.leave(list(self.numbers)[which % len(self.numbers)])
        elif self.held:
            self.end(name, sorted(self.held)[which % len(self.held)], tokens)
        self.naive.step(self.now)
        self.wake()

    def scopes(self, which: int) -> list[Scope]:
        known = self.naive.limits.ceilings
        names = SCOPES[which % len(SCOPES)]
        return [Scope(name, name, known.get(name, UNLIMITED)) for name in names]

    def join(self, scopes: list[Scope], tokens: int) -> None:
        self.joined += 1
        self.naive.join(self.joined, scopes, tokens, self.now)
        answer = self.lines.join(scopes, tokens, self.now)
        if isinstance(answer, Ticket):
            self.numbers[answer] = self.joined
        else:
            self.note(self.joined, answer)

    def leave(self, ticket: Ticket) -> None:
        before = [each.ticket for each in self.lines.wake("acme", self.now).ended]
        assert not before
        assert self.lines.leave(ticket)
        assert not self.lines.leave(ticket)
        self.naive.leave(self.numbers.pop(ticket), self.now)

    def end(self, name: str, number: int, tokens: int) -> None:
        admitted = [n for n, how, _ in self.naive.ended if how == "admitted"]
        call = self.naive.limits.calls[admitted.index(number)]
        held = self.held.pop(number)
        if name == "release":
            call.is_released = True
            self.allowances.release(held, self.now)
        else:
            call.used, call.ended_at = tokens, self.now
            self.allowances.settle(held, tokens, self.now)


@given(STEPS, CEILINGS, CEILINGS, st.sampled_from([30.0, 90.0]))
@settings(max_examples=400)
def test_it_calls_whom_the_model_calls_at_the_very_moment(
    steps: list[tuple[float, str, int, int, Ceilings]],
    account: Ceilings,
    below: Ceilings,
    max_wait: float,
) -> None:
    both = Both(max_wait)
    both.naive.limits.ceilings = {"acme": account, "acme mini": below, "acme large": below}
    for pause, *step in steps:
        both.pass_time(both.now + pause)
        both.step(*step)  # type: ignore[arg-type]
        assert sorted(both.ended) == sorted(both.naive.ended)
    both.pass_time(both.now + max_wait)

    # Everybody who did not leave has ended once, and nothing is left behind.
    assert sorted(both.ended) == sorted(both.naive.ended)
    assert not both.numbers
    assert len({number for number, _, _ in both.ended}) == len(both.ended)
    for held in both.held.values():
        both.allowances.release(held, both.now)
    both.now += 4_000
    assert both.lines.waiting("acme") == 0
    assert all(
        both.allowances.limiter(scope).is_idle(both.now)
        for which in range(4)
        for scope in both.scopes(which)
    )
