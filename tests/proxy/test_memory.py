"""What is remembered of the last minute, whatever was done to the wall clock meanwhile."""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from foxora_addon.audit.journal import Journal
from foxora_addon.audit.record import aborted_fields
from foxora_addon.audit.state import load, path_beside
from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.budgets import Budgets
from foxora_addon.policy.payers import AccountRules, LimitRules
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.questions import ME
from foxora_addon.policy.spend_month import calendar_month
from foxora_addon.proxy.clocks import Clocks, clocks
from foxora_addon.proxy.memory import Memory

HOUR = 3_600.0
BOOT = "e3f63d66"


@dataclass
class Machine:
    """Its clocks, and the trail on its disk."""

    folder: Path
    boot: float = 10 * HOUR
    offset: float = 1_700_000_000.0
    boot_id: str | None = BOOT
    name: str = "acme"
    rules: AccountRules = field(default_factory=lambda: AccountRules(Ceilings(9), asks=False))

    def clocks(self) -> Clocks:
        return Clocks(self.boot + self.offset, self.boot, self.boot_id)

    def start(self) -> tuple[Journal, Accounting, Memory]:
        path = self.folder / "trail.jsonl"
        journal = Journal.open(path, wall_clock=lambda: self.boot + self.offset)
        accounting = Accounting(LimitRules({self.name: self.rules}))
        memory = Memory(journal, accounting, self.clocks)
        memory.recall(self.boot)
        return journal, accounting, memory

    def call(self, journal: Journal) -> None:
        """A call that is sent and over at once."""
        for event in ("request", "response"):
            ended = {"duration_ms": 0.0, "sent_ms": 0.0} if event == "response" else {}
            fields = {"event": event, "exchange": "ex_1", "account": "acme", **ended}
            journal.append(fields, lambda text: text)

    def counted(self) -> int:
        """How many requests count after a start; the proxy's own question is one of them."""
        journal, accounting, _ = self.start()
        journal.close()
        requests: int = accounting.balances(self.boot)[0]["requests"]["used"]
        return requests


async def all_saved() -> None:
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


async def tended(memory: Memory, now: float) -> None:
    memory.tend(now)
    await all_saved()


def run(machine: Machine, *, jumps: float = 0.0) -> None:
    """A proxy that takes two calls, sees the clock jump between them, and is killed."""

    async def live() -> None:
        journal, _, memory = machine.start()
        machine.call(journal)
        memory.tend(machine.boot)
        await all_saved()
        machine.offset += jumps
        machine.boot += 1.0
        memory.tend(machine.boot)
        await all_saved()
        machine.call(journal)
        journal.close()

    asyncio.run(live())


@pytest.mark.parametrize("jump", [0.0, HOUR, -HOUR, 30.0, -30.0])
def test_the_last_minute_is_remembered_though_the_clock_was_set_while_the_proxy_was_away(
    tmp_path: Path, jump: float
) -> None:
    machine = Machine(tmp_path)
    run(machine)
    machine.boot += 20.0
    machine.offset += jump
    assert machine.counted() >= 2


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_the_last_minute_is_remembered_though_the_clock_was_set_under_it(
    tmp_path: Path, jump: float
) -> None:
    machine = Machine(tmp_path)
    run(machine, jumps=jump)
    machine.boot += 20.0
    assert machine.counted() >= 2


@pytest.mark.parametrize("then", [0.0, 30.0, -HOUR])
@pytest.mark.parametrize("jump", [HOUR, -HOUR, -70.0])
def test_the_last_minute_is_remembered_though_the_clock_was_set_twice_unseen(
    tmp_path: Path, jump: float, then: float
) -> None:
    """A call that ends between them bears a time that no reading of the clocks explains."""
    machine = Machine(tmp_path)

    async def live() -> None:
        journal, _, memory = machine.start()
        machine.call(journal)
        memory.tend(machine.boot)
        await all_saved()
        machine.boot += 0.2
        machine.offset += jump
        machine.call(journal)
        machine.boot += 0.1
        machine.offset += then - jump
        journal.close()

    asyncio.run(live())
    machine.boot += 20.0
    assert machine.counted() == 2
    machine.boot += 60.0
    assert machine.counted() == (jump > 0), "what comes from the future counts from the start on"


@pytest.mark.parametrize("jump", [0.0, HOUR, -HOUR, -HOUR - 65.0])
def test_what_is_over_is_not_counted_however_the_clock_was_set(tmp_path: Path, jump: float) -> None:
    machine = Machine(tmp_path)
    run(machine, jumps=jump)
    machine.boot += HOUR
    assert machine.counted() == 0


def test_another_boot_leaves_the_wall_clock(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    run(machine)
    machine.boot_id, machine.offset, machine.boot = "other", machine.offset + machine.boot, 20.0
    assert machine.counted() >= 2
    machine.offset += HOUR
    assert machine.counted() == 0


def test_a_machine_without_such_a_clock_has_the_wall_clock(tmp_path: Path) -> None:
    machine = Machine(tmp_path, boot_id=None)
    run(machine)
    machine.boot += 20.0
    assert machine.counted() >= 2
    machine.offset -= HOUR
    assert machine.counted() >= 2


def test_what_the_gateway_told_and_was_asked_outlives_a_kill(tmp_path: Path) -> None:
    """A proxy that is started again and again asks each time, and must not pass the ceiling."""
    machine = Machine(tmp_path, rules=AccountRules())

    async def live() -> None:
        journal, accounting, memory = machine.start()
        for _ in range(2):
            assert accounting.ask("acme", ME, machine.boot) == 0.0
        told = b'{"id": "usr_1", "limits": {"requests_per_minute": 4}}'
        assert accounting.take_me("acme", told, machine.boot)
        memory.tend(machine.boot)
        await all_saved()
        machine.call(journal)
        journal.close()

    asyncio.run(live())
    machine.boot += 20.0
    journal, accounting, _ = machine.start()
    assert accounting.payers.ceilings("acme").requests_per_minute == 4
    assert accounting.payers.lacks("acme")  # the key may be another's by now: the first call waits
    assert machine.boot + accounting.ask("acme", ME, machine.boot) == 10 * HOUR + 60.25
    journal.close()
    machine.boot += 90.0
    assert machine.counted() == 0


def test_a_kill_just_after_the_first_start_forgets_nothing_of_an_account_that_is_renamed(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path, rules=AccountRules(Ceilings(9), asks=False, key_digest="5f0c" * 16))
    journal, _, _ = machine.start()
    machine.call(journal)
    journal.close()
    machine.name = "lab"
    assert machine.counted() == 1


def test_a_kill_just_after_an_account_was_renamed_does_not_open_it_where_it_is_closed(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path, rules=AccountRules(key_digest="5f0c" * 16))
    journal, accounting, memory = machine.start()
    accounting.obey("acme", 600.0, machine.boot)
    asyncio.run(tended(memory, machine.boot))
    journal.close()
    machine.name = "lab"
    machine.start()[0].close()
    closed = load(path_beside(tmp_path / "trail.jsonl")).closed
    assert closed["lab"].until == pytest.approx(machine.boot + machine.offset + 600.0)


@pytest.mark.parametrize("at_the_end", [False, True])
def test_a_state_that_could_not_be_saved_is_saved_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, at_the_end: bool
) -> None:
    machine = Machine(tmp_path)
    file = path_beside(tmp_path / "trail.jsonl")
    in_its_way = file.with_name(f"{file.name}.tmp")

    async def live() -> None:
        in_its_way.mkdir()
        journal, _, memory = machine.start()
        memory.tend(machine.boot)
        await all_saved()
        assert "can't be written" in caplog.text
        in_its_way.rmdir()
        if at_the_end:
            memory.close()
        else:
            memory.tend(machine.boot + 5.0)
            await all_saved()
        journal.close()

    asyncio.run(live())
    assert load(file).clock is not None


def test_a_call_whose_record_was_late_is_counted_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    cost = Decimal("0.25")

    async def live() -> None:
        journal, accounting, memory = machine.start()
        month = calendar_month(machine.clocks().wall).plus(cost, is_certain=True)
        accounting.spending.budgets = Budgets({"acme": month})
        memory.tend(machine.boot)  # it is over, and its response waits for a disk
        await all_saved()
        machine.boot += 1.0
        fields = {"event": "response", "exchange": "ex_1", "account": "acme", "cost_usd": "0.25"}
        journal.append(fields, lambda text: text)
        journal.close()
        memory.close()

    asyncio.run(live())
    machine.boot += 20.0
    journal, accounting, _ = machine.start()
    journal.close()
    months = accounting.spending.budgets.months(machine.clocks().wall)
    assert months["acme"].spent_usd == cost


USED = {"input_tokens": 1, "output_tokens": 599, "total_tokens": 600, "source": "reported"}
ENDED = {"duration_ms": 150_000.0, "sent_ms": 5.0, "model": "gpt-4o-mini", "usage": USED}
CUT_OFF = aborted_fields("", None)


@pytest.mark.parametrize("ended", [ENDED, CUT_OFF])
def test_what_a_long_stream_used_counts_for_its_client_and_its_model_after_a_restart(
    tmp_path: Path, ended: dict[str, Any]
) -> None:
    below = Ceilings(None, 9_000)
    rules = AccountRules(asks=False, models={"gpt-4o": below}, clients={"lab": below})
    machine = Machine(tmp_path, rules=rules)

    def begun(tokens: int) -> dict[str, Any]:
        decision = {"verdict": "forward", "estimated_tokens": tokens}
        return {"client": {"name": "lab"}, "model": "gpt-4o", "decision": decision}

    def note(exchange: str, event: str, fields: dict[str, Any]) -> None:
        about = {"event": event, "exchange": exchange, "account": "acme"}
        journal.append(fields | about, lambda text: text)

    journal, accounting, memory = machine.start()
    note("ex_1", "request", begun(600))
    note("ex_0", "request", begun(700))
    note("ex_0", "response", CUT_OFF)  # too long ago to count, though it is read again
    machine.boot += 150.0
    note("ex_1", "response", ended)
    accounting.spending.budgets = Budgets({"acme": calendar_month(machine.clocks().wall)})
    memory.close()
    journal.close()
    machine.boot += 20.0
    journal, accounting, _ = machine.start()
    journal.close()
    scopes = accounting.payers.scopes_of("acme", "gpt-4o", "lab")
    standings = [accounting._allowances.standing(scope, machine.boot) for scope in scopes]
    assert [standing["tokens"]["used"] for standing in standings] == [600, 600, 600]


def test_a_call_that_named_no_model_counts_for_none_after_a_restart(tmp_path: Path) -> None:
    rules = AccountRules(asks=False, models={"gpt-4o-mini": Ceilings(None, 9_000)})
    machine = Machine(tmp_path, rules=rules)
    journal, _, memory = machine.start()
    decision = {"verdict": "forward", "estimated_tokens": 0}
    about = {"exchange": "ex_1", "account": "acme"}
    begun = {"event": "request", "client": {}, "model": None, "decision": decision}
    journal.append(begun | about, lambda text: text)
    journal.append({"event": "response", **ENDED} | about, lambda text: text)
    memory.close()
    journal.close()
    machine.boot += 20.0
    journal, accounting, _ = machine.start()
    journal.close()
    scopes = accounting.payers.scopes_of("acme", "gpt-4o-mini", None)
    standings = [accounting._allowances.standing(scope, machine.boot) for scope in scopes]
    assert [standing["tokens"]["used"] for standing in standings] == [600, 0]


def test_a_state_that_cannot_be_saved_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(tmp_path)
    in_its_way = tmp_path / "trail.jsonl.state.json.tmp"

    async def live() -> None:
        in_its_way.mkdir()
        journal, _, memory = machine.start()
        for _ in range(3):
            memory.tend(machine.boot)
            await all_saved()
            machine.boot += 5.0
        in_its_way.rmdir()
        memory.close()
        journal.close()

    asyncio.run(live())
    assert caplog.text.count("can't be written") == 1


def test_both_clocks_are_read_at_the_same_moment() -> None:
    first, second = clocks(), clocks()
    assert first.boot_id == second.boot_id
    assert second.boot >= first.boot
    assert abs(first.offset - second.offset) < 1.0
