"""What a gateway says unasked on a kept connection: no call is answered by what came before it.

And what a client says on one before its turn.
"""

import os
import select
import signal
import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.end_to_end.proxies import APP_KEY, Proxy, running_proxy
from tests.end_to_end.raw_gateways import SECONDS, requests_in, serving

pytestmark = pytest.mark.real_server

READ_AT_ONCE = 65_535  # by mitmproxy
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
TEXT = b'{"id":"asked","object":"chat.completion","choices":[]}'
BODY = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'
CALL = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %b\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
) % (APP_KEY.encode(), len(BODY), BODY)


def with_length(text: bytes) -> bytes:
    return b"%bcontent-length: %d\r\n\r\n%b" % (JSON_HEAD, len(text), text)


def filling(size: int) -> bytes:
    """A whole answer of so many bytes."""
    answer = with_length(TEXT)
    while len(answer) != size:  # the length has more digits then, too
        answer = with_length(TEXT.ljust(len(answer.partition(b"\r\n\r\n")[2]) + size - len(answer)))
    assert len(answer) == size
    return answer


LONG = BODY.replace(b"hi", b"hi " * 200_000)
LONG_CALL = CALL.replace(BODY, LONG).replace(b": %d\r" % len(BODY), b": %d\r" % len(LONG))

STRAY = with_length(TEXT.replace(b"asked", b"stray"))
PLAIN = with_length(TEXT)
CHUNKED = b"%btransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
    JSON_HEAD,
    len(TEXT),
    TEXT,
)
NONE = b"HTTP/1.1 204 No Content\r\n\r\n"
SAID = {
    "with the answer": (PLAIN + STRAY, b"200"),
    "after as much as is read at once": (filling(READ_AT_ONCE) + STRAY, b"200"),
    "after as much as is read in two goes": (filling(2 * READ_AT_ONCE) + STRAY, b"200"),
    "after the last chunk": (CHUNKED + STRAY, b"200"),
    "as the body of what has none": (NONE + STRAY, b"204"),
    "after an interim answer": (PLAIN + b"HTTP/1.1 103 Early Hints\r\n\r\n" + STRAY, b"200"),
    "begun alone": (PLAIN + STRAY[:40], b"200"),
}


class Gateway(socketserver.ThreadingTCPServer):
    """Says `said` to each call, once it may."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Talking)
        self.said = b""
        self.connections: list[socket.socket] = []
        self.is_asked, self.may_answer, self.has_answered = (threading.Event() for _ in range(3))

    def begin_anew(self) -> None:
        self.connections.clear()
        for event in (self.is_asked, self.may_answer, self.has_answered):
            event.clear()


class Talking(socketserver.StreamRequestHandler):
    server: Gateway

    def handle(self) -> None:
        for asked in requests_in(self.rfile):
            if not asked.is_call:
                self.wfile.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                continue
            if self.connection not in self.server.connections:
                self.server.connections.append(self.connection)
            self.server.is_asked.set()
            self.server.may_answer.wait(SECONDS)
            self.wfile.write(self.server.said)
            self.server.has_answered.set()


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with serving(Gateway()) as server:
        yield server


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast", "as ever"])
def proxy(
    request: pytest.FixtureRequest, gateway: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    port = gateway.server_address[1]
    options = ("--set", f"foxora_base_url=http://127.0.0.1:{port}/v1")
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_stray", "FOXORA_FAST": request.param}
    with running_proxy(tmp_path_factory.mktemp("proxy"), options, environment) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy, gateway: Gateway) -> Iterator[socket.socket]:
    gateway.begin_anew()
    with socket.create_connection(("127.0.0.1", proxy.port), SECONDS) as connected:
        yield connected


def answers_on(client: socket.socket, count: int) -> list[bytes]:
    """The status of so many answers; AssertionError where one is what nobody asked for."""
    came = b""
    statuses: list[bytes] = []
    while len(statuses) < count:
        piece = client.recv(1 << 20)
        assert piece, f"closed after {came[-200:]!r}"
        came += piece
        assert b"stray" not in came
        statuses = [part[:3] for part in came.split(b"HTTP/1.1 ")[1:]]
    return statuses


@pytest.mark.parametrize("said", SAID)
def test_calls_that_wait_are_not_answered_by_what_came_with_an_answer(
    gateway: Gateway, client: socket.socket, said: str
) -> None:
    gateway.said, status = SAID[said]
    gateway.may_answer.set()
    client.sendall(3 * CALL)
    assert answers_on(client, 3) == 3 * [status]
    assert len(gateway.connections) == 3


@pytest.mark.parametrize("said", SAID)
def test_a_call_that_comes_with_an_answer_is_not_answered_by_what_came_with_that(
    proxy: Proxy, gateway: Gateway, client: socket.socket, said: str
) -> None:
    gateway.said, status = SAID[said]
    client.sendall(CALL)
    assert gateway.is_asked.wait(SECONDS)
    os.kill(proxy.pid, signal.SIGSTOP)  # so that it reads of both at once
    try:
        gateway.may_answer.set()
        assert gateway.has_answered.wait(SECONDS)
        client.sendall(CALL)
    finally:
        os.kill(proxy.pid, signal.SIGCONT)
    assert answers_on(client, 2) == 2 * [status]
    assert len(gateway.connections) == 2


def taken_of(data: bytes, client: socket.socket) -> int:
    """How many bytes a peer takes at once that may read no more before it is told to."""
    taken = 0
    while taken < len(data) and select.select([], [client], [], 1.0)[1]:
        taken += client.send(data[taken : taken + READ_AT_ONCE])
    return taken


def test_of_what_a_client_sends_behind_an_open_call_little_is_held_and_all_is_answered(
    proxy: Proxy, gateway: Gateway
) -> None:
    gateway.begin_anew()
    gateway.said = PLAIN
    with socket.socket() as client:
        client.settimeout(SECONDS)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, READ_AT_ONCE)
        client.connect(("127.0.0.1", proxy.port))
        client.sendall(CALL)
        assert gateway.is_asked.wait(SECONDS)
        behind = READ_AT_ONCE * b"\r\n" + 10 * LONG_CALL + 3 * CALL
        taken = taken_of(behind, client)
        assert taken < len(behind) // 2
        gateway.may_answer.set()
        sending = threading.Thread(target=client.sendall, args=(behind[taken:],))
        sending.start()
        assert answers_on(client, 14) == 14 * [b"200"]
        sending.join()
