"""A whole answer of the gateway, as it came."""

from collections.abc import Sequence
from typing import Final

_ENCODING: Final = b"content-encoding"
_TYPE: Final = b"content-type"
_SIZES: Final = frozenset(map(len, (_ENCODING, _TYPE)))


class Answer:
    """A status, a head and a body. `is_masked`: as it came, but for the key that it repeated.

    What is asked of the head is read at one go: `encoding` (its content encoding) and
    `content_type`, each the first of its name, and None if there is none.
    """

    __slots__ = ("body", "content_type", "encoding", "fields", "is_masked", "status")

    def __init__(
        self,
        status: int,
        fields: Sequence[tuple[bytes, bytes]],
        body: bytes,
        *,
        is_masked: bool = False,
    ) -> None:
        self.status = status
        self.fields = fields
        self.body = body
        self.is_masked = is_masked
        asked: dict[bytes, str] = {}
        for name, value in fields:
            if len(name) in _SIZES:
                asked.setdefault(name.lower(), _text(value))
        self.encoding = asked.get(_ENCODING)
        self.content_type = asked.get(_TYPE)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Its headers as text, in which bytes that are no UTF-8 are surrogates."""
        return [(_text(name), _text(value)) for name, value in self.fields]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
