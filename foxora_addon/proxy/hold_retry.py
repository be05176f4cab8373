"""Sending a request again: whether that can be done, the pause before it, and the next try.

What these yield is the stream's own, and is treated by `hold` as all that it yields.
"""

from itertools import count
from typing import Final

from mitmproxy.flow import Error
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http import _hooks as http_hooks
from mitmproxy.proxy.layers.http._http1 import Http1Client

from foxora_addon.proxy.hold_desk import Desk, ErrorCode, Failure
from foxora_addon.proxy.hold_stream import Commands, Held, innermost, layer_of

PASSED_ON: Final = frozenset(
    {ErrorCode.KILL, ErrorCode.PASSTHROUGH_CLOSE, ErrorCode.CLIENT_DISCONNECTED}
)
"""Errors that mean the client itself."""

_HTTP_1: Final[frozenset[type]] = frozenset({Http1Client})
# Below zero, for the ids of clients are above it.
_NEW_IDS: Final = count(-1, -1)


class SendAgain(Exception):  # noqa: N818  # a signal within the wrap
    """The desk wants the request sent once more, after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def ask_for_another_try(self: Held, desk: Desk, failure: Failure | None) -> None:
    """Raise `SendAgain` if the desk wants it, and it can still be done unseen by the client."""
    is_over = self.foxora.is_answered or self.foxora.is_refused
    is_whole = self.client_state == self.state_done
    if is_over or not is_whole or (failure and (failure.by_client or failure.code in PASSED_ON)):
        return
    seconds = desk.again(self.flow, failure)
    if seconds is not None:
        raise SendAgain(seconds)


def paused(self: Held, seconds: float) -> Commands:
    """Forget this try, and wait for the next one.

    The wait is needed even if it is none: only after the current event is done with is its
    connection ready for another request.
    """
    streams = layer_of(self).streams
    if self.context.server.alpn == b"h2":
        # An answer may come before all of the request is out: what is left of it must not follow.
        yield from called_off(self)
    if self.foxora.gateway_id != self.stream_id:
        del streams[self.foxora.gateway_id]
    self.foxora.gateway_id = next(_NEW_IDS)
    streams[self.foxora.gateway_id] = self
    self.foxora.is_unreachable = False
    self.flow.response = self.flow.error = None
    self.response_body_buf.clear()
    self.foxora.answer_size = 0
    self.foxora.pause = commands.RequestWakeup(seconds)
    yield self.foxora.pause


def sent_again(self: Held, desk: Desk) -> Commands:
    """Send the flow's request, as the stream does once a request is whole, if there is room."""
    self.foxora.pause = None
    if (seconds := desk.wait_more(self.flow)) > 0:
        self.foxora.pause = commands.RequestWakeup(seconds)
        yield self.foxora.pause
        return
    self.server_state = self.state_wait_for_response_headers
    if not (yield from self.make_server_connection()):
        return
    request, connection, name = self.flow.request, self.context.server, self.stream_id
    content = request.raw_content or b""
    head = http_events.RequestHeaders(name, request, not (content or request.trailers))
    yield http_layers.SendHttp(head, connection)
    if content:
        yield http_layers.SendHttp(http_events.RequestData(name, content), connection)
    if request.trailers:
        trailers = http_events.RequestTrailers(name, request.trailers)
        yield http_layers.SendHttp(trailers, connection)
    yield http_layers.SendHttp(http_events.RequestEndOfMessage(name), connection)


def named_as_at_first(self: Held) -> None:
    """Name the stream towards the gateway as mitmproxy does: by one name for both of its sides.

    For a connection that becomes a WebSocket: what follows its 101 goes past the wrap, under that
    name. Connections of earlier tries are closed by then, or have nothing more to say.
    """
    progress, its = self.foxora, layer_of(self)
    if progress.gateway_id == self.stream_id:
        return
    gateway = innermost(its.connections.get(self.context.server), _HTTP_1)
    if gateway is not None:
        del its.streams[progress.gateway_id]
        gateway.stream_id = progress.gateway_id = self.stream_id


def left(self: Held, event: http_events.RequestProtocolError) -> Commands:
    """The client goes while the next try is waited for."""
    self.foxora.pause = None
    self.flow.error = Error(event.message)
    yield http_hooks.HttpErrorHook(self.flow)
    self.flow.live = False
    self.client_state = self.server_state = self.state_errored
    yield http_layers.DropStream(self.stream_id)


def called_off(self: Held) -> Commands:
    """Tell the gateway that this try is over: on HTTP/2 its stream, on HTTP/1 its connection."""
    connection = self.context.server
    if connection in layer_of(self).connections:
        reset = http_events.RequestProtocolError(self.foxora.gateway_id, "", ErrorCode.CANCEL)
        yield http_layers.SendHttp(reset, connection)
