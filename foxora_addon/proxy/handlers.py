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

    That is its end: the server has closed it, as it may at any moment (RFC 9112, 9.3), and
    mitmproxy has not read that yet. False as well where it can't be told: over HTTP/2, on which
    anything may come, and where there is no socket to ask.
    """
    handler = handler_of(client) if _HAS_POLL and connection.alpn != b"h2" else None
    transport = handler.transports.get(connection) if handler else None
    writer: Any = transport.writer if transport else None
    socket = writer.get_extra_info("socket") if type(writer) is asyncio.StreamWriter else None
    if socket is None:
        return False
    descriptor: int = socket.fileno()
    if descriptor < 0:
        return True
    asked = select.poll()
    asked.register(descriptor, select.POLLIN)
    return bool(asked.poll(0))
