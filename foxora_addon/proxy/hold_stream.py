"""What the hold reads off mitmproxy's streams and the connections that they share.

The names and the shapes that are relied on stand here; what is done with them is `hold`'s business.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from mitmproxy.connection import Connection, Server
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow, Request, Response
from mitmproxy.net.http import url as urls
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Server

from foxora_addon.framing import Fields
from foxora_addon.proxy.flows import is_ours
from foxora_addon.proxy.hold_desk import Desk, ErrorCode, Failure, SentHead
from foxora_addon.proxy.hold_leaving import is_leaving, is_unbegun

_LONGEST_HOST: Final = 300  # a name has 255 characters at the most, for mitmproxy too
_HTTP_2: Final[frozenset[type]] = frozenset({Http2Client})
# How many streams mitmproxy opens before a server has said how many it takes.
_MOST_BEFORE_SETTINGS: Final = Http2Client.provisional_max_concurrency or 1

type Commands = Generator[commands.Command, Any, Any]
"""What a step of a stream yields; replies go back into it."""


@dataclass(slots=True)
class Progress:
    """How far a stream is.

    `gateway_id` names the stream towards the gateway, and is another one at each try: an event of
    an earlier try, which may still come, is told by its id. `pause`: what is waited for before the
    next try. `is_answered`: the client has the head of an answer, or gets it with what follows
    (`kept_head`). `is_over`: no event is left. `status`, `head` and `body` are an answer's as they
    were before the addons heard of each.
    """

    arrival: SentHead
    gateway_id: int
    size: int = 0
    pause: commands.RequestWakeup | None = None
    is_answered: bool = False
    answer_size: int = 0
    unasked_size: int = 0
    is_unreachable: bool = False
    is_refused: bool = False
    is_over: bool = False
    status: int = 0
    head: Fields = ()
    body: bytes | None = None
    kept_head: http_events.ResponseHeaders | None = None
    failed_connection: Connection | None = None


class Held(layer.Layer):
    """What the wrap uses of an HttpStream, for the type checker's sake; never instantiated."""

    flow: HTTPFlow
    mode: http_layers.HTTPMode
    stream_id: int
    client_state: Any
    server_state: Any
    state_done: Any
    state_errored: Any
    state_wait_for_response_headers: Any
    state_consume_request_body: Any
    state_consume_response_body: Any
    state_stream_response_body: Any
    start_request_stream: Any
    start_response_stream: Any
    send_response: Any
    check_killed: Any
    flow_done: Any
    request_body_buf: Any
    response_body_buf: Any
    make_server_connection: Any
    child_layer: Any
    foxora: Progress


def names_host(self: Held, request: Request) -> bool:
    """Whether a client named the host that a request is for: in its line, or to open a tunnel."""
    return bool(request.data.host) or self.mode is http_layers.HTTPMode.transparent


def complete_host(self: Held, request: Request, named: str) -> None:
    """Turn a request whose line names no host to the one that its head does, as mitmproxy would.

    `named` is what its Host header or authority says. Where that is none, or none that can be read,
    it becomes a flow all the same: mitmproxy answers it before any hook, and it was sent to us and
    to nobody else, so it is ours to refuse.
    """
    is_transparent = self.mode is http_layers.HTTPMode.transparent
    if request.data.host or request.method == "CONNECT" or is_transparent:
        return
    data, is_tls = request.data, self.context.client.tls
    destination = _destination(named) if len(named) <= _LONGEST_HOST else None
    if destination is None:
        data.host, data.port, data.scheme = "foxora-addon.invalid", 9, b"http"
        return
    data.host, port = destination
    data.port = (443 if is_tls else 80) if port is None else port
    data.scheme = b"https" if is_tls else b"http"


@lru_cache(maxsize=256)  # the same few come again and again, and to read one takes 10 us
def _destination(authority: str) -> tuple[str, int | None] | None:
    try:
        host, port = urls.parse_authority(authority, check=True)
    except ValueError:
        return None
    return host, port


def failure_of(self: Held, event: events.Event, message: str) -> Failure:
    """What an error hook is about: the stream tells it by the event that it was working on."""
    if message == Error.KILLED_MESSAGE:
        return Failure(message, ErrorCode.KILL)
    # As in `check_killed`: what the client did while a hook was waited for.
    for waiting in (event, *self._paused_event_queue):
        if isinstance(waiting, http_events.RequestProtocolError) and waiting.message == message:
            return Failure(message, _code_of(self, waiting), by_client=True)
    if self.foxora.is_unreachable:
        return Failure(message, None, connection=self.foxora.failed_connection)
    if isinstance(event, http_events.RequestHeaders | http_events.RequestData):
        too_large = "exceeds" in message
        code = ErrorCode.REQUEST_TOO_LARGE if too_large else ErrorCode.REQUEST_VALIDATION_FAILED
        return Failure(message, code, by_client=True)
    if isinstance(event, http_events.ResponseHeaders | http_events.ResponseData):
        too_large = "exceeds" in message
        code = ErrorCode.RESPONSE_TOO_LARGE if too_large else ErrorCode.RESPONSE_VALIDATION_FAILED
        return Failure(message, code)
    unbegun = self.flow.response is None and is_unbegun(message)
    return Failure(message, getattr(event, "code", None), is_unbegun=unbegun)


def _code_of(self: Held, error: http_events.RequestProtocolError) -> ErrorCode:
    """What went wrong on a client's side; of one that speaks HTTP/3 and leaves, nobody says so."""
    client = self.context.client
    if http_layers.is_h3_alpn(client.alpn) and not client.connected:
        return ErrorCode.CLIENT_DISCONNECTED
    return error.code


def unread(self: Held) -> int:
    """The bytes that an HTTP/2 client has not made room for; on HTTP/1 its socket is full then.

    0 once the stream is over: then nobody waits for them.
    """
    if self.foxora.is_over:
        return 0
    client = layer_of(self).connections.get(self.context.client)
    if not isinstance(client, Http2Server):
        return 0
    waiting = client.h2_conn.stream_buffers.get(self.stream_id, ())
    return sum(len(piece.data) for piece in waiting)


def parts_of(self: Held, response: Response) -> Iterator[HttpEvent]:
    """A whole response as the client's side of the stream takes it."""
    content = response.raw_content or b""
    yield http_events.ResponseHeaders(self.stream_id, response, end_stream=not content)
    if content:
        yield http_events.ResponseData(self.stream_id, content)
    yield http_events.ResponseEndOfMessage(self.stream_id)


class _LiveConnection(http_layers.GetHttpConnection):
    """Asks for a connection, and gets none that has failed, is closed by the server, or is full.

    mitmproxy answers a client's further requests with the failure of its first one: it has the
    client's connection closed, so that there are none. And it speaks to the server of an HTTP/3
    client as that does, by UDP: what is ours goes to the gateway, by TCP. A client's streams then
    share a connection on HTTP/2 alone, which mitmproxy sees to for those of HTTP/2.
    """

    def __init__(self, wanted: http_layers.GetHttpConnection, stream: Held, desk: Desk) -> None:
        super().__init__(wanted.address, wanted.tls, wanted.via, wanted.transport_protocol)
        self._layer = layer_of(stream)
        self._desk = desk
        self._is_turned = wanted.transport_protocol == "udp" and is_ours(stream.flow)
        if self._is_turned:
            self.transport_protocol = "tcp"

    def connection_spec_matches(self, connection: Connection) -> bool:
        if connection.error or not super().connection_spec_matches(connection):
            return False
        if self._is_turned and connection.alpn != b"h2":
            return False
        # In a TLS handshake the server speaks unasked.
        if (waiting := self._layer.waiting_for_establishment.get(connection)) is not None:
            return len(waiting) < _MOST_BEFORE_SETTINGS
        return not is_worn(self._layer, connection, self._desk)


def live_connection(
    self: Held, wanted: http_layers.GetHttpConnection, desk: Desk
) -> _LiveConnection:
    """Ask for a live connection, and forget those that are over: mitmproxy keeps them all.

    An HTTP/2 client has a connection to an HTTP/1 gateway for each of its requests.
    """
    its = layer_of(self)
    for connection in [c for c in its.connections if _is_over(c)]:
        if connection not in its.waiting_for_establishment:
            del its.connections[connection]
    return _LiveConnection(wanted, self, desk)


def is_worn(its: Any, connection: Connection, desk: Desk) -> bool:
    """Whether a connection of an HttpLayer's to a server is not to be used for the next request.

    Over HTTP/2 anything may come at any time, but a server takes so many streams at once: mitmproxy
    would keep what is beyond that, which counts as sent, until others are over. What goes through
    an upstream proxy has no socket of its own: mitmproxy has another connection for that one.
    """
    read_by = its.connections.get(connection)
    if connection.alpn == b"h2":
        return _is_full(innermost(read_by, _HTTP_2))
    return desk.is_stale(its.context.client, getattr(read_by, "tunnel_connection", connection))


def innermost(layer: Any, kinds: frozenset[type]) -> Any:
    """The layer of one of these kinds that reads for a connection, below TLS or not; or None."""
    while layer is not None and type(layer) not in kinds:
        layer = getattr(layer, "child_layer", None)
    return layer


def _is_full(client: Http2Client | None) -> bool:
    """Whether a server takes no further stream now; `client` None: nothing was sent to it yet.

    To count those that are open takes a look at each; mitmproxy has noted at least as many.
    """
    if client is None:
        return False
    if is_leaving(client):
        return True
    settings = client.h2_conn.remote_settings
    most = client.provisional_max_concurrency or settings.max_concurrent_streams
    return len(client.streams) >= most and client.h2_conn.open_outbound_streams >= most


def newest_with(self: Held, error: str | None) -> Connection | None:
    """The connection that has just failed with an error, which is all that a stream is told."""
    found = [c for c in layer_of(self).connections if error is not None and c.error == error]
    return found[-1] if found else None


def _is_over(connection: Connection) -> bool:
    """Whether nothing more can be heard of a connection to a server."""
    if not isinstance(connection, Server):
        return False
    never_was = connection.error is not None and connection.timestamp_tcp_setup is None
    return never_was or connection.timestamp_end is not None


def let_go_if_over(self: Held) -> None:
    """Where a stream is over, have it freed at once with all that its flow holds.

    Nobody but the collector would: it stands in its own context, and its states are methods of its
    own. It is said at the end of each step, and what is below a WebSocket goes on.
    """
    if not self.foxora.is_over or self.child_layer is not None or self.client_state is _over:
        return
    self.client_state = self.server_state = _over
    self.context.layers.remove(self)


def let_go_of_socket(socket: layer.Layer) -> None:
    """Have a WebSocket that is over freed at once, with its stream and all messages of its flow.

    As `let_go_if_over`, to which its stream never comes: that hands on whatever happens, and its
    connection knows it to the end.
    """
    layers: list[Any] = socket.context.layers
    stream = layers[layers.index(socket) - 1]
    if not isinstance(stream, http_layers.HttpStream):
        return
    streams = layers[layers.index(stream) - 1].streams
    for name in [name for name, each in streams.items() if each is stream]:
        del streams[name]
    for each in (stream, socket):
        vars(each).update(_handle_event=_over)
        layers.remove(each)
    stream.client_state = stream.server_state = _over


def _over(_: events.Event) -> Commands:
    yield from ()


def layer_of(self: Held) -> Any:
    """The HttpLayer that the stream belongs to; raises ValueError where it was let go."""
    return self.context.layers[self.context.layers.index(self) - 1]
