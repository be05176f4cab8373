"""Reading: what has come on a connection is handled in the call that read it from the socket.

asyncio puts it into a reader, wakes the task that waits there, and looks at all sockets again
before that goes on. Where the task is waiting, and nothing of what was sent still waits to go, what
it would do next is done at once (`fed`); else it does so itself, and waits for the writers.
"""

import asyncio
from functools import partial
from typing import Any, Final

from mitmproxy.connection import Connection
from mitmproxy.proxy import events
from mitmproxy.proxy.server import ConnectionHandler

from foxora_addon.proxy.fast.originals import before
from foxora_addon.proxy.fast.server import is_drained

_MOST_BYTES: Final = 65_535
"""What mitmproxy reads at once."""


async def handle_connection(self: ConnectionHandler, connection: Connection) -> None:
    """`ConnectionHandler.handle_connection`, whose reader hands on what it is fed."""
    reader: Any = self.transports[connection].reader
    if type(reader) is not asyncio.StreamReader:
        await before[handle_connection](self, connection)
        return
    vars(reader)["feed_data"] = partial(fed, self, connection, reader)
    try:
        await before[handle_connection](self, connection)
    finally:
        del reader.feed_data


def fed(self: ConnectionHandler, connection: Connection, reader: Any, data: bytes) -> None:
    """`StreamReader.feed_data`, which does what the task that waits for this would do with it."""
    is_waited_for = reader._waiter is not None and not reader._waiter.done()  # noqa: SLF001
    if is_waited_for and 0 < len(data) <= _MOST_BYTES and _is_free(self):
        handling = self.server_event(events.DataReceived(connection, data))
        try:
            handling.send(None)
        except StopIteration:
            return
        raise RuntimeError("an event is waited for, and its turn was free")
    asyncio.StreamReader.feed_data(reader, data)


def _is_free(self: ConnectionHandler) -> bool:
    """Whether an event is handled without waiting, neither for its turn nor for the writers."""
    lock: Any = self._server_event_lock
    if lock.locked() or lock._waiters:  # noqa: SLF001
        return False
    return all(map(is_drained, self.transports.values()))
