"""What a decision of the limits costs: by the number of accounts, and of calls that wait.

Run by scripts/bench-limits-core. Time is an argument of what is measured, so minutes of traffic
pass in seconds. It is the processor's time that is measured, since a shared machine's clock tells
little; each figure is the median of several rounds, and the slowest of them.
"""

import gc
import random
import statistics
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from time import process_time_ns

from rich import box
from rich.console import Console
from rich.table import Table

from foxora_addon.policy.allowances import Allowances, Reserved
from foxora_addon.policy.line import Ticket
from foxora_addon.policy.plans import PLANS, Ceilings
from foxora_addon.policy.scopes import Scope
from foxora_addon.policy.waiting import Bounds, WaitingLines

ROUNDS = 5
DECISIONS = 20_000
STEPS = 1_000
WAITING = 1_000
SIZES = (200, 500, 900, 1_500, 4_000, 9_000, 20_000)

console = Console(highlight=False, soft_wrap=True)


def scopes_of(account: int, count: int) -> tuple[Scope, ...]:
    names = (f"account {account}", f"account {account} model", f"account {account} client")
    return tuple(Scope(name, name, Ceilings(10**6, 10**9, 10**6)) for name in names[:count])


class Traffic:
    """Calls of many accounts in turn, which open, are sent and end; time passes with each."""

    def __init__(self, accounts: int, scopes: int, calls_per_minute: float) -> None:
        self.allowances = Allowances()
        self.scopes = [scopes_of(account, scopes) for account in range(accounts)]
        self.step_seconds = 60.0 / (accounts * calls_per_minute)
        self.now = 0.0
        self.turn = 0

    def run(self, decisions: int) -> None:
        allowances, scopes, count = self.allowances, self.scopes, len(self.scopes)
        for _ in range(decisions):
            self.now += self.step_seconds
            self.turn = (self.turn + 1) % count
            held = allowances.reserve(scopes[self.turn], 1_000, self.now)
            if not isinstance(held, Reserved):
                raise TypeError(f"refused: {held}")
            allowances.mark_sent(held, self.now)
            allowances.settle(held, 800, self.now)


def microseconds(run: Callable[[], object], count: int) -> list[float]:
    """How much of the processor each of `count` things takes in a run, by the round."""
    rounds = []
    for _ in range(ROUNDS):
        gc.collect()
        started = process_time_ns()
        run()
        rounds.append((process_time_ns() - started) / 1_000 / count)
    return rounds


def told(rounds: Sequence[float]) -> str:
    return f"{statistics.median(rounds):.1f} (slowest {max(rounds):.1f})"


def bytes_per_account(accounts: int, calls: int) -> float:
    """What an account costs in memory that made so many calls in the last minute."""
    scopes = [scopes_of(account, 1) for account in range(accounts)]
    gc.collect()
    tracemalloc.start()
    allowances = Allowances()
    for call in range(calls):
        for scope in scopes:
            held = allowances.admit(scope, 1_000, float(call))
            allowances.settle(held, 800, float(call))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / accounts


def by_accounts() -> Table:
    table = Table(
        *("accounts", "us a decision", "us with 3 scopes", "bytes an account"),
        box=box.SIMPLE,
    )
    for accounts, calls in ((1, 1_500.0), (1_000, 300.0), (100_000, 30.0)):
        row = []
        for scopes in (1, 3):
            traffic = Traffic(accounts, scopes, calls)
            traffic.run(max(2 * accounts, 4 * DECISIONS))
            row.append(told(microseconds(partial(traffic.run, DECISIONS), DECISIONS)))
        kept = [bytes_per_account(min(accounts, 10_000), count) for count in (1, 30)]
        row.append(f"{kept[0]:,.0f} after 1 call, {kept[1]:,.0f} after 30 in a minute")
        table.add_row(f"{accounts:,}", *row)
    return table


def forgetting() -> str:
    """What a second's `forget_idle` costs at most, with 10^5 accounts of which none is idle."""
    traffic = Traffic(100_000, 1, 1.0)
    traffic.run(100_000)
    rounds = microseconds(lambda: traffic.allowances.forget_idle(traffic.now), 1)
    return f"forget_idle, once a second, 100,000 accounts: {told(rounds)} us"


class Crowd:
    """A line that is kept full: one exchange ends, who may goes on, as many come as went."""

    def __init__(self, ceilings: Ceilings, sizes: Sequence[int], keys: int) -> None:
        self.allowances = Allowances()
        self.lines = WaitingLines(self.allowances, Bounds(2 * WAITING, 3_600.0))
        self.account = Scope("acme", "acme", ceilings)
        self.keys = [Scope(f"key {n}", "", Ceilings(10**6)) for n in range(keys)]
        self.sizes = sizes
        self.random = random.Random(1)
        self.now = 0.0
        self.open: list[Reserved] = []
        self.went = 0
        while self.lines.waiting("acme") < WAITING:
            self.come()

    def come(self) -> None:
        key = [self.random.choice(self.keys)] if self.keys else []
        size = self.random.choice(self.sizes)
        answer = self.lines.join([self.account, *key], size, self.now)
        if isinstance(answer, Reserved):
            self.send(answer)
        elif not isinstance(answer, Ticket):
            raise TypeError(f"refused: {answer}")

    def send(self, held: Reserved) -> None:
        self.allowances.mark_sent(held, self.now)
        self.open.append(held)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.now += 0.01
            if self.open:
                self.allowances.settle(self.open.pop(0), 400, self.now)
            for ended in self.lines.wake("acme", self.now).ended:
                if isinstance(ended.answer, Reserved):
                    self.went += 1
                    self.send(ended.answer)
                self.come()


def by_line() -> Table:
    table = Table(f"with {WAITING:,} waiting", "us a step", "calls that went", box=box.SIMPLE)
    rows: list[tuple[str, Ceilings, Sequence[int], int]] = [
        ("bound by requests", PLANS["team"], (100,), 0),
        ("bound by tokens, one size", Ceilings(None, 2_000_000), (1_000,), 0),
        ("bound by tokens, seven sizes", Ceilings(None, 2_000_000), SIZES, 0),
        ("the same, 20 clients with ceilings", Ceilings(None, 2_000_000), SIZES, 20),
        ("by requests, 1,000 clients with ceilings", PLANS["team"], (100,), 1_000),
    ]
    for name, ceilings, sizes, keys in rows:
        crowd = Crowd(ceilings, sizes, keys)
        crowd.run(2 * STEPS)
        crowd.went = 0
        rounds = microseconds(partial(crowd.run, STEPS), STEPS)
        table.add_row(name, told(rounds), f"{crowd.went:,} of {ROUNDS * STEPS:,} steps")
    return table


def main() -> None:
    console.print(
        "A decision is reserve, mark_sent and settle; a step is the end of an exchange, the wake "
        "that follows, and as many that come as went."
    )
    console.print(by_accounts())
    console.print(forgetting())
    console.print(by_line())


if __name__ == "__main__":
    main()
