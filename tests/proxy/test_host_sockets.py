"""What mitmproxy does with a WebSocket once that is changed."""

from collections.abc import Mapping

import pytest
from mitmproxy.connection import Client, Connection, Server
from mitmproxy.http import HTTPFlow, Response
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import websocket
from mitmproxy.websocket import WebSocketData
from wsproto.frame_protocol import CloseReason

from foxora_addon.proxy import host_sockets
from foxora_addon.proxy.failures import BROKEN_FRAMES
from foxora_addon.proxy.flows import EXCHANGE
from tests.end_to_end.sockets import frame

MIB = 1_048_576
_CHANGED = (
    (host_sockets, "_forms_of"),
    (host_sockets, "_words_for"),
    (websocket, "WebsocketConnection"),
    (websocket.Fragmentizer, "FRAGMENT_SIZE"),
    (websocket.WebsocketLayer, "relay_messages"),
)


@pytest.fixture(autouse=True)
def changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is changed for one test."""
    for owner, name in _CHANGED:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    host_sockets.take_over(lambda _: (), lambda _: ())


class Line:
    """An open WebSocket between a client and a gateway that are not there."""

    def __init__(self, options: Options, *, is_ours: bool = True) -> None:
        self.client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
        context = Context(self.client, options)
        self.gateway = context.server = Server(address=("gateway.example", 443))
        self.flow = HTTPFlow(self.client, self.gateway)
        self.flow.response, self.flow.websocket = Response.make(101), WebSocketData()
        self.flow.metadata = {EXCHANGE: "ex_1"} if is_ours else {}
        self._layer = websocket.WebsocketLayer(context, self.flow)
        self._heard: dict[Connection, bytes] = {self.client: b"", self.gateway: b""}
        self.closed: list[Connection] = []
        self.ends = 0
        self._feed(events.Start())

    def says(self, side: Connection, *frames: bytes) -> None:
        """One side sends this."""
        self._feed(events.DataReceived(side, b"".join(frames)))

    def _feed(self, event: events.Event) -> None:
        for command in list(self._layer.handle_event(event)):
            if isinstance(command, commands.SendData):
                self._heard[command.connection] += command.data
            elif isinstance(command, commands.CloseConnection):
                self.closed.append(command.connection)
            elif isinstance(command, commands.StartHook):
                self.ends += isinstance(command, websocket.WebsocketEndHook)
                self._feed(events.HookCompleted(command))

    @property
    def client_heard(self) -> bytes:
        """All that has gone to the client."""
        return self._heard[self.client]

    @property
    def gateway_heard(self) -> Mapping[int, bytes]:
        """What has gone to the gateway, short frames all, by their opcodes."""
        found, rest = {}, self._heard[self.gateway]
        while rest:
            size, mask = rest[1] & 0x7F, rest[2:6]
            found[rest[0] & 0xF] = bytes(
                byte ^ mask[at % 4] for at, byte in enumerate(rest[6 : 6 + size])
            )
            rest = rest[6 + size :]
        return found

    @property
    def end(self) -> tuple[int | None, bool | None, str | None]:
        """How the flow says that it has ended."""
        told = self.flow.websocket
        assert told is not None
        return told.close_code, told.closed_by_client, told.close_reason


def closing(code: int, reason: bytes = b"") -> bytes:
    return code.to_bytes(2) + reason


BROKEN = {
    "no UTF-8": frame(1, b"\xff"),
    "a reserved bit": b"\xc1\x00",
    "a reserved opcode": frame(3, b"x"),
    "a lone continuation": frame(0, b"x"),
    "a text within a text": frame(1, b"x", is_last=False) + frame(1, b"y"),
    "a long ping": frame(9, b"x" * 200),
    "half a closing code": frame(8, b"\x03"),
    "a closing that is no UTF-8": frame(8, closing(1000, b"\xff")),
    **{
        f"the closing code {code}": frame(8, closing(code))
        for code in (999, 1005, 1006, 1015, 5000)
    },
}


def masked(frames: bytes) -> bytes:
    """Frames of a side that need no mask, with one of zeros, in place of their second bytes."""
    found = b""
    while frames:
        long = frames[1] == 126
        head, size = (4, int.from_bytes(frames[2:4])) if long else (2, frames[1])
        found += bytes([frames[0], frames[1] | 0x80]) + frames[2:head] + bytes(4)
        found += frames[head : head + size]
        frames = frames[head + size :]
    return found


@pytest.mark.parametrize(
    "broken", [*BROKEN.values(), frame(1, b"x", mask=True)], ids=[*BROKEN, "a mask"]
)
def test_frames_of_a_gateway_that_are_none_are_the_gateways_fault(
    options: Options, broken: bytes
) -> None:
    line = Line(options)
    line.says(line.gateway, frame(1, b"before"), broken)
    told = frame(8, closing(1011, BROKEN_FRAMES.message.encode()))
    assert line.client_heard == frame(1, b"before") + told
    assert int.from_bytes(line.gateway_heard[8][:2]) in {1002, 1007}
    assert line.end == (CloseReason.ABNORMAL_CLOSURE, False, BROKEN_FRAMES.message)
    assert (line.closed, line.ends) == ([line.gateway, line.client], 1)


@pytest.mark.parametrize(
    "broken",
    [*map(masked, BROKEN.values()), frame(1, b"x")],
    ids=[*BROKEN, "no mask"],
)
def test_frames_of_a_client_that_are_none_are_its_own_fault_and_no_closing(
    options: Options, broken: bytes
) -> None:
    line = Line(options)
    line.says(line.client, frame(1, b"before", mask=True), broken)
    assert line.client_heard[:1] == b"\x88"
    assert int.from_bytes(line.client_heard[2:4]) in {1002, 1007}
    assert line.gateway_heard == {1: b"before", 8: closing(1001)}
    assert line.end == (CloseReason.ABNORMAL_CLOSURE, True, None)
    assert (line.closed, line.ends) == ([line.gateway, line.client], 1)


@pytest.mark.parametrize("payload", [b"", closing(1000), closing(1011, b"why"), closing(4001)])
def test_a_closing_goes_to_the_other_side_as_it_came(options: Options, payload: bytes) -> None:
    line = Line(options)
    line.says(line.gateway, frame(8, payload))
    assert line.client_heard == frame(8, payload)
    code = int.from_bytes(payload[:2]) if payload else CloseReason.NO_STATUS_RCVD
    assert line.end[:2] == (code, False)
    assert line.ends == 1


def test_what_other_hosts_say_is_mitmproxys_business(options: Options) -> None:
    line = Line(options, is_ours=False)
    line.says(line.gateway, BROKEN["a lone continuation"])
    assert line.end == (CloseReason.PROTOCOL_ERROR, False, "unexpected CONTINUATION")


def test_a_message_of_another_length_goes_out_in_one_frame_however_long_it_is() -> None:
    text = "x" * (16 * MIB - 1) + "é"
    (sent,) = websocket.Fragmentizer([text[1:].encode()], is_text=True)(text.encode())
    assert sent.data == text
