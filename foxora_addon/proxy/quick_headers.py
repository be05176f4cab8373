"""The headers of our own messages: mitmproxy's, but for how a name is looked for in them.

mitmproxy makes a text of every name at each look, and looks a dozen times at a call's heads, to
which we add nine names. What is found is the same, and so is all else that can be done with them.
"""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, Final, Self

from mitmproxy.http import Headers, Message
from mitmproxy.utils.strutils import always_bytes

from foxora_addon.framing import Fields, Index, index_of, written

_MOST_NAMES: Final = 1_000
_LONGEST_NAME: Final = 64


class QuickHeaders(Headers):
    """`mitmproxy.http.Headers`, for messages that we have put together.

    `framed` is what `framing_of` says of its fields, `written` what they are on HTTP/1, `indexed`
    what `index_of` gives, and `measured` what `without_length` does, each for as long as they are
    the very same.
    """

    framed: tuple[Fields | None, bool | None] = (None, None)
    written: tuple[Fields | None, bytes] = (None, b"")
    indexed: tuple[Fields | None, Index] = (None, MappingProxyType({}))
    measured: tuple[Fields | None, tuple[Fields, int | None]] = (None, ((), None))

    @classmethod
    def of(cls, fields: Iterable[tuple[bytes, bytes]]) -> Self:
        """Headers of fields that need no look: they are another message's, or our own."""
        headers = object.__new__(cls)
        headers.fields = tuple(fields)
        return headers

    def get_all(self, name: str | bytes) -> list[str]:
        """As `Headers.get_all`, without a call for each field."""
        value = self.index.get(_keys[name])
        if value is None:
            return []
        return [text_of(value)] if isinstance(value, bytes) else [*map(text_of, value)]

    def get(self, key: str | bytes, default: Any = None) -> Any:
        """As `Headers.get`, without an exception for each header that is not there."""
        fields, index = self.indexed
        if fields is not self.fields:
            index = self.index
        value = index.get(_keys[key])
        if value is None:
            return default
        return joined(value)

    def __repr__(self) -> str:
        return repr(Headers(self.fields))

    def __contains__(self, key: object) -> bool:
        return _keys[key] in self.index  # type: ignore[index]  # as mitmproxy has it

    def __getitem__(self, key: str | bytes) -> str:
        found: str | None = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    @property
    def index(self) -> Index:
        """Where each name is found in the fields."""
        fields, index = self.indexed
        if fields is not self.fields:
            fields = self.fields
            index = index_of(fields)
            if type(fields) is tuple:
                self.indexed = fields, index
        return index

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


def quick(message: Message) -> QuickHeaders:
    """A message's headers, as such as are looked up quickly from now on."""
    headers = message.data.headers
    if type(headers) is not QuickHeaders:
        message.data.headers = headers = QuickHeaders.of(headers.fields)
    return headers


def values_in(fields: Fields, name: str | bytes) -> list[str]:
    """What `Headers.get_all` gives, in one look at fields of which nothing is known yet."""
    key = _keys[name]
    size = len(key)
    return [
        value.decode("utf-8", "surrogateescape")
        for known, value in fields
        if len(known) == size and known.lower() == key
    ]


def joined(found: bytes | list[bytes]) -> str:
    """What stands in an index, as mitmproxy has it: the values of several fields as a list."""
    if isinstance(found, bytes):
        return found.decode("utf-8", "surrogateescape")
    return ", ".join(map(text_of, found))


def text_of(value: bytes) -> str:
    """A header's value as mitmproxy has it."""
    return value.decode("utf-8", "surrogateescape")


class _Keys(dict[str | bytes, bytes]):
    """Headers' names as they are looked for; the few that programs ask for are remembered."""

    def __missing__(self, name: str | bytes) -> bytes:
        key: bytes = always_bytes(name, "utf-8", "surrogateescape").lower()
        if len(self) < _MOST_NAMES and len(name) < _LONGEST_NAME:
            self[name] = key
        return key


_keys: Final = _Keys()
