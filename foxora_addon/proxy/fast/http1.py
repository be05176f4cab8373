"""HTTP/1: what is asked of each head several times, and as a rule has the usual answer.

What is not usual (several lengths, a transfer encoding but for plain chunks, a tunnel) is left to
mitmproxy.
"""

from collections.abc import Generator, Iterable
from typing import Any, Final

from mitmproxy.http import Headers, Message, Request, Response
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server

from foxora_addon.framing import WITHOUT_BODY, Fields, framing_in, framing_of, is_plain_length
from foxora_addon.proxy.fast.originals import before
from foxora_addon.proxy.quick_headers import KNOWN_KINDS, QuickHeaders

_LENGTH, _ENCODING, _CONNECTION = b"content-length", b"transfer-encoding", b"connection"
_CHUNKED: Final = b"chunked"
_PERSISTENT: Final = frozenset({"HTTP/1.1", b"HTTP/1.1", "HTTP/2.0", b"HTTP/2.0"})
_STAYS: Final = [b"keep-alive"]
VERSIONS: Final = frozenset({b"HTTP/1.1", b"HTTP/1.0"})
"""Of HTTP/1, as a head names them; what says another is left to mitmproxy."""
WITH_BODIES: Final = frozenset({b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_MOST_NAMES: Final = 1_000
_LONGEST_NAME: Final = 64


def expected_http_body_size(request: Request, response: Response | None = None) -> int | None:
    """`http1.expected_http_body_size`, where one plain length is given, or chunks, or nothing."""
    message: Request | Response = response or request
    headers = message.data.headers
    status = response.data.status_code if response else 200
    if (
        type(headers) not in KNOWN_KINDS
        or request.data.method not in WITH_BODIES
        or status < 200
        or status in WITHOUT_BODY
    ):
        return _size_by_mitmproxy(request, response)
    said: bytes | None = None
    is_chunked = False
    for name, value in headers.fields:
        size = len(name)
        if (size == 14 and name.lower() == _LENGTH) or (size == 17 and name.lower() == _ENCODING):
            is_chunked = size == 17
            if said is not None or (is_chunked and value != _CHUNKED):
                return _size_by_mitmproxy(request, response)
            said = value
    if said is None:
        return -1 if response else 0
    if is_chunked:
        return None
    return int(said) if is_plain_length(said) else _size_by_mitmproxy(request, response)


def _size_by_mitmproxy(request: Request, response: Response | None) -> int | None:
    size: int | None = before[expected_http_body_size](request, response)
    return size


def connection_close(http_version: str | bytes, headers: Headers) -> bool:
    """`http1.connection_close`, where no header says anything else."""
    if type(headers) in KNOWN_KINDS:
        said = [
            value
            for name, value in headers.fields
            if len(name) == 10 and name.lower() == _CONNECTION
        ]
        if not said:
            return http_version not in _PERSISTENT
        if said == _STAYS:
            return False
    closes: bool = before[connection_close](http_version, headers)
    return closes


def _stays_open(request: Request | None, response: Response | None) -> bool:
    """Whether an exchange is over where a length says so, and its connection stays open after it.

    No means maybe.
    """
    if request is None or response is None:
        return False
    asked, answered = request.data, response.data
    is_usual = asked.method in WITH_BODIES and answered.status_code >= 200
    is_persistent = asked.http_version == answered.http_version == b"HTTP/1.1"
    if not is_usual or not is_persistent:
        return False
    return framing(asked.headers) is not None and framing(answered.headers) is True


def framing(headers: Headers) -> bool | None:
    """What `framing_of` says of a head, read once while it has the same fields."""
    if type(headers) is QuickHeaders:
        fields, known = headers.framed
        if fields is headers.fields:
            return known
        fields = headers.fields
        is_indexed = headers.indexed[0] is fields
        known = framing_in(headers.index) if is_indexed else framing_of(fields)
        if type(fields) is tuple:
            headers.framed = fields, known
        return known
    return framing_of(headers.fields) if type(headers) is Headers else None


def raise_if_http_version_unknown(http_version: bytes) -> None:
    """`read.raise_if_http_version_unknown`, for the usual ones."""
    if http_version not in VERSIONS:
        before[raise_if_http_version_unknown](http_version)


def headers_init(self: Headers, fields: Iterable[tuple[bytes, bytes]] = (), **more: Any) -> None:
    """`Headers.__init__`, of fields alone and all of them bytes."""
    if type(self) is Headers and not more:
        found: Any = tuple(map(tuple, fields))
        for name, value in found:
            if type(name) is not bytes or type(value) is not bytes:
                fields = found
                break
        else:
            self.fields = found
            return
    before[headers_init](self, fields, **more)


def headers_bytes(self: Headers) -> bytes:
    """`Headers.__bytes__`, without a generator."""
    if type(self) not in KNOWN_KINDS:
        written: bytes = before[headers_bytes](self)
        return written
    return b"".join([b"%b: %b\r\n" % (name, value) for name, value in self.fields])


_plain_names: set[bytes] = set()


def validate_headers(message: Message) -> None:
    """`validate_headers`, which looks once at each name that is no length's or encoding's.

    Raises ValueError as that does.
    """
    headers = message.data.headers
    if type(headers) not in KNOWN_KINDS:
        before[validate_headers](message)
        return
    others = [field for field in headers.fields if field[0] not in _plain_names]
    if not others:
        return
    if len(others) == 1 and _is_plain_frame(message, *others[0]):
        return
    before[validate_headers](message)
    for name, _ in others:
        if len(name) < _LONGEST_NAME and name.lower() not in {_LENGTH, _ENCODING}:
            if len(_plain_names) >= _MOST_NAMES:
                _plain_names.clear()
            _plain_names.add(name)


def are_known(fields: Fields) -> bool:
    """Whether `validate_headers` has nothing to say against fields with one plain length."""
    return len({*next(zip(*fields, strict=True))} - _plain_names) == 1


def _is_plain_frame(message: Message, name: bytes, value: bytes) -> bool:
    """Whether the one header that says where a body ends is such as mitmproxy surely takes."""
    lower = name.lower()
    if lower == _LENGTH:
        return is_plain_length(value)
    is_chunked = lower == _ENCODING and value == _CHUNKED and type(message) is Response
    if not is_chunked or message.data.http_version != b"HTTP/1.1":
        return False
    status: int = message.data.status_code  # type: ignore[attr-defined]
    return status >= 200 and status != 204


def mark_done(
    self: Http1Connection, *, request: bool = False, response: bool = False
) -> Iterable[commands.Command]:
    """`Http1Connection.mark_done`, where the connection surely waits for the next message then."""
    is_asked, is_answered = request or self.request_done, response or self.response_done
    if not (is_asked and is_answered):
        self.request_done, self.response_done = is_asked, is_answered
        return ()
    if self.buf or not _stays_open(self.request, self.response):
        usual: Generator[commands.Command, Any, None] = before[mark_done](
            self, request=request, response=response
        )
        return usual
    self.request_done = self.response_done = False
    self.request = self.response = None
    if type(self) is Http1Server:
        self.stream_id += 2
    elif type(self) is Http1Client:
        self.stream_id = None
    self.state = self.read_headers
    return ()
