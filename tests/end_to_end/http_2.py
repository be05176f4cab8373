"""A client of HTTP/2 for many calls at once on one connection, any of which may be left."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from tests.end_to_end.proxies import Proxy

_WINDOW = 2**24


class Torn(ConnectionError):  # noqa: N818  # reads as what it says where it is raised
    """The stream, or the connection with it, ended before the answer did."""


@dataclass(slots=True)
class Answer:
    """An answer as it comes: `status` 0 and no headers until its head is there."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)
    is_whole: bool = False
    torn: str | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Http2Client:
    """One connection; made by `http_2`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str
    ) -> None:
        config = h2.config.H2Configuration(header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        codes = h2.settings.SettingCodes
        self._h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={codes.ENABLE_PUSH: 0, codes.INITIAL_WINDOW_SIZE: _WINDOW},
        )
        self._reader, self._writer, self._authority = reader, writer, authority
        self._answers: dict[int, Answer] = {}
        self._room = asyncio.Event()
        self._over: str | None = None

    async def post(self, path: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        """The whole answer; raises `Torn`. Who leaves before has the stream reset."""
        async with self.call(path, headers, body) as answer:
            while not answer.is_whole:
                await self.next(answer)
        return answer

    @contextlib.asynccontextmanager
    async def call(
        self, path: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> AsyncIterator[Answer]:
        """An answer that is to be read with `next`; what is not read in the end is called off."""
        self._check()
        stream = self._h2.get_next_available_stream_id()
        answer = self._answers[stream] = Answer()
        try:
            await self._send(stream, path, headers, body)
            yield answer
        finally:
            del self._answers[stream]
            if not answer.is_whole and answer.torn is None and self._over is None:
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    self._h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
                self._flush()

    async def next(self, answer: Answer) -> None:
        """Wait until more of an answer is there; raises `Torn`."""
        while not answer.changed.is_set():
            if answer.torn is not None:
                raise Torn(answer.torn)
            self._check()
            await answer.changed.wait()
        answer.changed.clear()
        if answer.torn is not None:
            raise Torn(answer.torn)

    def _check(self) -> None:
        if self._over is not None:
            raise Torn(self._over)

    async def _send(
        self, stream: int, path: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> None:
        head = [
            *((":method", "POST"), (":scheme", "https"), (":authority", self._authority)),
            *((":path", path), ("content-length", str(len(body))), *headers),
        ]
        self._h2.send_headers(stream, head)
        while body:
            self._check()
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if room <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            piece, body = body[:room], body[room:]
            self._h2.send_data(stream, piece, end_stream=not body)
            self._flush()
            await self._writer.drain()

    def _flush(self) -> None:
        if not self._writer.is_closing():
            self._writer.write(self._h2.data_to_send())

    async def run(self) -> None:
        """Take what comes until the connection ends."""
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW)
        self._flush()
        why = "the connection was closed"
        try:
            while data := await self._reader.read(65_536):
                for event in self._h2.receive_data(data):
                    self._take(event)
                self._flush()
        except (OSError, h2.exceptions.ProtocolError) as error:
            why = f"{type(error).__name__}: {error}"
        finally:
            self._over = why
            self._room.set()
            for answer in self._answers.values():
                answer.torn = answer.torn or (None if answer.is_whole else why)
                answer.changed.set()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            self._room.set()
            return
        if isinstance(event, h2.events.DataReceived) and event.stream_id is not None:
            length = event.flow_controlled_length or 0
            with contextlib.suppress(h2.exceptions.StreamClosedError):  # it was left
                self._h2.acknowledge_received_data(length, event.stream_id)
        answer = self._answers.get(getattr(event, "stream_id", None) or 0)
        if answer is None:
            return
        match event:
            case h2.events.ResponseReceived():
                answer.headers = dict(_pairs(event.headers))
                answer.status = int(answer.headers[":status"])
            case h2.events.DataReceived():
                answer.content += event.data or b""
            case h2.events.StreamEnded():
                answer.is_whole = True
            case h2.events.StreamReset():
                answer.torn = answer.torn or f"reset with error {event.error_code}"
        answer.changed.set()


def _pairs(headers: Iterable[tuple[object, object]] | None) -> Iterable[tuple[str, str]]:
    for name, value in headers or ():
        yield str(name), str(value)


@contextlib.asynccontextmanager
async def http_2(proxy: Proxy, origin: str) -> AsyncIterator[Http2Client]:
    """A client of `origin` (`https://HOST`) through the proxy's CONNECT, or of the proxy itself.

    `origin` is then `https://localhost:PORT` of the proxy.
    """
    parts = urlsplit(origin)
    host, port = str(parts.hostname), parts.port or 443
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=2**20)
    try:
        if port != proxy.port:
            writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise Torn(f"CONNECT was answered {head[:40]!r}")
        trust = ssl.create_default_context(cafile=proxy.certificate)
        trust.set_alpn_protocols(["h2"])
        await writer.start_tls(trust, server_hostname=host)
        client = Http2Client(reader, writer, parts.netloc)
        task = asyncio.create_task(client.run())
        await asyncio.sleep(0)  # the preface goes first
        try:
            yield client
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
