"""A whole answer of the gateway, as it came."""

from collections.abc import Sequence
from typing import Final

_ASKED: Final = frozenset({b"content-encoding", b"content-type", b"x-request-id"})


class Answer:
    """A status, a head and a body. `is_masked`: as it came, but for the key that it repeated.

    What is asked of the head is read at one go: `encoding` (its content encoding), `content_type`
    and `request_id`, each the first of its name, and None if there is none.
    """

    __slots__ = (
        *("status", "fields", "body", "is_masked"),
        *("encoding", "content_type", "request_id"),
    )

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
            if (lower := name.lower()) in _ASKED and lower not in asked:
                asked[lower] = _text(value)
        self.encoding = asked.get(b"content-encoding")
        self.content_type = asked.get(b"content-type")
        self.request_id = asked.get(b"x-request-id")

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Its headers as text, in which bytes that are no UTF-8 are surrogates."""
        return [(_text(name), _text(value)) for name, value in self.fields]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
