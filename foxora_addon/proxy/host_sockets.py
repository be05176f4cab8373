"""Has mitmproxy say words of ours to a WebSocket's client, and no key in its control frames.

One that has to end is closed with 1001, "going away". One whose gateway has vanished, or sends
frames that are none, is closed with 1011, where mitmproxy says that all is well, or that it is the
client who broke the protocol, and as 1006 in the flow (RFC 6455, 7.1.5). So is it in the flow where
the client's frames are none: that is no closing of the client's.

mitmproxy adds a message that is injected to one that has come in part. Here it goes out by itself,
between two messages, as our words do.

A message of another length than it came in would go out in frames of 4 kB, however it was framed;
here it goes out in one, however long: mitmproxy cuts between bytes, and what is cut of a character
would be lost.

Of a message that comes in pieces mitmproxy copies with each all that is there, which takes a minute
for 50 MB; here they are joined once. One over 128 MiB, or a bomb as it is decoded, ends the
WebSocket: with 1009 where it is the client's, with 1011 where it is the gateway's.

mitmproxy tells no addon of a ping, a pong or a closing, passes them as they came, logs what pings
and pongs hold, and keeps the reason of a closing with the flow. Gateways say there which key they
do not take. No line says that there was one: a flood of them would fill the log, and each line
holds up all other calls for a moment.
"""

import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from mitmproxy.http import HTTPFlow
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers import websocket
from mitmproxy.websocket import WebSocketMessage
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, Message, Ping, Pong, TextMessage
from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, Opcode

from foxora_addon.policy.mask import masked
from foxora_addon.proxy.failures import BROKEN_FRAMES, BROKEN_SOCKET, LONG_MESSAGE
from foxora_addon.proxy.flows import is_ours
from foxora_addon.proxy.hold_stream import let_go_of_socket
from foxora_addon.proxy.socket_deflate import bounded

OPEN: Final = ConnectionState.OPEN
MOST_MESSAGE_BYTES: Final = 128 * 1_048_576
_FRAME_BYTES: Final = 64
"""About what a frame takes beside what it holds."""
_TOO_LONG: Final = CloseConnection(
    CloseReason.MESSAGE_TOO_BIG, "The message is over 128 MiB, or a bomb as it is decoded."
)

type FormsOf = Callable[[HTTPFlow], Sequence[bytes]]
type WordsFor = Callable[[HTTPFlow], Sequence[bytes]]

_private: Any = websocket
_relay_messages: Callable[..., Generator[Any, Any, None]] = _private.WebsocketLayer.relay_messages
_forms_of: FormsOf = lambda _: ()  # noqa: E731  # replaced as a whole
_words_for: WordsFor = lambda _: ()  # noqa: E731  # as well


class MaskedSide(websocket.WebsocketConnection):
    """One side of a WebSocket. `forms`: the ways in which a key may stand in what it says.

    `flaw` is what a side is told whose frames are none, or too much; None: they are fine. It is
    found `of_ours`.
    """

    forms: Sequence[bytes] = ()
    of_ours = False
    flaw: CloseConnection | None = None

    def __init__(self, kind: ConnectionType, extensions: list[Extension], **given: Any) -> None:
        super().__init__(kind, [bounded(extension) for extension in extensions], **given)
        self._pieces: list[Any] = []  # of a frame that has not come whole
        self._size = 0  # of a message so far

    def events(self) -> Generator[Event, None, None]:
        """What has come, up to a flaw."""
        for event in super().events():
            if isinstance(event, Message):
                if (whole := self._whole(event)) is not None:
                    yield whole
                if self.flaw is not None:
                    return
            # A closing that has come is known to the state before it is told.
            elif self.of_ours and self.state is OPEN and isinstance(event, CloseConnection):
                is_long = event.code is CloseReason.MESSAGE_TOO_BIG
                self.flaw = _TOO_LONG if is_long else event
            else:
                yield _without_key(event, self.forms)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What it says meanwhile is no part of the message that has come in part."""
        before = self._pieces, self._size, self.frame_buf
        self._pieces, self._size, self.frame_buf = [], 0, [b""]
        try:
            yield
        finally:
            self._pieces, self._size, self.frame_buf = before

    def _whole(self, event: Message[Any]) -> Message[Any] | None:
        """All that a frame says; None where more of it is to come, or it is too long."""
        self._size += len(event.data) + _FRAME_BYTES * event.frame_finished
        if self.of_ours and self._size > MOST_MESSAGE_BYTES:
            self.flaw = _TOO_LONG
            self._pieces.clear()
            return None
        if event.message_finished:
            self._size = 0
        if event.frame_finished and not self._pieces:
            return event
        self._pieces.append(event.data)
        if not event.frame_finished:
            return None
        pieces, self._pieces = self._pieces, []
        return replace(event, data=type(event.data)().join(pieces))


def _without_key(event: Event, forms: Sequence[bytes]) -> Event:
    if isinstance(event, Ping | Pong):
        return replace(event, payload=masked(bytes(event.payload), forms))
    if isinstance(event, CloseConnection) and event.reason:
        return replace(event, reason=masked(event.reason.encode(), forms).decode())
    return event


def _ended(
    self: Any,
    code: CloseReason,
    to_client: CloseConnection,
    to_gateway: CloseConnection | None = None,
    *,
    by_client: bool = False,
) -> Iterator[Any]:
    """End it from here, as mitmproxy does where a side has closed it; `code` is for the flow.

    `to_gateway` None: the gateway is told what the client is.
    """
    told = self.flow.websocket
    told.timestamp_end, told.closed_by_client, told.close_code = time.time(), by_client, code
    for side, closing in ((self.server_ws, to_gateway or to_client), (self.client_ws, to_client)):
        if side.state is OPEN:
            yield side.send2(closing)
        yield commands.CloseConnection(side.conn)
    yield websocket.WebsocketEndHook(self.flow)
    self.flow.live = False
    self._handle_event = self.done


def _is_left_by_gateway(self: Any, event: Any) -> bool:
    is_end = isinstance(event, events.ConnectionClosed)
    return is_end and event.connection is self.server_ws.conn and is_ours(self.flow)


def _without_gateway(self: Any) -> Iterator[Any]:
    self.server_ws.receive_data(None)
    closing = CloseConnection(CloseReason.INTERNAL_ERROR, BROKEN_SOCKET.message)
    return _ended(self, CloseReason.ABNORMAL_CLOSURE, closing)


def _flawed(self: Any) -> Iterator[Any]:
    """End it if what came from a side has a flaw: that side is told why, the other as it is."""
    lost = CloseReason.ABNORMAL_CLOSURE
    if (why := self.server_ws.flaw) is not None:
        error = LONG_MESSAGE if why is _TOO_LONG else BROKEN_FRAMES
        self.flow.websocket.close_reason = error.message
        told = CloseConnection(CloseReason.INTERNAL_ERROR, error.message)
        yield from _ended(self, lost, told, why)
    elif (why := self.client_ws.flaw) is not None:
        gone = CloseConnection(CloseReason.GOING_AWAY)
        yield from _ended(self, lost, why, gone, by_client=True)


def _relayed(self: Any, event: Any) -> Iterator[Any]:
    yield from _steps_of(self, event)
    if self._handle_event == self.done:
        let_go_of_socket(self)


def _injected(self: Any, event: Any) -> Iterator[Any]:
    side = self.client_ws if event.message.from_client else self.server_ws
    with side.apart():
        yield from _relay_messages(self, event)


def _steps_of(self: Any, event: Any) -> Iterator[Any]:
    relay: Callable[[Any, Any], Iterator[Any]] = _relay_messages
    if not isinstance(event, events.DataReceived):
        if isinstance(event, events.Wakeup):  # of `hold.give_up`, which mitmproxy's own can't take
            yield from _ended(self, CloseReason.GOING_AWAY, CloseConnection(CloseReason.GOING_AWAY))
            return
        if _is_left_by_gateway(self, event):
            yield from _without_gateway(self)
            return
        if isinstance(event, websocket.WebSocketMessageInjected):
            relay = _injected
    self.server_ws.forms = _forms_of(self.flow)
    self.server_ws.of_ours = self.client_ws.of_ours = is_ours(self.flow)
    for command in relay(self, event):  # none has a reply
        if not isinstance(command, commands.Log):
            yield command
    yield from _flawed(self)
    for words in _words_for(self.flow):
        if self.client_ws.state is OPEN:
            told = WebSocketMessage(Opcode.TEXT, from_client=False, content=words, injected=True)
            self.flow.websocket.messages.append(told)
            yield self.client_ws.send2(TextMessage(words.decode()))


def take_over(forms_of: FormsOf, words_for: WordsFor) -> None:
    """Mask keys, and say words, from now on.

    `forms_of` gives the ways in which the key of a flow may be written, `words_for` what its client
    is to be told: JSON in UTF-8, each once.
    """
    global _forms_of, _words_for
    _forms_of, _words_for = forms_of, words_for
    _private.WebsocketConnection = MaskedSide
    _private.Fragmentizer.FRAGMENT_SIZE = sys.maxsize
    _private.WebsocketLayer.relay_messages = _relayed
