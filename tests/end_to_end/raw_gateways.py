"""Gateways that say what they like on the wire: what they share of HTTP/1."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from io import BufferedIOBase
from typing import NamedTuple

SECONDS = 10


class Asked(NamedTuple):
    """A request: its first line, and its headers by name in lower case."""

    line: bytes
    headers: dict[bytes, bytes]

    @property
    def is_call(self) -> bool:
        """Whether it is no question of the proxy's own."""
        return self.line.startswith(b"POST ")


def requests_in(rfile: BufferedIOBase) -> Iterator[Asked]:
    """The requests of a connection, as they come; their bodies are read and dropped."""
    while line := rfile.readline():
        headers = {}
        while (header := rfile.readline()) not in {b"\r\n", b""}:
            name, _, value = header.partition(b":")
            headers[name.lower()] = value.strip()
        rfile.read(int(headers.get(b"content-length", b"0")))
        yield Asked(line, headers)


@contextlib.contextmanager
def serving[Server: socketserver.BaseServer](server: Server) -> Iterator[Server]:
    """A server while it serves in a thread."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(SECONDS)
