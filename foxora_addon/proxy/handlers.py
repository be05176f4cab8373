"""What runs a client's connection, and what the system knows of the sockets that it has."""

import asyncio
import select
import socket
from typing import Any, Final

from mitmproxy import ctx
from mitmproxy.connection import Client, Connection
from mitmproxy.proxy.server import ConnectionHandler

_HAS_POLL: Final = hasattr(select, "poll")
_KEEPALIVE: Final = {
    "TCP_KEEPIDLE": 60,
    "TCP_KEEPALIVE": 60,  # what macOS calls the first
    "TCP_KEEPINTVL": 15,
    "TCP_KEEPCNT": 4,
}
"""After so many silent seconds a peer is asked if it is there; so far apart; so often, in vain."""


def handler_of(client: Client) -> ConnectionHandler | None:
    """What runs a client's connection; None once it is over."""
    proxy = ctx.master.addons.get("proxyserver")
    found: ConnectionHandler | None = proxy.connections.get(client.id) if proxy else None
    return found


def reading_of(client: Client) -> asyncio.ReadTransport | None:
    """What a client's connection is read from; None once it is over."""
    handler = handler_of(client)
    found = handler.transports.get(client) if handler else None
    if found is None or not isinstance(found.writer, asyncio.StreamWriter):
        return None
    transport = found.writer.transport
    return transport if isinstance(transport, asyncio.ReadTransport) else None


def ids_of_connections() -> set[str]:
    """The ids of all connections that are run now: of clients, and those that they have made."""
    proxy = ctx.master.addons.get("proxyserver")
    handlers = proxy.connections.values() if proxy else ()
    return {connection.id for handler in handlers for connection in handler.transports}


def notice_loss(client: Client) -> None:
    """Have the system find out when a client, or a server of its, is gone without a word.

    A silent WebSocket has no deadline: who lost power or network would leave it open for good.
    What is lost so counts as closed two minutes later (RFC 9293, 3.8.4).
    """
    handler = handler_of(client)
    for transport in handler.transports.values() if handler else ():
        if type(transport.writer) is not asyncio.StreamWriter:
            continue
        ours: Any = transport.writer.get_extra_info("socket")
        if ours is None or ours.family not in {socket.AF_INET, socket.AF_INET6}:
            continue
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                ours.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def is_stale(client: Client, connection: Connection) -> bool:
    """Whether something has come on a connection to a server that waits for its next request.

    `connection` is the one that has the socket. What has come is its end: the server has closed
    it, as it may at any moment (RFC 9112, 9.3), or says what nobody asked for, which is no answer
    to what is sent after it. False as well where it can't be told, for there is no socket to ask.
    """
    handler = handler_of(client)
    transport = handler.transports.get(connection) if handler else None
    if handler is None or transport is None or type(transport.writer) is not asyncio.StreamWriter:
        return False
    if _has_unseen(transport.reader, handler):
        return True
    ours: Any = transport.writer.get_extra_info("socket") if _HAS_POLL else None
    if ours is None:
        return False
    descriptor: int = ours.fileno()
    if descriptor < 0:
        return True
    asked = select.poll()
    asked.register(descriptor, select.POLLIN)
    return bool(asked.poll(0))


def _has_unseen(reader: Any, handler: Any) -> bool:
    """Whether something was read from a socket that no layer has seen yet.

    Not as long as it is waited for. Where it is not, it may be that who reads waits for the client
    to take what was sent, or has taken something and waits for the turn of its event.
    """
    # Where a Python or a mitmproxy has not these names, the socket alone is asked.
    if getattr(reader, "_waiter", None) is not None:
        return False
    lock = getattr(handler, "_server_event_lock", None)
    return bool(getattr(reader, "_buffer", b"") or reader.at_eof() or getattr(lock, "_waiters", ()))
