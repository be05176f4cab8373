"""Ending a flow from outside: its stream is woken, or told that its connection failed.

One that was killed while it was intercepted is ended as well: mitmproxy has it wait for good.
"""

import time
from itertools import pairwise
from weakref import WeakValueDictionary

from mitmproxy.connection import ConnectionState, Server
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.server import ConnectionHandler

from foxora_addon.proxy.hold_stream import Held, layer_of

STREAMS: WeakValueDictionary[str, Held] = WeakValueDictionary()
"""By flow. Some are over: one that was left before its next try is kept until its wake-up."""


class GiveUp(commands.RequestWakeup):
    """Wakes a stream that is to end."""


async def give_up(flow: HTTPFlow, handler: ConnectionHandler) -> None:
    """End a flow that waits for the gateway, as if that had failed; its stream, and no other.

    `handler` is that of the client's connection. What goes through it ends the flow, for only there
    is the state of all its streams: a wake-up, which reaches a stream by being known to each layer
    that it passes, as if the stream had asked for it.
    """
    stream = STREAMS.get(flow.id)
    if stream is None or stream.foxora.is_over:
        return
    command = GiveUp(0.0)
    layers = stream.context.layers
    for parent, child in pairwise(layers):
        if isinstance(parent, http_layers.HttpLayer):
            parent.command_sources[command] = child
    await handler.server_event(events.Wakeup(command))


def end_killed() -> None:
    """Have flows that were killed while they were intercepted go on, to their end."""
    for stream in list(STREAMS.values()):
        error, resumed = stream.flow.error, stream.flow._resume_event  # noqa: SLF001
        if resumed is not None and error is not None and error.msg == Error.KILLED_MESSAGE:
            resumed.set()


async def lose_connection(server: Server, handler: ConnectionHandler) -> None:
    """Tell those who wait for a connection that it failed, where mitmproxy has forgotten to."""
    for stream in list(STREAMS.values()):
        if stream.foxora.is_over or stream.context.client is not handler.client:
            continue
        for command in list(layer_of(stream).command_sources):
            if isinstance(command, commands.OpenConnection) and command.connection is server:
                server.error = "connection reset by peer"
                server.state = ConnectionState.CLOSED
                server.timestamp_end = time.time()
                await handler.server_event(events.OpenConnectionCompleted(command, server.error))
                return
