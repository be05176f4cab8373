"""What a stream sends to its client: as it is, or what takes the place of mitmproxy's own words.

What these yield goes out as it is: the hold has looked at it, or it is ours.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final

from h2.errors import ErrorCodes
from mitmproxy.http import Response
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http import _hooks as http_hooks
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.layers.http._http1 import Http1Server
from mitmproxy.proxy.layers.http._http2 import Http2Server

from foxora_addon.proxy.hold_desk import Desk, ErrorCode
from foxora_addon.proxy.hold_retry import PASSED_ON, named_as_at_first
from foxora_addon.proxy.hold_stream import Commands, Held, layer_of, parts_of, unread
from foxora_addon.proxy.hold_unasked import SWITCHING_PROTOCOLS

_ASKED_AT_BYTES: Final = 65_536
_FIRST_ERROR: Final = 400

_is_ending = False


def treated_answer(self: Held, command: http_layers.SendHttp, desk: Desk) -> Commands:
    """Send the client what a stream has for it, or what takes its place."""
    event: Any = command.event
    kind = type(event)
    if kind is http_events.ResponseHeaders:
        status = event.response.status_code
        self.foxora.is_answered = status >= 200
        if status == 100:
            desk.inviting(self.flow)
        elif status == SWITCHING_PROTOCOLS:
            named_as_at_first(self)
        yield from _sent(self, command)
    elif kind is http_events.ResponseData:
        # An empty piece would be taken for the end on HTTP/1, and any piece for the head of
        # the next answer where the request was a HEAD (RFC 9110, 9.3.2).
        if event.data and self.flow.request.data.method.upper() != b"HEAD":
            yield command if self.foxora.kept_head is None else _with_head(self, event)
            tell_of_passed(self, len(event.data), desk)
    elif kind is http_events.ResponseEndOfMessage:
        yield from _sent_to_client(self, command)
    elif kind is http_events.ResponseProtocolError:
        yield from _treated_error(self, command, desk)
    elif kind is not http_events.ResponseTrailers or self.context.client.alpn == b"h2":
        yield command  # mitmproxy crashes on trailers, which it can't say on HTTP/1


def _treated_error(self: Held, command: http_layers.SendHttp, desk: Desk) -> Commands:
    replaced = list(_instead_of_error(self, command.event, desk))
    self.foxora.is_answered = self.foxora.is_answered or bool(replaced)
    if not replaced:
        yield from _sent(self, command)
    for part in replaced:
        yield from _sent_to_client(self, http_layers.SendHttp(part, self.context.client))
    if replaced and _is_cut(self, command.event):
        yield from _unwanted(self)


def _sent_to_client(self: Held, command: http_layers.SendHttp) -> Commands:
    if isinstance(command.event, http_events.ResponseEndOfMessage):
        if self.foxora.kept_head is not None:
            yield _kept_head(self)
        yield from last_to_client([command])
    else:
        yield from _sent(self, command)


def _sent(self: Held, command: http_layers.SendHttp) -> Commands:
    """Send the client a part of an answer, or keep it until the next one goes.

    The head that refuses a WebSocket goes out with its body: clients there are that take for the
    body what has come once they have read the head (tungstenite, and so the Codex CLI).
    """
    event: Any = command.event
    if self.foxora.kept_head is not None:
        if isinstance(event, http_events.ResponseData):
            yield _with_head(self, event)
            return
        yield _kept_head(self)
    if isinstance(event, http_events.ResponseHeaders) and _refuses_socket(self, event):
        self.foxora.kept_head = event
    else:
        yield command


def _refuses_socket(self: Held, head: http_events.ResponseHeaders) -> bool:
    """Whether it is an error in answer to the opening of a WebSocket, as only HTTP/1 has one."""
    if head.response.data.status_code < _FIRST_ERROR or head.end_stream:
        return False
    is_opening = self.flow.request.headers.get("upgrade", "").lower() == "websocket"
    return is_opening and isinstance(_client_of(self), Http1Server)


def _with_head(self: Held, piece: http_events.ResponseData) -> commands.SendData:
    """The head that was kept and the first piece of its body, as one."""
    client = _client_of(self)
    sent = (*client.send(_kept_head(self).event), *client.send(piece))
    return commands.SendData(self.context.client, b"".join(part.data for part in sent))


def _kept_head(self: Held) -> http_layers.SendHttp:
    head: Any = self.foxora.kept_head
    self.foxora.kept_head = None
    return http_layers.SendHttp(head, self.context.client)


def _client_of(self: Held) -> Any:
    """The client's connection, in mitmproxy's layer that speaks its HTTP."""
    return layer_of(self).connections.get(self.context.client)


def last_to_client(steps: Iterable[commands.Command]) -> Commands:
    """Send the end of an answer to the client.

    Its connection may take the next request, which has come already, in the midst of this: the
    gateway's is not ready for it before this is over.
    """
    global _is_ending  # noqa: PLW0603  # all of it happens before anything else does
    before, _is_ending = _is_ending, True
    try:
        yield from steps
    finally:
        _is_ending = before


def is_ending() -> bool:
    """Whether the end of an answer is being sent."""
    return _is_ending


def tell_of_passed(self: Held, size: int, desk: Desk) -> None:
    """Have the desk look now and then whether the client takes what is sent to it."""
    self.foxora.unasked_size += size
    if self.foxora.unasked_size >= _ASKED_AT_BYTES:
        self.foxora.unasked_size = 0
        desk.passed(self.flow, partial(unread, self))


def _instead_of_error(self: Held, error: Any, desk: Desk) -> Iterator[HttpEvent]:
    """What the client gets in place of the host's own page or of a torn stream; nothing: that."""
    if error.code in PASSED_ON:
        return
    if not self.foxora.is_answered:
        response = desk.answer_for(self.flow)
        if response is not None and _ends_connection(self, error):
            response.headers["connection"] = "close"
            *parts, _ = parts_of(self, response)
            yield from (*parts, error)  # which closes the connection, as mitmproxy does itself
        elif response is not None:
            yield from parts_of(self, response)
    elif (last := desk.last_words(self.flow)) is not None:
        if last:
            yield http_events.ResponseData(self.stream_id, last)
        yield http_events.ResponseEndOfMessage(self.stream_id)


def _ends_connection(self: Held, error: Any) -> bool:
    """Whether a connection can't be used further, for the next request on it can't be found.

    Nobody knows where the body of this one ends (RFC 9112, 6.3), or will wait for that.
    """
    is_invalid: bool = error.code is ErrorCode.REQUEST_VALIDATION_FAILED
    alpn = self.context.client.alpn
    is_http_1 = alpn != b"h2" and not http_layers.is_h3_alpn(alpn)
    return is_http_1 and (is_invalid or _is_cut(self, error))


def _is_cut(self: Held, error: Any) -> bool:
    """Whether it is us who end a request before all of its body is there."""
    is_ours: bool = error.code is ErrorCode.GENERIC_SERVER_ERROR
    return is_ours and self.client_state != self.state_done


def _unwanted(self: Held) -> Commands:
    """Tell an HTTP/2 client that was answered to send no more of its body (RFC 9113, 8.1)."""
    client = _client_of(self)
    if not isinstance(client, Http2Server) or client.is_closed(self.stream_id):
        return
    if not client.is_open_for_us(self.stream_id):  # else the answer still waits for room
        client.h2_conn.reset_stream(self.stream_id, ErrorCodes.NO_ERROR)
        yield commands.SendData(self.context.client, client.h2_conn.data_to_send())


def end_upload(self: Held, response: Response, desk: Desk) -> Commands:
    """Answer before the body is there; what still comes of it is read and dropped."""
    self.flow.response = response
    self.foxora.is_answered = True
    desk.answered(self.flow)
    yield http_hooks.HttpResponseHook(self.flow)
    for part in parts_of(self, response):
        yield from _sent_to_client(self, http_layers.SendHttp(part, self.context.client))
    self.flow.live = False
    self.client_state = self.server_state = self.state_errored
