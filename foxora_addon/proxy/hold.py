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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from mitmproxy.connection import Client, Connection
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http import _hooks as http_hooks
from mitmproxy.proxy.layers.http._base import HttpEvent

from foxora_addon.proxy.flows import host_header, is_ours
from foxora_addon.proxy.hold_client import end_upload, is_ending, treated_answer
from foxora_addon.proxy.hold_desk import Desk, ErrorCode, Failure, Refused, SentHead
from foxora_addon.proxy.hold_ending import STREAMS, GiveUp, end_killed, give_up, lose_connection
from foxora_addon.proxy.hold_leaving import heed_leaving
from foxora_addon.proxy.hold_retry import (
    SendAgain,
    ask_for_another_try,
    called_off,
    left,
    paused,
    sent_again,
)
from foxora_addon.proxy.hold_stream import (
    Commands,
    Held,
    Progress,
    complete_host,
    failure_of,
    layer_of,
    let_go_if_over,
    live_connection,
    names_host,
    newest_with,
)
from foxora_addon.proxy.hold_unasked import (
    can_take,
    keep_from_switching,
    keep_to_body,
    note_head,
    note_whole,
)
from foxora_addon.proxy.hold_whole import (
    WholeAnswer,
    WholeRequest,
    has_no_limits,
    keeps,
    rest_of,
)

# What others call these by.
__all__ = [
    "Desk",
    "ErrorCode",
    "Failure",
    "Refused",
    "SentHead",
    "crashed",
    "end_killed",
    "give_up",
    "in_place",
    "install",
    "is_installed",
    "lose_connection",
    "send_at_once",
    "tell_at_once",
]


_desk: Desk | None = None
_original: Any = None
_entry: Callable[[Any, events.Event], Commands]
_at_once: Any = None
_at_the_end: Callable[[Held, Any, Desk], Commands] | None = None
_ready: Any = None
_OF_THE_GATEWAY: Final = frozenset(
    {
        WholeAnswer,
        http_events.ResponseHeaders,
        http_events.ResponseData,
        http_events.ResponseTrailers,
        http_events.ResponseEndOfMessage,
        http_events.ResponseProtocolError,
    }
)
_OF_HEADS: Final = (http_hooks.HttpRequestHeadersHook, http_hooks.HttpResponseHeadersHook)
_OF_ANSWERS: Final = (http_hooks.HttpResponseHeadersHook, http_hooks.HttpResponseHook)
# Where a message ends.
_AT_THE_END: Final = frozenset(
    {
        WholeRequest,
        WholeAnswer,
        http_events.RequestEndOfMessage,
        http_events.ResponseEndOfMessage,
    }
)
# Which of the stream's states is told of a part of a message.
_STATES: Final = {
    WholeRequest: "client_state",
    WholeAnswer: "server_state",
    http_events.RequestHeaders: "client_state",
    http_events.RequestData: "client_state",
    http_events.RequestEndOfMessage: "client_state",
    http_events.ResponseHeaders: "server_state",
    http_events.ResponseData: "server_state",
    http_events.ResponseEndOfMessage: "server_state",
}
# A tuple, for a union would be made anew at each event.
_OF_A_STREAM: Final = (HttpEvent, events.Wakeup)


def install(desk: Desk) -> str | None:
    """Put a desk on the line, once and for good; None, or why this mitmproxy can't be held."""
    global _desk, _original, _entry  # noqa: PLW0603  # one wrap a process: there is one class
    if why := _unfit():
        return why
    if _original is None:
        http_layers.HttpStream.foxora = None  # type: ignore[attr-defined]  # see `Progress`
        _original = http_layers.HttpStream._handle_event  # noqa: SLF001
        http_layers.HttpStream._handle_event = _handle_event  # type: ignore[method-assign]  # noqa: SLF001
        _entry = http_layers.HttpStream.handle_event
        http_layers.HttpStream.handle_event = _handle_event_at_once  # type: ignore[method-assign,assignment]
        heed_leaving()
    _desk = desk
    return None


@contextmanager
def in_place(desk: Desk | None) -> Iterator[None]:
    """Another desk, or none, for a moment, in which nothing else runs."""
    global _desk  # noqa: PLW0603  # as above
    before, _desk = _desk, desk
    try:
        yield
    finally:
        _desk = before


def tell_at_once(how: Callable[[commands.StartHook, HTTPFlow], bool] | None) -> None:
    """Have addons told of a stream's hooks by `how` from now on, where it can; None: by mitmproxy.

    It gives back whether they all have been.
    """
    global _at_once  # noqa: PLW0603  # as above
    _at_once = how


def crashed(client: Client) -> None:
    """Tell the desk that mitmproxy's layers have raised on a client's connection."""
    if _desk is not None:
        _desk.crashed(client)


def is_installed() -> bool:
    """Whether there is a desk on the line: streams understand whole messages then."""
    return _desk is not None


def send_at_once(
    steps: Callable[[Held, Any, Desk], Commands] | None,
    ready: Callable[[Held, http_layers.GetHttpConnection, Desk], Connection | None] | None,
) -> None:
    """Have `steps` say what a stream does at the end of a message; None: `steps_of` does.

    `ready` gives it a connection for that without asking mitmproxy, or None.
    """
    global _at_the_end, _ready  # as above
    _at_the_end, _ready = steps, ready


def _unfit() -> str | None:
    """Why the private names can't be relied on, or None."""
    stream = http_layers.HttpStream
    wanted = (
        "_handle_event",
        "handle_event",
        "state_errored",
        "state_wait_for_response_headers",
        "state_consume_response_body",
        "start_response_stream",
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


def _handle_event(self: Held, event: events.Event) -> Commands:
    """`HttpStream._handle_event`, with a desk between it and both sides."""
    desk = _desk
    if desk is None or not isinstance(event, _OF_A_STREAM):
        usual: Commands = _original(self, event)
        return usual
    progress: Progress | None = self.foxora  # None before a stream's first event
    if progress is not None and progress.is_over:
        return _nothing()
    if _at_the_end is not None and type(event) in _AT_THE_END:
        return _at_the_end(self, event, desk)
    return steps_of(self, event, desk)


def _woken(self: Held, event: events.Wakeup) -> Commands:
    if event.command is self.foxora.pause and _desk is not None:
        return treated(self, sent_again(self, _desk), event)
    return _given_up(self) if isinstance(event.command, GiveUp) else _nothing()


def steps_of(self: Held, event: Any, desk: Desk) -> Commands:
    """What a stream does at an event of one of its two sides, or when it is woken."""
    kind = type(event)
    if kind in _OF_THE_GATEWAY:
        gateway_id = event.stream_id
        if gateway_id != self.foxora.gateway_id:
            return _nothing()
        event.stream_id = self.stream_id
        if kind is WholeAnswer:
            return _steps_of_whole_answer(self, event, gateway_id, desk)
        if kind is http_events.ResponseData:
            return _steps_of_piece(self, event, desk)
        return treated(self, _step_of(self, event), event)
    if kind is WholeRequest:
        return _steps_of_whole_request(self, event, desk)
    return _woken(self, event) if kind is events.Wakeup else steps_of_client(self, event, desk)


def _steps_of_whole_answer(self: Held, event: WholeAnswer, gateway_id: int, desk: Desk) -> Commands:
    yield from treated(self, _step_of(self, event), event)
    for part in rest_of(self, event, gateway_id):
        if not self.foxora.is_over:
            yield from steps_of(self, part, desk)


def _steps_of_whole_request(self: Held, event: WholeRequest, desk: Desk) -> Commands:
    yield from steps_of_client(self, event, desk)
    for part in rest_of(self, event, event.stream_id):
        if not self.foxora.is_over:
            yield from steps_of_client(self, part, desk)


def _nothing() -> Commands:
    yield from ()


def _handle_event_at_once(self: Held, event: events.Event) -> Commands:
    """`HttpStream.handle_event`: while a hook is waited for, what comes is queued behind it.

    That the client left must be known at once all the same (mitmproxy-facts.md row 12).
    """
    is_leaving = type(event) is http_events.RequestProtocolError
    if is_leaving and self._paused and _desk is not None:
        _desk.client_gone(self.flow)
    return _entry(self, event)


def _step_of(self: Held, event: Any) -> Commands:
    """What mitmproxy's `_handle_event` does, without asking what an event is that is known."""
    state = _STATES.get(type(event))
    step: Commands = _original(self, event) if state is None else getattr(self, state)(event)
    return step


def _steps_of_piece(self: Held, event: http_events.ResponseData, desk: Desk) -> Commands:
    """Keep a piece of an answer that is being taken whole, unless it is too long for that by now.

    As `state_consume_response_body` does, without a step of the stream's.
    """
    if self.server_state == self.state_consume_response_body:
        self.foxora.answer_size += len(event.data)
        if desk.is_too_long(self.flow, self.foxora.answer_size):
            return _passed_from_now_on(self, event)
        if has_no_limits(self):
            self.response_body_buf += event.data
            return _nothing()
    return treated(self, _step_of(self, event), event)


def _passed_from_now_on(self: Held, event: http_events.ResponseData) -> Commands:
    """Pass an answer on as it comes, as mitmproxy itself can, with what there is of it."""
    event.data = bytes(self.response_body_buf) + event.data
    self.response_body_buf.clear()
    yield from treated(self, self.start_response_stream(), event)
    yield from treated(self, _step_of(self, event), event)


def steps_of_client(self: Held, event: Any, desk: Desk) -> Commands:
    """What a stream does at an event of the client's side."""
    if isinstance(event, http_events.RequestHeaders):
        arrival = SentHead(names_host(self, event.request), host_header(event.request))
        complete_host(self, event.request, arrival.host_header or "")
        self.foxora = Progress(arrival, self.stream_id)
    elif isinstance(event, http_events.RequestData):
        if not self.foxora.is_answered:
            self.foxora.size += len(event.data)
            response = desk.body_grew(self.flow, self.foxora.size)
            if response is not None:
                return end_upload(self, response, desk)
        if keeps(self, event):
            return _nothing()
    elif isinstance(event, http_events.RequestProtocolError) and self.foxora.pause is not None:
        return treated(self, left(self, event), event)
    elif isinstance(event, http_events.RequestTrailers) and is_ours(self.flow):
        return _nothing()  # they come after the head was cleaned of the app's keys
    return treated(self, _step_of(self, event), event)


def treated(  # noqa: C901, PLR0912  # every step goes through it: a call for each command would cost as much
    self: Held, generator: Commands, event: events.Event
) -> Commands:
    """Run a step of the stream and treat what it yields, handing replies back to it."""
    reply: Any = None
    send = generator.send
    while True:
        try:
            command = send(reply)
        except StopIteration:
            let_go_if_over(self)
            return
        try:
            if isinstance(command, http_layers.SendHttp):
                if command.connection is self.context.client and _desk is not None:
                    reply = yield from treated_answer(self, command, _desk)
                elif can_take(self, command):
                    reply = yield _treated_send(self, command)
            elif isinstance(command, commands.StartHook):
                reply = None if _is_told(self, command, event) else (yield command)
                if isinstance(command, _OF_ANSWERS):
                    keep_from_switching(self)
                    if isinstance(command, http_hooks.HttpResponseHook):
                        keep_to_body(self)
                if isinstance(command, _OF_HEADS) and _desk is not None:
                    _desk.head_heard(self.flow)
            elif isinstance(command, http_layers.GetHttpConnection):
                reply = yield from _connected(self, command)
            else:
                if isinstance(command, http_layers.DropStream):
                    drop(self)
                reply = yield command
        except Refused as refusal:
            generator.close()
            yield from refused(self, str(refusal))
            return
        except SendAgain as wanted:
            generator.close()
            yield from paused(self, wanted.seconds)
            return


def refused(self: Held, why: str) -> Commands:
    """Nothing of the request may be sent: the stream ends as if the gateway had failed."""
    self.foxora.is_refused = True
    refusal = _refusal(self.stream_id, why)
    yield from treated(self, _original(self, refusal), refusal)


def _is_told(self: Held, hook: commands.StartHook, event: events.Event) -> bool:
    """Tell the desk of a hook, and the addons where that can be done at once; whether it was."""
    desk, kind = _desk, type(hook)
    if desk is None:
        return False
    if kind is http_hooks.HttpRequestHeadersHook:
        arrived(self, desk)
    elif kind is http_hooks.HttpResponseHeadersHook:
        desk.answering(self.flow)
        note_head(self)
    elif kind is http_hooks.HttpResponseHook:
        if isinstance(event, http_events.ResponseEndOfMessage):
            ask_for_another_try(self, desk, None)
        desk.answered(self.flow)
        note_whole(self)
    elif kind is http_hooks.HttpErrorHook:
        failure = failure_of(self, event, str(self.flow.error))
        ask_for_another_try(self, desk, failure)
        desk.failed(self.flow, failure)
    return are_told(self, hook, desk)


def are_told(self: Held, hook: commands.StartHook, desk: Desk) -> bool:
    """Tell the addons of a hook at once, if they are to hear of it; False: mitmproxy has to."""
    if desk.is_private(self.flow):
        return True
    # Not of a layer's below the stream, which waits by itself, nor of the next call's.
    is_too_soon = is_ending() and isinstance(hook, http_hooks.HttpRequestHeadersHook)
    if _at_once is None or hook.blocking is not True or is_too_soon:
        return False
    is_told: bool = _at_once(hook, self.flow)
    return is_told


def _refusal(stream_id: int, message: str) -> events.Event:
    return http_events.ResponseProtocolError(stream_id, message, ErrorCode.GENERIC_SERVER_ERROR)


def _connected(self: Held, wanted: http_layers.GetHttpConnection) -> Commands:
    """Have a stream get a connection that lives, and note what became of that."""
    desk = _desk
    if desk is None:
        return (yield wanted)
    if _ready is not None and (ready := _ready(self, wanted, desk)) is not None:
        return ready, None
    desk.connecting(self.flow)
    connection, error = yield live_connection(self, wanted, desk)
    self.foxora.is_unreachable = error is not None
    self.foxora.failed_connection = newest_with(self, error)
    return connection, error


def drop(self: Held) -> None:
    """The stream is over: the gateway's side can't find it any more."""
    layer_of(self).streams.pop(self.foxora.gateway_id, None)
    self.foxora.is_over = True


def arrived(self: Held, desk: Desk) -> None:
    """Tell the desk of a flow that has arrived."""
    STREAMS[self.flow.id] = self
    desk.arrived(self.flow, self.foxora.arrival)


def _treated_send(self: Held, command: http_layers.SendHttp) -> http_layers.SendHttp:
    """Show the desk what the stream sends to the gateway: that, or what takes its place."""
    desk, sent = _desk, command.event
    if desk is None:
        return command
    if isinstance(sent, http_events.RequestHeaders):
        request = desk.outgoing(self.flow, sent.request)
        sent = http_events.RequestHeaders(self.foxora.gateway_id, request, sent.end_stream)
        return http_layers.SendHttp(sent, command.connection)
    sent.stream_id = self.foxora.gateway_id
    return command


def _given_up(self: Held) -> Commands:
    if self.foxora.pause is None and self.server_state in (self.state_done, self.state_errored):
        return
    if self.foxora.pause is None:
        yield from called_off(self)
    self.foxora.pause = None
    self.server_state = self.state_wait_for_response_headers
    lost = _refusal(self.stream_id, "given up")
    yield from treated(self, _original(self, lost), lost)
