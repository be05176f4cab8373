"""Has mitmproxy read what its HTTP/1 reader stumbles over: trailers, interim answers, empty lines.

It crashes on a body's trailers, waits for more at an empty line before a request (RFC 9112, 2.2),
which leaves the peer waiting for ever, and takes a 103 (or a 100 that nobody asked for) for the
answer itself.
All are dropped here, as a proxy may do with trailers (RFC 9110, 6.5.1), and as its HTTP/2 side does
with interim answers. A 101 that nobody asked for would make a tunnel of the connection, on which
the next call crashes: it is no valid answer, and where an addon makes one of an answer, it makes no
tunnel. Nor is a head without end, which it would hold in memory and no client take: of whoever
sends one, a client too, nothing more is read. Nor are a chunk's extensions, or trailers, without
end.

What a client sends behind its open call waits for the end of that, and mitmproxy would hold all of
it in memory: here its connection is not read on until then.

And it logs what it could not read as it came: half a head has the app's key in it.
"""

import re
from collections.abc import Callable, Generator
from typing import Any, Final

import h11
from mitmproxy.http import Request, Response
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import ReceiveHttp

from foxora_addon.proxy.handlers import reading_of

_INTERIM: Final = re.compile(rb"HTTP/1\.[01][ \t]+0*1(?!01)\d\d[ \t\r\n]")
_SWITCH: Final = re.compile(rb"HTTP/1\.[01][ \t]+0*101[ \t\r\n]")
_WEBSOCKET: Final = re.compile(rb"\r\nupgrade[ \t]*:[ \t]*websocket", re.IGNORECASE)
_QUOTED: Final = re.compile(r"\[?b?['\"].*", re.DOTALL)
_QUOTED_BYTES: Final = re.compile(r"(?:bytearray\()?\[?b['\"].*", re.DOTALL)
_LONGEST_START: Final = 64
_LONGEST_HEAD: Final = 65_536
_LONGEST_ASKED: Final = 262_144
"""Of a request's head: more than any server takes by default, but for those that take 1 MiB."""

_MOST_BEHIND: Final = 65_536
"""How much may wait behind a call that is open before nothing more is read, in bytes."""

_private: Any = _http1
_Reader: Any = _private.ChunkedReader
_read_head: Callable[..., Generator[Any, Any, None]] = _http1.Http1Server.read_headers
_read_headers: Callable[..., Generator[Any, Any, None]] = _http1.Http1Client.read_headers
_wait: Callable[..., Generator[Any, Any, None]] = _http1.Http1Server.wait
_pipe_made: Callable[..., Generator[Any, Any, None]] = _http1.Http1Server.make_pipe
_should_make_pipe: Callable[[Request, Response], bool] = _private.should_make_pipe


class WithoutTrailers(_Reader):  # type: ignore[misc]  # h11's is not typed
    """Reads a chunked body, and says nothing of what follows it."""

    def __call__(self, buffer: Any) -> Any:
        """Read what there is of it, as h11 does.

        Of the lines around the chunks no more waits for its end than of a head (RFC 9112, 7.1.1).
        """
        event = super().__call__(buffer)
        if event is None and len(buffer) > _LONGEST_HEAD:
            raise h11.RemoteProtocolError("too much stands around the chunks")
        return type(event)() if getattr(event, "headers", None) else event


def _read_final_headers(self: Any, event: Any) -> Generator[Any, Any, None]:
    if self.request:
        while _INTERIM.match(bytes(self.buf)[:_LONGEST_START]):
            if self.buf.maybe_extract_lines() is None:
                break
        if (flaw := _flaw_of(self)) is not None:
            yield commands.CloseConnection(self.conn)
            code = http_events.ErrorCode.GENERIC_SERVER_ERROR
            what = f"Cannot parse HTTP response: {flaw}"
            yield ReceiveHttp(http_events.ResponseProtocolError(self.stream_id, what, code))
            return
    yield from quietly(_read_headers(self, event))


def _read_request_headers(self: Any, event: Any) -> Generator[Any, Any, None]:
    """What comes behind empty lines is read as well: mitmproxy would wait for more.

    They are looked for where a head begins: to copy at each step all that waits costs its square.
    """
    came = len(event.data) if isinstance(event, events.DataReceived) else 0
    waited = 0 if came else len(self.buf)
    if came in {0, len(self.buf)}:
        data = bytes(self.buf)
        if (empty := len(data) - len(data.lstrip(b"\r\n"))) > 0:
            self.buf.maybe_extract_at_most(empty)
    yield from quietly(_read_head(self, event))
    if waited > _MOST_BEHIND and (self.state != self.wait or len(self.buf) <= _MOST_BEHIND):
        _read_on(self)
    if came and self.state == self.read_headers and len(self.buf) > _LONGEST_ASKED:
        yield commands.SendData(
            self.conn, _private.make_error_response(400, "its head is too long")
        )
        yield commands.CloseConnection(self.conn)
        self.state = self.done


def _wait_for_the_end(self: Any, event: Any) -> Generator[Any, Any, None]:
    """Who sends on and on behind an open call is made to wait. Nor does a FIN tell us then."""
    yield from _wait(self, event)
    if len(self.buf) > _MOST_BEHIND and (transport := reading_of(self.conn)) is not None:
        transport.pause_reading()


def _make_pipe(self: Any) -> Generator[Any, Any, None]:
    """All that comes on a connection is passed on from here on, and nothing of it waits."""
    if len(self.buf) > _MOST_BEHIND:
        _read_on(self)
    yield from _pipe_made(self)


def _read_on(self: Any) -> None:
    """Read the client's connection again, where that may have been stopped."""
    if (transport := reading_of(self.conn)) is not None:
        transport.resume_reading()


def _is_pipe_asked_for(request: Request, response: Response) -> bool:
    if response.status_code == 101 and "upgrade" not in request.headers:
        return False
    return _should_make_pipe(request, response)


def quietly(reading: Generator[Any, Any, None]) -> Generator[Any, Any, None]:
    """A step of reading, which has nothing of what it read in the log. No command has a reply."""
    for command in reading:
        if isinstance(command, commands.Log):
            yield commands.Log(_QUOTED.sub("(not shown)", command.message), command.level)
        else:
            yield command


def without_bytes(message: str) -> str:
    """An error of mitmproxy's without what it quotes of the wire."""
    return _QUOTED_BYTES.sub("(not shown)", message)


def _flaw_of(self: Any) -> str | None:
    """Why what has come of an answer is none, in words for the log."""
    data = bytes(self.buf)
    if _SWITCH.match(data):
        is_unnamed = data.find(b"\r\n\r\n") >= 0 and not _WEBSOCKET.search(data)
        if is_unnamed or "upgrade" not in self.request.headers:
            return "it switches to a protocol that nobody asked for"
    if len(data) > _LONGEST_HEAD and not 0 <= data.find(b"\r\n\r\n") <= _LONGEST_HEAD:
        return "its head is too long"
    return None


def widen() -> None:
    """Read them from now on, in all traffic."""
    _private.ChunkedReader = WithoutTrailers
    _private.should_make_pipe = _is_pipe_asked_for
    _private.Http1Client.read_headers = _read_final_headers
    _private.Http1Server.read_headers = _read_request_headers
    _private.Http1Server.wait = _wait_for_the_end
    _private.Http1Server.make_pipe = _make_pipe
