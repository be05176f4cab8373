"""Streams of an HTTP/2 client that leaves them, through mitmproxy's layers without a socket."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame
from mitmproxy.connection import Client, Connection, ConnectionState, Server
from mitmproxy.http import HTTPFlow, Request, Response
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode
from mitmproxy.proxy.layers.http._events import ResponseProtocolError
from mitmproxy.proxy.server import ConnectionHandler

from foxora_addon.proxy import hold, hold_client

BUSY = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
PIECE = 100_000


class Line:
    """An HTTP/2 client, the layers, and a gateway; a handler and a desk to them, too.

    What the desk has sent again is not sent before `wakes` is told to wake, and no connection is
    there before `connect` is.
    """

    def __init__(self, options: Options) -> None:
        self.flows: list[HTTPFlow] = []
        self.wakes: list[commands.RequestWakeup] = []
        self.room_in: list[float] = []
        self.opening: list[commands.OpenConnection] = []
        self.failed: list[tuple[HTTPFlow, str]] = []
        self.unbegun: list[bool] = []
        self.unread: list[Callable[[], int]] = []
        self.heard: list[events.Event] = []
        self.answers: dict[int, int] = {}
        self.resets: dict[int, int] = {}
        self.sent: dict[Connection, bytes] = defaultdict(bytes)
        self.is_spoken_on = False
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.client = Client(
            peername=("127.0.0.1", 1),
            sockname=("127.0.0.1", 2),
            timestamp_start=0.0,
            state=ConnectionState.OPEN,
            alpn=b"h2",
        )
        self._layer = HttpLayer(Context(self.client, options), HTTPMode.regular)
        self._h2.initiate_connection()
        self._hear(events.Start())
        self._send()

    def call(self, *, is_whole: bool = True) -> int:
        """The client begins a call, of which a body is to follow if it is not whole; its stream."""
        stream = self._h2.get_next_available_stream_id()
        head = {":method": "GET", ":scheme": "http", ":authority": "gateway.invalid", ":path": "/"}
        self._h2.send_headers(stream, list(head.items()), end_stream=is_whole)
        self._send()
        return stream

    def upload(self, stream: int, size: int) -> None:
        """The client sends a body of so many bytes, and its end."""
        while size:
            piece = min(size, self._h2.max_outbound_frame_size)
            size -= piece
            self._h2.send_data(stream, bytes(piece), end_stream=not size)
            self._send()

    def leave(self, stream: int) -> None:
        """The client resets a stream."""
        self._h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self._send()

    def connect(self, alpn: bytes | None = None) -> Server:
        """The connection that was asked for last is there."""
        command = self.opening.pop()
        server = command.connection
        server.alpn = alpn
        server.state = ConnectionState.OPEN
        server.timestamp_tcp_setup = 1.0
        self._hear(events.OpenConnectionCompleted(command, None))
        return server

    def says(self, server: Connection, data: bytes) -> None:
        self._hear(events.DataReceived(server, data))

    async def server_event(self, event: events.Event) -> None:
        """What the handler of the client's connection takes."""
        self.heard.append(event)
        self._hear(event)

    @property
    def handler(self) -> ConnectionHandler:
        return cast("ConnectionHandler", self)

    def _send(self) -> None:
        if data := self._h2.data_to_send():
            self._hear(events.DataReceived(self.client, data))

    def _hear(self, event: events.Event) -> None:
        with hold.in_place(cast("hold.Desk", Desk(self))):
            waiting = [event]
            while waiting:
                for command in self._layer.handle_event(waiting.pop(0)):
                    waiting.extend(self._reaction_to(command))

    def _reaction_to(self, command: commands.Command) -> Iterator[events.Event]:
        match command:
            case commands.SendData() if command.connection is self.client:
                for event in self._h2.receive_data(command.data):
                    if isinstance(event, h2.events.ResponseReceived):
                        assert event.stream_id is not None
                        head = dict(event.headers or ())
                        self.answers[event.stream_id] = int(cast("Any", head)[":status"])
                    elif isinstance(event, h2.events.StreamReset):
                        assert event.stream_id is not None
                        self.resets[event.stream_id] = int(event.error_code or 0)
            case commands.SendData():
                self.sent[command.connection] += command.data
            case commands.OpenConnection():
                self.opening.append(command)
            case commands.RequestWakeup():
                self.wakes.append(command)
            case commands.StartHook() if command.blocking:
                yield events.HookCompleted(command)


class Http2Gateway:
    """The gateway's end of a connection on HTTP/2, which takes `most` streams at once."""

    def __init__(self, line: Line, most: int) -> None:
        self._line, self._most = line, most
        self._server = line.connect(b"h2")
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._h2.initiate_connection()
        self._h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: most})

    def settle(self) -> None:
        """It says how many streams it takes."""
        self._line.says(self._server, self._h2.data_to_send())

    def streams(self) -> list[int]:
        """The streams on which something was asked since the last look."""
        came = self._h2.receive_data(self._line.sent.pop(self._server, b""))
        return [e.stream_id for e in came if isinstance(e, h2.events.StreamEnded) and e.stream_id]

    def answer(self, stream: int) -> None:
        self._h2.send_headers(stream, [(":status", "204")], end_stream=True)
        self._line.says(self._server, self._h2.data_to_send())

    def resets(self, stream: int, code: int) -> None:
        self._h2.reset_stream(stream, code)
        self._line.says(self._server, self._h2.data_to_send())

    def makes_room(self, stream: int) -> None:
        """It takes more of a stream's body."""
        for which in (None, stream):
            self._h2.increment_flow_control_window(PIECE, which)
        self._line.says(self._server, self._h2.data_to_send())

    def leaves(self, last: int, code: int = h2.errors.ErrorCodes.NO_ERROR) -> None:
        """It takes no more streams, and finishes those up to a last one where all is in order."""
        self._line.says(self._server, GoAwayFrame(0, last, code).serialize())


class Desk:
    """Has a gateway's 503 sent again, and long answers passed on as they come."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def arrived(self, flow: HTTPFlow, arrival: hold.SentHead) -> None:
        del arrival
        flow.request.host, flow.request.port, flow.request.scheme = "gateway.invalid", 80, "http"
        self._line.flows.append(flow)

    def outgoing(self, flow: HTTPFlow, request: Request) -> Request:
        del flow
        return request

    def head_heard(self, flow: HTTPFlow) -> None:
        """Nothing is done with it."""

    def is_too_long(self, flow: HTTPFlow, size: int) -> bool:
        assert flow.response is not None
        flow.response.stream = True
        return size > 0

    def passed(self, flow: HTTPFlow, unread: Callable[[], int]) -> None:
        del flow
        self._line.unread.append(unread)

    def is_stale(self, client: Client, connection: Connection) -> bool:
        del client, connection
        return self._line.is_spoken_on

    def again(self, flow: HTTPFlow, failure: hold.Failure | None) -> float | None:
        del failure
        return 5.0 if flow.response is not None and flow.response.status_code == 503 else None

    def wait_more(self, flow: HTTPFlow) -> float:
        del flow
        return self._line.room_in.pop(0) if self._line.room_in else 0.0

    def failed(self, flow: HTTPFlow, failure: hold.Failure) -> None:
        self._line.failed.append((flow, failure.message))
        self._line.unbegun.append(failure.is_unbegun)

    def answer_for(self, flow: HTTPFlow) -> Response:
        del flow
        return Response.make(502, b"{}")

    def __getattr__(self, name: str) -> Callable[..., None]:
        assert hasattr(hold.Desk, name)
        return lambda *_: None


@pytest.fixture
def line(options: Options) -> Line:
    assert hold.install(cast("hold.Desk", Desk(cast("Line", None)))) is None
    return Line(options)


def left_in_the_pause(line: Line) -> HTTPFlow:
    """The flow of a call that the client has left before it was sent again."""
    stream = line.call()
    line.says(line.connect(), BUSY)
    assert [command.delay for command in line.wakes] == [5.0]
    line.leave(stream)
    assert [flow for flow, _ in line.failed] == line.flows
    return line.flows[0]


def test_another_stream_hears_that_its_connection_failed(line: Line) -> None:
    left_in_the_pause(line)
    stream = line.call()
    asyncio.run(hold.lose_connection(line.opening[0].connection, line.handler))
    assert line.failed[-1] == (line.flows[1], "connection reset by peer")
    assert line.answers == {stream: 502}


@pytest.mark.parametrize(
    ("alpn", "closes"), [(None, True), (b"http/1.1", True), (b"h2", False), (b"h3", False)]
)
def test_only_behind_an_invalid_request_of_http_1_the_end_is_not_known(
    alpn: bytes | None, *, closes: bool
) -> None:
    stream: Any = SimpleNamespace(context=SimpleNamespace(client=SimpleNamespace(alpn=alpn)))
    code = hold.ErrorCode.REQUEST_VALIDATION_FAILED
    assert hold_client._ends_connection(stream, ResponseProtocolError(1, "", code)) is closes


def test_a_stream_that_was_left_is_not_given_up_again(line: Line) -> None:
    flow = left_in_the_pause(line)
    asyncio.run(hold.give_up(flow, line.handler))
    assert line.heard == []


def test_a_stream_that_is_given_up_amid_its_upload_is_answered_and_wants_no_more(
    line: Line,
) -> None:
    whole = line.call()
    line.connect()
    stream = line.call(is_whole=False)
    asyncio.run(hold.give_up(line.flows[1], line.handler))
    assert (line.answers, line.resets) == ({stream: 502}, {stream: h2.errors.ErrorCodes.NO_ERROR})
    asyncio.run(hold.give_up(line.flows[0], line.handler))
    assert (line.answers[whole], whole in line.resets) == (502, False)


def test_a_stream_whose_account_has_no_room_waits_on(line: Line) -> None:
    stream = line.call()
    gateway = line.connect()
    line.room_in = [2.0, 0.0]
    line.says(gateway, BUSY)
    for wake in (0, 1):
        assert [command.delay for command in line.wakes][wake:] == [5.0, 2.0][wake : wake + 1]
        assert line.answers == {}
        asyncio.run(line.server_event(events.Wakeup(line.wakes[wake])))
    line.says(line.connect() if line.opening else gateway, b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (line.answers, line.failed, len(line.wakes)) == ({stream: 204}, [], 2)


def test_a_stream_that_was_left_is_not_woken(line: Line) -> None:
    left_in_the_pause(line)
    asyncio.run(line.server_event(events.Wakeup(line.wakes[0])))
    assert len(line.failed) == 1
    assert line.opening == []


def test_nothing_is_unread_of_a_stream_that_was_left(line: Line) -> None:
    stream = line.call()
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (2 * PIECE)
    line.says(line.connect(), head + bytes(PIECE))
    (unread,) = line.unread
    assert unread() > 0
    line.leave(stream)
    assert unread() == 0


def test_a_connection_that_is_being_made_is_shared_whatever_is_said_on_it(line: Line) -> None:
    line.is_spoken_on = True  # as in a TLS handshake
    line.call()
    line.call()
    assert len(line.opening) == 1


def test_what_a_gateway_takes_no_stream_for_goes_out_on_another_connection(line: Line) -> None:
    line.call()
    first = Http2Gateway(line, most=1)
    first.settle()
    line.call()
    second = Http2Gateway(line, most=1)
    assert (first.streams(), second.streams()) == ([1], [1])
    first.answer(1)
    line.call()
    assert (line.opening, first.streams()) == ([], [3])


def test_a_stream_that_was_left_makes_room_for_another(line: Line) -> None:
    stream = line.call()
    gateway = Http2Gateway(line, most=1)
    gateway.settle()
    line.leave(stream)
    line.call()
    assert (line.opening, gateway.streams()) == ([], [1, 3])


@pytest.mark.parametrize("is_there", [False, True])
def test_no_more_share_a_connection_than_may_before_the_gateway_has_said_how_many(
    line: Line, *, is_there: bool
) -> None:
    line.call()
    gateway = Http2Gateway(line, most=100) if is_there else None
    for _ in range(10):
        line.call()
    assert len(line.opening) == (1 if is_there else 2)
    another = Http2Gateway(line, most=100)
    gateway = gateway or Http2Gateway(line, most=100)
    assert (len(gateway.streams()), len(another.streams())) == (10, 1)
    gateway.settle()
    line.call()
    assert (line.opening, len(gateway.streams())) == ([], 1)


def test_a_gateway_that_leaves_finishes_what_it_has_begun_and_is_asked_no_more(line: Line) -> None:
    calls = [line.call(), line.call()]
    gateway = Http2Gateway(line, 10)
    gateway.settle()
    begun, late = gateway.streams()
    gateway.leaves(2**31 - 1)
    gateway.leaves(begun)
    assert (late > begun, line.answers) == (True, {calls[1]: 502})
    gateway.answer(begun)
    assert line.answers == {calls[0]: 204, calls[1]: 502}
    line.call()
    assert len(line.opening) == 1, "the next one goes to another connection"


def test_a_gateway_that_leaves_gets_the_rest_of_a_body_that_it_has_begun_to_take(
    line: Line,
) -> None:
    call = line.call(is_whole=False)
    line.upload(call, PIECE)
    gateway = Http2Gateway(line, 10)
    gateway.settle()
    assert gateway.streams() == [], "there is no room for all of it"
    gateway.leaves(2**31 - 1)
    gateway.makes_room(1)
    assert gateway.streams() == [1]
    gateway.answer(1)
    assert line.answers == {call: 204}


@pytest.mark.parametrize(("last", "code"), [(0, 0), (2**31 - 1, 2)])
def test_a_gateway_that_leaves_and_finishes_nothing_has_failed(
    line: Line, last: int, code: int
) -> None:
    call = line.call()
    gateway = Http2Gateway(line, 10)
    gateway.settle()
    gateway.leaves(last, code)
    assert line.answers == {call: 502}


@pytest.mark.parametrize(
    ("last", "code", "unbegun"),
    [
        *((0, ErrorCodes.NO_ERROR, [True, True]), (1, ErrorCodes.NO_ERROR, [True])),
        *((2**31 - 1, ErrorCodes.NO_ERROR, []), (0, ErrorCodes.INTERNAL_ERROR, [False, False])),
    ],
)
def test_what_a_gateway_that_leaves_has_not_begun_is_told_from_what_has_failed(
    line: Line, last: int, code: ErrorCodes, unbegun: list[bool]
) -> None:
    line.call()
    line.call()
    gateway = Http2Gateway(line, 10)
    gateway.settle()
    assert gateway.streams() == [1, 3]
    gateway.leaves(last, code)
    assert line.unbegun == unbegun


@pytest.mark.parametrize("code", [ErrorCodes.REFUSED_STREAM, ErrorCodes.INTERNAL_ERROR])
def test_a_stream_that_a_gateway_refuses_is_one_that_it_has_not_begun(
    line: Line, code: ErrorCodes
) -> None:
    line.call()
    gateway = Http2Gateway(line, 10)
    gateway.settle()
    gateway.streams()
    gateway.resets(1, code)
    assert line.unbegun == [code is ErrorCodes.REFUSED_STREAM]
