"""The straight way of a whole message through its stream, without a command for each step.

What mitmproxy's states do at a head, a body and an end stands here in one function for each side,
in the same order, for a message of which nothing unusual is known beforehand. Where something
unusual comes up on the way (an addon streams a body, answers by itself, or kills the flow; there is
no connection yet), what is left goes on as mitmproxy has it.
"""

import time
from typing import Any, Final

from mitmproxy.http import HTTPFlow, Request, Response
from mitmproxy.net.http import url as urls
from mitmproxy.proxy import events
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http import _hooks as http_hooks
from mitmproxy.proxy.layers.http._base import HttpEvent

from foxora_addon.proxy import hold
from foxora_addon.proxy.fast.http1 import VERSIONS
from foxora_addon.proxy.fast.whole import (
    PlainMessage,
    are_understood,
    gathered,
    ready_connection,
    sent,
    takes_messages,
)
from foxora_addon.proxy.flows import host_header
from foxora_addon.proxy.hold_client import end_upload, last_to_client, tell_of_passed
from foxora_addon.proxy.hold_desk import Desk, Refused, SentHead
from foxora_addon.proxy.hold_retry import SendAgain, ask_for_another_try, paused
from foxora_addon.proxy.hold_stream import Commands, Held, Progress, let_go_if_over, names_host
from foxora_addon.proxy.hold_unasked import (
    keep_from_switching,
    keep_to_body,
    note_head,
    note_whole,
)
from foxora_addon.proxy.hold_whole import WholeAnswer, WholeRequest, has_no_limits, rest_of
from foxora_addon.proxy.quick_headers import values_in

_layers: Any = http_layers
_EXPECT: Final = b"expect"


def steps(self: Held, event: Any, desk: Desk) -> Commands:
    """What a stream does at the end of a message, or at a whole one."""
    kind = type(event)
    if kind is WholeRequest and _is_plain_request(self, event):
        return _asked(self, event, desk)
    if kind is WholeAnswer and _is_plain_answer(self, event):
        return _answered(self, event, desk)
    return gathered(self, hold.steps_of(self, event, desk))


# The request.


def _is_plain_request(self: Held, event: WholeRequest) -> bool:
    """Whether mitmproxy makes a flow of a request at once, if it can tell where that goes."""
    if event.is_checked:
        return has_no_limits(self)
    request, data = event.request, event.request.data
    if data.http_version not in VERSIONS or not has_no_limits(self):
        return False
    if values_in(data.headers.fields, _EXPECT):
        return False
    validates = self.context.options.validate_inbound_headers
    return http_layers.validate_request(self.mode, request, validates) is None


def _asked(self: Held, event: WholeRequest, desk: Desk) -> Commands:
    """As `state_wait_for_request_headers` and `state_consume_request_body` have it."""
    said = SentHead(names_host(self, event.request), host_header(event.request))
    if not _is_turned(self, event.request, said.host_header):
        yield from gathered(self, hold.steps_of(self, event, desk))
        return
    self.foxora = Progress(said, self.stream_id)
    flow = self.flow = HTTPFlow(self.context.client, self.context.server)
    flow.request, flow.live = event.request, True
    hold.arrived(self, desk)
    fields = flow.request.data.headers.fields  # a plain request has no `Expect`
    heard = http_hooks.HttpRequestHeadersHook(flow)
    if not hold.are_told(self, heard, desk):
        yield heard
    desk.head_heard(flow)
    if _is_disturbed(self) and (yield from _is_killed(self, event, emits_error=True)):
        return
    is_looked_at = event.body and (flow.request.stream or not has_no_limits(self))
    is_changed = flow.request.data.headers.fields is not fields
    if is_looked_at or (is_changed and "expect" in flow.request.headers):
        yield from gathered(self, _head_first(self, event, desk))
        return
    self.server_state = self.state_wait_for_response_headers
    if event.body:
        self.foxora.size = len(event.body)
        response = desk.body_grew(flow, self.foxora.size)
        if response is not None:
            yield from gathered(self, end_upload(self, response, desk))
            return
    yield from _all_there(self, event, desk)


def _is_turned(self: Held, request: Request, host_header: str | None) -> bool:
    """Turn a request where it goes, as mitmproxy does before any addon sees it; False: nowhere."""
    data, context = request.data, self.context
    is_reverse = context.client.proxy_mode.type_name == "reverse"
    address = context.server.address or ("", 0)
    if not address[0] and (is_reverse or self.mode is HTTPMode.transparent):
        return False
    if self.mode is HTTPMode.transparent:
        data.host, data.port = address[:2]
        data.scheme = b"https" if context.server.tls else b"http"
    elif not data.host:
        try:
            data.host, port = urls.parse_authority(host_header or "", check=True)
        except ValueError:
            return False
        is_tls = context.client.tls
        data.port = (443 if is_tls else 80) if port is None else port
        data.scheme = b"https" if is_tls else b"http"
    if data.authority and self.mode is HTTPMode.regular:
        request.authority = ""
    if is_reverse and not context.options.keep_host_header:
        scheme = "https" if context.server.tls else "http"
        request.host_header = urls.hostport(scheme, *address[:2])
    return True


def _head_first(self: Held, event: WholeRequest, desk: Desk) -> Commands:
    """Go on after the head where the client waits to send the body, or that is not just kept."""
    yield from hold.treated(self, _head_over(self, event), event)
    for part in rest_of(self, event, event.stream_id):
        if not self.foxora.is_over:
            yield from hold.steps_of_client(self, part, desk)


def _head_over(self: Held, event: WholeRequest) -> Commands:
    """The end of `state_wait_for_request_headers`."""
    request = self.flow.request
    if request.headers.get("expect", "").lower() == "100-continue":
        interim = Response.make(100)
        interim.headers.clear()
        head = http_events.ResponseHeaders(self.stream_id, interim)
        yield http_layers.SendHttp(head, self.context.client)
        request.headers.pop("expect")
    if request.stream and not event.end_stream:
        yield from self.start_request_stream()
    else:
        self.client_state = self.state_consume_request_body
    self.server_state = self.state_wait_for_response_headers


def _all_there(self: Held, event: WholeRequest, desk: Desk) -> Commands:
    """As `state_consume_request_body` has it, at the end."""
    flow = self.flow
    flow.request.timestamp_end = time.time()
    flow.request.data.content = event.body
    self.client_state = self.state_done
    heard = http_hooks.HttpRequestHook(flow)
    if not hold.are_told(self, heard, desk):
        yield heard
    end = http_events.RequestEndOfMessage(self.stream_id)
    if _is_disturbed(self) and (yield from _is_killed(self, end, emits_error=True)):
        return
    connection = None if flow.response or flow.request.trailers else _connection_for(self, desk)
    if connection is None:
        yield from gathered(self, hold.treated(self, _sent_on(self, end), end))
        return
    self.context.server = flow.server_conn = connection
    try:
        copy = desk.outgoing(flow, flow.request)
    except Refused as refusal:
        yield from gathered(self, hold.refused(self, str(refusal)))
        return
    content = flow.request.data.content or b""
    yield from sent(self, PlainMessage(self.foxora.gateway_id, copy, content), connection)


def _connection_for(self: Held, desk: Desk) -> Any:
    """The connection that a request goes out on, where there is one that takes whole messages."""
    request, server = self.flow.request, self.flow.server_conn
    place, is_tls = (request.data.host, request.data.port), request.data.scheme == b"https"
    wanted = http_layers.GetHttpConnection(place, is_tls, server.via, server.transport_protocol)
    found = ready_connection(self, wanted, desk)
    return found if found is not None and takes_messages(self, found) else None


def _sent_on(self: Held, end: http_events.RequestEndOfMessage) -> Commands:
    """What `state_consume_request_body` does once the addons have been told."""
    flow = self.flow
    if flow.response:
        flow.response.timestamp_start = time.time()
        yield http_hooks.HttpResponseHeadersHook(flow)
        if (yield from self.check_killed(True)):  # noqa: FBT003  # as mitmproxy has it
            return
        yield from self.send_response()
    elif (yield from self.make_server_connection()):
        request, name = flow.request, self.stream_id
        content, trailers = request.raw_content, request.trailers
        head = http_events.RequestHeaders(name, request, not (content or trailers))
        parts: list[HttpEvent] = [head]
        if content:
            parts.append(http_events.RequestData(name, content))
        if trailers:
            parts.append(http_events.RequestTrailers(name, trailers))
        for part in (*parts, end):
            yield http_layers.SendHttp(part, self.context.server)


# The answer.


def _is_plain_answer(self: Held, event: WholeAnswer) -> bool:
    """Whether an answer is one that mitmproxy keeps or streams as its addons say."""
    if event.stream_id != self.foxora.gateway_id or not has_no_limits(self):
        return False
    is_waited_for = self.server_state == self.state_wait_for_response_headers
    if not is_waited_for or self.client_state != self.state_done:
        return False
    if not takes_messages(self, self.context.client):
        return False
    if not event.is_checked and self.context.options.validate_inbound_headers:
        try:
            _layers.validate_headers(event.response)
        except ValueError:
            return False
    return True


def _answered(self: Held, event: WholeAnswer, desk: Desk) -> Commands:
    """As `state_wait_for_response_headers` and `state_consume_response_body` have it."""
    flow = self.flow
    flow.response = event.response
    desk.answering(flow)
    note_head(self)
    heard = http_hooks.HttpResponseHeadersHook(flow)
    if not hold.are_told(self, heard, desk):
        yield heard
    keep_from_switching(self)
    desk.head_heard(flow)
    if _is_disturbed(self) and (yield from _is_killed(self, event, emits_error=True)):
        return
    if not event.end_stream and (flow.response.stream or not has_no_limits(self)):
        yield from gathered(self, _piece_by_piece(self, event, desk))
        return
    content = b"".join(event.pieces)
    self.foxora.answer_size += len(content)
    flow.response.data.content = content
    flow.response.timestamp_end = time.time()
    self.server_state = self.state_consume_response_body
    try:
        ask_for_another_try(self, desk, None)
    except SendAgain as wanted:
        yield from paused(self, wanted.seconds)
        return
    desk.answered(flow)
    note_whole(self)
    complete = http_hooks.HttpResponseHook(flow)
    if not hold.are_told(self, complete, desk):
        yield complete
    keep_from_switching(self)
    keep_to_body(self)
    self.server_state = self.state_done
    if _is_disturbed(self) and (yield from _is_killed(self, event, emits_error=False)):
        return
    if flow.response.trailers or not are_understood():
        yield from gathered(self, hold.treated(self, _sent_back(self), event))
        return
    yield from _given_back(self, desk)


def _piece_by_piece(self: Held, event: WholeAnswer, desk: Desk) -> Commands:
    """Go on after the head of an answer that passes as it comes, or may be too large by now."""
    response: Any = self.flow.response
    if response.stream:
        yield from hold.treated(self, self.start_response_stream(), event)
    else:
        self.server_state = self.state_consume_response_body
    for part in rest_of(self, event, event.stream_id):
        if not self.foxora.is_over:
            yield from hold.steps_of(self, part, desk)


def _given_back(self: Held, desk: Desk) -> Commands:
    """Send a plain answer, and be done: as `send_response` and `flow_done` have it."""
    flow = self.flow
    response: Any = flow.response
    self.foxora.is_answered = response.status_code >= 200
    content = response.data.content or b""
    message = PlainMessage(self.stream_id, response, content)
    if flow.request.method == "HEAD":  # see `hold_client.treated_answer`
        message.body = b""
    elif content:
        tell_of_passed(self, len(content), desk)
    flow.live = False
    hold.drop(self)
    yield http_layers.DropStream(self.stream_id)
    yield from last_to_client(sent(self, message, self.context.client))
    let_go_if_over(self)


def _sent_back(self: Held) -> Commands:
    """What `send_response` does once the addons have been told."""
    response: Any = self.flow.response
    content, trailers, client = response.raw_content, response.trailers, self.context.client
    head = http_events.ResponseHeaders(self.stream_id, response, not (content or trailers))
    yield http_layers.SendHttp(head, client)
    if content:
        yield http_layers.SendHttp(http_events.ResponseData(self.stream_id, content), client)
    if trailers:
        yield http_layers.SendHttp(http_events.ResponseTrailers(self.stream_id, trailers), client)
    if self.client_state == self.state_done:
        yield from self.flow_done()


# Both.


def _is_disturbed(self: Held) -> bool:
    """Whether a flow may have been killed: by an addon, or by what has come meanwhile."""
    return self.flow.error is not None or bool(self._paused_event_queue)


def _is_killed(self: Held, event: events.Event, *, emits_error: bool) -> Commands:
    """End a flow that was killed; whether that is so, or the flow is over for another reason."""
    lives = False

    def asked() -> Commands:
        nonlocal lives
        lives = not (yield from self.check_killed(emits_error))

    yield from gathered(self, hold.treated(self, asked(), event))
    return not lives
