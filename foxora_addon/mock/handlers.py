"""Tornado's side of an exchange: reads a request, asks the gateway, has the answer delivered."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.routing import Matcher, Rule
from tornado.web import Application, RequestHandler, stream_request_body
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from foxora_addon.mock.answers import Answer, error_answer
from foxora_addon.mock.control import PREFIX, control_answer
from foxora_addon.mock.delivery import Delivery
from foxora_addon.mock.gateway import Exchange, Gateway
from foxora_addon.mock.received import Fate, Received, is_to_websocket
from foxora_addon.mock.responding import asked_by, told_by
from foxora_addon.mock.speaking import Session

_SUBPROTOCOL = "realtime"


@dataclass(frozen=True, slots=True)
class Floor:
    """What all handlers of a server share: the gateway, and what is open, for it to be closed."""

    gateway: Gateway
    deliveries: dict[RequestHandler, Delivery] = field(default_factory=dict)
    sockets: set["_Socket"] = field(default_factory=set)

    async def carry_out(self, handler: RequestHandler, exchange: Exchange) -> None:
        """Deliver an exchange's answer, and tell the gateway what became of it."""
        delivery = self.deliveries[handler] = Delivery(handler, exchange.answer)
        fate: Fate = "cut"
        try:
            await delivery.run()
            fate = "answered" if exchange.answer.ending == "whole" else "cut"
        except StreamClosedError:
            fate = "client_left"
        except asyncio.CancelledError:
            fate = "cut"  # the program ends; tornado would tell it in a traceback
        finally:
            del self.deliveries[handler]
            if delivery.head_is_out:
                exchange.received.status = exchange.answer.status
            self.gateway.finish(exchange, fate, delivery.sent_pieces)

    def abandon(self, handler: RequestHandler) -> None:
        """The handler's client is gone."""
        if handler in self.deliveries:
            self.deliveries[handler].abandon()

    def abandon_all(self) -> None:
        """Nobody is to be answered any more."""
        for socket in list(self.sockets):
            socket.leave()
        for delivery in list(self.deliveries.values()):
            delivery.abandon()

    async def cleared(self) -> None:
        """Return once every delivery has ended."""
        for delivery in list(self.deliveries.values()):
            await delivery.ended()


def application_of(floor: Floor) -> Application:
    """The tornado application. It writes no access log: the gateway has its own."""
    shared = {"floor": floor}
    return Application(
        [
            Rule(_SocketAt("/v1/realtime"), Realtime, shared),
            Rule(_SocketAt("/v1/responses"), Responding, shared),
            (r".*", Plain, shared),
        ],
        log_function=lambda _: None,
    )


class _SocketAt(Matcher):
    """The opening of a WebSocket at a path. A GET that is none is an ordinary request there."""

    def __init__(self, path: str) -> None:
        self._path = path

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Tornado's way to say yes: a mapping."""
        is_socket = is_to_websocket(request.headers.get("upgrade"))
        return {} if is_socket and request.path == self._path else None


class _Conversation(RequestHandler):
    """What both handlers have in common: the log of what never came to the gateway."""

    def initialize(self, floor: Floor) -> None:
        """Take what the handlers share."""
        self._floor = floor
        self._body: list[bytes] = []
        self._is_logged = False

    def set_default_headers(self) -> None:
        """Tornado's own defaults would contradict some answers."""
        self.clear_header("Content-Type")
        self.set_header("Server", "foxora-mock")

    def on_connection_close(self) -> None:
        """Note a client that left, be it in the middle of its own body."""
        super().on_connection_close()
        self._floor.abandon(self)
        self._log_unheard("upload_broken")

    def write_error(self, status_code: int, **_: Any) -> None:
        """What tornado itself refuses, and bugs, in the documented shape."""
        answer = error_answer(status_code, self._reason)
        self.set_header("Content-Type", "application/json")
        self.finish(b"".join(answer.pieces))
        self._log_unheard("answered", status_code)

    def take(self) -> Received:
        """The request as it is by now, for the gateway, which logs it."""
        self._is_logged = True
        request = self.request
        return Received(
            time=self._floor.gateway.clock(),
            method=request.method or "",
            target=request.uri or "",
            headers=tuple(request.headers.get_all()),
            body=b"".join(self._body),
        )

    def _log_unheard(self, fate: Fate, status: int | None = None) -> None:
        if not self._is_logged:
            received = self.take()
            received.fate, received.status = fate, status
            self._floor.gateway.log.add(received)


# A streamed body is what keeps tornado from parsing (and refusing) forms of the client's.
@stream_request_body
class Plain(_Conversation):
    """Everything but WebSockets."""

    def compute_etag(self) -> None:
        """No Etag: the gateway sends none."""

    def data_received(self, chunk: bytes) -> None:
        """Keep a part of the body."""
        self._body.append(chunk)

    async def get(self) -> None:
        """Answer; the methods do not differ here."""
        floor, received = self._floor, self.take()
        if received.path.startswith(PREFIX):
            answer = control_answer(floor.gateway, received)
            with suppress(StreamClosedError):
                await Delivery(self, answer).run()
            return
        await floor.carry_out(self, floor.gateway.receive(received))

    head = post = put = patch = delete = options = get


class _Socket(_Conversation, WebSocketHandler):
    """A WebSocket, from its opening to its close."""

    async def prepare(self) -> None:
        """Ask the gateway whether the socket may be opened."""
        floor = self._floor
        exchange = floor.gateway.receive(self.take())
        if exchange.answer.status != 101:
            await floor.carry_out(self, exchange)
            return
        exchange.received.status = 101
        floor.gateway.finish(exchange, "answered", 0)

    def check_origin(self, origin: str) -> bool:  # noqa: ARG002 - tornado's signature
        """Any page may talk to the mock."""
        return True

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """OpenAI's name of the protocol, if it is offered."""
        return _SUBPROTOCOL if _SUBPROTOCOL in subprotocols else None

    def open(self, *_: str, **__: str) -> Awaitable[None] | None:
        """Be found when the server stops."""
        self._floor.sockets.add(self)
        return None

    def on_close(self) -> None:
        """Be found no more."""
        self._floor.sockets.discard(self)

    async def tell(self, received: Received, told_by: Callable[[Answer], list[str]]) -> None:
        """Have the gateway answer a request, and tell that in messages; none: leave."""
        gateway = self._floor.gateway
        exchange = gateway.receive(received)
        received.status = exchange.answer.status
        told, sent = told_by(exchange.answer), 0
        fate: Fate = "answered"
        try:
            for event in told:
                await self.write_message(event)
                sent += 1
        except WebSocketClosedError:
            fate = "client_left"
        if not told or exchange.answer.ending != "whole":
            fate = "cut"
            self.leave()
        gateway.finish(exchange, fate, sent)

    def leave(self) -> None:
        """Say goodbye and close, without waiting for the client's own goodbye."""
        self.close(1001, "the mock gateway stops")
        connection = self.ws_connection
        if connection is not None and connection.stream is not None:
            connection.stream.close()


class Realtime(_Socket):
    """The route of the Realtime API: it answers what it knows, and says all else back."""

    async def open(self, *args: str, **more: str) -> None:
        """Begin a conversation, and say so."""
        super().open(*args, **more)
        self._session = Session(self.get_query_argument("model", ""))
        with suppress(WebSocketClosedError):
            await self.write_message(self._session.begun())

    async def on_message(self, message: str | bytes) -> None:
        """Log a message as an entry of its own, and answer it, or send it back."""
        received = self.take()
        body = self._session.asked_by(message)
        if body is not None:
            opening = received.target, received.headers
            received.method, received.target, received.body = "POST", "/v1/responses", body
            # Without it, since this is no socket of Responses, for which an answer is kept.
            received.headers = tuple(p for p in received.headers if p[0].lower() != "upgrade")
            await self.tell(received, self._session.told_by)
            received.target, received.headers = opening  # as the log is to have it
            return
        received.body = message.encode() if isinstance(message, str) else message
        received.method, received.fate = "MESSAGE", "answered"
        self._floor.gateway.log.add(received)
        for answer in self._session.answers_to(message):
            await self.write_message(answer, binary=isinstance(answer, bytes))


class Responding(_Socket):
    """The route of Responses over a WebSocket: each message asks for one, told in its events."""

    async def on_message(self, message: str | bytes) -> None:
        """Have the gateway answer as if the message were the body of a streamed request."""
        received = self.take()
        received.method, received.body = "POST", asked_by(message)
        await self.tell(received, told_by)
