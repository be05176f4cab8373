"""Bodies of 100 MB and events of 64 MiB: other streams go on while they are on their way."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event, Thread

import pytest

from tests.end_to_end.proxies import APP_KEY, Proxy, resident_mib, running_proxy, wait_until

pytestmark = pytest.mark.real_server

LARGE = 1_000_000
LEAST_BETWEEN = 5
SMALL = b'{"model":"m","stream":true,"messages":[]}'
EVENT = b'data: {"choices":[]}\n\n'
LARGE_EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"a" * 67_108_864)
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
DONE = b"data: [DONE]\n\n"
MESSAGE = {"role": "user", "content": 'Some words, and a "quote".\n' * 100}
BODIES: dict[str, Callable[[], object]] = {
    "one long text": lambda: [{"role": "user", "content": "a" * 100_000_000}],
    "many messages": lambda: [MESSAGE] * 32_000,
    "many short ones": lambda: [{"role": "user", "content": "Hello."}] * 2_400_000,
}


@dataclass(slots=True)
class Sink:
    """A gateway: it answers small calls with a stream, and takes note of when large ones come.

    `x-want: large` is answered with a stream of one large event.
    """

    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    large_at: list[float] = field(default_factory=list)

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while head := _head_of(connection):
                length = _length_in(head)
                if length > LARGE:
                    self.large_at.append(time.monotonic())
                _drain(connection, length)
                self._answer(connection, head, is_large=length > LARGE)

    def _answer(self, connection: socket.socket, head: bytes, *, is_large: bool) -> None:
        if is_large:
            body = b'{"object":"chat.completion","choices":[]}'
            connection.sendall(JSON_HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body))
            return
        event = LARGE_EVENT if b"x-want: large" in head.lower() else EVENT
        connection.sendall(STREAM_HEAD)
        for piece in (event, DONE):
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")


def _head_of(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if not (byte := connection.recv(1)):
            return b""
        head += byte
    return head


def _length_in(head: bytes) -> int:
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lengths[0].split(b":")[1]) if lengths else 0


def _drain(connection: socket.socket, size: int) -> None:
    buffer = bytearray(1_048_576)
    while size > 0 and (got := connection.recv_into(buffer, min(size, len(buffer)))):
        size -= got


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    sink = Sink()
    Thread(target=sink.run, daemon=True).start()
    yield sink
    sink.listener.close()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    (folder / "foxora.yaml").write_text(
        "accounts: [{name: a, default: true, key: {env: FOXORA_API_KEY},\n"
        "            limits: {requests_per_minute: 100000, tokens_per_minute: 1000000000000}}]\n"
    )
    url = f"http://127.0.0.1:{sink.listener.getsockname()[1]}/v1"
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_large", "FOXORA_BASE_URL": url}
    with running_proxy(folder, (), environment) as started:
        yield started


def call(proxy: Proxy, body: bytes, *headers: str) -> socket.socket:
    """A connection on which a call has been sent whole."""
    client = socket.create_connection(("127.0.0.1", proxy.port), 60)
    send(client, proxy, body, *headers)
    return client


def send(client: socket.socket, proxy: Proxy, body: bytes, *headers: str) -> None:
    """Send a call whole."""
    head = [
        *("POST /v1/chat/completions HTTP/1.1", f"host: 127.0.0.1:{proxy.port}"),
        *(f"authorization: Bearer {APP_KEY}", f"content-length: {len(body)}", *headers),
    ]
    client.sendall("\r\n".join([*head, "", ""]).encode())
    client.sendall(body)


@contextlib.contextmanager
def small_streams(proxy: Proxy) -> Iterator[list[float]]:
    """Small streams, one after another on one connection; when each came to its end.

    A stream that is under way would not tell: what waits for it comes all at once afterwards.
    """
    ends: list[float] = []
    stopped = Event()

    def make() -> None:
        client = call(proxy, SMALL)
        with client:
            while not stopped.is_set():
                answer = b""
                while not answer.endswith(b"\r\n0\r\n\r\n"):
                    answer += client.recv(65_536)
                assert answer.count(b"data: ") == 2
                ends.append(time.monotonic())
                send(client, proxy, SMALL)

    thread = Thread(target=make)
    thread.start()
    try:
        wait_until(lambda: len(ends) > 3)
        yield ends
    finally:
        stopped.set()
        thread.join(20)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("stream", ["true", "false"])
def test_other_streams_go_on_while_a_large_body_is_looked_at(
    proxy: Proxy, sink: Sink, kind: str, stream: str
) -> None:
    messages = json.dumps(BODIES[kind]()).encode()
    body = b'{"model":"m","stream":%b,"messages":%b}' % (stream.encode(), messages)
    with small_streams(proxy) as ends:
        known = len(sink.large_at)
        with call(proxy, body) as client:
            sent_at = time.monotonic()
            answer = client.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 200 ")
        (head_at,) = sink.large_at[known:]
        between = [moment for moment in ends if sent_at < moment < head_at]
    assert len(between) >= LEAST_BETWEEN


def test_other_streams_go_on_while_a_large_event_passes(proxy: Proxy) -> None:
    before = resident_mib(proxy)
    with (
        small_streams(proxy) as ends,
        call(proxy, SMALL, "x-want: large", "connection: close") as client,
    ):
        started = time.monotonic()
        content = b"".join(iter(lambda: client.recv(1_048_576), b""))
        ended = time.monotonic()
        between = [moment for moment in ends if started < moment < ended]
    assert content.count(b"a") > 67_108_864
    assert content.endswith(b"0\r\n\r\n")
    assert len(between) >= LEAST_BETWEEN
    assert resident_mib(proxy) - before < 100
