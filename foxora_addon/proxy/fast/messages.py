"""Messages, headers and options: what is made, read and copied dozens of times a request."""

from collections.abc import Mapping
from copy import deepcopy
from types import NoneType
from typing import Any, Final

from mitmproxy import http, optmanager
from mitmproxy.http import Headers
from mitmproxy.utils.strutils import always_bytes

from foxora_addon.proxy.fast.originals import before

_BYTES_OR_NONE: Final = frozenset({bytes, NoneType})
_HEADERS_OR_NONE: Final = frozenset({Headers, NoneType})
_FLOAT_OR_NONE: Final = frozenset({float, NoneType})
_NEVER_CHANGED: Final = frozenset({str, int, bool, float, NoneType})


def post_init(self: Any) -> None:
    """`MessageData.__post_init__`: what is plainly of the right types is not looked at again."""
    if (
        type(self.http_version) is bytes
        and type(self.headers) is Headers
        and type(self.content) in _BYTES_OR_NONE
        and type(self.trailers) in _HEADERS_OR_NONE
        and type(self.timestamp_start) is float
        and type(self.timestamp_end) in _FLOAT_OR_NONE
        and _has_plain_head(self)
    ):
        return
    before[post_init](self)


def _has_plain_head(self: Any) -> bool:
    if type(self) is http.ResponseData:
        return type(self.status_code) is int and type(self.reason) is bytes
    return (
        type(self) is http.RequestData
        and type(self.host) is str
        and type(self.port) is int
        and type(self.method) is bytes
        and type(self.scheme) is bytes
        and type(self.authority) is bytes
        and type(self.path) is bytes
    )


def get_all(self: Headers, name: str | bytes) -> list[str]:
    """`Headers.get_all`, without a call for each field."""
    if type(self) is not Headers:
        found: list[str] = before[get_all](self, name)
        return found
    key = always_bytes(name, "utf-8", "surrogateescape").lower()
    size = len(key)
    return [
        value.decode("utf-8", "surrogateescape")
        for known, value in self.fields
        if len(known) == size and known.lower() == key
    ]


def get(self: Headers, key: str | bytes, default: Any = None) -> Any:
    """`Headers.get`, without an exception for each header that is not there."""
    if type(self) is not Headers:
        return Mapping.get(self, key, default)
    values = self.get_all(key)
    return ", ".join(values) if values else default


def contains(self: Headers, key: object) -> bool:
    """`key in headers`, likewise."""
    if type(self) is not Headers:
        return Mapping.__contains__(self, key)
    return bool(self.get_all(key))  # type: ignore[arg-type]  # as mitmproxy has it


def current(self: Any) -> Any:
    """`_Option.current`, which copies nothing that can't be changed."""
    value = self._default if self.value is optmanager.unset else self.value
    return value if type(value) in _NEVER_CHANGED else deepcopy(value)
