"""The headers of our own messages: mitmproxy's, but for how a name is looked for in them.

mitmproxy makes a text of every name at each look, and looks a dozen times at a call's heads, to
which we add nine names. What is found is the same, and so is all else that can be done with them.
"""

from collections.abc import Iterable
from typing import Any, Final, Self

from mitmproxy.http import Headers
from mitmproxy.utils.strutils import always_bytes

from foxora_addon.framing import written

_MOST_NAMES: Final = 1_000
_LONGEST_NAME: Final = 64


type Fields = tuple[tuple[bytes, bytes], ...]


class QuickHeaders(Headers):
    """`mitmproxy.http.Headers`, for messages that we have put together.

    `framed` is what `framing_of` says of its fields, `written` what they are on HTTP/1, each for as
    long as they are the very same.
    """

    framed: tuple[Fields | None, bool | None] = (None, None)
    written: tuple[Fields | None, bytes] = (None, b"")

    @classmethod
    def of(cls, fields: Iterable[tuple[bytes, bytes]]) -> Self:
        """Headers of fields that need no look: they are another message's, or our own."""
        headers = object.__new__(cls)
        headers.fields = tuple(fields)
        return headers

    def get_all(self, name: str | bytes) -> list[str]:
        """As `Headers.get_all`, without a call for each field."""
        key = _keys.get(name) or _key_of(name)
        size = len(key)
        return [
            value.decode("utf-8", "surrogateescape")
            for known, value in self.fields
            if len(known) == size and known.lower() == key
        ]

    def get(self, key: str | bytes, default: Any = None) -> Any:
        """As `Headers.get`, without an exception for each header that is not there."""
        values = self.get_all(key)
        if len(values) == 1:
            return values[0]
        return ", ".join(values) if values else default

    def __contains__(self, key: object) -> bool:
        return bool(self.get_all(key))  # type: ignore[arg-type]  # as mitmproxy has it

    def __bytes__(self) -> bytes:
        fields, known = self.written
        if fields is not self.fields:
            fields = self.fields
            known = written(fields)
            if type(fields) is tuple:
                self.written = fields, known
        return known


KNOWN_KINDS: Final = frozenset({Headers, QuickHeaders})
"""The kinds of headers of which it is known what they do; an addon may put another one in."""

_keys: dict[str | bytes, bytes] = {}


def _key_of(name: str | bytes) -> bytes:
    """A header's name as it is looked for; the few that programs ask for are remembered."""
    key: bytes = always_bytes(name, "utf-8", "surrogateescape").lower()
    if len(_keys) < _MOST_NAMES and len(name) < _LONGEST_NAME:
        _keys[name] = key
    return key
