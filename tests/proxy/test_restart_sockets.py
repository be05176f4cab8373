"""What was said over a WebSocket still counts after the proxy was killed, and counts once."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foxora_addon.audit.state import load, path_beside
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.talk import Talk
from tests.builders import an_exchange
from tests.proxy.test_memory import all_saved
from tests.proxy.test_restart import ACME, MODEL, Proxy

TOKENS = 2_500
USD = 0.25


class Session:
    """A WebSocket of the account `acme`, open on a proxy."""

    def __init__(self, proxy: Proxy, exchange_id: str = "ex_socket") -> None:
        self.proxy = proxy
        self.talk = Talk(MODEL)
        self.exchange = an_exchange(exchange_id, payer="acme", account_name="acme", output_cap=0)
        self.exchange.arrived_at = self.exchange.sent_at = proxy.now
        assert proxy.accounting.reserve(self.exchange, proxy.now) is None
        proxy.accounting.mark_sent(self.exchange, proxy.now)
        self.exchange.was_sent = True
        self.append({"event": "request", "decision": {"verdict": "forward"}})

    def append(self, fields: dict[str, Any]) -> None:
        about = {"exchange": self.exchange.id, "account": "acme"}
        self.proxy.journal.append({**fields, **about}, lambda text: text)

    def ask(self) -> None:
        """An answer is asked for."""
        talks = self.proxy.accounting.talks
        content = b'{"type": "response.create"}'
        assert talks.client_said(self.exchange, self.talk, content, self.proxy.now) is None

    def hear(self) -> None:
        """An answer of so many tokens is over."""
        usage = {"input_tokens": 2_000, "output_tokens": 500, "total_tokens": TOKENS}
        content = json.dumps({"type": "response.done", "response": {"usage": usage}}).encode()
        talks = self.proxy.accounting.talks
        talks.gateway_said(self.exchange, self.talk, content, self.proxy.now)

    def end(self) -> None:
        """It is closed, and its record written."""
        self.proxy.accounting.talks.end(self.exchange, self.talk, self.proxy.now)
        usage = self.talk.usage
        assert usage is not None
        assert self.exchange.cost_usd is not None
        lasted = (self.proxy.now - self.exchange.arrived_at) * 1000
        self.append(
            {
                "event": "response",
                "status": 101,
                "duration_ms": lasted,
                "sent_ms": 0.0,
                "usage": usage._asdict(),
                "cost_usd": float(self.exchange.cost_usd),
                "websocket": {"messages": []},
            }
        )


def used(proxy: Proxy) -> int:
    tokens: int = proxy.accounting.balances(proxy.now)[0]["tokens"]["used"]
    return tokens


def requests(proxy: Proxy) -> int:
    count: int = proxy.accounting.balances(proxy.now)[0]["requests"]["used"]
    return count


@pytest.fixture
def proxy(tmp_path: Path) -> Proxy:
    proxy = Proxy(tmp_path)
    proxy.start()
    return proxy


def test_a_session_that_a_kill_cut_off_counts_what_it_was_charged(proxy: Proxy) -> None:
    session = Session(proxy)
    session.hear()
    asyncio.run(proxy.save())
    session.hear()
    asyncio.run(proxy.save())
    proxy.restart()
    assert used(proxy) == 2 * TOKENS
    assert proxy.spent()[0] == 2 * USD
    proxy.now += 51.0  # 62 seconds after the first of them
    assert used(proxy) == TOKENS


def test_what_an_answer_held_that_a_kill_cut_off_counts_from_the_restart_on(proxy: Proxy) -> None:
    session = Session(proxy)
    session.hear()
    proxy.now += 30.0
    session.ask()
    held = used(proxy) - TOKENS
    assert held > 0
    asyncio.run(proxy.save())
    for _ in range(2):  # once, however often
        proxy.restart()
        assert used(proxy) == TOKENS + held
        asyncio.run(proxy.save())
    proxy.now += 40.0
    assert used(proxy) == held
    proxy.now += 30.0
    assert used(proxy) == 0


def test_what_an_answer_held_counts_no_more_once_the_record_has_what_it_used(proxy: Proxy) -> None:
    session = Session(proxy)
    session.hear()
    session.ask()
    asyncio.run(proxy.save())
    session.end()  # and the state is not written any more
    total = used(proxy)
    proxy.restart()
    assert used(proxy) == total


def test_a_models_ceiling_is_kept_and_no_name_that_a_client_chose(proxy: Proxy) -> None:
    proxy.accounts = {"acme": replace(ACME, models={MODEL: Ceilings(None, 9_000)})}
    proxy.restart()
    for name, model in (("ex_1", MODEL), ("ex_2", "sk-by-mistake")):
        session = Session(proxy, name)
        session.talk.model = model
        session.hear()
    asyncio.run(proxy.save())
    assert "sk-by-mistake" not in path_beside(proxy.journal.path).read_text()
    proxy.restart()
    scopes = proxy.accounting.payers.scopes_of("acme", MODEL, None)
    left = [proxy.accounting.headers(an_exchange(scopes=(each,)), (), proxy.now) for each in scopes]
    assert dict(left[1])[b"x-ratelimit-remaining-tokens"] == b"%d" % (9_000 - TOKENS)
    assert used(proxy) == 2 * TOKENS


def test_it_is_written_within_a_second(proxy: Proxy) -> None:
    session = Session(proxy)
    asyncio.run(proxy.save())
    session.hear()
    proxy.now += 1.0

    async def tend() -> None:
        proxy.memory.tend(proxy.now)
        await all_saved()

    asyncio.run(tend())
    held = load(path_beside(proxy.journal.path)).spoken["ex_socket"]
    assert (held.tokens, float(held.cost_usd)) == (TOKENS, USD)


@pytest.mark.parametrize("when_saved", [(), (0,), (1,), (0, 1), (0, 1, 2)])
def test_a_session_that_is_over_counts_once_whenever_the_state_was_written(
    proxy: Proxy, when_saved: tuple[int, ...]
) -> None:
    session = Session(proxy)
    for turn in range(2):
        session.hear()
        if turn in when_saved:
            asyncio.run(proxy.save())
    session.end()
    if 2 in when_saved:
        asyncio.run(proxy.save())
    for _ in range(3):
        proxy.restart()
        assert used(proxy) == 2 * TOKENS
        assert proxy.spent()[0] == 2 * USD
        asyncio.run(proxy.save())


def test_of_a_long_session_only_the_last_minute_counts_after_a_restart(proxy: Proxy) -> None:
    session = Session(proxy)
    session.hear()
    asyncio.run(proxy.save())
    proxy.now += 300.0
    session.hear()
    session.end()
    asyncio.run(proxy.save())
    proxy.restart()
    assert used(proxy) == TOKENS
    assert proxy.spent()[0] == 2 * USD


def test_what_was_said_is_no_request_after_a_restart_either(proxy: Proxy) -> None:
    session = Session(proxy)
    for _ in range(5):
        session.hear()
        asyncio.run(proxy.save())
    session.end()
    before = requests(proxy)
    proxy.restart()
    assert requests(proxy) <= before + 2  # its own questions may have gone just before


def test_a_session_is_forgotten_once_it_counts_no_more(proxy: Proxy) -> None:
    session = Session(proxy)
    session.hear()
    session.end()
    asyncio.run(proxy.save())
    assert load(path_beside(proxy.journal.path)).spoken
    proxy.now += 100.0
    asyncio.run(proxy.save())
    assert not load(path_beside(proxy.journal.path)).spoken
    assert not proxy.accounting.talks.spoken(proxy.now)
