"""HTTP/1: what is asked of each head several times, and as a rule has the usual answer.

What is not usual (a transfer encoding, several lengths, a tunnel) is left to mitmproxy.
"""

from collections.abc import Iterable
from typing import Any, Final

from mitmproxy.http import Headers, Request, Response

from foxora_addon.proxy.fast.originals import before

_LENGTH, _ENCODING, _CONNECTION = b"content-length", b"transfer-encoding", b"connection"
_PERSISTENT: Final = frozenset({"HTTP/1.1", b"HTTP/1.1", "HTTP/2.0", b"HTTP/2.0"})
_STAYS: Final = [b"keep-alive"]
_VERSIONS: Final = frozenset({b"HTTP/1.1", b"HTTP/1.0"})
_WITH_BODIES: Final = frozenset({b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_MOST_DIGITS: Final = 15


def expected_http_body_size(request: Request, response: Response | None = None) -> int | None:
    """`http1.expected_http_body_size`, where no more than one plain length is given."""
    message: Request | Response = response or request
    headers = message.headers
    status = response.data.status_code if response else 200
    if (
        type(headers) is not Headers
        or request.data.method not in _WITH_BODIES
        or status < 200
        or status in {204, 304}
    ):
        return _size_by_mitmproxy(request, response)
    length: bytes | None = None
    for name, value in headers.fields:
        size = len(name)
        if size == 14 and name.lower() == _LENGTH:
            if length is not None:
                return _size_by_mitmproxy(request, response)
            length = value
        elif size == 17 and name.lower() == _ENCODING:
            return _size_by_mitmproxy(request, response)
    if length is None:
        return -1 if response else 0
    if length.isdigit() and len(length) <= _MOST_DIGITS and (length == b"0" or length[0] != 48):
        return int(length)
    return _size_by_mitmproxy(request, response)


def _size_by_mitmproxy(request: Request, response: Response | None) -> int | None:
    size: int | None = before[expected_http_body_size](request, response)
    return size


def connection_close(http_version: str | bytes, headers: Headers) -> bool:
    """`http1.connection_close`, where no header says anything else."""
    if type(headers) is Headers:
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


def raise_if_http_version_unknown(http_version: bytes) -> None:
    """`read.raise_if_http_version_unknown`, for the usual ones."""
    if http_version not in _VERSIONS:
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
    if type(self) is not Headers:
        written: bytes = before[headers_bytes](self)
        return written
    return b"".join([b"%b: %b\r\n" % (name, value) for name, value in self.fields])
