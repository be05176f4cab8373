"""The clients of the benchmark: connections that stay, each with one request after the other.

Raw asyncio protocols, so that the proxy is what is waited for. All times are in seconds.
"""

import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

KEY = "sk-app-fake-0123456789abcdef"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
_MOMENT = re.compile(rb'"content": ?"t(\d+) "')
_LAST_CHUNK = b"0\r\n\r\n"
_WAIT_SECONDS = 30.0


def request_of(path: str, *, stream: bool) -> bytes:
    """A chat request of 2 KB, as a client writes it."""
    call = {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "You answer in short, plain sentences."},
            {"role": "user", "content": "How far is it, and who told you so? " * 50},
        ],
        "temperature": 0.7,
        "max_tokens": 500,
        "stream": stream,
    }
    body = json.dumps(call, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
        "accept: application/json\r\naccept-encoding: identity\r\nconnection: keep-alive\r\n"
        "user-agent: OpenAI/Python 2.0\r\nx-stainless-lang: python\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Failed(Exception):  # noqa: N818  # reads as what it says where it is raised
    """An answer that is none; `str` says which."""


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        self._sent_at = 0.0
        self._is_stream = False
        self.first_byte = 0.0
        self.delays: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Failed(f"the connection was lost: {exc}"))

    def ask(self, request: bytes, *, stream: bool = False) -> asyncio.Future[bytes]:
        """Send a request; the result is its whole answer."""
        self._data.clear()
        self._is_stream = stream
        self.first_byte = 0.0
        self._sent_at = time.monotonic()
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        if self._is_stream:
            self._note(data)
        self._data += data
        if self._answer is not None and not self._answer.done() and self._is_whole():
            self._answer.set_result(bytes(self._data))

    def _note(self, data: bytes) -> None:
        now = time.monotonic()
        moments = _MOMENT.findall(data)
        if moments and not self.first_byte:
            self.first_byte = now - self._sent_at
        self.delays += [now - int(moment) / 1e9 for moment in moments]

    def _is_whole(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._data[: end + 2]
        if (found := _LENGTH.search(head)) is not None:
            return len(self._data) >= end + 4 + int(found[1])
        if _CHUNKED.search(head) is None or len(self._data) < end + 4 + len(_LAST_CHUNK):
            return False  # a head may end as a body does: `x-ratelimit-reset-tokens: 0`
        return self._data.endswith(_LAST_CHUNK)


async def connections(port: int, count: int) -> list[Connection]:
    """So many connections to a port of this machine."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(Connection, "127.0.0.1", port) for _ in range(count)]
    return [connection for _, connection in made]


def close(opened: Sequence[Connection]) -> None:
    for connection in opened:
        connection.transport.close()


async def answer_of(connection: Connection, request: bytes, *, stream: bool = False) -> bytes:
    """A whole answer with status 200; raises `Failed` for any other."""
    answer = await asyncio.wait_for(connection.ask(request, stream=stream), _WAIT_SECONDS)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise Failed(answer[:600].decode("utf-8", "replace"))
    return answer


@dataclass
class Burst:
    """What many requests came to."""

    count: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


async def burst(opened: Sequence[Connection], request: bytes, seconds: float) -> Burst:
    """Requests on all of these connections at once, for so long."""
    began = time.monotonic()

    async def work(connection: Connection) -> int:
        count = 0
        while time.monotonic() < began + seconds:
            await answer_of(connection, request)
            count += 1
        return count

    counts = await asyncio.gather(*(work(connection) for connection in opened))
    return Burst(sum(counts), time.monotonic() - began)


@dataclass
class Streams:
    """What streams came to: of each the time to its first event, and of each event its delay."""

    first_bytes: list[float]
    delays: list[float]


async def streams(opened: Sequence[Connection], request: bytes) -> Streams:
    """As many streams at once as there are connections."""
    for connection in opened:
        connection.delays = []
    await asyncio.gather(*(answer_of(each, request, stream=True) for each in opened))
    await asyncio.sleep(0.05)
    return Streams(
        [connection.first_byte for connection in opened],
        [delay for connection in opened for delay in connection.delays[1:]],
    )
