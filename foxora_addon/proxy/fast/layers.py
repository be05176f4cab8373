"""Layers: what one yields goes where it belongs by its kind, without a question for each kind."""

from collections.abc import Generator, Iterable
from typing import Any

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _base as base
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http._http1 import Http1Connection

from foxora_addon.proxy.fast.streams import Passed, passing_of
from foxora_addon.proxy.fast.whole import HTTP_1, nearest, read_to_its_end, received
from foxora_addon.proxy.hold_whole import WholeAnswer, WholeRequest


def event_to_child(
    self: http_layers.HttpLayer, child: layer.Layer, event: events.Event
) -> Generator[commands.Command, Any, None]:
    """`HttpLayer.event_to_child`, which knows the most usual commands by their type."""
    return _obeyed(self, child, _steps_of(child, event))


def _obeyed(
    self: http_layers.HttpLayer, child: layer.Layer, steps: Iterable[commands.Command]
) -> Generator[commands.Command, Any, None]:
    """Do what a child wants that goes to other children, and pass on all else."""
    command: Any  # which of them it is, its type tells
    for command in steps:
        kind = type(command)
        if kind is Passed or kind is commands.SendData:
            yield command
        elif kind is http_layers.SendHttp:
            conn = self.connections[command.connection]
            yield from self.event_to_child(conn, command.event)
        elif kind is base.ReceiveHttp:
            received = command.event
            if isinstance(received, http_events.RequestHeaders):
                if self.debug is None:
                    _make_stream(self, received.stream_id)
                else:
                    yield from self.make_stream(received.stream_id)
            stream = self.streams.get(received.stream_id)
            if stream is not None:  # it may be over, see mitmproxy's issue 5343
                yield from self.event_to_child(stream, received)
        elif kind is http_layers.DropStream:
            self.streams.pop(command.stream_id, None)
        else:
            yield from _less_usual(self, child, command)


def _steps_of(child: layer.Layer, event: events.Event) -> Generator[commands.Command, Any, None]:
    """What a layer does at an event; one of HTTP/1's waits for nothing, and can't be paused.

    An `HttpClient` that is connected has no part in what the layer does that reads for it.
    """
    if child.debug is None:
        if type(child) is http_layers.HttpClient and not child._paused:  # noqa: SLF001
            child = getattr(child, "child_layer", child)
        if type(child) in HTTP_1:
            return child._handle_event(event)  # noqa: SLF001
    return child.handle_event(event)


def _make_stream(self: http_layers.HttpLayer, stream_id: int) -> None:
    """`HttpLayer.make_stream`, without an event to say that it begins."""
    stream = self.streams[stream_id] = http_layers.HttpStream(self.context.fork(), stream_id)
    stream.client_state = stream.state_wait_for_request_headers


def handle_event(
    self: http_layers.HttpLayer, event: events.Event
) -> Generator[commands.Command, Any, None]:
    """`HttpLayer.handle_event`, which hands what has come to its connection at once."""
    if type(event) is events.DataReceived and self.debug is None and self._paused is None:
        connection = self.connections.get(event.connection)
        if type(connection) is http_layers.HttpClient:
            passing = passing_of(self, connection, event.data)
            if passing is not None:
                return passing
        reads = nearest(connection)
        whole = None if reads is None else received(reads, event.data)
        if reads is not None and whole is not None:
            return _to_stream(self, reads, whole)
        if connection is not None:
            return self.event_to_child(connection, event)
    usual: Generator[commands.Command, Any, None] = layer.Layer.handle_event(self, event)
    return usual


def _to_stream(
    self: http_layers.HttpLayer, reads: Http1Connection, whole: WholeRequest | WholeAnswer
) -> Generator[commands.Command, Any, None]:
    """Hand a whole message to its stream, past the connection that has read it."""
    if type(whole) is WholeRequest:
        _make_stream(self, whole.stream_id)
    stream = self.streams.get(whole.stream_id)
    if stream is not None:  # as above
        yield from self.event_to_child(stream, whole)
    left = read_to_its_end(reads)
    if left:
        yield from _obeyed(self, reads, left)


def _less_usual(
    self: http_layers.HttpLayer, child: layer.Layer, command: commands.Command
) -> Generator[commands.Command, Any, None]:
    if command.blocking or isinstance(command, commands.RequestWakeup):
        self.command_sources[command] = child
    if isinstance(command, http_layers.GetHttpConnection):
        yield from self.get_connection(command)
    elif isinstance(command, http_layers.RegisterHttpConnection):
        yield from self.register_connection(command)
    else:
        if isinstance(command, commands.OpenConnection):
            self.connections[command.connection] = child
        yield command
