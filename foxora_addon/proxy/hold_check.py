"""Tries the hold before anything relies on it: two requests through mitmproxy's layers, no socket.

Names that are there may still behave otherwise in another release. So a request is driven through
an HttpLayer as the proxy server would drive it, once to an answer and once to a failure, with a
desk that leaves its mark wherever it is asked. What the wires then carry says whether it holds.
"""

from collections.abc import Callable, Iterator
from typing import Final

from mitmproxy.connection import Client, Connection, ConnectionState, Server
from mitmproxy.http import HTTPFlow, Request, Response
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode

from foxora_addon.proxy import hold

_REQUEST: Final = b"GET http://self-test.invalid/ HTTP/1.1\r\nhost: self-test.invalid\r\n\r\n"
_BUSY: Final = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
_FINE: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_KEY: Final = b"foxora-self-test: 1"
_WORDS: Final = b'{"self-test": true}'


def flaw_of_hold(options: Options) -> str | None:
    """Why the hold that is installed does not do what it must, in words; None: it does."""
    try:
        return _flaw_of_an_answer(options) or _flaw_of_a_failure(options)
    except Exception as error:  # noqa: BLE001  # whatever it is, this release is another one
        return f"its layers can't be driven ({type(error).__name__}: {error})"


def _flaw_of_an_answer(options: Options) -> str | None:
    wire = _Wire(options)
    wire.say(_REQUEST)
    if _KEY not in wire.to_server:
        return "what is sent to the gateway can't be replaced"
    wire.answer(_BUSY)
    if wire.to_client or wire.to_server.count(_KEY) != 2:
        return "a request can't be sent again"
    wire.answer(_FINE)
    if not wire.to_client.startswith(b"HTTP/1.1 200") or wire.told["answered"] != 1:
        return "an answer does not reach the client"
    return None


def _flaw_of_a_failure(options: Options) -> str | None:
    wire = _Wire(options, refuses="self-test")
    wire.say(_REQUEST)
    if wire.told["failed"] != 1 or not wire.to_client.endswith(_WORDS):
        return "its error pages can't be replaced"
    return None


class _Wire:
    """An HTTP layer with nothing around it: its commands are answered as the server would do.

    `refuses`: why no connection can be made. `told`: how often the desk heard of what.
    """

    def __init__(self, options: Options, refuses: str | None = None) -> None:
        self.to_client = b""
        self.to_server = b""
        self.told = {"answered": 0, "failed": 0}
        self._refuses = refuses
        self._server: Server | None = None
        self._client = Client(
            peername=("127.0.0.1", 1),
            sockname=("127.0.0.1", 2),
            timestamp_start=0.0,
            state=ConnectionState.OPEN,
        )
        self._layer = HttpLayer(Context(self._client, options), HTTPMode.regular)
        self._desk = _Probe(self.told)
        self._feed(events.Start())

    def say(self, data: bytes) -> None:
        """The client sends something."""
        self._feed(events.DataReceived(self._client, data))

    def answer(self, data: bytes) -> None:
        """The server sends something."""
        if self._server is not None:
            self._feed(events.DataReceived(self._server, data))

    def _feed(self, event: events.Event) -> None:
        with hold.in_place(self._desk):
            waiting = [event]
            while waiting:
                for command in self._layer.handle_event(waiting.pop(0)):
                    waiting.extend(self._reaction_to(command))

    def _reaction_to(self, command: commands.Command) -> Iterator[events.Event]:
        match command:
            case commands.SendData() if command.connection is self._client:
                self.to_client += command.data
            case commands.SendData():
                self.to_server += command.data
            case commands.OpenConnection():
                if self._refuses is None:
                    command.connection.state = ConnectionState.OPEN
                    self._server = command.connection
                yield events.OpenConnectionCompleted(command, self._refuses)
            case commands.RequestWakeup():
                yield events.Wakeup(command)
            case commands.StartHook() if command.blocking:
                yield events.HookCompleted(command)


class _Probe:
    """A desk that leaves its mark, and has one failed request sent again."""

    def __init__(self, told: dict[str, int]) -> None:
        self._told = told

    def crashed(self, client: Client) -> None:
        pass

    def arrived(self, flow: HTTPFlow, arrival: hold.SentHead) -> None:
        pass

    def inviting(self, flow: HTTPFlow) -> None:
        pass

    def body_grew(self, flow: HTTPFlow, size: int) -> Response | None:  # noqa: ARG002  # the hold asks so
        return None

    def client_gone(self, flow: HTTPFlow) -> None:
        pass

    def is_stale(self, client: Client, connection: Connection) -> bool:  # noqa: ARG002  # the hold asks so
        return False

    def is_private(self, flow: HTTPFlow) -> bool:  # noqa: ARG002  # the hold asks so
        return False

    def connecting(self, flow: HTTPFlow) -> None:
        pass

    def outgoing(self, flow: HTTPFlow, request: Request) -> Request:  # noqa: ARG002  # the hold asks so
        copy = request.copy()
        name, _, value = _KEY.decode().partition(": ")
        copy.headers[name] = value
        return copy

    def answering(self, flow: HTTPFlow) -> None:
        pass

    def head_heard(self, flow: HTTPFlow) -> None:
        """Nothing is done with it."""

    def is_too_long(self, flow: HTTPFlow, size: int) -> bool:  # noqa: ARG002  # the hold asks so
        return False

    def passed(self, flow: HTTPFlow, unread: Callable[[], int]) -> None:
        pass

    def again(self, flow: HTTPFlow, failure: hold.Failure | None) -> float | None:  # noqa: ARG002  # the hold asks so
        return 0.0 if flow.response is not None and flow.response.status_code == 503 else None

    def wait_more(self, flow: HTTPFlow) -> float:  # noqa: ARG002  # the hold asks so
        return 0.0

    def answered(self, flow: HTTPFlow) -> None:  # noqa: ARG002  # the hold asks so
        self._told["answered"] += 1

    def failed(self, flow: HTTPFlow, failure: hold.Failure) -> None:  # noqa: ARG002  # the hold asks so
        self._told["failed"] += 1

    def answer_for(self, flow: HTTPFlow) -> Response | None:  # noqa: ARG002  # the hold asks so
        return Response.make(502, _WORDS)

    def last_words(self, flow: HTTPFlow) -> bytes | None:  # noqa: ARG002  # the hold asks so
        return None
