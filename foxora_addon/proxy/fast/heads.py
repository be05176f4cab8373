"""Heads that come again: a program's calls begin alike, but for the length of what follows.

What has been read of one and found without fault is not read and looked through again. Of answers,
whose values differ, it is the names that come again.
"""

import re
import time
from collections.abc import Mapping
from re import Match
from typing import Any, Final, NamedTuple

from mitmproxy.http import Headers, Request, RequestData, Response, ResponseData
from mitmproxy.net.http.validate import validate_headers

from foxora_addon.framing import WITHOUT_BODY, Fields, Index, framing_in, index_of, is_plain_length
from foxora_addon.proxy.fast.http1 import VERSIONS, are_known
from foxora_addon.proxy.quick_headers import QuickHeaders
from foxora_addon.reception import without_length

_MOST_HEADS: Final = 256
_LONGEST_HEAD: Final = 4_096
_LENGTH: Final = b"content-length"
_UNUSUAL: Final = frozenset({_LENGTH, b"transfer-encoding", b"expect"})
_SCHEMES: Final = frozenset({b"http", b"https", b""})
_STATUS: Final = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([!-~]+(?: [!-~]+)*)")


class _Known(NamedTuple):
    """What is the same in each request: all but the head's fields, and those about the length.

    `found` is the index of all fields, with a length; `others` are those without it, and its place.
    """

    data: Mapping[str, Any]
    before: tuple[tuple[bytes, bytes], ...]
    name: bytes
    after: tuple[tuple[bytes, bytes], ...]
    found: Index
    others: tuple[Fields, int | None]


type _Key = tuple[bytes, bytes]

_known: dict[_Key, _Known] = {}


def read_again(head: bytes, length: Match[bytes]) -> Request | None:
    """The request of a head that is known but for its length; None: it is to be read."""
    known = _known.get(_key_of(head, length))
    digits = length[1]
    if known is None or not is_plain_length(digits):
        return None
    request, data = object.__new__(Request), object.__new__(RequestData)
    headers = QuickHeaders.of((*known.before, (known.name, digits), *known.after))
    headers.indexed = headers.fields, {**known.found, _LENGTH: digits}
    headers.measured = headers.fields, known.others
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
    before, (name, _), after = fields[:at], fields[at], fields[at + 1 :]
    found, others = index_of(fields), without_length(fields)
    _known[_key_of(head, length)] = _Known(data, before, name, after, found, others)


def read_answer(lines: list[bytes]) -> Response | None:
    """The answer of a head with a plain length and nothing unusual; None: it is to be read.

    All its names have been looked at before: mitmproxy has nothing to say against it.
    """
    status = _STATUS.fullmatch(lines[0])
    if status is None or (code := int(status[1])) in WITHOUT_BODY:
        return None
    parts = [line.partition(b":") for line in lines[1:]]
    headers = QuickHeaders.of([(name, value.strip()) for name, _, value in parts])
    if framing_in(headers.index) is not True or not are_known(headers.fields):
        return None
    headers.framed = headers.fields, True
    response, data = object.__new__(Response), object.__new__(ResponseData)
    vars(data).update(
        http_version=b"HTTP/1.1",
        status_code=code,
        reason=status[2],
        headers=headers,
        content=None,
        trailers=None,
        timestamp_start=time.time(),
        timestamp_end=None,
    )
    response.data, response.stream = data, False
    return response


def forget() -> None:
    """Keep nothing of what has been read: there are keys of clients in it."""
    _known.clear()


def _key_of(head: bytes, length: Match[bytes]) -> _Key:
    return head[: length.start(1)], head[length.end(1) :]


def _is_plain(request: Request) -> bool:
    data = request.data
    if data.scheme not in _SCHEMES or data.http_version not in VERSIONS:
        return False
    try:
        validate_headers(request)
    except ValueError:
        return False
    return data.method.upper() != b"CONNECT" and type(data.headers) is Headers
