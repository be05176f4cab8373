"""The mock gateway as a server: sockets, TLS, start and stop.

It runs in whatever asyncio loop is running: a test's, mitmproxy's, or one of its own.
"""

import asyncio
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tornado.httpserver import HTTPServer

from foxora_addon.mock.faults import Fault
from foxora_addon.mock.gateway import Clock, Gateway
from foxora_addon.mock.handlers import Floor, application_of
from foxora_addon.mock.received import Received
from foxora_addon.mock.settings import MockSettings

_LARGEST_BODY_BYTES = 1 << 30
_BACKLOG = 1_024


class MockGateway:
    """A Foxora gateway on a loopback port. Stopped, it can be started again, on the same port too.

    `clock` gives Unix seconds; ceilings, months and the log's times follow it. Delays do not.
    """

    def __init__(self, settings: MockSettings | None = None, *, clock: Clock = time.time) -> None:
        self._gateway = Gateway(settings or MockSettings(), clock)
        self._floor = Floor(self._gateway)
        self._server: HTTPServer | None = None
        self._origin = ""

    @property
    def base_url(self) -> str:
        """Where clients are pointed, `http://127.0.0.1:PORT/v1`. RuntimeError unless started."""
        return f"{self.origin}/v1"

    @property
    def origin(self) -> str:
        """Scheme, host and port; the routes of the mock itself are at `/_mock/` under it."""
        if not self._origin:
            raise RuntimeError("the mock gateway was not started")
        return self._origin

    @property
    def received(self) -> list[Received]:
        """What was received since the start or the last reset, oldest first."""
        return list(self._gateway.log)

    @property
    def faults(self) -> deque[Fault]:
        """The faults in waiting: append to it."""
        return self._gateway.faults

    def reset(self) -> None:
        """Forget the log, the faults in waiting, and all that accounts have used."""
        self._gateway.reset()

    def start(
        self,
        port: int = 0,
        address: str = "127.0.0.1",
        *,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        """Listen, in the running loop; port 0 takes a free one. With a certificate, by TLS.

        `key` None: the key stands in the certificate's file. Raises OSError where the address
        can't be had or a file can't be read, RuntimeError if it is running already.
        """
        if self._server is not None:
            raise RuntimeError("the mock gateway is running already")
        asyncio.get_running_loop()
        server = HTTPServer(
            application_of(self._floor),
            ssl_options=None if certificate is None else _tls(certificate, key),
            max_body_size=_LARGEST_BODY_BYTES,
            max_buffer_size=_LARGEST_BODY_BYTES,
        )
        listener = _listener(address, port)
        server.add_socket(listener)
        scheme = "http" if certificate is None else "https"
        self._origin = f"{scheme}://{_host(address)}:{listener.getsockname()[1]}"
        self._server = server

    async def stop(self) -> None:
        """Close the port, every connection and whatever still waits. Twice is once."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
            self._floor.abandon_all()
            await server.close_all_connections()
            await self._floor.cleared()


async def serve(
    settings: MockSettings,
    address: str = "127.0.0.1",
    port: int = 0,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    started: Callable[[MockGateway], None] = lambda _: None,
) -> None:
    """Run a mock gateway until the task is cancelled; `started` is called once it listens."""
    gateway = MockGateway(settings)
    gateway.start(port, address, certificate=certificate, key=key)
    try:
        started(gateway)
        await asyncio.Event().wait()
    finally:
        await gateway.stop()


def _listener(address: str, port: int) -> socket.socket:
    # tornado's bind_sockets leaves the socket open where binding fails.
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family, backlog=_BACKLOG)
    listener.settimeout(0)
    return listener


def _tls(certificate: Path, key: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def _host(address: str) -> str:
    """The address as a client on this machine writes it in a URL."""
    wildcards = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound
    host = wildcards.get(address, address)
    return f"[{host}]" if ":" in host else host
