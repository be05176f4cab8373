"""Layers: what one yields goes where it belongs by its kind, without a question for each kind."""

from collections.abc import Generator
from typing import Any

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _base as base
from mitmproxy.proxy.layers.http import _events as http_events


def event_to_child(
    self: http_layers.HttpLayer, child: layer.Layer, event: events.Event
) -> Generator[commands.Command, Any, None]:
    """`HttpLayer.event_to_child`, which knows the most usual commands by their type."""
    command: Any  # which of them it is, its type tells
    for command in child.handle_event(event):
        kind = type(command)
        if kind is commands.SendData:
            yield command
        elif kind is http_layers.SendHttp:
            conn = self.connections[command.connection]
            yield from self.event_to_child(conn, command.event)
        elif kind is base.ReceiveHttp:
            received = command.event
            if isinstance(received, http_events.RequestHeaders):
                yield from self.make_stream(received.stream_id)
            stream = self.streams.get(received.stream_id)
            if stream is not None:  # it may be over, see mitmproxy's issue 5343
                yield from self.event_to_child(stream, received)
        else:
            yield from _less_usual(self, child, command)


def _less_usual(
    self: http_layers.HttpLayer, child: layer.Layer, command: commands.Command
) -> Generator[commands.Command, Any, None]:
    if command.blocking or isinstance(command, commands.RequestWakeup):
        self.command_sources[command] = child
    if isinstance(command, http_layers.DropStream):
        self.streams.pop(command.stream_id, None)
    elif isinstance(command, http_layers.GetHttpConnection):
        yield from self.get_connection(command)
    elif isinstance(command, http_layers.RegisterHttpConnection):
        yield from self.register_connection(command)
    else:
        if isinstance(command, commands.OpenConnection):
            self.connections[command.connection] = child
        yield command
