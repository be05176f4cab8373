"""A whole answer of the gateway, as it came."""

from collections.abc import Sequence
from typing import Final

from foxora_addon.exchange import AnsweredHead
from foxora_addon.field_lines import listed

_ENCODING: Final = b"content-encoding"
_TYPE: Final = b"content-type"
_SIZES: Final = frozenset(map(len, (_ENCODING, _TYPE)))


class Answer:
    """A status, a head and a body. `is_changed`: the gateway's was another.

    What is asked of the head is read at one go: `encoding` (its content encodings) and
    `content_type`, of all lines, each None if there is none. `known` has them where the same head
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
    lines: dict[bytes, list[str]] = {_ENCODING: [], _TYPE: []}
    for name, value in fields:
        if len(name) in _SIZES and (lower := name.lower()) in lines:
            lines[lower].append(_text(value))
    return AnsweredHead(fields, listed(lines[_ENCODING]), listed(lines[_TYPE]))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
