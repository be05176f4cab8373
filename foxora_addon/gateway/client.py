"""Asks the gateway questions of our own, over HTTP, with one of its keys.

It refuses to know what the answers mean. No exception of the network leaves it, and no error's text
holds a key or a byte of the answer.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import certifi
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.simple_httpclient import HTTPTimeoutError, SimpleAsyncHTTPClient

from foxora_addon import __version__

_LARGEST_ANSWER_BYTES: Final = 16 * 1_048_576
_MOST_AT_ONCE: Final = 10


@dataclass(frozen=True, slots=True)
class Told:
    """A whole answer of the gateway, whatever its status."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Untold:
    """There is no answer; `why` is for the log, in words."""

    why: str


@dataclass(frozen=True, slots=True)
class Trust:
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
        self._http: AsyncHTTPClient = SimpleAsyncHTTPClient(
            force_instance=True,
            max_clients=_MOST_AT_ONCE,
            max_body_size=_LARGEST_ANSWER_BYTES,
            max_buffer_size=_LARGEST_ANSWER_BYTES,
        )

    async def get(self, path: str, key: str) -> Told | Untold:
        """Ask for a path below the base URL, such as "/me"; cancelling it closes the connection."""
        try:
            answer = await self._http.fetch(self._request(path, key), raise_error=False)
        except (OSError, HTTPClientError, ValueError) as error:
            return Untold(_words_for(error))
        return Told(answer.code, tuple(answer.headers.get_all()), answer.body)

    def close(self) -> None:
        """Close what is open; no more may be asked."""
        self._http.close()

    def _request(self, path: str, key: str) -> HTTPRequest:
        url = self.base_url + path
        if url.startswith("https:") and self._tls is None:
            self._tls = self._trust.context()
        return HTTPRequest(
            url,
            headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
            user_agent=f"foxora-addon/{__version__}",
            connect_timeout=self._timeout_seconds,
            request_timeout=self._timeout_seconds,
            follow_redirects=False,
            ssl_options=self._tls,
        )


def _words_for(error: Exception) -> str:
    """What failed, without the texts of the peer."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its TLS certificate can't be trusted ({error.verify_message})"
        case ssl.SSLError():
            return "the TLS handshake failed"
        case ConnectionRefusedError():
            return "the connection was refused"
        case HTTPTimeoutError():
            return "it did not answer in time"
        case OSError() if error.strerror:
            return error.strerror.lower()
        case _:
            return "the connection was closed, or its answer is not valid HTTP"
