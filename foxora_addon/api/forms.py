"""Reads the plain fields of a multipart form (RFC 7578; RFC 2046, 5.1), and sets one in its place.

Places in the body are found, and nothing of its files is copied. Libraries for forms hand out what
fields hold, not where it stands, as a change of one value and of no other byte needs it; the
parameters in the heads of parts are for Python's own `email` to read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Final, NamedTuple

_MOST_LINES: Final = 1_000
"""Of parts, or what looks like the beginning of one; Go's and Starlette's readers take as many."""
_LONGEST_HEAD: Final = 16_384
_MOST_OF_HEADS: Final = 262_144
_MOST_SEMICOLONS: Final = 1_000
"""`email` takes a time that grows with their number times the length."""
_LONGEST_TEXT: Final = 4_096
_ONE_VALUE: Final = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+")*+')
"""A header that is no list: its commas are in quotes, and those are closed. Linear."""
_EXTENDED: Final = re.compile(r";\s*([^\s;=*\"]+)\*(\d*)")
"""The name of a parameter whose value is in pieces, or encoded (RFC 2231), and a piece's number."""

_REST_OF_LINE: Final = re.compile(rb"(?:--)?[ \t]*+(?=\r?\n|\Z)")
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_AS_IT_IS: Final = frozenset({b"", b"7bit", b"8bit", b"binary"})
_DISPOSITION: Final = re.compile(
    rb"(?im)^[ \t]*content-disposition[ \t]*:((?:[^\r\n]|\r?\n[ \t])*+)"
)
_ENCODING: Final = re.compile(rb"(?m)^[ \t]*content-transfer-encoding[ \t]*:\s*([^\s;]*)")


class Place(NamedTuple):
    """Where a field's value stands: `body[start:end]`.

    `is_clear`: in no transfer encoding, and all readers take it for a field of this name alone.
    """

    start: int
    end: int
    is_clear: bool


class Form(NamedTuple):
    """The fields of a form that are no files, each of a name in its order.

    `start` is the place of the first part's boundary. `is_whole`: False where there were more
    parts than are read, or a head of one that is longer or can't be.
    """

    boundary: bytes
    start: int
    fields: Mapping[str, Sequence[Place]]
    is_whole: bool = True


def boundary_of(content_type: str | None) -> bytes | None:
    """The boundary that a Content-Type header gives a form; None where it is of no form.

    Any other `multipart` counts as well, as some readers take that for it. It is empty where it is
    not ASCII, or readers may find another, as where the header is a list, by its lines or commas,
    of which one takes the first, one the last, one all for a boundary: no body is a form of that.
    """
    if content_type is None or "multipart/" not in content_type.lower():
        return None
    try:
        found = _parameters_in(content_type)
    except ValueError:
        return b""
    boundaries = {value.rstrip() for name, value in found if name == "boundary"}
    if not any(boundaries):
        return None
    boundary, *others = boundaries
    is_clear = not others and boundary.isascii() and _ONE_VALUE.fullmatch(content_type)
    return boundary.encode() if is_clear else b""


def read_form(body: bytes, boundary: bytes) -> Form | None:
    """The form that a body is, free of its content encoding; None where it is none.

    What comes before the first part is passed over, as is a part that does not end (the last
    boundary may be missing) or has no head. Lines may end in LF alone. Parts after the last
    boundary count, since readers differ in which that is.
    """
    if not boundary:
        return None
    start = opened = -1
    room = _MOST_OF_HEADS
    fields: dict[str, list[Place]] = {}
    for count, (at, rest) in enumerate(_lines(body, b"--" + boundary)):
        if count == _MOST_LINES:
            return Form(boundary, start, fields, is_whole=False)
        line = _REST_OF_LINE.match(body, rest)
        if line is None:
            continue
        if start < 0:
            start = at
        elif (room := room - _add_part(fields, body, opened, at)) < 0:
            return Form(boundary, start, fields, is_whole=False)
        opened = line.end()
    return None if start < 0 else Form(boundary, start, fields)


def texts_of(form: Form, body: bytes, name: str) -> list[str] | None:
    """What fields of a name say, each; None where that is not clear.

    That is where one may have another name, or be a file; is in a transfer encoding, which is none
    of a form's (RFC 7578, 4.7); not UTF-8; or longer than any that is read.
    """
    texts = []
    for start, end, is_clear in form.fields.get(name, ()):
        if not is_clear or end - start > _LONGEST_TEXT:
            return None
        try:
            texts.append(body[start:end].decode())
        except UnicodeDecodeError:
            return None
    return texts


def with_field(form: Form, body: bytes, name: str, value: str) -> bytes:
    """Return `body` with the field `name` set to `value`, and no other byte changed.

    All of that name are set, for readers differ in which one they believe. One that is absent is
    added before the others. The value must have no line break in it.
    """
    new, old = value.encode(), memoryview(body)
    places = form.fields.get(name, ())
    if not places:
        part = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        added = part % (form.boundary, name.encode(), new)
        return b"".join((old[: form.start], added, old[form.start :]))
    pieces: list[bytes | memoryview] = []
    at = 0
    for start, end, _ in places:
        pieces += old[at:start], new
        at = end
    return b"".join((*pieces, old[at:]))


def _lines(body: bytes, mark: bytes) -> Iterator[tuple[int, int]]:
    """Where the lines that begin with a mark do, and where it ends in each."""
    if body.startswith(mark):
        yield 0, len(mark)
    at = body.find(b"\n" + mark)
    while at >= 0:
        yield at + 1, at + 1 + len(mark)
        at = body.find(b"\n" + mark, at + 1)


def _add_part(fields: dict[str, list[Place]], body: bytes, opened: int, closed: int) -> int:
    """Take a part: from the end of its boundary's line to the next boundary.

    How many bytes its head has; one that can't be read, or is too long for that, has more than all
    may have.
    """
    end = closed - 1
    if body[end - 1 : end] == b"\r" and end > opened:
        end -= 1
    blank = _BLANK_LINE.search(body, opened, min(end, opened + _LONGEST_HEAD))
    if blank is None:
        return 0 if end - opened < _LONGEST_HEAD else _MOST_OF_HEADS + 1
    try:
        names, is_clear = _names_in(body[opened : blank.end()])
    except ValueError:
        return _MOST_OF_HEADS + 1
    for name in names:
        fields.setdefault(name, []).append(Place(blank.end(), end, is_clear))
    return blank.end() - opened


def _names_in(head: bytes) -> tuple[set[str], bool]:
    """The names that readers may find in a part's head, none of a file; whether all find the same.

    Readers differ in which of two headers, or of two parameters, they believe, in whether they know
    extended ones (RFC 2231), and in whether they undo a transfer encoding. Many take any
    disposition for `form-data`. Raises ValueError, as `_parameters_in`.
    """
    texts = [text.decode("utf-8", "replace") for text in _DISPOSITION.findall(head)]
    found = [parameter for text in texts for parameter in _parameters_in(text)]
    names = {value for name, value in found if name == "name"}
    files = [value for name, value in found if name == "filename"]
    is_clear = len(texts) == len(names) == 1 and len(files) < 2 and "*" not in texts[0]
    if is_clear and any(files):
        return set(), True
    return names, is_clear and _AS_IT_IS.issuperset(_ENCODING.findall(head.lower()))


def _parameters_in(text: str) -> list[tuple[str, str]]:
    """Of a header, by name in small letters; raises ValueError for too many, or wrong ones.

    Wrong is one that has a value of its own and pieces: `email` raises at it up to Python 3.13, and
    drops it since.
    """
    if text.count(";") > _MOST_SEMICOLONS:
        raise ValueError(text)
    extended = [(name.lower(), bool(piece)) for name, piece in _EXTENDED.findall(text)]
    if len(set(extended)) > len(dict(extended)):
        raise ValueError(text)
    head = Message()
    head["content-type"] = text
    return [(name.lower(), collapse_rfc2231_value(value)) for name, value in head.get_params([])]
