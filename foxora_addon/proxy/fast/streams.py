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
from foxora_addon.proxy.hold_stream import Held
from foxora_addon.proxy.host_reading import WithoutTrailers
from foxora_addon.proxy.tee import Tee

_READERS: Final = (ChunkedReader, WithoutTrailers)
_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")


def read_body(self: Http1Connection, event: events.Event) -> Iterable[commands.Command]:
    """`Http1Connection.read_body`, which hands what passes to the client's connection itself."""
    if type(self) is Http1Client and type(event) is events.DataReceived:
        passed = _passed(self, event.data)
        if passed is not None:
            return passed
    usual: Iterable[commands.Command] = before[read_body](self, event)
    return usual


def _passed(self: Http1Client, data: bytes) -> Iterable[commands.Command] | None:
    """What goes to the client of these bytes; None where they are to go the usual way."""
    content = content_of(data) if _is_between_chunks(self, len(data)) else None
    ends = None if content is None else _ends_of(self)
    if content is None or ends is None:
        return None
    stream, client = ends
    self.buf.maybe_extract_at_most(len(data))
    pieces = stream.flow.response.stream(content)
    if client.response is not None and _is_chunked(client, client.response):
        pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    return [commands.SendData(client.conn, piece) for piece in pieces]


def _is_between_chunks(self: Http1Client, size: int) -> bool:
    """Whether the next bytes, which are all that is there, begin with a chunk."""
    reader: Any = self.body_reader
    if type(reader) not in _READERS or len(self.buf) != size:
        return False
    return not (reader._bytes_in_chunk or reader._bytes_to_discard or reader._reading_trailer)  # noqa: SLF001


def _ends_of(self: Http1Client) -> tuple[Any, Http1Server] | None:
    """The stream whose answer a connection reads, and the client's connection, if both are ready.

    None where anything but passing it on may have to be done.
    """
    layer = _http_layer_of(self)
    if layer is None or self.stream_id is None:
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
    if response is None or type(response.stream) is not Tee or stream.debug is not None:
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
