"""Undoes content encodings (RFC 9110, 8.4.1) a chunk at a time, and within bounds.

Answers are asked for without one, but some gateways compress whatever was asked for
(mitmproxy-facts.md row 16), and some clients compress what they send.
"""

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import zstandard


class Undecodable(ValueError):  # noqa: N818  # reads as what it says where it is raised
    """The bytes are not what their content encoding says, or it is not a known one."""


class Decoder(Protocol):
    """Takes encoded bytes, gives what they decode to so far."""

    def __call__(self, data: bytes) -> bytes:
        """Decode the next bytes; raises `Undecodable`."""


class _Deflate:
    """`deflate` means zlib-wrapped, but raw deflate is sent as well: the first bytes tell."""

    def __init__(self) -> None:
        self._decode: Callable[[bytes], bytes] | None = None

    def __call__(self, data: bytes) -> bytes:
        if self._decode is None:
            wrapped = len(data) > 1 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._decode = zlib.decompressobj(15 if wrapped else -15).decompress
        return self._decode(data)


class _Gzip:
    """Gzip, which may be several members one after another (RFC 1952, 2.2)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(31)

    def __call__(self, data: bytes) -> bytes:
        decoded = [self._member.decompress(data)]
        while self._member.eof and self._member.unused_data.startswith(b"\x1f\x8b"):
            rest = self._member.unused_data
            self._member = zlib.decompressobj(31)
            decoded.append(self._member.decompress(rest))
        return b"".join(decoded)


_DECODERS: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": lambda: brotli.Decompressor().process,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress,
}


def decoder_of(content_encoding: str | None) -> Decoder | None:
    """The decoder for a Content-Encoding header; None where nothing is encoded.

    Several encodings are undone from the last to the first. Raises `Undecodable` for an unknown
    one.
    """
    names = [name.strip().lower() for name in (content_encoding or "").split(",")]
    steps = [name for name in reversed(names) if name not in {"", "identity"}]
    if unknown := [name for name in steps if name not in _DECODERS]:
        raise Undecodable(f"the content encoding '{unknown[0][:40]}' is not known")
    if not steps:
        return None
    decoders = [_DECODERS[name]() for name in steps]

    def decode(data: bytes) -> bytes:
        for step in decoders:
            try:
                data = step(data)
            except (zlib.error, brotli.error, zstandard.ZstdError, EOFError) as error:
                raise Undecodable(f"the body is not valid {'+'.join(names)}") from error
        return data

    return decode


def decoded(body: bytes, content_encoding: str | None, limit: int) -> bytes:
    """A whole body without its encoding.

    Raises `Undecodable` where it is not what the header says, or would be larger than `limit`
    bytes: the input is taken in small pieces, so that a bomb is noticed before it has grown.
    """
    decode = decoder_of(content_encoding)
    if decode is None:
        return body
    pieces: list[bytes] = []
    size = 0
    for start in range(0, len(body), _PIECE):
        piece = decode(body[start : start + _PIECE])
        size += len(piece)
        if size > limit:
            raise Undecodable(f"the body is larger than {limit} bytes once it is decoded")
        pieces.append(piece)
    return b"".join(pieces)


_PIECE = 4096
