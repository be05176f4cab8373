"""How much goes on at once, and what a client that reads slowly may cost.

mitmproxy holds an HTTP/2 client to five connections to the gateway (mitmproxy-facts.md row 10), and
stops reading from the gateway when a client's socket is full; but what an HTTP/2 client has not
made room for it keeps, however much that is.
"""

import asyncio
import resource
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.server import ConnectionHandler

from foxora_addon.proxy.files import raised

_CONNECTIONS: Final = 1_000
_MOST_UNREAD_BYTES: Final = 4 * 1_048_576
_LOOK_SECONDS: Final = 0.05


def widen_files(wanted: int) -> None:
    """Let the process have as many files as it may, and no fewer than are wanted if it can."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if (limit := raised(soft, hard, wanted)) != soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def widen_connections(handler: ConnectionHandler | None) -> None:
    """Let a client have a connection to the gateway for each of its calls."""
    if handler is not None:
        handler.max_conns = defaultdict(lambda: asyncio.Semaphore(_CONNECTIONS))


def is_behind(client: Client, handler: ConnectionHandler) -> bool:
    """Whether what a client was sent still waits for it to be read."""
    transport = handler.transports.get(client)
    if transport is None or not isinstance(transport.writer, asyncio.StreamWriter):
        return False
    return transport.writer.transport.get_write_buffer_size() > 0


def is_held_up(flow: HTTPFlow, handler: ConnectionHandler) -> bool:
    """Whether nothing more is read from the gateway, for its client has much to read first."""
    gateway = _gateway_of(flow, handler)
    return gateway is not None and not gateway.is_reading() and not gateway.is_closing()


def _gateway_of(flow: HTTPFlow, handler: ConnectionHandler) -> asyncio.ReadTransport | None:
    """Where a flow's answer is read from; None while it has no connection, or a shared one."""
    found = handler.transports.get(flow.server_conn)
    if flow.server_conn.alpn == b"h2" or found is None:
        return None
    if not isinstance(found.writer, asyncio.StreamWriter):
        return None
    gateway = found.writer.transport
    return gateway if isinstance(gateway, asyncio.ReadTransport) else None


def wait_for_reader(
    flow: HTTPFlow,
    handler: ConnectionHandler,
    unread: Callable[[], int],
    waits: Callable[[], None],
) -> bool:
    """Read no more from the gateway while a client has much to read; False if that can't be.

    It can't where other streams share the connection. `waits` is called as long as it goes on.
    """
    if unread() <= _MOST_UNREAD_BYTES:
        return True
    gateway = _gateway_of(flow, handler)
    if gateway is None:
        return False
    gateway.pause_reading()
    loop = asyncio.get_running_loop()

    def look() -> None:
        if gateway.is_closing():
            return
        if unread() > _MOST_UNREAD_BYTES // 2 and flow.client_conn.connected:
            waits()
            loop.call_later(_LOOK_SECONDS, look)
        else:
            gateway.resume_reading()

    loop.call_later(_LOOK_SECONDS, look)
    return True
