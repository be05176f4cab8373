"""Streams: what comes of an answer that passes goes from one connection to the other at once.

mitmproxy takes each piece of a body through four layers and some two dozen generators. Here one
that is whole chunks (RFC 9112, 7.1) goes from the gateway's HTTP/1 connection through the tee to
the client's, in the step that read it; whatever is not plainly that goes the usual way.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from h11._readers import ChunkedReader
from mitmproxy.http import Response
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server

from foxora_addon.proxy.fast.originals import before
from foxora_addon.proxy.hold_stream import Commands, Held
from foxora_addon.proxy.host_reading import WithoutTrailers
from foxora_addon.proxy.tee import Tee

_READERS: Final = (ChunkedReader, WithoutTrailers)
_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")


class Passed(commands.SendData):
    """Bytes that go at once, before whoever sends them does anything else."""


def read_body(self: Http1Connection, event: events.Event) -> Iterable[commands.Command]:
    """`Http1Connection.read_body`, which hands what passes to the client's connection itself."""
    if type(self) is Http1Client and type(event) is events.DataReceived:
        data = bytes(self.buf)  # of what has come, the head may have been taken
        layer = _http_layer_of(self) if data else None
        passing = None if layer is None else _passing_of(layer, self, data)
        if passing is not None:
            self.buf.maybe_extract_at_most(len(data))
            return passing
    usual: Iterable[commands.Command] = before[read_body](self, event)
    return usual


def passing_of(
    layer: http_layers.HttpLayer, connection: http_layers.HttpClient, data: bytes
) -> Commands | None:
    """Pass on what the gateway's connection is about to read, where `read_body` would do no more.

    None where that is not so: the connection has to read it.
    """
    gateway: Any = getattr(connection, "child_layer", None)
    if type(gateway) is not Http1Client or gateway.debug is not None or len(gateway.buf):
        return None
    if getattr(gateway.state, "__func__", None) is not read_body:
        return None
    return _passing_of(layer, gateway, data)


def _passing_of(layer: http_layers.HttpLayer, gateway: Http1Client, data: bytes) -> Commands | None:
    content = content_of(data) if _is_between_chunks(gateway) else None
    ends = None if content is None else _ends_of(layer, gateway)
    return None if content is None or ends is None else _passing(*ends, content)


def _passing(stream: Any, client: Http1Server, content: bytes) -> Commands:
    for piece in stream.flow.response.stream(content):
        yield Passed(client.conn, _framed(client, piece))


def _framed(client: Http1Server, piece: bytes) -> bytes:
    if client.response is not None and _is_chunked(client, client.response):
        return b"%x\r\n%s\r\n" % (len(piece), piece)
    return piece


def _is_between_chunks(self: Http1Client) -> bool:
    """Whether the next bytes begin with a chunk."""
    reader: Any = self.body_reader
    if type(reader) not in _READERS:
        return False
    return not (reader._bytes_in_chunk or reader._bytes_to_discard or reader._reading_trailer)  # noqa: SLF001


def _ends_of(layer: http_layers.HttpLayer, self: Http1Client) -> tuple[Any, Http1Server] | None:
    """The stream whose answer a connection reads, and the client's connection, if both are ready.

    None where anything but passing it on may have to be done.
    """
    if self.stream_id is None:
        return None
    stream: Any = layer.streams.get(self.stream_id)
    client = layer.connections.get(layer.context.client)
    if stream is None or type(client) is not Http1Server or client._paused is not None:  # noqa: SLF001
        return None
    if not _streams(stream, self.stream_id) or client.stream_id != stream.stream_id:
        return None
    return stream, client


def _http_layer_of(self: Http1Client) -> http_layers.HttpLayer | None:
    for layer in reversed(self.context.layers):
        if type(layer) is http_layers.HttpLayer:
            return layer
    return None


def _streams(stream: Held, gateway_id: int | None) -> bool:
    """Whether a stream does nothing with a piece of its answer but pass it on, through a tee."""
    progress = getattr(stream, "foxora", None)
    if progress is None or progress.gateway_id != gateway_id or stream._paused is not None:  # noqa: SLF001
        return False
    if stream.server_state != stream.state_stream_response_body:
        return False
    response = stream.flow.response
    tee = None if response is None else response.stream
    if type(tee) is not Tee or tee.then is not None or stream.debug is not None:
        return False
    return stream.flow.request.method != "HEAD" and not stream.context.options.store_streamed_bodies


def content_of(data: bytes) -> bytes | None:
    """What is in bytes that are whole chunks and not the last one; None of anything else.

    That is also of no bytes: nothing is the end of an answer for those who take it.
    """
    return b"".join(chunks_of(data) or ()) or None


def chunks_of(data: bytes) -> list[bytes] | None:
    """The chunks that bytes are; None if they are not whole ones, or the last one is among them.

    None is also of what is allowed and rare: extensions, and the trailer section.
    """
    found, at = [], 0
    while at < len(data):
        head = _SIZE.match(data, at)
        if head is None:
            return None
        start, size = head.end(), int(head[1], 16)
        at = start + size + 2
        if size == 0 or data[at - 2 : at] != b"\r\n":
            return None
        found.append(data[start : start + size])
    return found


_CHUNKED: Final = "foxora_chunked"


def _is_chunked(client: Http1Server, response: Response) -> bool:
    """Whether the answer's head, as it was sent, says that chunks follow."""
    fields = response.headers.fields
    known: tuple[object, bool] | None = vars(client).get(_CHUNKED)
    if known is None or known[0] is not fields:
        is_chunked = "chunked" in response.headers.get("transfer-encoding", "").lower()
        known = vars(client)[_CHUNKED] = (fields, is_chunked)
    return known[1]
