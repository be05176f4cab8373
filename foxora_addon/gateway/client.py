"""Asks the gateway questions of our own, over HTTP, with one of its keys.

It refuses to know what the answers mean. No exception of the network leaves it, and no error's text
holds a key or a byte of the answer. Where an answer repeats the key, asterisks take its place.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import certifi
import h11

from foxora_addon import __version__
from foxora_addon.api.content_encoding import decoded
from foxora_addon.field_lines import lines_of, listed
from foxora_addon.policy.mask import mask_forms_of, masked

_LARGEST_ANSWER_BYTES: Final = 16 * 1_048_576
_PIECE_BYTES: Final = 65_536
_MOST_AT_ONCE: Final = 10


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer of the gateway, whatever its status."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class NoReply(NamedTuple):
    """There is no answer; `why` is for the log, in words."""

    why: str


_CLOSED: Final = NoReply("no more is asked")


class Trust(NamedTuple):
    """Who is believed to be the gateway: `authorities` is a PEM file, None means certifi's own."""

    authorities: str | None = None
    verifies: bool = True

    def context(self) -> ssl.SSLContext:
        """The TLS settings; raises OSError where the file can't be read."""
        context = ssl.create_default_context(cafile=self.authorities or certifi.where())
        if not self.verifies:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class GatewayClient:
    """Asks one gateway. Redirects are not followed: they would take the key elsewhere.

    To be made and used in a running asyncio loop. `timeout_seconds` bounds the whole of a question.
    """

    def __init__(
        self, base_url: str, trust: Trust | None = None, *, timeout_seconds: float = 10.0
    ) -> None:
        self.base_url = base_url
        self._trust = trust or Trust()
        self._timeout_seconds = timeout_seconds
        self._tls: ssl.SSLContext | None = None
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)
        self._open: set[asyncio.StreamWriter] = set()
        self._closed = asyncio.Event()

    async def get(self, path: str, key: str) -> Reply | NoReply:
        """Ask for a path below the base URL, such as "/me"; cancelling it closes the connection."""
        try:
            async with asyncio.timeout(self._timeout_seconds), self._turns:
                return await self._asked(path, key)
        except (OSError, h11.ProtocolError, ValueError) as error:
            return NoReply(_words_for(error))

    def close(self) -> None:
        """Close what is open; no more is asked, and whoever asks all the same is told so."""
        self._closed.set()
        for writer in self._open:
            writer.close()

    async def _asked(self, path: str, key: str) -> Reply | NoReply:
        if self._closed.is_set():
            return _CLOSED
        url = urlsplit(self.base_url + path)
        reader, writer = await self._connected(url.hostname or "", url.port, url.scheme == "https")
        self._open.add(writer)
        try:
            if self._closed.is_set():
                return _CLOSED
            target = f"{url.path}?{url.query}" if url.query else url.path
            told = await _answer(reader, writer, target, _headers(url.netloc, key))
            return replace(told, body=masked(told.body, mask_forms_of(key)))
        finally:
            self._open.discard(writer)
            writer.close()

    async def _connected(
        self,
        host: str,
        port: int | None,
        is_tls: bool,  # noqa: FBT001
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if is_tls and self._tls is None:
            self._tls = self._trust.context()
        tls = self._tls if is_tls else None
        try:
            return await asyncio.open_connection(
                host, port or (443 if is_tls else 80), ssl=tls, all_errors=True
            )
        except ExceptionGroup as errors:  # one for each address that the name has
            raise errors.exceptions[0] from None


def _headers(host: str, key: str) -> list[tuple[str, str]]:
    return [
        ("Host", host.rpartition("@")[2]),
        ("Authorization", f"Bearer {key}"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
        ("User-Agent", f"foxora-addon/{__version__}"),
        ("Connection", "close"),
    ]


async def _answer(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    target: str,
    headers: list[tuple[str, str]],
) -> Reply:
    """Ask, and read the answer to its end; raises ValueError where it is too large."""
    http = h11.Connection(h11.CLIENT)
    request = http.send(h11.Request(method="GET", target=target, headers=headers))
    writer.write((request or b"") + (http.send(h11.EndOfMessage()) or b""))
    told: h11.Response | None = None
    body = bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_PIECE_BYTES))
        elif isinstance(event, h11.Response):
            told = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _LARGEST_ANSWER_BYTES:
                raise ValueError("the answer is too large")
        elif told is not None and isinstance(event, h11.EndOfMessage):
            return _told(told, bytes(body))
        elif not isinstance(event, h11.InformationalResponse):
            raise ValueError("the answer broke off")


def _told(told: h11.Response, body: bytes) -> Reply:
    named = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in told.headers]
    encoding = listed(lines_of(named, "content-encoding"))
    return Reply(told.status_code, tuple(named), decoded(body, encoding, _LARGEST_ANSWER_BYTES))


def _words_for(error: Exception) -> str:
    """What failed, without the texts of the peer."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its TLS certificate can't be trusted ({error.verify_message})"
        case ssl.SSLError():
            return "the TLS handshake failed"
        case ConnectionRefusedError():
            return "the connection was refused"
        case TimeoutError():
            return "it did not answer in time"
        case OSError() if error.errno:
            is_name = isinstance(error, socket.gaierror)
            return str(error.strerror if is_name else os.strerror(error.errno)).lower()
        case _:
            return "the connection was closed, or its answer is not valid HTTP"
