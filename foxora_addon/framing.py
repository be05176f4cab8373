"""A head on HTTP/1: how it is written, and how it says where its body ends (RFC 9112, 6.3)."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

type Fields = Sequence[tuple[bytes, bytes]]
type Index = Mapping[bytes, bytes | list[bytes]]
"""The value of each name, in lower case, or all its values where it comes more than once."""

_LENGTH, _ENCODING, _CONNECTION = b"content-length", b"transfer-encoding", b"connection"
CHUNKED: Final = b"chunked"
_STAYS: Final = b"keep-alive"
_PLAIN_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,14}")

FRAMES: Final = frozenset({_LENGTH, _ENCODING})
"""What tells where a body ends."""

FRAMING: Final = FRAMES | {_CONNECTION}
"""All that `framing_of` looks at."""

WITHOUT_BODY: Final = frozenset({204, 304})
"""Statuses of answers that end with their head, whatever that says (RFC 9112, 6.3)."""

_as_line: Final = b": ".join


def written(fields: Fields) -> bytes:
    """A head's fields, each a line."""
    return b"\r\n".join([*map(_as_line, fields), b""])


def frames_in(fields: Fields) -> list[tuple[bytes, bytes]]:
    """Those of a head's fields that tell where its body ends."""
    return [field for field in fields if field[0].lower() in FRAMES]


def tells_end(frames: Fields, length: int) -> bool:
    """Whether these, of all that may, tell where a body of so many bytes ends."""
    if len(frames) != 1:
        return not frames and length == 0
    name, value = frames[0]
    return value == (b"%d" % length if name.lower() == _LENGTH else CHUNKED)


def names_of(fields: Fields) -> list[bytes]:
    """The names of a head's fields in lower case, as often as they come."""
    return [name.lower() for name, _ in fields]


def index_of(fields: Fields) -> Index:
    """Where each name is found in a head's fields."""
    index: Index = {name.lower(): value for name, value in fields}
    return index if len(index) == len(fields) else _index_of_repeated(fields)


def _index_of_repeated(fields: Fields) -> Index:
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        found.setdefault(name.lower(), []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def framing_of(fields: Fields) -> bool | None:
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


def framing_in(index: Index) -> bool | None:
    """The same of a head that is indexed already: to index it takes three times as long."""
    said = index.get(_CONNECTION, _STAYS)
    if said != _STAYS and (isinstance(said, bytes) or {*said} != {_STAYS}):
        return None
    if _ENCODING in index:
        return None
    length = index.get(_LENGTH)
    if length is None:
        return False
    return True if isinstance(length, bytes) and is_plain_length(length) else None


def without_codings(fields: Fields) -> Fields:
    """An answer's fields, in which no transfer coding is named but chunks.

    What else was done to the body on the way (RFC 9112, 7) is named as an encoding of it: many
    clients know no other coding, and what reads a body undoes its encodings.
    """
    said = [value for name, value in fields if name.lower() == _ENCODING]
    codings = [coding.strip().lower() for coding in b",".join(said).split(b",")]
    kept = [field for field in fields if field[0].lower() != _ENCODING]
    if codings[-1] == CHUNKED:
        kept.append((b"Transfer-Encoding", codings.pop()))
    if encodings := [coding for coding in codings if coding not in {b"", b"identity"}]:
        kept.append((b"Content-Encoding", b", ".join(encodings)))
    return kept


def is_plain_length(value: bytes) -> bool:
    """Whether a length is one that mitmproxy surely takes."""
    return _PLAIN_LENGTH.fullmatch(value) is not None
