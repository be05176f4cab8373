"""What runs a client's connection, and what the system knows of the sockets that it has."""

import asyncio
import select
from typing import Any, Final

from mitmproxy import ctx
from mitmproxy.connection import Client, Connection
from mitmproxy.proxy.server import ConnectionHandler

_HAS_POLL: Final = hasattr(select, "poll")


def handler_of(client: Client) -> ConnectionHandler | None:
    """What runs a client's connection; None once it is over."""
    proxy = ctx.master.addons.get("proxyserver")
    found: ConnectionHandler | None = proxy.connections.get(client.id) if proxy else None
    return found


def is_stale(client: Client, connection: Connection) -> bool:
    """Whether something has come on a connection to a server that waits for its next request.

    `connection` is the one that has the socket. What has come is its end: the server has closed
    it, as it may at any moment (RFC 9112, 9.3), or says what nobody asked for, which is no answer
    to what is sent after it. mitmproxy may have read that from the socket and not have looked at it
    yet: whoever reads a connection on which nothing has come waits for that. False as well where it
    can't be told, for there is no socket to ask.
    """
    handler = handler_of(client)
    transport = handler.transports.get(connection) if handler else None
    if transport is None or type(transport.writer) is not asyncio.StreamWriter:
        return False
    if transport.reader._waiter is None:  # type: ignore[union-attr]  # noqa: SLF001
        return True
    socket: Any = transport.writer.get_extra_info("socket") if _HAS_POLL else None
    if socket is None:
        return False
    descriptor: int = socket.fileno()
    if descriptor < 0:
        return True
    asked = select.poll()
    asked.register(descriptor, select.POLLIN)
    return bool(asked.poll(0))
