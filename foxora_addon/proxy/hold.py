"""The hold on mitmproxy's private names: everything that its hooks can't do, in one place.

mitmproxy tells its own addons of a flow before it tells a script, puts what a flow holds on the
wire as it is, and answers its own failures with HTML that no hook can change (mitmproxy-facts.md
rows 13, 19 and 20). So one method, `HttpStream._handle_event`, is wrapped: what it yields to the
server and to the client passes through a `Desk`, which sees each flow before anybody else, puts
the key on the copy that is sent, words the failures, and may have a request sent again. This
module decides nothing itself.

`install` checks first that the names are there, and `hold_check` that they behave; where they
don't, nothing can be sent, since only the wrap can put a key on: the addon then refuses all calls.
"""

import inspect
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

from mitmproxy.connection import Connection, Server
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow, Request, Response
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http import _hooks as http_hooks
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.server import ConnectionHandler

ErrorCode = http_events.ErrorCode
Commands = Generator[commands.Command, Any, Any]


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a request's head said before mitmproxy completed it.

    `names_host`: the request line named a host (absolute form). `host_header`: as it was sent.
    """

    names_host: bool
    host_header: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """What mitmproxy says of an exchange that failed.

    `code` None: no connection could be made, and `connection` is the one that could not be.
    `by_client`: it was the client's side that failed.
    """

    message: str
    code: ErrorCode | None
    by_client: bool = False
    connection: Connection | None = None


class Refused(Exception):  # noqa: N818  # a signal to the wrap, not an error of the program
    """Raised by `Desk.outgoing`: nothing of this request may be sent."""


class Desk(Protocol):
    """Our side of the hold. No method may raise, except `outgoing`, which may raise `Refused`."""

    def arrived(self, flow: HTTPFlow, arrival: Arrival) -> None:
        """A request's head is there, and no addon has seen the flow yet."""

    def is_private(self, flow: HTTPFlow) -> bool:
        """Whether no addon may see this flow at all: it is between a client and the desk."""

    def body_grew(self, flow: HTTPFlow, size: int) -> Response | None:
        """`size` bytes of the body have come; a response ends the upload and is the answer."""

    def outgoing(self, flow: HTTPFlow, request: Request) -> Request:
        """The request to put on the wire for this flow, with the key; never the flow's own."""

    def client_gone(self, flow: HTTPFlow) -> None:
        """The client has left while one of the flow's hooks is waited for; `failed` may follow."""

    def answering(self, flow: HTTPFlow) -> None:
        """A response's head is there, and no addon has seen it yet."""

    def again(self, flow: HTTPFlow, failure: Failure | None) -> float | None:
        """Seconds until the flow's request is sent once more; None: it ends as it is.

        Asked before anything of an answer has gone to the client: where the gateway's error is
        whole in `flow.response` (`failure` None), and where the flow failed. What is sent again is
        what `flow.request` then holds, and it comes through `outgoing` as the first time. Nobody
        else hears of what came of this try, but for the head of an answer.
        """

    def answered(self, flow: HTTPFlow) -> None:
        """A response is complete, and no addon has seen it yet."""

    def failed(self, flow: HTTPFlow, failure: Failure) -> None:
        """The flow ends without a response, and no addon has seen that yet."""

    def answer_for(self, flow: HTTPFlow) -> Response | None:
        """The answer to the client in place of mitmproxy's HTML; None leaves it mitmproxy's."""

    def last_words(self, flow: HTTPFlow) -> bytes | None:
        """What ends an answer that broke after its head, cleanly; None: it is torn off there."""


_desk: Desk | None = None
_original: Any = None
_entry: Any = None
_PASSED_ON: Final = {ErrorCode.KILL, ErrorCode.PASSTHROUGH_CLOSE, ErrorCode.CLIENT_DISCONNECTED}
_OF_THE_GATEWAY: Final = (
    http_events.ResponseHeaders,
    http_events.ResponseData,
    http_events.ResponseTrailers,
    http_events.ResponseEndOfMessage,
    http_events.ResponseProtocolError,
)
# Below zero, for the ids of clients are above it.
_NEW_IDS: Final = count(-1, -1)


def install(desk: Desk) -> str | None:
    """Put a desk on the line, once and for good; None, or why this mitmproxy can't be held."""
    global _desk, _original, _entry  # noqa: PLW0603  # one wrap a process: there is one class
    if why := _unfit():
        return why
    if _original is None:
        _original = http_layers.HttpStream._handle_event  # noqa: SLF001
        http_layers.HttpStream._handle_event = _handle_event  # type: ignore[method-assign]  # noqa: SLF001
        _entry = http_layers.HttpStream.handle_event
        http_layers.HttpStream.handle_event = _handle_event_at_once  # type: ignore[method-assign,assignment]
    _desk = desk
    return None


@contextmanager
def in_place(desk: Desk) -> Iterator[None]:
    """Another desk for a moment, in which nothing else runs."""
    global _desk  # noqa: PLW0603  # as above
    before, _desk = _desk, desk
    try:
        yield
    finally:
        _desk = before


def _unfit() -> str | None:
    """Why the private names can't be relied on, or None."""
    stream = http_layers.HttpStream
    wanted = (
        "_handle_event",
        "handle_event",
        "state_errored",
        "state_wait_for_response_headers",
        "handle_protocol_error",
        "make_server_connection",
        "check_killed",
    )
    for name in wanted:
        if not callable(getattr(stream, name, None)):
            return f"mitmproxy's HttpStream has no {name}"
    parameters = list(inspect.signature(stream._handle_event).parameters)  # noqa: SLF001
    if parameters != ["self", "event"] and _original is None:
        return "mitmproxy's HttpStream._handle_event takes other arguments"
    for event, names in (
        (http_events.RequestHeaders, ("stream_id", "request", "end_stream")),
        (http_events.ResponseHeaders, ("stream_id", "response", "end_stream")),
        (http_events.ResponseProtocolError, ("stream_id", "message", "code")),
    ):
        fields = tuple(getattr(event, "__dataclass_fields__", ()))
        if fields[: len(names)] != names:
            return f"mitmproxy's {event.__name__} has the fields {fields}"
    return None


@dataclass(slots=True)
class _Progress:
    """How far a stream is.

    `gateway_id` names the stream towards the gateway, and is another one at each try: an event of
    an earlier try, which may still come, is told by its id. `pause`: what is waited for before the
    next try. `is_answered`: the client has the head of an answer.
    """

    arrival: Arrival
    gateway_id: int
    size: int = 0
    pause: commands.RequestWakeup | None = None
    is_answered: bool = False
    is_unreachable: bool = False
    is_refused: bool = False
    failed_connection: Connection | None = None


class _Held(layer.Layer):
    """What the wrap uses of an HttpStream, for the type checker's sake; never instantiated."""

    flow: HTTPFlow
    stream_id: int
    client_state: Any
    server_state: Any
    state_done: Any
    state_errored: Any
    state_wait_for_response_headers: Any
    response_body_buf: Any
    make_server_connection: Any
    foxora: _Progress


class _SendAgain(Exception):  # noqa: N818  # a signal within the wrap
    """The desk wants the request sent once more, after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def _handle_event(self: _Held, event: events.Event) -> Commands:
    """`HttpStream._handle_event`, with a desk between it and both sides."""
    desk = _desk
    if desk is None or not isinstance(event, HttpEvent | events.Wakeup):
        yield from _original(self, event)
    elif isinstance(event, events.Wakeup):
        if event.command is self.foxora.pause:
            yield from _treated_all(self, _sent_again(self), event)
        elif isinstance(event.command, _GiveUp):
            yield from _given_up(self)
    elif isinstance(event, _OF_THE_GATEWAY):
        if event.stream_id == self.foxora.gateway_id:
            event.stream_id = self.stream_id
            yield from _treated_all(self, _original(self, event), event)
    else:
        yield from _of_the_client(self, event, desk)


def _handle_event_at_once(self: _Held, event: events.Event) -> Commands:
    """`HttpStream.handle_event`: while a hook is waited for, what comes is queued behind it.

    That the client left must be known at once all the same (mitmproxy-facts.md row 12).
    """
    if isinstance(event, http_events.RequestProtocolError) and self._paused and _desk is not None:
        _desk.client_gone(self.flow)
    entered: Commands = _entry(self, event)
    return entered


def _of_the_client(self: _Held, event: HttpEvent, desk: Desk) -> Commands:
    if isinstance(event, http_events.RequestHeaders):
        arrival = Arrival(bool(event.request.data.host), event.request.host_header)
        self.foxora = _Progress(arrival, self.stream_id)
    elif isinstance(event, http_events.RequestData) and not self.foxora.is_answered:
        self.foxora.size += len(event.data)
        response = desk.body_grew(self.flow, self.foxora.size)
        if response is not None:
            yield from _end_upload(self, response)
            return
    elif isinstance(event, http_events.RequestProtocolError) and self.foxora.pause is not None:
        yield from _treated_all(self, _left(self, event), event)
        return
    yield from _treated_all(self, _original(self, event), event)


def _treated_all(self: _Held, generator: Commands, event: events.Event) -> Commands:
    """Run a step of the stream and treat what it yields, handing replies back to it."""
    reply: Any = None
    while True:
        try:
            command = generator.send(reply)
        except StopIteration:
            return
        try:
            reply = yield from _treated(self, command, event)
        except Refused as refusal:
            generator.close()
            self.foxora.is_refused = True
            refused = _refusal(self.stream_id, str(refusal))
            yield from _treated_all(self, _original(self, refused), refused)
            return
        except _SendAgain as wanted:
            generator.close()
            yield from _paused(self, wanted.seconds)
            return


def _refusal(stream_id: int, message: str) -> events.Event:
    return http_events.ResponseProtocolError(stream_id, message, ErrorCode.GENERIC_SERVER_ERROR)


def _treated(self: _Held, command: commands.Command, event: events.Event) -> Commands:
    """Show a command of the stream to the desk, then yield it or what takes its place."""
    desk = _desk
    if desk is None:
        return (yield command)
    match command:
        case http_layers.SendHttp():
            return (yield from _treated_send(self, command, desk))
        case http_layers.GetHttpConnection():
            connection, error = yield _live(self, command)
            self.foxora.is_unreachable = error is not None
            self.foxora.failed_connection = _newest_with(self, error)
            return connection, error
        case http_layers.DropStream():
            _layer_of(self).streams.pop(self.foxora.gateway_id, None)
        case commands.StartHook():
            _tell(self, command, event, desk)
            if desk.is_private(self.flow):
                return None
    return (yield command)


def _tell(self: _Held, hook: commands.StartHook, event: events.Event, desk: Desk) -> None:
    """Tell the desk of what the addons are about to hear."""
    match hook:
        case http_hooks.HttpRequestHeadersHook():
            _streams[self.flow.id] = self
            desk.arrived(hook.flow, self.foxora.arrival)
        case http_hooks.HttpResponseHeadersHook():
            desk.answering(hook.flow)
        case http_hooks.HttpResponseHook():
            if isinstance(event, http_events.ResponseEndOfMessage):
                _ask_for_another_try(self, desk, None)
            desk.answered(hook.flow)
        case http_hooks.HttpErrorHook():
            failure = _failure_of(self, event, str(hook.flow.error))
            _ask_for_another_try(self, desk, failure)
            desk.failed(hook.flow, failure)


def _failure_of(self: _Held, event: events.Event, message: str) -> Failure:
    """What an error hook is about: the stream tells it by the event that it was working on."""
    if message == Error.KILLED_MESSAGE:
        return Failure(message, ErrorCode.KILL)
    # As in `check_killed`: what the client did while a hook was waited for.
    for waiting in (event, *self._paused_event_queue):
        if isinstance(waiting, http_events.RequestProtocolError) and waiting.message == message:
            return Failure(message, waiting.code, by_client=True)
    if self.foxora.is_unreachable:
        return Failure(message, None, connection=self.foxora.failed_connection)
    if isinstance(event, http_events.RequestHeaders | http_events.RequestData):
        too_large = "exceeds" in message
        code = ErrorCode.REQUEST_TOO_LARGE if too_large else ErrorCode.REQUEST_VALIDATION_FAILED
        return Failure(message, code, by_client=True)
    if isinstance(event, http_events.ResponseHeaders | http_events.ResponseData):
        return Failure(message, ErrorCode.RESPONSE_VALIDATION_FAILED)
    return Failure(message, getattr(event, "code", None))


def _treated_send(self: _Held, command: http_layers.SendHttp, desk: Desk) -> Commands:
    sent = command.event
    if command.connection is not self.context.client:
        if isinstance(sent, http_events.RequestHeaders):
            request = desk.outgoing(self.flow, sent.request)
            sent = http_events.RequestHeaders(sent.stream_id, request, sent.end_stream)
        sent.stream_id = self.foxora.gateway_id
        return (yield http_layers.SendHttp(sent, command.connection))
    if isinstance(sent, http_events.ResponseHeaders):
        self.foxora.is_answered = sent.response.status_code >= 200
    elif isinstance(sent, http_events.ResponseProtocolError):
        replaced = list(_instead_of_error(self, sent, desk))
        if replaced:
            self.foxora.is_answered = True
            for part in replaced:
                yield http_layers.SendHttp(part, self.context.client)
            return None
    elif isinstance(sent, http_events.ResponseData) and not sent.data:
        return None  # on HTTP/1 it would be taken for the end
    return (yield command)


def _instead_of_error(self: _Held, error: Any, desk: Desk) -> Iterator[HttpEvent]:
    """What the client gets in place of the host's own page or of a torn stream; nothing: that."""
    if error.code in _PASSED_ON:
        return
    if not self.foxora.is_answered:
        response = desk.answer_for(self.flow)
        if response is not None:
            yield from _parts_of(self, response)
    elif (last := desk.last_words(self.flow)) is not None:
        yield http_events.ResponseData(self.stream_id, last)
        yield http_events.ResponseEndOfMessage(self.stream_id)


def _end_upload(self: _Held, response: Response) -> Commands:
    """Answer before the body is there; what still comes of it is read and dropped."""
    self.flow.response = response
    self.foxora.is_answered = True
    desk = _desk
    if desk is not None:
        desk.answered(self.flow)
    yield http_hooks.HttpResponseHook(self.flow)
    for part in _parts_of(self, response):
        yield http_layers.SendHttp(part, self.context.client)
    self.flow.live = False
    self.client_state = self.server_state = self.state_errored


def _parts_of(self: _Held, response: Response) -> Iterator[HttpEvent]:
    """A whole response as the client's side of the stream takes it."""
    content = response.raw_content or b""
    yield http_events.ResponseHeaders(self.stream_id, response, end_stream=not content)
    if content:
        yield http_events.ResponseData(self.stream_id, content)
    yield http_events.ResponseEndOfMessage(self.stream_id)


# Ending a flow from outside.

_streams: WeakValueDictionary[str, _Held] = WeakValueDictionary()


class _GiveUp(commands.RequestWakeup):
    """Wakes a stream that is to end."""


async def give_up(flow: HTTPFlow, handler: ConnectionHandler) -> None:
    """End a flow that waits for the gateway, as if that had failed; its stream, and no other.

    `handler` is that of the client's connection. What goes through it ends the flow, for only there
    is the state of all its streams: a wake-up, which reaches a stream by being known to each layer
    that it passes, as if the stream had asked for it.
    """
    stream = _streams.get(flow.id)
    if stream is None:
        return
    command = _GiveUp(0.0)
    layers = stream.context.layers
    for parent, child in pairwise(layers):
        if isinstance(parent, http_layers.HttpLayer):
            parent.command_sources[command] = child
    await handler.server_event(events.Wakeup(command))


def _given_up(self: _Held) -> Commands:
    if self.foxora.pause is None and self.server_state in (self.state_done, self.state_errored):
        return
    if self.foxora.pause is None:
        yield from _called_off(self)
    self.foxora.pause = None
    self.server_state = self.state_wait_for_response_headers
    lost = _refusal(self.stream_id, "given up")
    yield from _treated_all(self, _original(self, lost), lost)


def _called_off(self: _Held) -> Commands:
    """Tell the gateway that this try is over: on HTTP/2 its stream, on HTTP/1 its connection."""
    connection = self.context.server
    if connection in _layer_of(self).connections:
        reset = http_events.RequestProtocolError(self.foxora.gateway_id, "", ErrorCode.CANCEL)
        yield http_layers.SendHttp(reset, connection)


# Sending a request again.


def _ask_for_another_try(self: _Held, desk: Desk, failure: Failure | None) -> None:
    """Raise `_SendAgain` if the desk wants it, and it can still be done unseen by the client."""
    is_over = self.foxora.is_answered or self.foxora.is_refused
    is_whole = self.client_state == self.state_done
    if is_over or not is_whole or (failure and (failure.by_client or failure.code in _PASSED_ON)):
        return
    seconds = desk.again(self.flow, failure)
    if seconds is not None:
        raise _SendAgain(seconds)


def _paused(self: _Held, seconds: float) -> Commands:
    """Forget this try, and wait for the next one.

    The wait is needed even if it is none: only after the current event is done with is its
    connection ready for another request.
    """
    streams = _layer_of(self).streams
    if self.context.server.alpn == b"h2":
        # An answer may come before all of the request is out: what is left of it must not follow.
        yield from _called_off(self)
    if self.foxora.gateway_id != self.stream_id:
        del streams[self.foxora.gateway_id]
    self.foxora.gateway_id = next(_NEW_IDS)
    streams[self.foxora.gateway_id] = self
    self.foxora.is_unreachable = False
    self.flow.response = self.flow.error = None
    self.response_body_buf.clear()
    self.foxora.pause = commands.RequestWakeup(seconds)
    yield self.foxora.pause


def _sent_again(self: _Held) -> Commands:
    """Send the flow's request, as the stream does once a request is whole."""
    self.foxora.pause = None
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


def _left(self: _Held, event: http_events.RequestProtocolError) -> Commands:
    """The client goes while the next try is waited for."""
    self.foxora.pause = None
    self.flow.error = Error(event.message)
    yield http_hooks.HttpErrorHook(self.flow)
    self.flow.live = False
    self.client_state = self.server_state = self.state_errored
    yield http_layers.DropStream(self.stream_id)


class _LiveConnection(http_layers.GetHttpConnection):
    """Asks for a connection, and never gets one that has failed.

    mitmproxy answers a client's further requests with the failure of its first one: it has the
    client's connection closed, so that there are none.
    """

    def connection_spec_matches(self, connection: Connection) -> bool:
        return not connection.error and super().connection_spec_matches(connection)


def _live(self: _Held, wanted: http_layers.GetHttpConnection) -> _LiveConnection:
    """Ask for a live connection, and forget those that are over: mitmproxy keeps them all.

    An HTTP/2 client has a connection to an HTTP/1 gateway for each of its requests.
    """
    its = _layer_of(self)
    for connection in [c for c in its.connections if _is_over(c)]:
        if connection not in its.waiting_for_establishment:
            del its.connections[connection]
    return _LiveConnection(wanted.address, wanted.tls, wanted.via, wanted.transport_protocol)


def _newest_with(self: _Held, error: str | None) -> Connection | None:
    """The connection that has just failed with an error, which is all that a stream is told."""
    found = [c for c in _layer_of(self).connections if error is not None and c.error == error]
    return found[-1] if found else None


def _is_over(connection: Connection) -> bool:
    """Whether nothing more can be heard of a connection to a server."""
    if not isinstance(connection, Server):
        return False
    never_was = connection.error is not None and connection.timestamp_tcp_setup is None
    return never_was or connection.timestamp_end is not None


def _layer_of(self: _Held) -> Any:
    """The HttpLayer that the stream belongs to."""
    return self.context.layers[self.context.layers.index(self) - 1]
