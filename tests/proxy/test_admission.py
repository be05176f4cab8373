"""What a call waits for before it is decided on, and what becomes of one that ends meanwhile."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from foxora_addon.audit.journal import Journal, Sync
from foxora_addon.exchange import Exchange
from foxora_addon.pipeline import Ahead, Pipeline
from foxora_addon.policy.payers import AccountRules, LimitRules
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.waiting import Bounds
from foxora_addon.proxy.admission import Admission
from foxora_addon.proxy.failures import INTERNAL
from foxora_addon.proxy.large import LARGE_BYTES, LARGE_ENCODED_BYTES, read_ahead
from foxora_addon.proxy.trail import JournalTrail
from tests.builders import CHAT, an_arrival, encoded, records_of, some_rules

BODY = encoded(CHAT)
LARGE_ONCE_DECODED = b" " * LARGE_ENCODED_BYTES + BODY
ONE_AT_ONCE = LimitRules(
    {"default": AccountRules(Ceilings(concurrent_requests=1), asks=False)}, Bounds(10, 30.0)
)


class Proxy:
    """An admission over a real trail, whose clock stands."""

    def __init__(self, folder: Path, sync: Sync = "none") -> None:
        self.journal = Journal.open(
            folder / "trail.jsonl", sync=sync, wall_clock=lambda: 1_700_000_000.0
        )
        trail = JournalTrail(self.journal, "refuse", lambda: 0.0)
        ids = count(1)
        self.pipeline = Pipeline(some_rules(limits=ONE_AT_ONCE), trail, lambda: f"x{next(ids)}")
        self.admission = Admission(self.pipeline, trail, lambda: 100.0)
        self.over: set[str] = set()

    def arrive(self) -> Exchange:
        rewritten = self.pipeline.arrive(an_arrival(), 100.0)
        assert rewritten is not None
        return rewritten.exchange

    def admit(
        self, exchange: Exchange, body: bytes = BODY, encoding: str | None = None
    ) -> Coroutine[Any, Any, bool] | None:
        return self.admission.admit(exchange, body, encoding, lambda: exchange.id not in self.over)

    def end(self, exchange: Exchange) -> None:
        """It ends, for whatever reason, and nobody has taken anything back for it yet."""
        self.over.add(exchange.id)
        self.admission.left(exchange)

    @property
    def on_record(self) -> list[str]:
        return [record["exchange"] for record in records_of(self.journal.path)]


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    made = Proxy(tmp_path)
    yield made
    made.journal.close()


def run(steps: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await steps()

    asyncio.run(bounded())


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_call_with_nothing_to_wait_for_is_on_record_at_once(proxy: Proxy) -> None:
    exchange = proxy.arrive()
    assert proxy.admit(exchange) is None
    assert (exchange.refusal, proxy.on_record) == (None, [exchange.id])


def test_one_that_waits_goes_on_record_once_it_has_its_turn(proxy: Proxy) -> None:
    async def steps() -> None:
        first, second = proxy.arrive(), proxy.arrive()
        assert proxy.admit(first) is None
        waiting = proxy.admit(second)
        assert waiting is not None
        task = asyncio.create_task(waiting)
        await settled()
        assert proxy.on_record == [first.id]
        proxy.pipeline.accounting.settle(first, None, 100.0)
        assert await task
        assert (second.refusal, proxy.on_record) == (None, [first.id, second.id])

    run(steps)


def test_one_that_ends_in_line_leaves_its_turn_and_no_record(proxy: Proxy) -> None:
    async def steps() -> None:
        first, second, third = (proxy.arrive() for _ in range(3))
        proxy.admit(first)
        tasks = [asyncio.create_task(proxy.admit(each) or nothing()) for each in (second, third)]
        await settled()
        proxy.end(second)
        assert not await tasks[0]
        proxy.pipeline.accounting.settle(first, None, 100.0)
        assert await tasks[1]
        assert proxy.on_record == [first.id, third.id]

    run(steps)


def test_a_turn_that_comes_as_the_call_ends_is_given_back(proxy: Proxy) -> None:
    async def steps() -> None:
        first, second, third = (proxy.arrive() for _ in range(3))
        proxy.admit(first)
        tasks = [asyncio.create_task(proxy.admit(each) or nothing()) for each in (second, third)]
        await settled()
        proxy.pipeline.accounting.settle(first, None, 100.0)
        proxy.over.add(second.id)  # its turn is on its way by then
        assert not await tasks[0]
        assert await tasks[1]
        assert proxy.on_record == [first.id, third.id]

    run(steps)


def test_a_large_body_is_read_while_others_go_on(proxy: Proxy) -> None:
    async def steps() -> None:
        large, small = proxy.arrive(), proxy.arrive()
        message = {"role": "user", "content": "a" * LARGE_BYTES}
        waiting = proxy.admit(large, encoded(CHAT | {"messages": [message]}))
        assert waiting is not None
        task = asyncio.create_task(waiting)
        assert proxy.admit(small) is None
        proxy.pipeline.accounting.settle(small, None, 100.0)
        assert await task
        assert (large.refusal, large.model) == (None, "gpt-4o-mini")
        assert proxy.on_record == [small.id, large.id]

    run(steps)


def test_so_is_a_compressed_one_that_grows(proxy: Proxy) -> None:
    async def steps() -> None:
        packed, small, body = proxy.arrive(), proxy.arrive(), gzip.compress(LARGE_ONCE_DECODED)
        waiting = proxy.admit(packed, body, "gzip")
        assert waiting is not None
        task = asyncio.create_task(waiting)
        assert proxy.admit(small) is None
        proxy.pipeline.accounting.settle(small, None, 100.0)
        assert await task
        assert (packed.refusal, packed.model) == (None, "gpt-4o-mini")
        assert packed.sent_body is body
        assert proxy.on_record == [small.id, packed.id]

    run(steps)


def test_one_that_stays_small_is_read_at_once(proxy: Proxy) -> None:
    exchange = proxy.arrive()
    assert proxy.admit(exchange, gzip.compress(BODY), "gzip") is None
    assert (exchange.refusal, exchange.model) == (None, "gpt-4o-mini")
    assert proxy.on_record == [exchange.id]


def test_of_compressed_ones_no_more_than_two_are_decoded_at_once(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    async def steps() -> None:
        may_go_on = asyncio.Event()

        async def reading(exchange: Exchange, *rest: Any) -> Ahead:
            begun.append(exchange.id)
            await may_go_on.wait()
            return await read_ahead(exchange, *rest)

        monkeypatch.setattr("foxora_addon.proxy.admission.read_ahead", reading)
        calls, body = [proxy.arrive() for _ in range(4)], gzip.compress(LARGE_ONCE_DECODED)
        for each in calls:
            each.refusal = INTERNAL  # it takes nothing that the next would wait for
        tasks = [
            asyncio.create_task(proxy.admit(each, body, "gzip") or nothing()) for each in calls
        ]
        await settled()
        assert begun == [calls[0].id, calls[1].id]
        proxy.end(calls[2])
        may_go_on.set()
        assert await asyncio.gather(*tasks) == [True, True, False, True]
        assert begun == [calls[0].id, calls[1].id, calls[3].id]  # nobody waits for the third

    run(steps)


def test_of_one_that_is_refused_by_its_head_no_more_is_decoded_than_for_its_record(
    proxy: Proxy,
) -> None:
    async def steps() -> None:
        exchange, body = proxy.arrive(), gzip.compress(bytes(LARGE_BYTES + 1))
        exchange.refusal = INTERNAL
        waiting = proxy.admit(exchange, body, "gzip")
        assert waiting is not None
        assert await waiting
        assert exchange.refusal is INTERNAL
        [record] = records_of(proxy.journal.path)
        assert (record["body"], record["body_bytes"]) == (None, len(body))

    run(steps)


@pytest.mark.parametrize("times", [1, 10_000])
def test_what_cant_be_decoded_is_refused_and_on_record_by_size_and_hash(
    proxy: Proxy, times: int
) -> None:
    async def steps() -> None:
        exchange, body = proxy.arrive(), b"no gzip" * times
        waiting = proxy.admit(exchange, body, "gzip")
        assert waiting is None or await waiting
        assert exchange.refusal is not None
        assert exchange.refusal.code == "invalid_request"
        [record] = records_of(proxy.journal.path)
        assert (record["body"], record["body_bytes"]) == (None, len(body))
        assert record["body_sha256"] == sha256(body).hexdigest()

    run(steps)


def test_a_large_one_that_ends_while_it_is_read_takes_nothing(proxy: Proxy) -> None:
    async def steps() -> None:
        large, small = proxy.arrive(), proxy.arrive()
        waiting = proxy.admit(large, b" " * LARGE_BYTES + BODY)
        assert waiting is not None
        proxy.end(large)
        assert not await waiting
        assert proxy.admit(small) is None
        assert proxy.on_record == [small.id]

    run(steps)


@pytest.mark.parametrize("works", [True, False])
def test_where_each_is_to_be_on_the_disk_a_call_waits_for_that(
    tmp_path: Path, works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def steps() -> None:
        proxy = Proxy(tmp_path, "each")
        if not works:
            monkeypatch.setattr("os.fsync", fails)
            monkeypatch.setattr("os.fdatasync", fails)
        exchange = proxy.arrive()
        waiting = proxy.admit(exchange)
        assert waiting is not None
        assert await waiting
        assert proxy.on_record == [exchange.id]
        assert (exchange.refusal is None) is works
        proxy.journal.close()

    run(steps)


def fails(_: int) -> None:
    raise OSError(5, "Input/output error")


async def nothing() -> bool:
    raise AssertionError("it should have waited")
