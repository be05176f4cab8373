"""A gateway that leaves a connection in good order: it finishes what it has begun there.

A server on HTTP/2 says GOAWAY without an error when it takes no more streams on a connection, as
after so many requests or before a restart, and answers those that it has (RFC 9113, 6.8). h2 and
mitmproxy take that for the end of all of them. What it has not begun, by that or by REFUSED_STREAM,
is told from what has failed: it may be asked again, whatever it is (RFC 9113, 8.7).
"""

from collections.abc import Generator
from typing import Any, Final
from weakref import WeakSet

from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event
from hyperframe.frame import Frame, GoAwayFrame
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ResponseProtocolError
from mitmproxy.proxy.layers.http._http2 import Http2Client
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

_NAME: Final = "_receive_goaway_frame"
_NOT_BEGUN: Final = ("HTTP/2 connection closed: no stream after ", "(REFUSED_STREAM)")
_leaving: WeakSet[Any] = WeakSet()


class _Leaving(Event):
    """A server leaves, and finishes its streams up to a last one.

    Of a `ConnectionTerminated`, mitmproxy would drop what is still to be sent on those.
    """

    def __init__(self, last_stream_id: int) -> None:
        self.last_stream_id = last_stream_id


def heed_leaving() -> None:
    """Let a leaving server finish, from now on.

    Where h2 or mitmproxy have other names, all of its streams fail, as ever.
    """
    usual: Any = getattr(BufferedH2Connection, _NAME, None)
    handle: Any = getattr(Http2Client, "handle_h2_event", None)
    if _NAME in vars(BufferedH2Connection) or usual is None or handle is None:
        return

    def receive(self: Any, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        if not self.config.client_side or not _finishes(self, frame):
            received: tuple[list[Frame], list[Event]] = usual(self, frame)
            return received
        return [], [_Leaving(frame.last_stream_id)]

    def heed(self: Any, event: Event) -> Generator[commands.Command, Any, bool]:
        if isinstance(event, _Leaving):
            yield from _left_behind(self, event.last_stream_id)
            return False
        if isinstance(event, ConnectionTerminated) and event.error_code == ErrorCodes.NO_ERROR:
            yield from _left_behind(self, event.last_stream_id or 0)
        is_over: bool = yield from handle(self, event)
        return is_over

    setattr(BufferedH2Connection, _NAME, receive)
    Http2Client.handle_h2_event = heed  # type: ignore[method-assign]


def is_leaving(client: Http2Client) -> bool:
    """Whether a server takes no further stream on a connection."""
    return client in _leaving


def is_unbegun(message: str) -> bool:
    """Whether a server has said of a stream that failed so that it has not begun it."""
    return any(words in message for words in _NOT_BEGUN)


def _finishes(connection: Any, frame: GoAwayFrame) -> bool:
    """Whether a server goes on with anything that is open."""
    is_in_order: bool = frame.error_code == ErrorCodes.NO_ERROR
    return is_in_order and any(
        stream.open and name <= frame.last_stream_id for name, stream in connection.streams.items()
    )


def _left_behind(self: Any, last: int) -> Generator[commands.Command, Any, None]:
    """Have the streams fail that the server has not begun, and will not."""
    _leaving.add(self)
    message = f"{_NOT_BEGUN[0]}{last} is answered"
    for name in [name for name in self.streams if name > last]:
        del self.streams[name]
        yield ReceiveHttp(ResponseProtocolError(name, message, self.ReceiveProtocolError.code))
