"""What holds for an account after the proxy was killed: what it spent, and the gateway's pauses."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from foxora_addon.api.usage import Usage
from foxora_addon.audit.journal import Journal
from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.payers import AccountRules, LimitRules
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.questions import ME
from foxora_addon.policy.standing import payer_of_key
from foxora_addon.proxy.clocks import Clocks
from foxora_addon.proxy.memory import Memory
from tests.builders import an_exchange
from tests.proxy.test_memory import all_saved

MODEL = "gpt-4o-mini"
MODELS = json.dumps(
    {"data": [{"id": MODEL, "input_per_1k_usd": 0.1, "output_per_1k_usd": 0.1}]}
).encode()
CALL_USD = 0.25
KEY = payer_of_key("5f0c" * 16)
PRIVATE = AccountRules(Ceilings(60), asks=False)
ACME = AccountRules(Ceilings(60), asks=False, key_digest="a" * 64)
LAB = AccountRules(Ceilings(60), asks=False, key_digest="b" * 64)
BOTH = {"acme": ACME, "lab": LAB}


@dataclass
class Proxy:
    """One that runs until it is killed, and is started again with what is in its folder."""

    folder: Path
    accounts: Mapping[str, AccountRules] = field(default_factory=lambda: dict(BOTH))
    now: float = 36_000.0
    offset: float = 1_795_435_200.0
    exchanges: int = 0

    def start(self) -> None:
        journal = Journal.open(
            self.folder / "trail.jsonl", wall_clock=lambda: self.now + self.offset
        )
        self.journal = journal
        self.accounting = Accounting(LimitRules(self.accounts))
        self.accounting.spending.take_models(MODELS)
        self.memory = Memory(
            journal, self.accounting, lambda: Clocks(self.now + self.offset, self.now, "boot")
        )
        self.memory.recall(self.now)

    def kill(self, away: float = 1.0) -> None:
        """End without another word; so the next one finds what is on the disk."""
        self.journal.close()
        self.now += away

    def restart(self, away: float = 1.0) -> None:
        self.kill(away)
        self.start()

    async def save(self) -> None:
        """A second passes, in which the state is written."""
        self.now += 5.0
        self.memory.tend(self.now)
        await all_saved()

    def tell(self, payer: str, account_id: str, spend_usd: float | None = None) -> None:
        usage = {} if spend_usd is None else {"spend_usd": spend_usd}
        self.accounting.spending.ask(
            payer, self.accounting.standings.canonical(payer), self.now + self.offset
        )
        body = json.dumps({"id": account_id, "plan": {"id": "team"}, "usage": usage}).encode()
        assert self.accounting.take_me(payer, body, self.now)

    def call(self, payer: str, *, recorded_as: str | None = None) -> None:
        """One call that costs a quarter of a dollar."""
        exchange = an_exchange(payer=payer, model=MODEL)
        exchange.input_tokens = 2_000
        assert self.accounting.reserve(exchange, self.now) is None
        self.accounting.mark_sent(exchange, self.now)
        exchange.was_sent = True
        usage = Usage(2_000, 500, 2_500, "reported")
        self.accounting.settle(exchange, usage, self.now)
        assert exchange.cost_usd == CALL_USD
        facts = {"input_tokens": 2_000, "output_tokens": 500, "total_tokens": 2_500}
        self.record(
            recorded_as or payer, 200, cost_usd=CALL_USD, usage={**facts, "source": "reported"}
        )

    def record(self, account: str, status: int, **facts: Any) -> None:
        self.exchanges += 1
        exchange = {"exchange": f"ex_{self.exchanges}", "account": account}
        times = {"duration_ms": 0.0, "sent_ms": 0.0}
        response = {"event": "response", "status": status, "source": "gateway", **times, **facts}
        for record in ({"event": "request", **exchange}, {**response, **exchange}):
            self.journal.append(record, lambda text: text)

    def spent(self) -> list[float]:
        return [each["spend"]["used_usd"] for each in self.accounting.balances(self.now)]

    def wait_of(self, payer: str) -> float:
        """How long a call that comes now is told to wait; 0: it is not refused."""
        refusal = self.accounting.reserve(an_exchange(payer=payer), self.now)
        return 0.0 if refusal is None else refusal.retry_after_seconds or -1.0


@pytest.fixture
def proxy(tmp_path: Path) -> Proxy:
    return Proxy(tmp_path)


# Spend.


def test_what_accounts_that_are_one_spent_is_known_after_a_kill(proxy: Proxy) -> None:
    """Wherever the state was written: each of three runs spends three times in either name."""

    async def run(when_saved: int) -> None:
        for turn in range(3):
            proxy.call("lab")
            proxy.call("acme")
            if turn == when_saved:
                await proxy.save()

    proxy.start()
    proxy.tell("acme", "usr_1")
    proxy.tell("lab", "usr_1")
    asyncio.run(proxy.save())
    for run_number, when_saved in enumerate((0, 2, 9), 1):
        asyncio.run(run(when_saved))
        assert proxy.spent() == [run_number * 6 * CALL_USD] * 2
        proxy.restart()
        assert proxy.spent() == [run_number * 6 * CALL_USD] * 2


def test_what_the_gateway_told_before_a_kill_is_of_both(proxy: Proxy) -> None:
    proxy.start()
    proxy.tell("acme", "usr_1", 7.0)
    proxy.tell("lab", "usr_1", 7.0)
    asyncio.run(proxy.save())
    proxy.call("lab")
    for _ in range(2):
        proxy.restart()
        assert proxy.spent() == [7.25] * 2
    proxy.tell("lab", "usr_1", 7.5)
    assert proxy.spent() == [7.5] * 2


def test_accounts_that_turn_out_to_be_one_count_once_what_either_has_spent(proxy: Proxy) -> None:
    proxy.start()
    proxy.call("lab")
    proxy.call("acme")
    assert proxy.spent() == [CALL_USD] * 2
    proxy.tell("acme", "usr_1", 0.5)
    proxy.tell("lab", "usr_1", 0.5)
    assert proxy.spent() == [0.5] * 2
    asyncio.run(proxy.save())
    proxy.call("lab")
    proxy.restart()
    assert proxy.spent() == [0.75] * 2


def test_a_call_that_was_open_when_they_turned_out_to_be_one_is_settled_for_both(
    proxy: Proxy,
) -> None:
    proxy.start()
    exchange = an_exchange(payer="lab", model=MODEL)
    exchange.input_tokens = 2_000
    assert proxy.accounting.reserve(exchange, proxy.now) is None
    exchange.was_sent = True
    proxy.tell("acme", "usr_1")
    proxy.tell("lab", "usr_1")
    proxy.accounting.settle(exchange, Usage(2_000, 500, 2_500, "reported"), proxy.now)
    assert proxy.spent() == [CALL_USD] * 2
    assert proxy.accounting.spending.budgets.spend_of("acme", proxy.now).open_usd == 0


@pytest.mark.parametrize("leaver", ["acme", "lab"])
def test_one_that_has_another_key_has_spent_nothing_and_the_other_all(
    proxy: Proxy, leaver: str
) -> None:
    proxy.start()
    proxy.tell("acme", "usr_1")
    proxy.tell("lab", "usr_1")
    proxy.call("acme")
    proxy.call("lab")
    asyncio.run(proxy.save())
    proxy.accounts = {**BOTH, leaver: AccountRules(Ceilings(60), asks=False, key_digest="c" * 64)}
    proxy.restart()
    proxy.tell(leaver, "usr_2", 0.0)
    proxy.tell("lab" if leaver == "acme" else "acme", "usr_1", 0.5)
    spent = dict(zip(("acme", "lab"), proxy.spent(), strict=True))
    assert spent.pop(leaver) == 0
    assert [*spent.values()] == [0.5]


@pytest.mark.parametrize("first", [["acme"], ["lab"]])
def test_one_that_was_taken_out_of_the_configuration_leaves_its_spend_to_the_other(
    proxy: Proxy, first: list[str]
) -> None:
    proxy.start()
    for payer in (*first, "acme", "lab"):
        proxy.tell(payer, "usr_1")
    proxy.call("acme")
    proxy.call("lab")
    asyncio.run(proxy.save())
    proxy.accounts = {"lab": LAB}
    for _ in range(2):
        proxy.restart()
        assert proxy.spent() == [0.5]
        asyncio.run(proxy.save())
    proxy.accounts = BOTH
    proxy.restart()
    assert proxy.spent() == [0.5, 0.5]


def test_one_account_that_is_away_for_a_while_keeps_what_it_spent(proxy: Proxy) -> None:
    proxy.accounts = {"acme": PRIVATE, "lab": PRIVATE}
    proxy.start()
    proxy.call("lab")
    asyncio.run(proxy.save())
    proxy.accounts = {"acme": PRIVATE}
    proxy.restart()
    asyncio.run(proxy.save())
    proxy.accounts = {"acme": PRIVATE, "lab": PRIVATE}
    proxy.restart()
    assert proxy.spent() == [0.0, CALL_USD]


def test_the_spend_of_a_key_that_passes_is_known_by_its_accounts_id_after_a_kill(
    proxy: Proxy,
) -> None:
    proxy.start()
    proxy.tell(KEY, "usr_9")
    proxy.call(KEY, recorded_as="usr_9")
    asyncio.run(proxy.save())
    proxy.call(KEY, recorded_as="usr_9")
    for _ in range(2):
        proxy.restart()
        months = proxy.accounting.spending.budgets.months(proxy.now + proxy.offset)
        assert {name: month.spent_usd for name, month in months.items()}["id usr_9"] == 0.5


def test_keys_that_nobody_knows_leave_nothing_in_the_months(proxy: Proxy) -> None:
    proxy.start()
    for number in range(50):
        key = payer_of_key(f"{number:064}")
        assert proxy.accounting.ask(key, ME, proxy.now) == 0
    months = proxy.accounting.spending.budgets.months(proxy.now + proxy.offset)
    assert not [name for name in months if name.startswith("key ")]


# The gateway's own pauses.


def paused(proxy: Proxy, payer: str, seconds: float | None) -> None:
    """The gateway answers 429 to a call."""
    proxy.accounting.obey(payer, seconds, proxy.now)
    error = {"retry_after_ms": None if seconds is None else seconds * 1000}
    proxy.record(payer, 429, error=error)


async def saved_at_once(proxy: Proxy) -> None:
    proxy.memory.tend(proxy.now)
    await all_saved()


def not_saved(_: Proxy) -> None:
    """The state was not written: the trail alone says so."""


def saved(proxy: Proxy) -> None:
    asyncio.run(saved_at_once(proxy))


@pytest.mark.parametrize("save", [saved, not_saved])
@pytest.mark.parametrize(("seconds", "away", "left"), [(30.0, 20.0, 10.0), (30.0, 31.0, 0.0)])
def test_a_pause_of_the_gateways_is_kept_over_a_kill(
    proxy: Proxy, save: Callable[[Proxy], None], seconds: float, away: float, left: float
) -> None:
    proxy.start()
    paused(proxy, "acme", seconds)
    save(proxy)
    proxy.restart(away)
    assert proxy.wait_of("acme") == pytest.approx(left)
    assert proxy.wait_of("lab") == 0


def test_a_long_pause_is_kept_though_its_record_is_long_over(proxy: Proxy) -> None:
    proxy.start()
    paused(proxy, "acme", 1_200.0)
    saved(proxy)
    for left in (800.0, 400.0):
        proxy.restart(400.0)
        assert proxy.wait_of("acme") == pytest.approx(left)
        saved(proxy)
    proxy.restart(400.0)
    assert proxy.wait_of("acme") == 0


@pytest.mark.parametrize("jump", [3_600.0, -3_600.0])
@pytest.mark.parametrize("save", [saved, not_saved])
def test_a_pause_is_as_long_as_it_was_though_the_clock_was_set(
    proxy: Proxy, save: Callable[[Proxy], None], jump: float
) -> None:
    proxy.start()
    saved(proxy)
    paused(proxy, "acme", 50.0)
    save(proxy)
    proxy.kill(20.0)
    proxy.offset += jump
    proxy.start()
    assert proxy.wait_of("acme") == pytest.approx(30.0)


def test_a_pause_closes_all_that_are_the_account(proxy: Proxy) -> None:
    proxy.start()
    proxy.tell("acme", "usr_1")
    proxy.tell("lab", "usr_1")
    paused(proxy, "lab", 30.0)
    saved(proxy)
    proxy.restart(10.0)
    assert min(proxy.wait_of("acme"), proxy.wait_of("lab")) == pytest.approx(20.0)


def test_a_pause_that_a_try_met_is_kept_too(proxy: Proxy) -> None:
    """The call was sent again after it; by then the account was still closed for other calls."""
    proxy.start()
    met = {"status": 429, "source": "gateway", "after_ms": 2_000.0, "retry_after_ms": 30_000.0}
    proxy.now += 5.0
    proxy.record("acme", 200, duration_ms=5_000.0, tries=[met])
    proxy.restart(10.0)
    assert proxy.wait_of("acme") == pytest.approx(17.0)


def test_a_pause_that_a_call_ended_with_after_its_tries_counts_from_its_try(proxy: Proxy) -> None:
    """It was given up: the account had no room for another try, and the client has that one's."""
    proxy.start()
    met = {"status": 429, "source": "gateway", "after_ms": 2_000.0, "retry_after_ms": 30_000.0}
    error = {"retry_after_ms": 30_000.0}
    proxy.now += 25.0
    more = {"duration_ms": 25_000.0, "sent_ms": 1_000.0, "tries": [{**met, "sent_ms": 1_000.0}]}
    proxy.record("acme", 429, source="gateway", error=error, **more)
    proxy.restart(1.0)
    assert proxy.wait_of("acme") == pytest.approx(6.0)


def test_a_429_of_our_own_or_one_without_a_wait_closes_nothing(proxy: Proxy) -> None:
    proxy.start()
    proxy.record("acme", 429, source="addon", error={"retry_after_ms": 30_000.0})
    paused(proxy, "acme", 0.0)
    proxy.restart()
    assert proxy.wait_of("acme") == 0


def test_a_429_that_names_no_wait_closes_for_a_second(proxy: Proxy) -> None:
    proxy.start()
    paused(proxy, "acme", None)
    proxy.restart(0.25)
    assert proxy.wait_of("acme") == pytest.approx(0.75)


# Tries.

USUAL_QUESTIONS = 2  # of the proxy's own, taken to have been asked just now


def used_by_acme(proxy: Proxy) -> tuple[int, int]:
    """Requests, without the proxy's own, and tokens of the last minute."""
    acme = next(each for each in proxy.accounting.balances(proxy.now) if each["account"] == "acme")
    return acme["requests"]["used"] - USUAL_QUESTIONS, acme["tokens"]["used"]


def a_try(sent_ms: float | None, after_ms: float, tokens: int) -> dict[str, Any]:
    told = {"status": 503, "code": "unavailable", "source": "gateway", "retry_after_ms": None}
    return {**told, "sent_ms": sent_ms, "after_ms": after_ms, "tokens": tokens}


@pytest.mark.parametrize(
    ("tries", "sent_ms", "requests", "tokens"),
    [
        ([], 1_800.0, 1, 12),
        ([a_try(500.0, 1_000.0, 8), a_try(1_200.0, 1_500.0, 8)], 1_800.0, 3, 28),
        ([a_try(None, 1_000.0, 0)], 1_800.0, 1, 12),
        ([a_try(500.0, 1_000.0, 8)], 500.0, 1, 20),  # the last was never sent
        ([{"status": 503, "after_ms": 1_000.0}], 1_800.0, 1, 12),  # as earlier versions wrote it
    ],
)
def test_each_try_that_was_sent_counts_after_a_kill(
    proxy: Proxy, tries: list[Any], sent_ms: float, requests: int, tokens: int
) -> None:
    proxy.start()
    usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
    times = {"duration_ms": 2_000.0, "sent_ms": sent_ms}
    proxy.record("acme", 200, tries=tries, usage=usage, **times)
    proxy.restart()
    assert used_by_acme(proxy) == (requests, tokens)


def test_a_try_counts_from_when_it_was_sent(proxy: Proxy) -> None:
    proxy.start()
    times = {"duration_ms": 50_000.0, "sent_ms": 49_000.0}
    proxy.record("acme", 200, tries=[a_try(500.0, 1_000.0, 8)], usage=None, **times)
    proxy.restart(away=11.0)  # the try was sent 60.5 s ago, and counts no more
    assert used_by_acme(proxy)[0] == 1
