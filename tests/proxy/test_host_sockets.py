"""What mitmproxy does with a WebSocket once that is changed."""

import zlib
from collections.abc import Mapping
from typing import Any

import pytest
from mitmproxy.connection import Client, Connection, Server
from mitmproxy.http import HTTPFlow, Response
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import websocket
from mitmproxy.websocket import WebSocketData, WebSocketMessage
from wsproto import ConnectionType
from wsproto.events import BytesMessage, Message, TextMessage
from wsproto.frame_protocol import CloseReason, Opcode

from foxora_addon.proxy import host_sockets
from foxora_addon.proxy.failures import BROKEN_FRAMES, LONG_MESSAGE
from foxora_addon.proxy.flows import EXCHANGE
from tests.end_to_end.sockets import frame

MIB = 1_048_576
CHANGED = (
    (host_sockets, "_forms_of"),
    (host_sockets, "_words_for"),
    (websocket, "WebsocketConnection"),
    (websocket.Fragmentizer, "FRAGMENT_SIZE"),
    (websocket.WebsocketLayer, "relay_messages"),
)


@pytest.fixture(autouse=True)
def changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is changed for one test."""
    for owner, name in CHANGED:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    host_sockets.take_over(lambda _: (), lambda _: ())


class Line:
    """An open WebSocket between a client and a gateway that are not there."""

    def __init__(self, options: Options, *, is_ours: bool = True, deflates: bool = False) -> None:
        self.client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
        context = Context(self.client, options)
        self.gateway = context.server = Server(address=("gateway.example", 443))
        self.flow = HTTPFlow(self.client, self.gateway)
        agreed = {"sec-websocket-extensions": "permessage-deflate"} if deflates else {}
        self.flow.response = Response.make(101, headers=agreed)
        self.flow.websocket = WebSocketData()
        self.flow.metadata = {EXCHANGE: "ex_1"} if is_ours else {}
        self._layer = websocket.WebsocketLayer(context, self.flow)
        self._heard: dict[Connection, bytes] = {self.client: b"", self.gateway: b""}
        self.closed: list[Connection] = []
        self.ends = 0
        self._feed(events.Start())

    def says(self, side: Connection, *frames: bytes) -> None:
        """One side sends this."""
        self._feed(events.DataReceived(side, b"".join(frames)))

    def injects(self, opcode: Opcode, content: bytes) -> None:
        """An addon has the gateway say this."""
        message = WebSocketMessage(opcode, from_client=False, content=content, injected=True)
        self._feed(websocket.WebSocketMessageInjected(self.flow, message))

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


class Deflating:
    """A side whose messages share one context, as is usual (RFC 7692, 7.1.1)."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(9, zlib.DEFLATED, -15)

    def __call__(self, message: bytes) -> bytes:
        data = self._compressor.compress(message) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return data[:-4]


DEFLATED = 0x40
BOMB = frame(1 | DEFLATED, Deflating()(bytes(24 * MIB)))


def test_a_bomb_of_a_client_is_too_big_for_it(options: Options) -> None:
    line = Line(options, deflates=True)
    line.says(line.client, masked(BOMB))
    code, reason = line.client_heard[2:4], line.client_heard[4:]
    assert (int.from_bytes(code), reason[-11:]) == (CloseReason.MESSAGE_TOO_BIG, b"is decoded.")
    assert line.gateway_heard == {8: closing(1001)}
    assert line.end == (CloseReason.ABNORMAL_CLOSURE, True, None)
    assert line.flow.websocket is not None
    assert line.flow.websocket.messages == []


def test_a_bomb_of_a_gateway_is_its_fault(options: Options) -> None:
    line = Line(options, deflates=True)
    line.says(line.gateway, BOMB)
    assert line.client_heard == frame(8, closing(1011, LONG_MESSAGE.message.encode()))
    assert int.from_bytes(line.gateway_heard[8][:2]) == CloseReason.MESSAGE_TOO_BIG
    assert line.end == (CloseReason.ABNORMAL_CLOSURE, False, LONG_MESSAGE.message)


def test_a_bomb_ends_a_websocket_of_another_host_as_well(options: Options) -> None:
    line = Line(options, is_ours=False, deflates=True)
    line.says(line.gateway, BOMB)
    assert int.from_bytes(line.client_heard[2:4]) == CloseReason.MESSAGE_TOO_BIG
    assert line.flow.websocket is not None
    assert line.flow.websocket.messages == []


def test_messages_that_grow_a_thousandfold_are_no_bomb_together(options: Options) -> None:
    line, deflated = Line(options, deflates=True), Deflating()
    for _ in range(5):
        line.says(line.gateway, frame(2 | DEFLATED, deflated(bytes(4 * MIB))))
    assert line.flow.websocket is not None
    assert [len(message.content) for message in line.flow.websocket.messages] == [4 * MIB] * 5


def test_a_ping_among_the_frames_of_a_compressed_message_changes_nothing(options: Options) -> None:
    line, data = Line(options, deflates=True), Deflating()(b"hello " * 50)
    line.says(
        line.gateway,
        frame(9, b"before"),
        frame(1 | DEFLATED, data[:5], is_last=False),
        frame(9, b"within"),
        frame(0, data[5:]),
        frame(1, b"plain"),
    )
    assert line.flow.websocket is not None
    told = [message.content for message in line.flow.websocket.messages]
    assert told == [b"hello " * 50, b"plain"]


@pytest.mark.parametrize("size", [1, 3])
def test_a_ping_that_comes_in_pieces_changes_nothing(options: Options, size: int) -> None:
    line, data = Line(options, deflates=True), Deflating()(b"hello " * 50)
    said = masked(frame(9, b"ping") + frame(1 | DEFLATED, data))
    for start in range(0, len(said), size):
        line.says(line.client, said[start : start + size])
    assert line.flow.websocket is not None
    assert [message.content for message in line.flow.websocket.messages] == [b"hello " * 50]


def test_messages_that_say_which_block_is_their_last_are_read(options: Options) -> None:
    line = Line(options, deflates=True)
    for word in (b"one", b"two"):
        data = zlib.compress(word, wbits=-15) + bytes(5_000)
        line.says(line.gateway, frame(1 | DEFLATED, data))
    assert line.flow.websocket is not None
    assert [message.content for message in line.flow.websocket.messages] == [b"one", b"two"]


@pytest.mark.parametrize("deflates", [False, True])
def test_a_message_that_is_too_long_is_given_up_before_it_has_come(
    options: Options, monkeypatch: pytest.MonkeyPatch, *, deflates: bool
) -> None:
    monkeypatch.setattr(host_sockets, "MOST_MESSAGE_BYTES", 1_000)
    line = Line(options, deflates=deflates)
    line.says(line.gateway, frame(1, b"x" * 900), frame(1, b"y" * 900))
    line.says(line.gateway, frame(1, b"z" * 2_000)[:1_500])
    assert line.client_heard.startswith(frame(1, b"x" * 900) if not deflates else b"\xc1")
    assert line.client_heard.endswith(frame(8, closing(1011, LONG_MESSAGE.message.encode())))
    assert (line.closed, line.ends) == ([line.gateway, line.client], 1)


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_what_is_injected_is_no_part_of_what_has_come_in_part(
    options: Options, opcode: Opcode
) -> None:
    line = Line(options)
    begun, rest = frame(2, b"one, ", is_last=False), frame(0, b"two")
    line.says(line.gateway, begun, rest[:3])
    line.injects(opcode, b"injected")
    assert line.client_heard == frame(opcode, b"injected")
    line.says(line.gateway, rest[3:])
    assert line.client_heard == frame(opcode, b"injected") + begun + rest


def test_frames_without_end_are_too_long_a_message(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_sockets, "MOST_MESSAGE_BYTES", 1_000)
    line = Line(options)
    line.says(line.gateway, frame(1, b"", is_last=False), frame(0, b"", is_last=False) * 20)
    assert line.end == (CloseReason.ABNORMAL_CLOSURE, False, LONG_MESSAGE.message)


@pytest.mark.parametrize("said", [TextMessage("aé" * 9), BytesMessage(b"a\xff" * 9)])
def test_a_frame_that_comes_in_pieces_is_said_once(said: TextMessage | BytesMessage) -> None:
    """mitmproxy would copy with each piece all that is there of it."""
    is_text = isinstance(said.data, str)
    content = said.data.encode() if isinstance(said.data, str) else bytes(said.data)
    side = host_sockets.MaskedSide(ConnectionType.CLIENT, [], conn=Server(address=("a", 1)))
    told: list[Message[Any]] = []
    for byte in frame(1 if is_text else 2, content, is_last=False) + frame(0, b"end"):
        side.receive_data(bytes([byte]))
        told += [each for each in side.events() if isinstance(each, Message)]
    end = "end" if is_text else b"end"
    assert [(each.data, each.message_finished) for each in told] == [
        (said.data, False),
        (end, True),
    ]


def test_what_other_hosts_say_is_mitmproxys_business(options: Options) -> None:
    line = Line(options, is_ours=False)
    line.says(line.gateway, BROKEN["a lone continuation"])
    assert line.end == (CloseReason.PROTOCOL_ERROR, False, "unexpected CONTINUATION")


def test_a_message_of_another_length_goes_out_in_one_frame_however_long_it_is() -> None:
    text = "x" * (16 * MIB - 1) + "é"
    (sent,) = websocket.Fragmentizer([text[1:].encode()], is_text=True)(text.encode())
    assert sent.data == text
