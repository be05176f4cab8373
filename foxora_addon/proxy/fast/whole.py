"""Whole messages: what has come in one piece goes through the layers in one step.

mitmproxy takes a head, a body and their end through four layers each, on the way in and again on
the way out. A message on HTTP/1 that is there at once (RFC 9112, 6.3: by its length, or as chunks
with the last one) is one event here for its stream (`hold_stream.WholeRequest`), and what a stream
sends is one for its connection. Whatever is not plainly that goes the usual way.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from h11._readers import ContentLengthReader
from mitmproxy.connection import Connection
from mitmproxy.http import Request, Response
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server

from foxora_addon.proxy import hold
from foxora_addon.proxy.fast import heads
from foxora_addon.proxy.fast.http1 import VERSIONS, WITH_BODIES, framing
from foxora_addon.proxy.fast.originals import before
from foxora_addon.proxy.fast.streams import Passed, chunks_of
from foxora_addon.proxy.hold_desk import Desk
from foxora_addon.proxy.hold_stream import Commands, Held, innermost, is_worn, layer_of
from foxora_addon.proxy.hold_whole import WholeAnswer, WholeRequest

_LONGEST_HEAD: Final = 65_536
_MOST_JOINED: Final = 65_536
_LENGTH: Final = re.compile(rb"\r\ncontent-length: ?(\d{1,9})\r\n", re.IGNORECASE)
HTTP_1: Final[frozenset[type]] = frozenset({Http1Client, Http1Server})
_LAST_CHUNK: Final = b"0\r\n\r\n"
# What reads on where a message has been read: it takes no bytes, and tells them from its end. A
# connection may have to read before it is done with the message: an answer may come early, and a
# layer above may raise.
_NOTHING_LEFT: Final = ContentLengthReader(0)
_HEADS: Final = (http_events.RequestHeaders, http_events.ResponseHeaders)
_BODIES: Final = (http_events.RequestData, http_events.ResponseData)
_ENDS: Final = (http_events.RequestEndOfMessage, http_events.ResponseEndOfMessage)


class Message(HttpEvent):
    """A whole message for a connection to send: the head, the body, and that it ends there."""

    def __init__(self, parts: list[HttpEvent]) -> None:
        super().__init__(parts[0].stream_id)
        self.parts = parts

    def plain(self) -> "PlainMessage | None":
        """The same as a head and a body; None if there is more."""
        head: Any = self.parts[0]
        between: Any = self.parts[1:-1]
        if len(between) > 1 or not all(isinstance(part, _BODIES) for part in between):
            return None
        body: bytes = between[0].data if between else b""
        is_request = isinstance(head, http_events.RequestHeaders)
        return PlainMessage(self.stream_id, head.request if is_request else head.response, body)


class PlainMessage(HttpEvent):
    """A head, and a body if it is not empty, for a connection to send as one message."""

    def __init__(self, stream_id: int, message: Request | Response, body: bytes) -> None:
        self.stream_id = stream_id
        self.message = message
        self.body = body

    @property
    def parts(self) -> Iterator[HttpEvent]:
        """The same event by event."""
        message, body, name = self.message, self.body, self.stream_id
        if isinstance(message, Request):
            yield http_events.RequestHeaders(name, message, not body)
            if body:
                yield http_events.RequestData(name, body)
            yield http_events.RequestEndOfMessage(name)
        else:
            yield http_events.ResponseHeaders(name, message, not body)
            if body:
                yield http_events.ResponseData(name, body)
            yield http_events.ResponseEndOfMessage(name)


def handle_event(self: Http1Connection, event: events.Event) -> Commands:
    """`Http1Connection._handle_event`, which takes and gives whole messages as well."""
    kind = type(event)
    if kind is events.DataReceived:
        whole = received(self, event.data)  # type: ignore[attr-defined]
        if whole is not None:
            return _handed_on(self, whole)
    elif kind is PlainMessage or kind is Message:
        return _send(self, event)  # type: ignore[arg-type]
    usual: Commands = before[handle_event](self, event)
    return usual


# Reading.


def received(self: Http1Connection, data: bytes) -> WholeRequest | WholeAnswer | None:
    """The message that these bytes are, if they are a whole one and one is waited for.

    It is noted as the one that is read. Once its stream has it, `read_to_its_end` follows.
    """
    # What was left over of the head of a tunnel comes as a bytearray.
    if self.state != self.read_headers or type(data) is not bytes or not hold.is_installed():
        return None
    if self.buf or not are_understood():
        return None
    is_answer = type(self) is Http1Client
    if is_answer and (not self.request or self.stream_id is None):
        return None
    found = _whole_in(data, is_answer=is_answer)
    if found is None:
        return None
    whole: WholeRequest | WholeAnswer | None
    if is_answer:
        whole = _read_answer(self, found)  # type: ignore[arg-type]
        if whole is not None:
            self.response = whole.response
    else:
        whole = _read_request(self, found) if type(self) is Http1Server else None
        if whole is not None:
            self.request = whole.request
    if whole is not None:
        self.state, self.body_reader = self.read_body, _NOTHING_LEFT
    return whole


def read_to_its_end(self: Http1Connection) -> Iterable[commands.Command]:
    """What follows for a connection once a stream has a whole message of it."""
    if type(self) is Http1Client:
        return self.mark_done(response=True)
    if self.response_done:
        return self.mark_done(request=True)
    self.request_done = True
    self.state = self.wait
    return ()


def _handed_on(self: Http1Connection, whole: WholeRequest | WholeAnswer) -> Commands:
    yield ReceiveHttp(whole)
    yield from read_to_its_end(self)


class _Whole(NamedTuple):
    """A head, what follows it, and where the head gives the length of that, if it does."""

    head: bytes
    rest: bytes
    length: re.Match[bytes] | None

    def lines(self) -> list[bytes]:
        """The lines of the head; none if they do not plainly end as they should."""
        lines = self.head.split(b"\r\n")
        lines.pop()
        return lines if lines[0] and self.head.count(b"\n") == len(lines) else []


def _whole_in(data: bytes, *, is_answer: bool) -> _Whole | None:
    """A head and what follows it; None if that is not plainly all of one message."""
    end = data.find(b"\r\n\r\n", 0, _LONGEST_HEAD)
    if end < 0:
        return None
    head, rest = data[: end + 2], data[end + 4 :]
    length = _LENGTH.search(head)
    if length is not None:
        is_all = int(length[1]) == len(rest)
    else:
        is_all = rest.endswith(_LAST_CHUNK) if is_answer else not rest
    return _Whole(head, rest, length) if is_all else None


def _read_request(self: Http1Server, found: _Whole) -> WholeRequest | None:
    head, rest, length = found
    if length is not None and (again := heads.read_again(head, length)) is not None:
        return WholeRequest(self.stream_id, again, rest, is_checked=True)
    lines = found.lines()
    if not lines:
        return None
    try:
        request = http1.read_request_head(lines)
        is_tunnel = request.data.method.upper() == b"CONNECT"
        if is_tunnel or http1.expected_http_body_size(request) != len(rest):
            return None
    except ValueError:
        return None
    if length is not None:
        heads.remember(head, length, request)
    return WholeRequest(self.stream_id, request, rest)


def _read_answer(self: Http1Client, found: _Whole) -> WholeAnswer | None:
    request: Any = self.request  # there is one, and a stream: see `received`
    stream_id: Any = self.stream_id
    lines, rest = found.lines(), found.rest
    if not lines or not lines[0].startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")):
        return None
    if found.length is not None and request.data.method in WITH_BODIES:
        response = heads.read_answer(lines)
        if response is not None:
            return WholeAnswer(stream_id, response, [rest], is_over=not rest, is_checked=True)
    try:
        response = http1.read_response_head(lines)
        if response.status_code < 200:
            return None
        size = http1.expected_http_body_size(request, response)
    except ValueError:
        return None
    pieces = [rest] if size == len(rest) else None
    if size is None and rest.endswith(_LAST_CHUNK):
        pieces = chunks_of(rest[: -len(_LAST_CHUNK)])
    if pieces is None:
        return None
    return WholeAnswer(stream_id, response, pieces, is_over=size == 0)


# Sending.


def gathered(stream: Held, steps: Commands) -> Commands:
    """Hand what a stream sends of a message to its connection in one step, once it is whole.

    All else that it wants is passed on at once, and with it whatever is held back until then: but
    for the news that the stream is over, which comes before the end of what it sends.
    """
    held: list[HttpEvent] = []
    connection: Any = None
    reply: Any = None
    command: Any
    while True:
        try:
            command = steps.send(reply)
        except StopIteration:
            break
        reply = None
        kind = type(command)
        if kind is http_layers.SendHttp:
            event = command.event
            if held and command.connection is connection and not isinstance(event, _HEADS):
                held.append(event)
                if isinstance(event, _ENDS):
                    yield http_layers.SendHttp(Message(held), connection)
                    held = []
                continue
            if isinstance(event, _HEADS) and takes_messages(stream, command.connection):
                yield from _one_by_one(held, connection)
                held, connection = [event], command.connection
                continue
        if held and kind is not http_layers.DropStream:
            yield from _one_by_one(held, connection)
            held = []
        reply = yield command
    yield from _one_by_one(held, connection)


def _one_by_one(held: list[HttpEvent], connection: Any) -> Commands:
    for event in held:
        yield http_layers.SendHttp(event, connection)


def takes_messages(stream: Held, connection: Any) -> bool:
    """Whether what reads for a connection is an HTTP/1 layer of mitmproxy's, below TLS or not."""
    if not are_understood():
        return False
    return innermost(layer_of(stream).connections.get(connection), HTTP_1) is not None


def nearest(child: Any) -> Http1Connection | None:
    """What reads and writes for a connection on HTTP/1, if nothing is between it and its bytes."""
    if type(child) is http_layers.HttpClient and child.debug is None and child._paused is None:  # noqa: SLF001
        child = getattr(child, "child_layer", None)
    return child if type(child) in HTTP_1 and child.debug is None else None


def are_understood() -> bool:
    """Whether whole messages are: no longer once that is switched off, be it while a call waits."""
    return Http1Connection._handle_event is handle_event  # noqa: SLF001  # where it is put


def ready_connection(
    self: Held, wanted: http_layers.GetHttpConnection, desk: Desk
) -> Connection | None:
    """The connection that `HttpLayer.get_connection` would give at once; None: it would not."""
    its = layer_of(self)
    is_multiplexed = self.context.client.alpn == b"h2"
    for connection in its.connections:
        if not connection.error and wanted.connection_spec_matches(connection):
            if connection in its.waiting_for_establishment:
                return None
            if connection.connected and not (is_multiplexed and connection.alpn != b"h2"):
                found: Connection = connection
                return None if is_worn(its, found, desk) else found
    return None


def sent(stream: Held, message: PlainMessage, connection: Connection) -> Commands:
    """Send a message: by what writes for its connection, where nothing is between."""
    writes = nearest(layer_of(stream).connections.get(connection))
    written = None if writes is None else _written(writes, message)
    if writes is None or written is None:
        yield http_layers.SendHttp(message, connection)
    else:
        yield from _put(writes, *written)


def _send(self: Http1Connection, whole: Message | PlainMessage) -> Commands:
    plain = whole if type(whole) is PlainMessage else whole.plain()  # type: ignore[union-attr]
    written = None if plain is None else _written(self, plain)
    if written is None:
        for part in whole.parts:
            yield from before[handle_event](self, part)
    else:
        yield from _put(self, *written)


def _put(self: Http1Connection, head: bytes, body: bytes) -> Commands:
    """Put a message on the wire, and be done with it."""
    if len(body) <= _MOST_JOINED:  # and at once: who waits for it need not wait for the rest
        yield Passed(self.conn, head + body)
    else:
        yield commands.SendData(self.conn, head)
        yield Passed(self.conn, body)
    if type(self) is Http1Server:
        yield from self.mark_done(response=True)
    elif self.response_done:
        yield from self.mark_done(request=True)
    else:
        self.request_done = True


def _written(self: Http1Connection, plain: PlainMessage) -> tuple[bytes, bytes] | None:
    """A message as it goes on the wire, and noted as the one that is under way; None: not plainly.

    Its head, and its body if it is not empty.
    """
    if self.response is not None:
        return None
    message: Any = plain.message
    body = plain.body
    is_plain = framing(message.data.headers) is not None
    encoding = "" if is_plain else message.headers.get("transfer-encoding", "").lower()
    is_chunked = "chunked" in encoding
    if message.data.http_version not in VERSIONS or (encoding and not is_chunked):
        return None  # the latter ends as its connection does
    if type(self) is Http1Client:
        is_busy = self.stream_id is not None or self.request is not None
        if is_busy or not (is_plain or _has_a_size(message)):
            return None
        self.stream_id, self.request = plain.stream_id, message
        head = http1.assemble_request_head(message)
    else:
        if plain.stream_id != self.stream_id or self.request is None:
            return None
        self.response = message
        head = http1.assemble_response_head(message)
    if is_chunked:
        chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
        is_to_head = message is not self.request and self.request.method.upper() == "HEAD"
        return head, chunk if is_to_head else chunk + _LAST_CHUNK
    return head, body


def _has_a_size(request: Request) -> bool:
    """Whether a request's end can be told: where an addon has put nonsense, mitmproxy raises."""
    try:
        return http1.expected_http_body_size(request) != -1
    except ValueError:
        return False
