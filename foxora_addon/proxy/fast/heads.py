"""Heads that come again: a program's calls begin alike, but for the length of what follows.

What has been read of one and found without fault is not read and looked through again.
"""

import time
from collections.abc import Mapping
from re import Match
from typing import Any, Final, NamedTuple

from mitmproxy.http import Headers, Request, RequestData
from mitmproxy.net.http.validate import validate_headers

from foxora_addon.framing import is_plain_length

_MOST_HEADS: Final = 256
_LONGEST_HEAD: Final = 4_096
_LENGTH: Final = b"content-length"
_UNUSUAL: Final = frozenset({_LENGTH, b"transfer-encoding", b"expect"})
_SCHEMES: Final = frozenset({b"http", b"https", b""})
_VERSIONS: Final = frozenset({b"HTTP/1.1", b"HTTP/1.0"})


class _Known(NamedTuple):
    """What is the same in each request: all but the head's fields, and those about the length."""

    data: Mapping[str, Any]
    before: tuple[tuple[bytes, bytes], ...]
    name: bytes
    after: tuple[tuple[bytes, bytes], ...]


type _Key = tuple[bytes, bytes]

_known: dict[_Key, _Known] = {}


def read_again(head: bytes, length: Match[bytes]) -> Request | None:
    """The request of a head that is known but for its length; None: it is to be read."""
    known = _known.get(_key_of(head, length))
    digits = length[1]
    if known is None or not is_plain_length(digits):
        return None
    request, data = object.__new__(Request), object.__new__(RequestData)
    headers = object.__new__(Headers)
    headers.fields = (*known.before, (known.name, digits), *known.after)
    vars(data).update(known.data, headers=headers, timestamp_start=time.time())
    request.data, request.stream = data, False
    return request


def remember(head: bytes, length: Match[bytes], request: Request) -> None:
    """Keep what was read of a head, if mitmproxy has nothing to say against it."""
    if len(head) > _LONGEST_HEAD or not _is_plain(request):
        return
    fields = request.headers.fields
    places = [at for at, (name, _) in enumerate(fields) if name.lower() in _UNUSUAL]
    if len(places) != 1 or fields[places[0]][1] != length[1]:
        return
    at = places[0]
    if fields[at][0].lower() != _LENGTH:
        return
    if len(_known) >= _MOST_HEADS:
        _known.clear()  # it costs less than to know which came last
    data = {name: value for name, value in vars(request.data).items() if name != "headers"}
    _known[_key_of(head, length)] = _Known(data, fields[:at], fields[at][0], fields[at + 1 :])


def forget() -> None:
    """Keep nothing of what has been read: there are keys of clients in it."""
    _known.clear()


def _key_of(head: bytes, length: Match[bytes]) -> _Key:
    return head[: length.start(1)], head[length.end(1) :]


def _is_plain(request: Request) -> bool:
    data = request.data
    if data.scheme not in _SCHEMES or data.http_version not in _VERSIONS:
        return False
    try:
        validate_headers(request)
    except ValueError:
        return False
    return data.method.upper() != b"CONNECT" and type(data.headers) is Headers
