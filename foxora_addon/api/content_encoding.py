"""Undoes content encodings (RFC 9110, 8.4.1) a chunk at a time, and within bounds.

Answers are asked for without one, but some gateways compress whatever was asked for
(mitmproxy-facts.md row 16), and some clients compress what they send.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import brotli
import zstandard


class Undecodable(ValueError):  # noqa: N818  # reads as what it says where it is raised
    """The bytes are not what their content encoding says, or it is not a known one."""


class TooLong(Undecodable):
    """What the bytes decode to is over the limit."""


class Decoder(Protocol):
    """Takes encoded bytes, gives what they decode to so far, a bounded piece at a time."""

    def __call__(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes; raises `Undecodable`. What is not iterated is not decoded."""


_GZIP: Final = b"\x1f\x8b"
"""What each member of gzip begins with."""


class _Deflate:
    """`deflate` means zlib-wrapped, but raw deflate is sent as well: the first bytes tell.

    What stands behind its end is dropped, as in `_Gzip`.
    """

    def __init__(self) -> None:
        self._inflate: zlib._Decompress | None = None
        self._start = b""

    def __call__(self, data: bytes) -> bytes:
        if self._inflate is None:
            self._start = data = self._start + data
            if len(data) < 2:
                return b""
            wrapped = data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._inflate = zlib.decompressobj(15 if wrapped else -15)
        return b"" if self._inflate.eof else self._inflate.decompress(data)


class _Gzip:
    """Gzip, which may be several members one after another (RFC 1952, 2.2).

    What stands behind the last and begins no other is dropped, as gunzip does: zlib would keep it,
    and copy all of it each time that there is more.
    """

    def __init__(self) -> None:
        self._member = zlib.decompressobj(31)
        self._is_over = False

    def __call__(self, data: bytes) -> bytes:
        if self._is_over:
            return b""
        decoded = [self._member.decompress(data)]
        while self._member.eof and self._member.unused_data.startswith(_GZIP):
            rest = self._member.unused_data
            self._member = zlib.decompressobj(31)
            decoded.append(self._member.decompress(rest))
        self._is_over = self._member.eof and not _GZIP.startswith(self._member.unused_data)
        return b"".join(decoded)


_DECODERS: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": lambda: brotli.Decompressor().process,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress,
}
_MOST_ENCODINGS = 2
# How much is decoded at once, such that the outcome is bounded whatever it is: deflate grows a
# thousandfold, a block of zstd from 4 bytes to 128 KiB, a byte of brotli to 16 MiB.
_PIECES = {"zstd": 64, "br": 1}
_PIECE = 1024
_MOST_AT_ONCE = 1_048_576

FREE_BYTES: Final = 16 * 1_048_576
MOST_GROWTH: Final = 100
"""No honest stream grows by more than that, once it is over `FREE_BYTES`."""


def decoder_of(content_encoding: str | None) -> Decoder | None:
    """The decoder for a Content-Encoding header; None where nothing is encoded.

    Several encodings are undone from the last to the first. Raises `Undecodable` for an unknown
    one, and for more than two: nobody sends those but to have them grow. The decoder raises it,
    too, where what comes out is over 16 MiB and over a hundred times what went in: a bomb.
    """
    if not content_encoding:
        return None
    steps = _steps_of(content_encoding)
    return _Bounded(steps) if steps else None


class _Bounded:
    """Decodes through its steps until that grows beyond all measure."""

    def __init__(self, steps: Sequence[Decoder]) -> None:
        self._steps = steps
        self._room = FREE_BYTES

    def __call__(self, data: bytes) -> Iterator[bytes]:
        self._room += len(data) * MOST_GROWTH
        for piece in _through(self._steps, data):
            self._room -= len(piece)
            if self._room < 0:
                raise Undecodable("the body grows more than any honest one as it is decoded")
            if piece:
                yield piece


def encodings_in(content_encoding: str | None) -> list[str]:
    """What a Content-Encoding header names, the last one first; `identity` is none, nor is ""."""
    names = [name.strip().lower() for name in (content_encoding or "").split(",")]
    return [name for name in reversed(names) if name not in {"", "identity"}]


def _steps_of(content_encoding: str) -> list[Decoder]:
    steps = encodings_in(content_encoding)
    if unknown := [name for name in steps if name not in _DECODERS]:
        raise Undecodable(f"the content encoding '{unknown[0][:40]}' is not known")
    if len(steps) > _MOST_ENCODINGS:
        raise Undecodable(f"more than {_MOST_ENCODINGS} content encodings are not undone")
    return [_guarded(name) for name in steps]


def _guarded(name: str) -> Decoder:
    """A step that decodes a small piece at a time, and raises `Undecodable` alone."""
    is_limited = name == "br" and hasattr(brotli.Decompressor, "can_accept_more_data")  # 1.2
    step = _limited_brotli() if is_limited else _by_pieces(_DECODERS[name](), name)

    def decode(data: bytes) -> Iterator[bytes]:
        try:
            yield from step(data)
        except (zlib.error, brotli.error, zstandard.ZstdError, EOFError) as error:
            raise Undecodable(f"the body is not valid {name}") from error

    return decode


def _by_pieces(step: Callable[[bytes], bytes], name: str) -> Decoder:
    size = _PIECES.get(name, _PIECE)

    def decode(data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), size):
            yield step(data[start : start + size])

    return decode


def _limited_brotli() -> Decoder:
    decoder = brotli.Decompressor()

    def decode(data: bytes) -> Iterator[bytes]:
        piece = decoder.process(data, output_buffer_limit=_MOST_AT_ONCE)
        yield piece
        # It has taken all of the input before it has given all of the output.
        while len(piece) >= _MOST_AT_ONCE or not decoder.can_accept_more_data():
            piece = decoder.process(b"", output_buffer_limit=_MOST_AT_ONCE)
            yield piece

    return decode


def _through(steps: Sequence[Decoder], data: bytes) -> Iterator[bytes]:
    """What the data decodes to, a small piece of it at a time through each of the steps."""
    if not steps:
        yield data
        return
    for piece in steps[0](data):
        yield from _through(steps[1:], piece)


def decoded(body: bytes, content_encoding: str | None, limit: int) -> bytes:
    """A whole body without its encoding.

    Raises `Undecodable` where it is not what the header says, `TooLong` where it would be larger
    than `limit` bytes: the input is taken in small pieces, so that a bomb is noticed before it has
    grown.
    """
    steps = _steps_of(content_encoding) if content_encoding else None
    if not steps:
        return body
    pieces: list[bytes] = []
    size = 0
    for piece in _through(steps, body):
        size += len(piece)
        if size > limit:
            raise TooLong(f"the body is larger than {limit} bytes once it is decoded")
        pieces.append(piece)
    return b"".join(pieces)
