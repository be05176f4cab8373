"""A client of HTTP/3, as browsers and the like speak it to mitmproxy's reverse mode."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent

from tests.end_to_end.proxies import Proxy


@dataclass(slots=True)
class Answer:
    """An answer as it comes."""

    status: int = 0
    content: bytes = b""
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    is_whole: asyncio.Event = field(default_factory=asyncio.Event)


class Http3Client(QuicConnectionProtocol):
    """One connection; made by `http_3`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._http = H3Connection(self._quic)
        self._answers: dict[int, Answer] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        for told in self._http.handle_event(event):
            self._take(told)

    def _take(self, told: H3Event) -> None:
        if not isinstance(told, HeadersReceived | DataReceived):
            return
        answer = self._answers[told.stream_id]
        if isinstance(told, DataReceived):
            answer.content += told.data
            answer.has_begun.set()
        else:
            answer.status = int(dict(told.headers)[b":status"])
        if told.stream_ended:
            answer.is_whole.set()

    def ask(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post something; the answer, which is still to come."""
        stream = self._quic.get_next_available_stream_id()
        answer = self._answers[stream] = Answer()
        line = {":method": "POST", ":scheme": "https", ":authority": "localhost", ":path": path}
        fields = [(name.encode(), value.encode()) for name, value in (line | {**headers}).items()]
        self._http.send_headers(stream, fields)
        self._http.send_data(stream, body, end_stream=True)
        self.transmit()
        return answer


@contextlib.asynccontextmanager
async def http_3(proxy: Proxy, port: int) -> AsyncIterator[Http3Client]:
    """A connection to one of the proxy's ports that trusts its CA."""
    settings = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="localhost")
    settings.load_verify_locations(proxy.certificate)
    where = ("127.0.0.1", port)
    async with connect(*where, configuration=settings, create_protocol=Http3Client) as client:
        assert isinstance(client, Http3Client)
        yield client
