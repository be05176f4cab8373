"""Connections to the gateway that are kept for the next call, and that it may close meanwhile."""

import contextlib
import os
import signal
import socket
import socketserver
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.proxies import APP_KEY, running_proxy
from tests.end_to_end.raw_gateways import SECONDS, requests_in, serving
from tests.end_to_end.test_modes import self_signed

pytestmark = pytest.mark.real_server

BODY = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'
HEADERS = (
    b"authorization: Bearer %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
) % (APP_KEY.encode(), len(BODY), BODY)
CALL = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n" + HEADERS
FOREIGN = b"POST http://elsewhere.test/ HTTP/1.1\r\nhost: elsewhere.test\r\n" + HEADERS
TLS_RECORD = b"\x16"
ANSWER = b'{"id":"x","object":"chat.completion","choices":[]}'
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(ANSWER),
    ANSWER,
)
NOTHING = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


class Gateway(socketserver.ThreadingTCPServer):
    """Answers every call and keeps its connections, until it is told to close them.

    It speaks TLS with those who do, and is its own upstream proxy: a tunnel leads to itself.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Keeping)
        self.kept: list[socket.socket] = []
        self.trusted, key = self_signed(folder)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.trusted, key)

    @property
    def port(self) -> int:
        port: int = self.server_address[1]
        return port

    def close_kept(self) -> None:
        for connection in self.kept:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Keeping(socketserver.StreamRequestHandler):
    server: Gateway

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # who looks whether it is there may be gone by now
            self._begin_tls_if_wanted()
            self._answer_all()
        self.connection.close()

    def _begin_tls_if_wanted(self) -> None:
        if self.request.recv(1, socket.MSG_PEEK) == TLS_RECORD:
            self.connection = self.server.tls.wrap_socket(self.request, server_side=True)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb", 0)

    def _answer_all(self) -> None:
        for asked in requests_in(self.rfile):
            if asked.line.startswith(b"CONNECT "):
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._begin_tls_if_wanted()
                self._answer_all()
                return
            if asked.is_call and self.connection not in self.server.kept:
                self.server.kept.append(self.connection)
            self.wfile.write(WHOLE if asked.is_call else NOTHING)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with serving(Gateway(tmp_path)) as server:
        try:
            yield server
        finally:
            server.close_kept()


def answer_on(client: socket.socket) -> bytes:
    """The next answer's first line; the whole of it is taken."""
    came = b""
    while not came.endswith(ANSWER):
        piece = client.recv(65_536)
        if not piece:
            break
        came += piece
        if not came.startswith(b"HTTP/1.1 200"):
            break
    return came.partition(b"\r\n")[0]


WAYS = {
    "plain": (("--set", "foxora_base_url=http://127.0.0.1:{port}/v1"), CALL),
    "TLS": (("--set", "foxora_base_url=https://localhost:{port}/v1"), CALL),
    "a tunnel": (
        (
            *("--mode", "upstream:http://127.0.0.1:{port}"),
            *("--set", "foxora_base_url=https://localhost:{port}/v1"),
        ),
        CALL,
    ),
    "an upstream proxy": (("--mode", "upstream:http://127.0.0.1:{port}"), FOREIGN),
}


@pytest.mark.parametrize("fast", ["true", "false"])
@pytest.mark.parametrize("way", WAYS)
def test_a_call_does_not_go_out_on_a_connection_that_the_gateway_has_just_closed(
    tmp_path: Path, gateway: Gateway, way: str, fast: str
) -> None:
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_kept", "FOXORA_FAST": fast}
    wanted, call = WAYS[way]
    trust = ("--set", f"ssl_verify_upstream_trusted_ca={gateway.trusted}")
    options = [*trust, *(option.format(port=gateway.port) for option in wanted)]
    with (
        running_proxy(tmp_path / "proxy", options, environment) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as client,
    ):
        for _ in range(2):
            client.sendall(call)
            assert answer_on(client) == b"HTTP/1.1 200 OK"
        assert len(gateway.kept) == 1
        os.kill(proxy.pid, signal.SIGSTOP)  # so that it reads of both at once, of the call first
        try:
            client.sendall(call)
            gateway.close_kept()
        finally:
            os.kill(proxy.pid, signal.SIGCONT)
        assert answer_on(client) == b"HTTP/1.1 200 OK"
        assert len(gateway.kept) == 2
        client.sendall(call)
        assert answer_on(client) == b"HTTP/1.1 200 OK"
        assert len(gateway.kept) == 2
    assert "Traceback" not in proxy.output
