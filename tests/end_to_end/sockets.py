"""WebSockets as bytes (RFC 6455): the answer that opens one, frames, and a gateway in them."""

import base64
import hashlib
import socketserver
from abc import ABC, abstractmethod

from tests.end_to_end.raw_gateways import SECONDS, Asked, requests_in


def opening(key: str) -> bytes:
    """The head of the request for a realtime session, of an app that has this key."""
    return (
        "GET /v1/realtime?model=gpt-4o-mini HTTP/1.1\r\nHost: localhost\r\n"
        f"Connection: Upgrade\r\nAuthorization: Bearer {key}\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def opened(key: bytes, more: bytes = b"") -> bytes:
    """The answer to a handshake with this `Sec-WebSocket-Key`, with more headers, as lines."""
    whole = key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accepted = base64.b64encode(hashlib.sha1(whole, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Go\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: " + accepted + b"\r\n" + more + b"\r\n"
    )


def frame(opcode: int, payload: bytes, *, mask: bool = False, is_last: bool = True) -> bytes:
    """One frame; a client's mask is of zeros, so that it changes nothing."""
    size, length = len(payload), bytes([min(len(payload), 126) | 0x80 * mask])
    if size > 125:
        length += size.to_bytes(2)
    return bytes([0x80 * is_last | opcode]) + length + bytes(4) * mask + payload


class SocketGateway(socketserver.StreamRequestHandler, ABC):
    """Opens a WebSocket where one is asked for, and says in it what `talk` does; else 404."""

    def handle(self) -> None:
        self.connection.settimeout(SECONDS)
        for asked in requests_in(self.rfile):
            if b"sec-websocket-key" in asked.headers:
                more = self.more_of_opening(asked)
                self.wfile.write(opened(asked.headers[b"sec-websocket-key"], more))
                self.talk(asked)
                return
            self.wfile.write(b"HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\n{}")

    def more_of_opening(self, asked: Asked) -> bytes:
        """Further headers of the answer that opens it, as lines."""
        return b""

    @abstractmethod
    def talk(self, asked: Asked) -> None:
        """Say and read what there is to be, until it leaves."""
