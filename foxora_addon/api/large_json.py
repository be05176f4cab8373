"""Reads a large JSON text in small steps, between which a program can do other things.

`json.loads` of 100 MB takes half a second, of numbers ten times that, in which no other thread of
Python runs. Here the same scanner is given no more than a window of the text at once. What comes
out, and what is refused, is what `quick_json.read_slower` has, but for large values within two
hundred others.
"""

import json
import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final

from foxora_addon.api import quick_json

WINDOW: Final = 65_536
_MOST_DEPTH: Final = 200
"""How deep values may lie that are larger than a window: as deep as Python's stack allows twice."""

_MARGIN: Final = 32
"""As close to the end of a window, a number or a word may go on behind it."""

_SPACE: Final = re.compile(r"[ \t\n\r]*+")
_WORD: Final = re.compile(r"[-+.0-9A-Za-z]++")
_STRING: Final = re.compile(r'(?:[^"\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+')
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_HIGH: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")
_DECODER: Final = json.JSONDecoder()
_ABSENT: Final = object()

type Steps[Value] = Generator[None, None, Value]
"""Yields between two steps, and returns a value."""


def read_slowly(body: bytes, window: int = WINDOW) -> Steps[Any]:
    """What `quick_json.read_slower` makes of it; raises ValueError or RecursionError as that."""
    text = yield from _decoded(body, window)
    reader = _Reader(text, window)
    value = yield from reader.value(0)
    if reader.past_space() != len(text):
        raise json.JSONDecodeError("Extra data", "", reader.at)
    return value


def _decoded(body: bytes, window: int) -> Steps[str]:
    """The text of a body, as `json.loads` decodes it."""
    encoding = json.detect_encoding(body)
    if encoding not in {"utf-8", "utf-8-sig"}:
        return body.decode(encoding, "surrogatepass")  # nobody sends it, and it can't be cut
    start, parts = 3 if encoding == "utf-8-sig" else 0, []
    while start < len(body):
        end = _end_of_character(body, min(start + 8 * window, len(body)), start)
        parts.append(body[start:end].decode("utf-8", "surrogatepass"))
        start = end
        yield
    return "".join(parts)


def _end_of_character(body: bytes, end: int, start: int) -> int:
    """The last place up to `end` at which no character of UTF-8 is cut in two."""
    if end == len(body):
        return end
    for place in range(end, max(end - 4, start), -1):
        if body[place] & 0xC0 != 0x80:
            return place
    return end


@dataclass(slots=True)
class _Reader:
    """The place in a text up to which it is read."""

    text: str
    window: int
    at: int = 0

    def past_space(self) -> int:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at

    def value(self, depth: int) -> Steps[Any]:
        """The value that comes next, whatever its size."""
        self.past_space()
        small = self._small()
        if small is not _ABSENT:
            return small
        yield
        if depth > _MOST_DEPTH:
            raise RecursionError("The JSON is nested too deeply.")
        match self.text[self.at : self.at + 1]:
            case "[":
                return (yield from self._array(depth))
            case "{":
                return (yield from self._object(depth))
            case '"':
                return (yield from self._string())
        return self._word()

    def _word(self) -> Any:
        """A number, or true and its like, that a window may have cut."""
        found = _WORD.match(self.text, self.at)
        if found is None:
            raise json.JSONDecodeError("Expecting value", "", self.at)
        self.at = found.end()
        return quick_json.read_slower(found.group())

    def _small(self) -> Any:
        """The next value if it ends within a window; else `_ABSENT`, also where it is none."""
        end = self.at + self.window
        piece = self.text[self.at : end]
        try:
            value, length = _DECODER.raw_decode(piece)
        except (ValueError, RecursionError):
            return _ABSENT
        is_cut = end < len(self.text) and piece[0] not in '"[{' and length > len(piece) - _MARGIN
        if is_cut:
            return _ABSENT
        self.at += length
        return value

    def _array(self, depth: int) -> Steps[list[Any]]:
        self.at += 1
        values: list[Any] = []
        if self._takes("]"):
            return values
        while True:
            if not self._many(values):
                values.append((yield from self.value(depth + 1)))
            yield
            if self._takes("]"):
                return values
            self._must_take(",")

    def _many(self, values: list[Any]) -> bool:
        """Take several values of an array at once, up to a comma in the window."""
        piece = self.text[self.at : self.at + self.window]
        for mark, kept in (("},", 1), ("],", 1), (",", 0)):
            cut = piece.rfind(mark)
            if cut <= 0:
                continue
            try:
                found = json.loads(f"[{piece[: cut + kept]}]")
            except (ValueError, RecursionError):
                continue
            if found:
                values += found
                self.at += cut + kept
                return True
        return False

    def _object(self, depth: int) -> Steps[dict[str, Any]]:
        self.at += 1
        members: dict[str, Any] = {}
        if self._takes("}"):
            return members
        while True:
            self.past_space()
            if not self.text.startswith('"', self.at):
                raise json.JSONDecodeError("Expecting a member's name", "", self.at)
            name = yield from self.value(depth + 1)
            self._must_take(":")
            members[name] = yield from self.value(depth + 1)
            yield
            if self._takes("}"):
                return members
            self._must_take(",")

    def _string(self) -> Steps[str]:
        self.at += 1
        end = self.text.find('"', self.at)
        if end < 0 or self.text.find("\\", self.at, end) >= 0:
            return (yield from self._escaped_string())
        for start in range(self.at, end, 8 * self.window):
            _check(self.text[start : min(start + 8 * self.window, end)])
            yield
        value = self.text[self.at : end]
        self.at = end + 1
        return value

    def _escaped_string(self) -> Steps[str]:
        parts: list[str] = []
        while not self.text.startswith('"', self.at):
            found = _STRING.match(self.text, self.at, self.at + 2 * self.window)
            piece = found.group() if found else ""
            if len(piece) > 6 and _ends_high(piece):
                piece = piece[:-6]  # it may be half of a character
            if not piece:
                raise json.JSONDecodeError("Unterminated string", "", self.at)
            parts.append(json.loads(f'"{piece}"'))
            self.at += len(piece)
            yield
        self.at += 1
        return "".join(parts)

    def _takes(self, mark: str) -> bool:
        self.past_space()
        if not self.text.startswith(mark, self.at):
            return False
        self.at += 1
        return True

    def _must_take(self, mark: str) -> None:
        if not self._takes(mark):
            raise json.JSONDecodeError(f"Expecting {mark!r}", "", self.at)


def _ends_high(piece: str) -> bool:
    """Whether a piece of a string, of whole escapes, ends with that of a high surrogate.

    Behind an odd number of backslashes it is none: the last of them is escaped itself.
    """
    if _HIGH.fullmatch(piece, len(piece) - 6) is None:
        return False
    before = piece[:-6]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 0


def _check(piece: str) -> None:
    if not piece.isprintable() and _CONTROL.search(piece):
        raise json.JSONDecodeError("Invalid control character", "", 0)
