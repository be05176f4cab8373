"""Our side of the hold on mitmproxy: what it asks of a desk, and the values that it tells it."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from mitmproxy.connection import Client, Connection
from mitmproxy.http import HTTPFlow, Request, Response
from mitmproxy.proxy.layers.http import _events as http_events

ErrorCode = http_events.ErrorCode


class SentHead(NamedTuple):
    """What a request's head said before mitmproxy completed it.

    `names_host`: the request line named a host (absolute form), or a CONNECT before it did.
    `host_header`: as it was sent.
    """

    names_host: bool
    host_header: str | None


class Failure(NamedTuple):
    """What mitmproxy says of an exchange that failed.

    `code` None: no connection could be made, and `connection` is the one that could not be.
    `by_client`: it was the client's side that failed. `is_unbegun`: the gateway has said that it
    has not begun the request.
    """

    message: str
    code: ErrorCode | None
    by_client: bool = False
    connection: Connection | None = None
    is_unbegun: bool = False


class Refused(Exception):  # noqa: N818  # a signal to the wrap, not an error of the program
    """Raised by `Desk.inviting`, `connecting` and `outgoing`: nothing of a request may be sent."""


class Desk(Protocol):
    """Our side of the hold. No method may raise, but for those that may raise `Refused`."""

    def crashed(self, client: Client) -> None:
        """What mitmproxy does on a client's connection has raised; it goes on as if it had not."""

    def arrived(self, flow: HTTPFlow, arrival: SentHead) -> None:
        """A request's head is there, and no addon has seen the flow yet."""

    def is_private(self, flow: HTTPFlow) -> bool:
        """Whether no addon may see this flow at all: it is between a client and the desk."""

    def inviting(self, flow: HTTPFlow) -> None:
        """The client is to be told to send its body, which it holds back until then."""

    def body_grew(self, flow: HTTPFlow, size: int) -> Response | None:
        """`size` bytes of the body have come; a response ends the upload and is the answer."""

    def connecting(self, flow: HTTPFlow) -> None:
        """A connection is to be made, or shared, for the request; not where one is ready for it."""

    def outgoing(self, flow: HTTPFlow, request: Request) -> Request:
        """The request to put on the wire for this flow, with the key; never the flow's own."""

    def is_stale(self, client: Client, connection: Connection) -> bool:
        """Whether something has come on a connection that would be used again, yet to be read.

        `connection` is the one that has the socket: of an upstream proxy, if there is one.
        """

    def client_gone(self, flow: HTTPFlow) -> None:
        """The client has left while one of the flow's hooks is waited for; `failed` may follow."""

    def answering(self, flow: HTTPFlow) -> None:
        """A response's head is there, and no addon has seen it yet."""

    def head_heard(self, flow: HTTPFlow) -> None:
        """All addons have heard of a head, the request's or the answer's, and may have changed it.

        How the body passes, by `flow.request.stream` and `flow.response.stream`, is read next.
        """

    def is_too_long(self, flow: HTTPFlow, size: int) -> bool:
        """`size` bytes of an answer have come that was to be taken whole; True: it passes now.

        `flow.response.stream` must then be what it passes through.
        """

    def passed(self, flow: HTTPFlow, unread: Callable[[], int]) -> None:
        """More of a stream has gone to the client; `unread` says how much it has not made room for.

        Asked at every 64 KiB or so.
        """

    def again(self, flow: HTTPFlow, failure: Failure | None) -> float | None:
        """Seconds until the flow's request is sent once more; None: it ends as it is.

        Asked before anything of an answer has gone to the client: where the gateway's error is
        whole in `flow.response` (`failure` None), and where the flow failed. What is sent again is
        what `flow.request` then holds, and it comes through `outgoing` as the first time. Nobody
        else hears of what came of this try, but for the head of an answer.
        """

    def wait_more(self, flow: HTTPFlow) -> float:
        """Seconds that a request must wait still whose pause before another try is over.

        0: it goes out now, or `outgoing` refuses it.
        """

    def answered(self, flow: HTTPFlow) -> None:
        """A response is complete, and no addon has seen it yet."""

    def failed(self, flow: HTTPFlow, failure: Failure) -> None:
        """The flow ends without a response, and no addon has seen that yet."""

    def answer_for(self, flow: HTTPFlow) -> Response | None:
        """The answer to the client in place of mitmproxy's HTML; None leaves it mitmproxy's."""

    def last_words(self, flow: HTTPFlow) -> bytes | None:
        """What ends an answer that broke after its head, cleanly; None: it is torn off there."""
