"""Sets or finds one member of a JSON object in its text and leaves the rest as it stands.

Parsing and writing a body anew would change its white space, escapes, number forms and duplicate
names. Which member and why is a rule's business, not this module's.
"""

import json
import re
from collections.abc import Callable, Iterator
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


def removal_of(text: str, name: str) -> tuple[int, int] | None:
    """Return where the only member `name` stands with the one comma that would be left over.

    Without `text[start:end]` the object that `text` is lacks the member and is JSON as before.
    None if no member has that name, or several do. ValueError if `text` is not a JSON object.
    """
    members = find_members(text)
    places = [place for place, member in enumerate(members) if member.name == name]
    if len(places) != 1:
        return None
    place = places[0]
    if place > 0:
        return members[place - 1].end, members[place].end
    end = members[0].end
    return _after(text, 0, "{"), _after(text, end, ",") if len(members) > 1 else end


def replace_member(body: bytes, name: str, value: object) -> bytes:
    """Return `body` with the top-level member `name` set to `value`, and no other byte changed.

    All duplicates of the name are replaced, for readers differ in which one they believe. A name
    that is absent is added as the first member. A UTF-8 byte order mark stays; a body in UTF-16 or
    UTF-32, which `json.loads` reads too, comes back in UTF-8. ValueError if `body` is not a JSON
    object.
    """
    new = json.dumps(value, allow_nan=False)
    return _edited(body, name, lambda _: new)


def with_first_member(body: bytes, name: str, value: object) -> bytes:
    """Return `body`, an object that has some other member, with a new one put before them.

    It does not look whether there is one of that name: for who knows that there is none, and does
    not want the whole of a large body to be read for it.
    """
    encoding = json.detect_encoding(body)
    if encoding not in {"utf-8", "utf-8-sig"}:
        return replace_member(body, name, value)
    place = body.index(b"{") + 1
    new = json.dumps(value, allow_nan=False, separators=(",", ":"))
    member = f"{json.dumps(name)}:{new},".encode()
    whole = memoryview(body)
    return b"".join((whole[:place], member, whole[place:]))


def replace_inner_member(body: bytes, outer: str, name: str, value: object) -> bytes:
    """Return `body` with the member `name` of its member `outer` set to `value`.

    As `replace_member`, in each duplicate of `outer`. An `outer` that is absent or null becomes an
    object with that member alone. ValueError if `body`, or an `outer` in it, is anything else than
    a JSON object.
    """
    new = json.dumps(value, allow_nan=False)

    def inner(text: str | None) -> str:
        return _with_member("{}" if text is None or text == "null" else text, name, lambda _: new)

    return _edited(body, outer, inner)


def _edited(body: bytes, name: str, new: Callable[[str | None], str]) -> bytes:
    mark = _BOM if body.startswith(_BOM) else b""
    text = body.decode(json.detect_encoding(body), "surrogatepass")
    # surrogatepass both ways, as json.loads has it: what was read is written back as it was.
    return mark + _with_member(text, name, new).encode("utf-8", "surrogatepass")


def _with_member(text: str, name: str, new: Callable[[str | None], str]) -> str:
    """Return an object with `name` set to what `new` makes of its old text, None where absent."""
    members = find_members(text)
    edits = [(start, end, new(text[start:end])) for member, start, end in members if member == name]
    if not edits:
        at = text.index("{") + 1
        edits = [(at, at, f"{json.dumps(name)}:{new(None)}{',' if members else ''}")]
    return "".join(_spliced(text, edits))


def _spliced(text: str, edits: list[tuple[int, int, str]]) -> Iterator[str]:
    at = 0
    for start, end, new in edits:
        yield text[at:start]
        yield new
        at = end
    yield text[at:]


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
