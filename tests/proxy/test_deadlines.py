"""How long connections that are being made, and exchanges, may take."""

import asyncio
import socket
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.server import ConnectionIO, TimeoutWatchdog
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from foxora_addon.exchange import State
from foxora_addon.policy.hosts import parse_base_url
from foxora_addon.policy.timeouts import Due, Timeouts
from foxora_addon.proxy import capacity, deadlines
from foxora_addon.proxy.deadlines import Connecting, Deadlines
from foxora_addon.proxy.desk import FlowDesk
from tests.builders import an_exchange
from tests.proxy.wires import a_desk

AT_ONCE = Timeouts(connect=0, tls=0, response=30, stream_idle=5, exchange=None)
LONG_AGO = Timeouts(connect=-60, tls=0, response=30, stream_idle=30, exchange=None)
NEVER = 3_600.0


async def some_turns() -> None:
    """Let the loop do what is due."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("host", "is_cut"), [("new.example", True), ("OLD.example.", True), ("other.example", False)]
)
def test_a_connection_to_the_gateway_or_to_the_one_before_it_has_a_deadline(
    monkeypatch: pytest.MonkeyPatch, host: str, is_cut: bool
) -> None:
    monkeypatch.setattr(deadlines, "_MOMENT_SECONDS", 0.0)
    cancelled = asyncio.run(is_cancelled(monkeypatch, host, AT_ONCE))
    assert cancelled is is_cut


async def is_cancelled(monkeypatch: pytest.MonkeyPatch, host: str, timeouts: Timeouts) -> bool:
    """Whether a connection is that is being made, once all that is due is done."""
    client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
    server = Server(address=(host, 443))
    connection = asyncio.create_task(asyncio.Event().wait())
    handler = SimpleNamespace(transports={server: SimpleNamespace(handler=connection)})
    monkeypatch.setattr(deadlines, "handler_of", lambda _: handler)
    connecting = Connecting()
    connecting.may_lead_to(parse_base_url("https://old.example/v1"))
    connecting.may_lead_to(parse_base_url("https://new.example/v1"))
    data = ServerConnectionHookData(server, client)
    connecting.at(data, "tcp", timeouts, is_proxy=False)
    await some_turns()
    return connection.cancelled()


@pytest.mark.parametrize(("moment", "is_cut"), [(NEVER, False), (0.0, True)])
def test_a_connection_that_came_while_we_stood_still_has_a_moment_to_be_seen(
    monkeypatch: pytest.MonkeyPatch, moment: float, is_cut: bool
) -> None:
    monkeypatch.setattr(deadlines, "_MOMENT_SECONDS", moment)
    cancelled = asyncio.run(is_cancelled(monkeypatch, "new.example", LONG_AGO))
    assert cancelled is is_cut


@pytest.mark.parametrize(
    ("stood_still", "moment", "is_late"),
    [(0.0, NEVER, True), (4.0, NEVER, False), (4.0, 0.0, True)],
)
def test_what_came_while_we_stood_still_has_a_moment_to_be_read(
    monkeypatch: pytest.MonkeyPatch, stood_still: float, moment: float, is_late: bool
) -> None:
    monkeypatch.setattr(deadlines, "_MOMENT_SECONDS", moment)
    now = 130.0
    late: list[Due] = []

    async def main() -> None:
        nonlocal now
        waits = an_exchange(state=State.SENT, waiting_since=now - AT_ONCE.response)
        watched = Deadlines(lambda: now, lambda _, due: late.append(due))
        watched.watch("f1", waits, AT_ONCE)
        now += stood_still
        await some_turns()
        watched.watch("f2", waits, AT_ONCE)
        await some_turns()

    asyncio.run(main())
    assert late == [Due(130.0, 30, "to answer")] * (2 if is_late else 0)


def test_an_answer_that_is_taken_whole_is_due_as_long_after_its_head_as_that_was() -> None:
    now, late = 100.0, list[Due]()

    async def main() -> None:
        nonlocal now
        exchange = an_exchange(state=State.SENT, waiting_since=now)
        watched = Deadlines(lambda: now, lambda _, due: late.append(due))
        watched.watch("f1", exchange, AT_ONCE)
        exchange.state, exchange.waiting_since = State.ANSWERING, 120.0
        for moment in (105.0, 130.0, 149.0, 150.0):
            assert not late
            now = moment
            watched._look()

    asyncio.run(main())
    assert late == [Due(150.0, 30, "to finish its answer")]


def test_what_is_open_has_the_deadlines_of_an_edited_file_at_once() -> None:
    late: list[Due] = []

    async def main() -> None:
        with a_desk() as desk:
            assert desk._pipeline is not None
            assert desk._admission is not None
            assert desk._admission._asking is not None
            desk._deadlines._late = lambda _, due: late.append(due)
            client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
            flow, since = HTTPFlow(client, Server(address=None)), time.monotonic() - 30
            sent = an_exchange(state=State.SENT, waiting_since=since)
            sent.arrived_at = since
            desk._open.add(flow, sent)
            desk._watch(flow.id, sent)
            await some_turns()
            assert not late
            rules = replace(desk._pipeline.rules, timeouts=AT_ONCE)
            desk.take(rules, desk._admission._trail, frozenset, desk._admission._asking)
            await some_turns()

    asyncio.run(main())
    assert [(due.seconds, due.phase) for due in late] == [(AT_ONCE.response, "to answer")]


@pytest.mark.parametrize(
    ("state", "is_behind", "is_put_off"),
    [
        (State.ARRIVED, False, False),
        (State.RECORDED, False, True),
        (State.SENT, False, True),
        (State.ANSWERING, False, True),
        (State.ANSWERING, True, False),
    ],
)
def test_mitmproxys_timeout_is_put_off_while_the_gateway_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, state: State, *, is_behind: bool, is_put_off: bool
) -> None:
    async def closed() -> None:
        """Nobody waits for it."""

    async def tended() -> bool:
        watchdog = TimeoutWatchdog(600, closed)
        watchdog.last_activity = 0.0
        handler = SimpleNamespace(timeout_watchdog=watchdog, transports={})
        monkeypatch.setattr(deadlines, "handler_of", lambda _: handler)
        monkeypatch.setattr(deadlines, "is_behind", lambda *_: is_behind)
        desk = FlowDesk()
        client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
        exchange = an_exchange()
        exchange.state = state
        desk._open.add(HTTPFlow(client, Server(address=None)), exchange)
        desk.tend()
        return watchdog.last_activity > 0

    assert asyncio.run(tended()) is is_put_off


def test_mitmproxys_timeout_is_not_put_off_while_the_gateway_waits_for_a_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capacity, "_LOOK_SECONDS", 0.0)
    unread = 5 * 1_048_576
    put_off: list[bool] = []

    async def closed() -> None:
        """Nobody waits for it."""

    async def main(ours: socket.socket) -> None:
        nonlocal unread
        _, writer = await asyncio.open_connection(sock=ours)
        client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
        client.state = ConnectionState.OPEN
        flow = HTTPFlow(client, Server(address=None))
        transports = {flow.server_conn: ConnectionIO(writer=writer)}
        watchdog = TimeoutWatchdog(600, closed)
        handler: Any = SimpleNamespace(timeout_watchdog=watchdog, transports=transports)
        monkeypatch.setattr(deadlines, "handler_of", lambda _: handler)
        desk = FlowDesk()
        desk._open.add(flow, an_exchange(state=State.ANSWERING))

        def tend() -> None:
            watchdog.last_activity = 0.0
            desk.tend()
            put_off.append(watchdog.last_activity > 0)

        tend()
        assert capacity.wait_for_reader(flow, handler, lambda: unread, lambda: None)
        await some_turns()
        tend()
        unread = 0
        await some_turns()
        tend()
        writer.close()
        await writer.wait_closed()

    ours, gateways = socket.socketpair()
    with gateways:
        asyncio.run(main(ours))
    assert put_off == [True, False, True]
