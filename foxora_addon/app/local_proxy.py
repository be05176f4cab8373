"""Asks a proxy that runs on this machine how it stands, by its `/_foxora/` routes."""

import json
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from typing import Any

DEFAULT_PORT = 8080
_TIMEOUT_SECONDS = 5.0


class NoProxy(Exception):  # noqa: N818  # reads as what it says where it is raised
    """No proxy of ours answers; `str` is one line that says what does, and what to do."""


def ask(port: int, route: str) -> dict[str, Any]:
    """The JSON object at a route of the proxy on a loopback port; raises `NoProxy`."""
    with closing(_connection_to(port)) as connection:
        try:
            connection.request("GET", f"/_foxora/{route}", headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            words = f"nothing answers at 127.0.0.1:{port}; start it: foxora-proxy run -p {port}"
            raise NoProxy(words) from error
    value = _object_in(body)
    if "x-foxora-source" not in answer.headers or value is None:
        raise NoProxy(f"what answers at 127.0.0.1:{port} is not foxora-addon; give another port")
    if answer.status != 200:
        message = value.get("error", {}).get("message", "")
        raise NoProxy(f"the proxy at 127.0.0.1:{port} does not tell: {message}")
    return value


def _connection_to(port: int) -> HTTPConnection:
    """A connection to a loopback port, over IPv6 where only that is listened on."""
    for host in ("127.0.0.1", "::1"):
        connection = HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
        with suppress(OSError):
            connection.connect()
            break
    return connection


def port_of(text: str) -> int:
    """The port in `8080` or `http://127.0.0.1:8080/v1`; raises ValueError with what is accepted."""
    name = text.removeprefix("http://").partition("/")[0]
    host, _, port = name.rpartition(":")
    is_port = port.isdigit() and 1 <= int(port) <= 65535
    if host not in {"", "127.0.0.1", "localhost", "[::1]"} or not is_port:
        raise ValueError(f"'{text}' is no proxy on this machine; write its port, as in 8080")
    return int(port)


def _object_in(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body or b"null")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
