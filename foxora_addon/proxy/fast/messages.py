"""Messages, headers, options, contexts: what is made, read and copied dozens of times a request."""

import time
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from types import NoneType
from typing import Any, Final

from mitmproxy import flow, http, optmanager
from mitmproxy.connection import Client, Server
from mitmproxy.http import Headers
from mitmproxy.proxy.context import Context

from foxora_addon.proxy.fast.originals import before
from foxora_addon.proxy.ids import Drawn
from foxora_addon.proxy.quick_headers import KNOWN_KINDS, values_in

_BYTES_OR_NONE: Final = frozenset({bytes, NoneType})
_HEADERS_OR_NONE: Final = KNOWN_KINDS | {NoneType}
_FLOAT_OR_NONE: Final = frozenset({float, NoneType})
_LONGEST_AUTHORITY: Final = 256
_NEVER_CHANGED: Final = frozenset({str, int, bool, float, NoneType})


def post_init(self: Any) -> None:
    """`MessageData.__post_init__`: what is plainly of the right types is not looked at again."""
    if (
        type(self.http_version) is bytes
        and type(self.headers) in KNOWN_KINDS
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
    if type(self) is Headers:
        return values_in(self.fields, name)
    found: list[str] = before[get_all](self, name)
    return found


def get(self: Headers, key: str | bytes, default: Any = None) -> Any:
    """`Headers.get`, likewise, and without an exception for each header that is not there."""
    if type(self) is not Headers:
        return Mapping.get(self, key, default)
    values = values_in(self.fields, key)
    if len(values) == 1:
        return values[0]
    return ", ".join(values) if values else default


def contains(self: Headers, key: object) -> bool:
    """`key in headers`, likewise."""
    if type(self) is not Headers:
        return Mapping.__contains__(self, key)
    return bool(values_in(self.fields, key))  # type: ignore[arg-type]  # as mitmproxy has it


def current(self: Any) -> Any:
    """`_Option.current`, which copies nothing that can't be changed."""
    value = self._default if self.value is optmanager.unset else self.value
    return value if type(value) in _NEVER_CHANGED else deepcopy(value)


def parse_authority(authority: str | bytes, check: bool) -> Any:  # noqa: FBT001  # as it is called
    """`url.parse_authority`, which reads the same few names of hosts again and again."""
    if len(authority) > _LONGEST_AUTHORITY:
        return before[parse_authority](authority, check)
    return _parsed(authority, check)


@lru_cache(maxsize=1_000, typed=True)
def _parsed(authority: str | bytes, check: bool) -> Any:  # noqa: FBT001  # as it is called
    return before[parse_authority](authority, check)


def fork(self: Context) -> Context:
    """`Context.fork`, which makes no server that is thrown away at once."""
    if type(self) is not Context:
        forked: Context = before[fork](self)
        return forked
    made = object.__new__(Context)
    made.client, made.options, made.server = self.client, self.options, self.server
    made.layers = self.layers.copy()
    return made


def uuid4_of(digits: str) -> str:
    """`str(UUID(digits, version=4))`, without the object (RFC 9562, 5.4)."""
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


_new_flow_id: Final = Drawn(uuid4_of)


def flow_init(
    self: flow.Flow,
    client_conn: Client,
    server_conn: Server,
    live: bool = False,  # noqa: FBT001, FBT002  # as it is called
) -> None:
    """`Flow.__init__`, which asks the system for many random ids at once."""
    self.id = _new_flow_id()
    self.client_conn, self.server_conn, self.live = client_conn, server_conn, live
    self.timestamp_created = time.time()
    self.intercepted = False
    self._resume_event = self._backup = self.is_replay = None
    self.marked = self.comment = ""
    self.metadata = {}
