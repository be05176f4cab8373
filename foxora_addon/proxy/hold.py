"""The hold on mitmproxy's private names: everything that its hooks can't do, in one place.

mitmproxy tells its own addons of a flow before it tells a script, puts what a flow holds on the
wire as it is, and answers its own failures with HTML that no hook can change (mitmproxy-facts.md
rows 13, 19 and 20). So one method, `HttpStream._handle_event`, is wrapped: what it yields to the
server and to the client passes through a `Desk`, which sees each flow before anybody else, puts
the key on the copy that is sent, and words the failures. This module decides nothing itself.

`install` checks first that the names are there and behave; where they don't, nothing can be sent,
because only the wrap can put a key on: the addon then refuses all calls.
"""

import inspect
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol

from mitmproxy.http import HTTPFlow, Request, Response
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http import _hooks as http_hooks
from mitmproxy.proxy.layers.http._base import HttpEvent

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
    """What mitmproxy says of an exchange that failed. `code` None: no connection could be made."""

    message: str
    code: ErrorCode | None


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

    def answering(self, flow: HTTPFlow) -> None:
        """A response's head is there, and no addon has seen it yet."""

    def answered(self, flow: HTTPFlow) -> None:
        """A response is complete, and no addon has seen it yet."""

    def failed(self, flow: HTTPFlow, failure: Failure) -> None:
        """The flow ends without a response, and no addon has seen that yet."""

    def answer_for(self, flow: HTTPFlow) -> Response | None:
        """The answer to the client in place of mitmproxy's HTML; None leaves it mitmproxy's."""


_desk: Desk | None = None
_original: Any = None
_PASSED_ON = {ErrorCode.KILL, ErrorCode.PASSTHROUGH_CLOSE, ErrorCode.CLIENT_DISCONNECTED}


def install(desk: Desk) -> str | None:
    """Put a desk on the line, once and for good; None, or why this mitmproxy can't be held."""
    global _desk, _original  # noqa: PLW0603  # one wrap a process, as there is one class to wrap
    if why := _unfit():
        return why
    if _original is None:
        _original = http_layers.HttpStream._handle_event  # noqa: SLF001
        http_layers.HttpStream._handle_event = _handle_event  # type: ignore[method-assign]  # noqa: SLF001
    _desk = desk
    return None


def _unfit() -> str | None:
    """Why the private names can't be relied on, or None."""
    stream = http_layers.HttpStream
    wanted = ("_handle_event", "state_errored", "handle_protocol_error", "check_killed")
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


class _Held(layer.Layer):
    """What the wrap keeps on an HttpStream, for the type checker's sake; never instantiated."""

    flow: HTTPFlow
    stream_id: int
    client_state: Any
    server_state: Any
    state_errored: Any
    foxora_arrival: Arrival
    foxora_size: int
    foxora_answered: bool


def _handle_event(self: _Held, event: events.Event) -> Commands:
    """`HttpStream._handle_event`, with a desk between it and both sides."""
    desk = _desk
    if desk is None or not isinstance(event, HttpEvent):
        yield from _through_desk(self, event)
        return
    if isinstance(event, http_events.RequestHeaders):
        request = event.request
        self.foxora_arrival = Arrival(bool(request.data.host), request.host_header)
        self.foxora_size = 0
        self.foxora_answered = False
    elif isinstance(event, http_events.RequestData) and not self.foxora_answered:
        self.foxora_size += len(event.data)
        response = desk.body_grew(self.flow, self.foxora_size)
        if response is not None:
            yield from _end_upload(self, response)
            return
    yield from _through_desk(self, event)


def _through_desk(self: _Held, event: events.Event) -> Commands:
    """Run the original and treat what it yields, handing replies back to it."""
    generator: Commands = _original(self, event)
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
            yield from _through_desk(self, _refusal(self.stream_id, str(refusal)))
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
        case http_hooks.HttpRequestHeadersHook():
            desk.arrived(command.flow, self.foxora_arrival)
        case http_hooks.HttpResponseHeadersHook():
            desk.answering(command.flow)
        case http_hooks.HttpResponseHook():
            desk.answered(command.flow)
        case http_hooks.HttpErrorHook():
            message = str(command.flow.error)
            desk.failed(command.flow, Failure(message, _code_of(event, message)))
    if isinstance(command, commands.StartHook) and desk.is_private(self.flow):
        return None
    return (yield command)


def _code_of(event: events.Event, message: str) -> ErrorCode | None:
    """What an error hook is about: the stream tells it by the event that it was working on."""
    if isinstance(event, http_events.RequestHeaders | http_events.RequestData):
        too_large = "exceeds" in message
        return ErrorCode.REQUEST_TOO_LARGE if too_large else ErrorCode.REQUEST_VALIDATION_FAILED
    if isinstance(event, http_events.ResponseHeaders | http_events.ResponseData):
        return ErrorCode.RESPONSE_VALIDATION_FAILED
    code: ErrorCode | None = getattr(event, "code", None)
    return code


def _treated_send(self: _Held, command: http_layers.SendHttp, desk: Desk) -> Commands:
    sent = command.event
    if isinstance(sent, http_events.RequestHeaders):
        request = desk.outgoing(self.flow, sent.request)
        sent = http_events.RequestHeaders(sent.stream_id, request, sent.end_stream)
        return (yield http_layers.SendHttp(sent, command.connection))
    if isinstance(sent, http_events.ResponseHeaders):
        self.foxora_answered = sent.response.status_code >= 200
    elif isinstance(sent, http_events.ResponseProtocolError):
        replaced = _reworded(self, sent, desk)
        if replaced is not None:
            self.foxora_answered = True
            yield from _send(self, replaced)
            return None
    return (yield command)


def _reworded(self: _Held, error: Any, desk: Desk) -> Response | None:
    """The answer in place of the host's own page, where one can still be given."""
    if self.foxora_answered or error.code in _PASSED_ON:
        return None
    return desk.answer_for(self.flow)


def _end_upload(self: _Held, response: Response) -> Commands:
    """Answer before the body is there; what still comes of it is read and dropped."""
    self.flow.response = response
    self.foxora_answered = True
    desk = _desk
    if desk is not None:
        desk.answered(self.flow)
    yield http_hooks.HttpResponseHook(self.flow)
    yield from _send(self, response)
    self.flow.live = False
    self.client_state = self.server_state = self.state_errored


def _send(self: _Held, response: Response) -> Commands:
    """Put a whole response on the client's side of the stream."""
    content = response.raw_content or b""
    client = self.context.client
    head = http_events.ResponseHeaders(self.stream_id, response, end_stream=not content)
    yield http_layers.SendHttp(head, client)
    if content:
        yield http_layers.SendHttp(http_events.ResponseData(self.stream_id, content), client)
    yield http_layers.SendHttp(http_events.ResponseEndOfMessage(self.stream_id), client)
