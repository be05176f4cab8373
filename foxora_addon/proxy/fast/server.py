"""The server: what a layer sends in one go leaves in one go.

mitmproxy makes a system call for the head of a message and another for its body; here they leave
together, which spares both sides the second one, and as soon as all of them is there where that is
known (`Passed`). What a layer has to say for the log comes after.
"""

import asyncio
import logging
from typing import Any, Final

from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.server import ConnectionHandler, ConnectionIO
from mitmproxy.utils import asyncio_utils

from foxora_addon.proxy import hold
from foxora_addon.proxy.fast.originals import before
from foxora_addon.proxy.fast.streams import Passed

_Reader, _Writer = asyncio.StreamReader, asyncio.StreamWriter
_MOST_JOINED: Final = 65_536
"""What is joined at the most, in bytes: a larger piece goes as it is."""


async def server_event(self: ConnectionHandler, event: events.Event) -> None:
    """`ConnectionHandler.server_event`, which gathers what is sent on one connection."""
    await self._server_event_lock.acquire()  # `async with` takes two more coroutines
    pieces: list[bytes] = []
    said: list[commands.Log] = []
    connection: Any = None
    command: Any  # which of them it is, its type tells
    try:
        self.timeout_watchdog.register_activity()
        for command in self.layer.handle_event(event):
            kind = type(command)
            if kind is commands.SendData or kind is Passed:
                if pieces and command.connection is not connection:
                    _send(self, connection, pieces)
                connection = command.connection
                pieces.append(command.data)
                if kind is Passed:
                    _send(self, connection, pieces)
                continue
            if kind is commands.Log:
                said.append(command)
                continue
            if pieces:
                _send(self, connection, pieces)
            _say(self, said)
            _obey(self, command)
    except Exception:  # noqa: BLE001  # as mitmproxy has it
        _say(self, said)
        self.log("mitmproxy has crashed!", logging.ERROR, exc_info=True)
        hold.crashed(self.client)
    finally:
        try:
            if pieces:
                _send(self, connection, pieces)
            if said:
                # A timer, for they come after what is there to be read: it may go with this.
                asyncio.get_running_loop().call_later(0, _say, self, said)
        finally:
            self._server_event_lock.release()


def _say(self: ConnectionHandler, said: list[commands.Log]) -> None:
    """Log what a layer had to say, and forget it."""
    for line in said:
        self.log(line.message, line.level)
    said.clear()


async def drain_writers(self: ConnectionHandler) -> None:
    """`ConnectionHandler.drain_writers`, where there may be anything to wait for."""
    if self._drain_lock.locked() or not all(map(is_drained, self.transports.values())):
        await before[drain_writers](self)


def is_drained(transport: ConnectionIO) -> bool:
    """Whether all that was written has gone to the system, and nothing has failed."""
    writer, reader = transport.writer, transport.reader
    if type(writer) is not _Writer or type(reader) is not _Reader:
        return writer is None
    below: Any = writer.transport
    if below.is_closing() or reader.exception() is not None:
        return False
    return not below.get_write_buffer_size()


def _send(self: ConnectionHandler, connection: Any, pieces: list[bytes]) -> None:
    """Send what was gathered, unless the connection was closed meanwhile, and forget it.

    Over UDP each piece is a datagram.
    """
    data = pieces[0] if len(pieces) == 1 else None
    is_joined = data is None and connection.transport_protocol == "tcp"
    if is_joined and sum(map(len, pieces)) <= _MOST_JOINED:
        data = b"".join(pieces)
    sent = pieces[:] if data is None else (data,)
    pieces.clear()
    transport: ConnectionIO | None = self.transports.get(connection)
    writer = transport.writer if transport else None
    if writer is None or connection.state is ConnectionState.CLOSED:
        return  # the last of these: a layer has just had it closed, and its handler goes later
    for piece in sent:
        if writer.is_closing():
            return  # one of them may have failed, and asyncio has a line for each further one
        writer.write(piece)


def _obey(self: ConnectionHandler, command: commands.Command) -> None:
    """Do what a layer wants, but for sending."""
    if isinstance(command, commands.OpenConnection):
        if command.connection in self.transports:
            raise RuntimeError(f"it is open already: {command.connection}")
        handler = asyncio_utils.create_task(
            self.open_connection(command),
            name=f"server connection handler {command.connection.address}",
            keep_ref=False,
            client=self.client.peername,
        )
        self.transports[command.connection] = ConnectionIO(handler=handler)
    elif isinstance(command, commands.RequestWakeup):
        task: asyncio.Task[None] = asyncio_utils.create_task(
            self.wakeup(command),
            name=f"wakeup timer ({command.delay:.1f}s)",
            keep_ref=False,
            client=self.client.peername,
        )
        self.wakeup_timer.add(task)
    elif isinstance(command, commands.ConnectionCommand):
        if command.connection not in self.transports:
            return  # it has been closed already
        if isinstance(command, commands.SendData):
            _send(self, command.connection, [command.data])
        elif isinstance(command, commands.CloseConnection):
            half = isinstance(command, commands.CloseTcpConnection) and command.half_close
            self.close_connection(command.connection, half)
        else:
            raise _unexpected(command)
    elif isinstance(command, commands.StartHook):
        asyncio_utils.create_task(
            self.hook_task(command),
            name=f"handle_hook({command.name})",
            keep_ref=True,
            client=self.client.peername,
        )
    elif isinstance(command, commands.Log):
        _say(self, [command])
    else:
        raise _unexpected(command)


def _unexpected(command: commands.Command) -> RuntimeError:
    return RuntimeError(f"Unexpected command: {command}")
