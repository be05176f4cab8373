"""A whole answer of the gateway, as it came."""

from collections.abc import Sequence
from typing import Final

from foxora_addon.exchange import AnsweredHead

_ENCODING: Final = b"content-encoding"
_TYPE: Final = b"content-type"
_SIZES: Final = frozenset(map(len, (_ENCODING, _TYPE)))


class Answer:
    """A status, a head and a body. `is_changed`: the gateway's was another.

    What is asked of the head is read at one go: `encoding` (its content encodings, of all lines)
    and `content_type` (the first), each None if there is none. `known` has them where the same head
    was read before.
    """

    __slots__ = ("body", "content_type", "encoding", "fields", "is_changed", "status")

    def __init__(
        self,
        status: int,
        fields: Sequence[tuple[bytes, bytes]],
        body: bytes,
        *,
        is_changed: bool = False,
        known: AnsweredHead | None = None,
    ) -> None:
        self.status = status
        self.fields = fields
        self.body = body
        self.is_changed = is_changed
        if known is None or known.fields is not fields:
            known = _read(fields)
        self.encoding, self.content_type = known.encoding, known.content_type

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Its headers as text, in which bytes that are no UTF-8 are surrogates."""
        return [(_text(name), _text(value)) for name, value in self.fields]


def _read(fields: Sequence[tuple[bytes, bytes]]) -> AnsweredHead:
    encoding = content_type = None
    for name, value in fields:
        if len(name) not in _SIZES:
            continue
        lower = name.lower()
        if lower == _ENCODING:  # its lines are one list (RFC 9110, 5.3)
            encoding = _text(value) if encoding is None else f"{encoding}, {_text(value)}"
        elif lower == _TYPE and content_type is None:
            content_type = _text(value)
    return AnsweredHead(fields, encoding, content_type)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
