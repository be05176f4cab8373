"""Connections to the gateway that are kept for the next call, and that it may close meanwhile."""

import contextlib
import os
import signal
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.proxies import APP_KEY, running_proxy

pytestmark = pytest.mark.real_server

SECONDS = 20
BODY = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'
CALL = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %b\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
) % (APP_KEY.encode(), len(BODY), BODY)
ANSWER = b'{"id":"x","object":"chat.completion","choices":[]}'
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(ANSWER),
    ANSWER,
)
NOTHING = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


class Gateway(socketserver.ThreadingTCPServer):
    """Answers every call and keeps its connections, until it is told to close them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Keeping)
        self.kept: list[socket.socket] = []

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def close_kept(self) -> None:
        for connection in self.kept:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Keeping(socketserver.StreamRequestHandler):
    server: Gateway

    def handle(self) -> None:
        while line := self.rfile.readline():
            length = 0
            while (header := self.rfile.readline().lower()) not in {b"\r\n", b""}:
                if header.startswith(b"content-length:"):
                    length = int(header.partition(b":")[2])
            self.rfile.read(length)
            is_call = line.startswith(b"POST ")
            if is_call and self.connection not in self.server.kept:
                self.server.kept.append(self.connection)
            self.wfile.write(WHOLE if is_call else NOTHING)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.close_kept()
            server.shutdown()
            thread.join(SECONDS)


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


@pytest.mark.parametrize("fast", ["true", "false"])
def test_a_call_does_not_go_out_on_a_connection_that_the_gateway_has_just_closed(
    tmp_path: Path, gateway: Gateway, fast: str
) -> None:
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_kept", "FOXORA_FAST": fast}
    options = ("--set", f"foxora_base_url={gateway.base_url}")
    with (
        running_proxy(tmp_path / "proxy", options, environment) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as client,
    ):
        for _ in range(2):
            client.sendall(CALL)
            assert answer_on(client) == b"HTTP/1.1 200 OK"
        assert len(gateway.kept) == 1
        os.kill(proxy.pid, signal.SIGSTOP)  # so that it reads of both at once, of the call first
        try:
            client.sendall(CALL)
            gateway.close_kept()
        finally:
            os.kill(proxy.pid, signal.SIGCONT)
        assert answer_on(client) == b"HTTP/1.1 200 OK"
        assert len(gateway.kept) == 2
        client.sendall(CALL)
        assert answer_on(client) == b"HTTP/1.1 200 OK"
        assert len(gateway.kept) == 2
    assert "Traceback" not in proxy.output
