"""Reads the plain fields of a multipart form (RFC 7578; RFC 2046, 5.1), and sets one in its place.

Places in the body are found, and nothing of its files is copied. Libraries for forms hand out what
fields hold, not where it stands, as a change of one value and of no other byte needs it; the heads
of parts are for Python's own `email` to read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import collapse_rfc2231_value
from typing import Final, NamedTuple

_MOST_LINES: Final = 1_000
"""Of parts, or what looks like the beginning of one; Go's and Starlette's readers take as many."""
_LONGEST_HEAD: Final = 16_384
_MOST_OF_HEADS: Final = 262_144
_LONGEST_TEXT: Final = 4_096

_REST_OF_LINE: Final = re.compile(rb"(--)?[ \t]*+(?=\r?\n|\Z)")
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_AS_IT_IS: Final = frozenset({"", "7bit", "8bit", "binary"})
_HEADS: Final = BytesHeaderParser()
_DISPOSITION: Final = "content-disposition"


class Place(NamedTuple):
    """Where a field's value stands: `body[start:end]`. `is_encoded`: in a transfer encoding."""

    start: int
    end: int
    is_encoded: bool


class Form(NamedTuple):
    """The fields of a form that are no files, each of a name in its order.

    `start` is the place of the first part's boundary. `is_whole`: False where there were more
    parts, or longer heads of them, than are read.
    """

    boundary: bytes
    start: int
    fields: Mapping[str, Sequence[Place]]
    is_whole: bool = True


def boundary_of(content_type: str | None) -> bytes | None:
    """The boundary that a Content-Type header gives a form; None where it is of no form."""
    if content_type is None:
        return None
    head = Message()
    head["content-type"] = content_type
    boundary = head.get_boundary() if head.get_content_type() == "multipart/form-data" else None
    return boundary.encode() if boundary and boundary.isascii() else None


def read_form(body: bytes, boundary: bytes) -> Form | None:
    """The form that a body is, free of its content encoding; None where it is none.

    What comes before the first part and after the last is passed over, as is a part that does not
    end (the last boundary may be missing) or has no head. Lines may end in LF alone.
    """
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
        if line[1]:
            break
        opened = line.end()
    return None if start < 0 else Form(boundary, start, fields)


def texts_of(form: Form, body: bytes, name: str) -> list[str] | None:
    """What fields of a name say, each; None where that is not clear.

    That is where one is in a transfer encoding, which is none of a form's (RFC 7578, 4.7) and which
    some readers undo; not UTF-8; or longer than any that is read.
    """
    texts = []
    for start, end, is_encoded in form.fields.get(name, ()):
        if is_encoded or end - start > _LONGEST_TEXT:
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

    How many bytes its head has; one that is too long to be read has more than all may have.
    """
    end = closed - 1
    if body[end - 1 : end] == b"\r" and end > opened:
        end -= 1
    blank = _BLANK_LINE.search(body, opened, min(end, opened + _LONGEST_HEAD))
    if blank is None:
        return 0 if end - opened < _LONGEST_HEAD else _MOST_OF_HEADS + 1
    head = _HEADS.parsebytes(body[body.index(b"\n", opened) + 1 : blank.end()])
    name = head.get_param("name", header=_DISPOSITION)
    is_file = bool(head.get_param("filename", header=_DISPOSITION))
    if name is not None and not is_file and head.get_content_disposition() == "form-data":
        encoding = str(head.get("content-transfer-encoding", "")).strip().lower()
        place = Place(blank.end(), end, is_encoded=encoding not in _AS_IT_IS)
        fields.setdefault(collapse_rfc2231_value(name), []).append(place)
    return blank.end() - opened
