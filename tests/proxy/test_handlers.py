"""What is known of a kept connection before it is used again."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client, Server
from mitmproxy.proxy.server import ConnectionIO
from mitmproxy.test import taddons

from foxora_addon.proxy.handlers import is_stale, notice_loss

SERVER = Server(address=("gateway.test", 80))
CLIENT = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0)


class Kept:
    """A connection to a gateway: what we read on, and the gateway's own end."""

    def __init__(self, reader: asyncio.StreamReader, gateway: socket.socket) -> None:
        self.reader = reader
        self.gateway = gateway
        self.turn = asyncio.Lock()
        self.reading: asyncio.Task[bytes] | None = None
        self.handling: asyncio.Task[bool] | None = None

    async def read(self) -> None:
        """Begin to wait for what comes, as the task of a connection does."""
        self.reading = asyncio.create_task(self.reader.read(65_535))
        await asyncio.sleep(0)

    async def hears(self, count: int) -> None:
        """Have as much read from the socket, and looked at by nobody."""
        for _ in range(10_000):
            if len(self.reader._buffer) >= count:  # type: ignore[attr-defined]
                return
            await asyncio.sleep(0)
        raise AssertionError("nothing has come")


@asynccontextmanager
async def kept_connection() -> AsyncIterator[Kept]:
    ours, theirs = socket.socketpair()
    with taddons.context(Proxyserver()), theirs:
        reader, writer = await asyncio.open_connection(sock=ours)
        kept = Kept(reader, theirs)
        proxy = cast("Any", ctx.master.addons.get("proxyserver"))
        proxy.connections[CLIENT.id] = SimpleNamespace(
            transports={SERVER: ConnectionIO(None, reader, writer)}, _server_event_lock=kept.turn
        )
        try:
            yield kept
        finally:
            for task in (kept.reading, kept.handling):
                if task is not None:
                    task.cancel()
            writer.close()


async def nothing(kept: Kept) -> None:
    await kept.read()


async def something_that_waits_in_the_system(kept: Kept) -> None:
    await kept.read()
    kept.gateway.send(b"HTTP/1.1 200 OK\r\n")


async def its_end(kept: Kept) -> None:
    await kept.read()
    kept.gateway.close()


async def something_that_was_read_while_its_task_waited_for_another(kept: Kept) -> None:
    kept.gateway.send(b"HTTP/1.1 200 OK\r\n")
    await kept.hears(17)


async def something_that_waits_for_its_turn(kept: Kept) -> None:
    await kept.read()
    kept.gateway.send(b"HTTP/1.1 200 OK\r\n")
    assert kept.reading is not None
    await kept.reading
    await kept.turn.acquire()
    kept.handling = asyncio.create_task(kept.turn.acquire())
    await asyncio.sleep(0)


async def nothing_while_its_task_waits_for_the_client(kept: Kept) -> None:
    await asyncio.sleep(0)
    assert kept.reading is None


@pytest.mark.parametrize(
    ("comes", "stale"),
    [
        (nothing, False),
        (something_that_waits_in_the_system, True),
        (its_end, True),
        (something_that_was_read_while_its_task_waited_for_another, True),
        (something_that_waits_for_its_turn, True),
        (nothing_while_its_task_waits_for_the_client, False),
    ],
)
def test_a_kept_connection_is_stale_once_something_has_come(
    comes: Callable[[Kept], Awaitable[None]], stale: bool
) -> None:
    async def told() -> bool:
        async with kept_connection() as kept:
            await comes(kept)
            return is_stale(CLIENT, SERVER)

    assert asyncio.run(told()) is stale


def test_what_has_no_socket_is_not_said_to_be_stale() -> None:
    async def told() -> bool:
        async with kept_connection():
            return is_stale(CLIENT, Server(address=("elsewhere.test", 80)))

    assert asyncio.run(told()) is False


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="it has another name here")
def test_the_system_looks_whether_silent_peers_are_there_still() -> None:
    async def asked() -> list[int]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            with taddons.context(Proxyserver()):
                proxy = cast("Any", ctx.master.addons.get("proxyserver"))
                transports = {
                    CLIENT: ConnectionIO(None, reader, writer),
                    SERVER: ConnectionIO(),  # it is being made
                }
                proxy.connections[CLIENT.id] = SimpleNamespace(transports=transports)
                ours = writer.get_extra_info("socket")
                before = ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                notice_loss(CLIENT)
                after = ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                idle = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            writer.close()
            await writer.wait_closed()
            return [before, after, idle]

    assert asyncio.run(asked()) == [0, 1, 60]


def test_a_connection_that_is_over_or_is_no_tcp_is_left_alone() -> None:
    async def ask() -> None:
        async with kept_connection():
            notice_loss(CLIENT)  # its socket is a pair's
            proxy = cast("Any", ctx.master.addons.get("proxyserver"))
            del proxy.connections[CLIENT.id]
            notice_loss(CLIENT)

    asyncio.run(ask())
