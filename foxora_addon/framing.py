"""A head on HTTP/1: how it is written, and how it says where its body ends (RFC 9112, 6.3)."""

from collections.abc import Sequence
from typing import Final

_LENGTH, _ENCODING, _CONNECTION = b"content-length", b"transfer-encoding", b"connection"
_STAYS: Final = b"keep-alive"
_MOST_DIGITS: Final = 15

FRAMES: Final = frozenset({_LENGTH, _ENCODING})
"""What tells where a body ends."""


def written(fields: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """A head's fields, each a line."""
    return b"\r\n".join([b": ".join(field) for field in fields] + [b""])


def framing_of(fields: Sequence[tuple[bytes, bytes]]) -> bool | None:
    """Whether a plain head gives a length; None: it says more of its body, or of its connection."""
    has_length = False
    for name, value in fields:
        size = len(name)
        if size == 10 and name.lower() == _CONNECTION and value != _STAYS:
            return None
        if size == 14 and name.lower() == _LENGTH:
            if has_length or not is_plain_length(value):
                return None
            has_length = True
        elif size == 17 and name.lower() == _ENCODING:
            return None
    return has_length


def is_plain_length(value: bytes) -> bool:
    """Whether a length is one that mitmproxy surely takes."""
    return value.isdigit() and len(value) <= _MOST_DIGITS and (value[0] != 48 or value == b"0")
