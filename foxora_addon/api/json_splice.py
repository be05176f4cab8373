"""Replaces one member of a JSON object in its bytes and leaves every other byte as it stands.

Parsing and writing a body anew would change its white space, escapes, number forms and duplicate
names. Which member and why is a rule's business, not this module's.
"""

import json
import re
from typing import Final, NamedTuple

_BOM: Final = b"\xef\xbb\xbf"
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


class Member(NamedTuple):
    """A member of an object, and where its value stands: `text[start:end]`."""

    name: str
    start: int
    end: int


def find_members(text: str) -> list[Member]:
    """Return the members of the JSON object that `text` is, in its order, duplicates included.

    Accepts and refuses what `json.loads` does, whose own scanner it uses; ValueError if `text` is
    not one JSON object and nothing after it.
    """
    members: list[Member] = []
    at = _after(text, 0, "{")
    while not text.startswith("}", at):
        if members:
            at = _after(text, at, ",")
        if not text.startswith('"', at):
            raise json.JSONDecodeError("Expecting a member's name", text, at)
        name, at = _scanned(text, at)
        start = _after(text, _past_space(text, at), ":")
        _, end = _scanned(text, start)
        members.append(Member(str(name), start, end))
        at = _past_space(text, end)
    if _past_space(text, at + 1) != len(text):
        raise json.JSONDecodeError("Extra data", text, at + 1)
    return members


def replace_member(body: bytes, name: str, value: object) -> bytes:
    """Return `body` with the top-level member `name` set to `value`, and no other byte changed.

    All duplicates of the name are replaced, for readers differ in which one they believe. A name
    that is absent is added as the first member. A UTF-8 byte order mark stays; a body in UTF-16 or
    UTF-32, which `json.loads` reads too, comes back in UTF-8. ValueError if `body` is not a JSON
    object.
    """
    mark = _BOM if body.startswith(_BOM) else b""
    text = body.decode(json.detect_encoding(body), "surrogatepass")
    members = find_members(text)
    spans = [(start, end) for member, start, end in members if member == name]
    new = json.dumps(value, allow_nan=False)
    if not spans:
        at = text.index("{") + 1
        new = f"{json.dumps(name)}:{new}{',' if members else ''}"
        spans = [(at, at)]
    # surrogatepass both ways, as json.loads has it: what was read is written back as it was.
    return mark + _spliced(text, spans, new).encode("utf-8", "surrogatepass")


def _spliced(text: str, spans: list[tuple[int, int]], new: str) -> str:
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), len(text)]
    return new.join(text[end:start] for end, start in zip(ends, starts, strict=True))


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _after(text: str, at: int, mark: str) -> int:
    """Return the place of what follows `mark`, which must come next, and white space."""
    at = _past_space(text, at)
    if not text.startswith(mark, at):
        raise json.JSONDecodeError(f"Expecting {mark!r}", text, at)
    return _past_space(text, at + 1)


def _scanned(text: str, at: int) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError as error:
        raise ValueError("The JSON is nested too deeply.") from error
