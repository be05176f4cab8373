"""Adds the deltas of a stream up into whole JSON values; knows no API's field names but a few.

The rules are those of openai-python's `accumulate_delta` (openai/lib/streaming/_deltas.py): strings
are joined, objects merged, lists extended, entries with an `index` merged by it, `index` and `type`
replaced. Where that gives nonsense or raises, this does otherwise:
- a name that is repeated (`name`, `format`) stays as it is and is not doubled; of `id` and `role`
  the first stays, whatever else comes;
- calls that share an `index`, as some servers stream them, are told apart by their `id` where each
  names what it calls; it makes one call of them;
- numbers and booleans are replaced, not summed: they are times and flags;
- text replaces a list or an object, as an answer does that follows structured thinking; it drops
  the answer (both drop a list or an object that comes after text);
- entries without an `index` are told apart by their `id`, or appended; it raises.

Time and memory are linear in what is folded: strings are collected and joined once, by `whole`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

_REPLACED: Final = frozenset({"index", "type"})
_SETTLED_FIRST: Final = frozenset({"id", "role"})
_COME_WHOLE: Final = _REPLACED | _SETTLED_FIRST
_NAMES: Final = _SETTLED_FIRST | {"name", "format"}
_INDEXED: Final = frozenset({"tool_calls"})
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
# What a Python object costs beside its content, roughly.
_OBJECT_BYTES: Final = 64
_PIECES_AT_ONCE: Final = 128


class Text:
    """A string that comes in many pieces; linear, and little larger than what it holds."""

    __slots__ = ("_joined", "_pieces")

    def __init__(self, *pieces: str) -> None:
        self._joined: list[str] = []
        self._pieces = list(pieces)

    def add(self, piece: str) -> None:
        """Append `piece`."""
        self._pieces.append(piece)
        if len(self._pieces) >= _PIECES_AT_ONCE:  # a piece of one character costs seventy bytes
            self._joined.append("".join(self._pieces))
            self._pieces.clear()

    def __str__(self) -> str:
        """Return all pieces, joined."""
        return "".join((*self._joined, *self._pieces))


class Indexed:
    """A list whose entries may come in any order and in pieces; calls may share an index."""

    __slots__ = ("_entries", "_highest", "_last", "_newest", "_places", "_sharing")

    def __init__(self) -> None:
        self._entries: dict[int, dict[str, Any]] = {}
        self._places: dict[str, int] = {}  # of the entries that came without an index, by their id
        self._sharing: dict[int, dict[str, int]] = {}  # of the calls that share an index, by id
        self._last: dict[int, int] = {}  # of what came last with an index, if not its own place
        self._highest = -1
        self._newest = 0

    def entry_of(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entry that `delta` continues, new if it continues none."""
        index = delta.get("index")
        if isinstance(index, int) and not isinstance(index, bool):
            place = self._place_at(index, delta)
        else:
            place = self._place_of(delta.get("id"))
        self._newest = place
        self._highest = max(self._highest, place)
        return self._entries.setdefault(place, {})

    def sorted(self) -> list[dict[str, Any]]:
        """Return the entries by their index; further ones of an index as they came."""
        return [self._entries[place] for place in sorted(self._entries)]

    def _place_at(self, index: int, delta: Mapping[str, Any]) -> int:
        """Return the place of the call with the delta's id, a new one if it begins another call.

        Else that of what came last with the index.
        """
        last = self._last[index] if index in self._last else self._own_place_of(index)
        identifier, so_far = delta.get("id"), self._entries.get(last, {}).get("id")
        if identifier == so_far or not (_is_id(identifier) and _is_id(so_far)):
            return last
        places = self._sharing.get(index, {so_far: last})
        if identifier not in places:
            if not _names_call(delta):
                return last  # some servers make up another id for each delta
            places[identifier] = self._highest + 1
            self._sharing[index] = places
        self._last[index] = places[identifier]
        return places[identifier]

    def _own_place_of(self, index: int) -> int:
        """Return the index as a place; another where a further call of another index stands."""
        if self._entries.get(index, {}).get("index") in (None, index):
            return index
        self._last[index] = self._highest + 1
        return self._last[index]

    def _place_of(self, identifier: object) -> int:
        """Return a new place for a new id, the known one's for a known, the newest for none."""
        if not _is_id(identifier):
            return self._newest
        return self._places.setdefault(identifier, self._highest + 1)


def fold(target: dict[str, Any], delta: Mapping[str, Any]) -> int:
    """Add `delta` to `target`; return about how many bytes of memory that took.

    `target` holds what only `whole` can read. `delta` must not be used afterwards.
    """
    taken = 0
    for name, value in delta.items():
        taken += fold_field(target, name, value)
    return taken


def whole(value: Any) -> Any:
    """Return plain JSON for what `fold` has collected, fit to be written as JSON in UTF-8.

    Two halves of a character that came in two deltas are one again; a half alone becomes U+FFFD;
    NaN and infinities, which are no JSON, become null.
    """
    match value:
        case str() | Text():
            return _characters_of(str(value))
        case dict():
            return {_characters_of(name): whole(field) for name, field in value.items()}
        case list() | Indexed():
            return [
                whole(entry) for entry in (value if isinstance(value, list) else value.sorted())
            ]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def size_of(value: Any) -> int:
    """Return about how many bytes of memory a JSON value takes."""
    match value:
        case str():
            return _OBJECT_BYTES + _text_size(value)
        case dict():
            return _OBJECT_BYTES + sum(map(size_of, value)) + sum(map(size_of, value.values()))
        case list():
            return _OBJECT_BYTES + sum(map(size_of, value))
        case _:
            return _OBJECT_BYTES


def text_bytes(value: Any) -> int:
    """Return how many bytes the texts in a JSON value have in UTF-8."""
    match value:
        case str():
            return len(value.encode("utf-8", "surrogatepass"))
        case dict():
            return sum(map(text_bytes, value.values()))
        case list():
            return sum(map(text_bytes, value))
        case _:
            return 0


def cut(value: Any, most_bytes: int) -> tuple[Any, bool]:
    """Return plain JSON with the first so many bytes of its texts; whether any are left out.

    Names and kinds are not counted.
    """
    left = _Left(most_bytes)
    return _cut(value, left), left.is_over


@dataclass(slots=True)
class _Left:
    """What there is still room for, and whether that was too little."""

    size: int
    is_over: bool = False


def _cut(value: Any, left: _Left) -> Any:
    match value:
        case str():
            data = value.encode()
            kept = data[: left.size]
            left.size -= len(kept)
            left.is_over = left.is_over or len(kept) < len(data)
            return kept.decode("utf-8", "ignore")
        case dict():
            return {
                name: field if name in _NAMES | _REPLACED else _cut(field, left)
                for name, field in value.items()
            }
        case list():
            return [_cut(entry, left) for entry in value if not left.is_over]
        case _:
            return value


def put(target: dict[str, Any], name: str, value: Any) -> int:
    """Set `name` to `value`; return about how many more bytes of memory that takes."""
    freed = size_of(target[name]) if name in target else -size_of(name)
    target[name] = value
    return size_of(value) - freed


def fold_field(target: dict[str, Any], name: str, value: Any) -> int:
    """Add `value` to the field `name` of `target`, as `fold` does with every field of a delta."""
    so_far = target.get(name)
    match value:
        case str():
            return _fold_text(target, name, so_far, value)
        case list():
            return _fold_list(target, name, so_far, value)
        case dict():
            return _fold_object(target, name, so_far, value)
        case _ if name not in target or (value is not None and _is_plain(so_far)):
            return put(target, name, value)
        case _:
            return 0


def _fold_text(target: dict[str, Any], name: str, so_far: Any, value: str) -> int:
    if isinstance(so_far, Text):
        so_far.add(value)
        return _text_size(value)
    if so_far is not None and not value:
        return 0
    if so_far and name in _SETTLED_FIRST:
        return 0
    if isinstance(so_far, str) and name not in _COME_WHOLE:
        return _joined(target, name, so_far, value)
    return put(target, name, value)


def _fold_object(target: dict[str, Any], name: str, so_far: Any, value: dict[str, Any]) -> int:
    if isinstance(so_far, dict):
        return fold(so_far, value)
    if not _is_plain(so_far):
        return 0
    taken = put(target, name, {})
    return taken + fold(target[name], value)


def _fold_list(target: dict[str, Any], name: str, so_far: Any, values: list[Any]) -> int:
    if isinstance(so_far, Indexed) or (not so_far and _is_indexed(name, values)):
        return _fold_indexed(target, name, values)
    if isinstance(so_far, list):
        so_far.extend(values)
        return size_of(values)
    return put(target, name, values) if _is_plain(so_far) else 0


def _is_plain(value: Any) -> bool:
    """Tell whether `value` holds nothing that a value of another kind must not replace."""
    return not value or isinstance(value, int | float)


def _joined(target: dict[str, Any], name: str, so_far: str, value: str) -> int:
    if name in _NAMES and value == so_far:
        return 0
    target[name] = Text(so_far, value)
    return _OBJECT_BYTES + _text_size(value)


def _fold_indexed(target: dict[str, Any], name: str, values: list[Any]) -> int:
    if not isinstance(target.get(name), Indexed):
        target[name] = Indexed()
    entries: Indexed = target[name]
    deltas = [value for value in values if isinstance(value, dict)]
    return sum(_OBJECT_BYTES + fold(entries.entry_of(delta), delta) for delta in deltas)


def _is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value != ""


def _names_call(delta: Mapping[str, Any]) -> bool:
    """Tell whether a delta names what is called, as the first one of each call does."""
    kinds = (delta.get("function"), delta.get("custom"))
    return any(isinstance(kind, dict) and kind.get("name") for kind in kinds)


def _is_indexed(name: str, values: list[Any]) -> bool:
    if name in _INDEXED:
        return any(isinstance(value, dict) for value in values)
    return any(isinstance(value, dict) and "index" in value for value in values)


def _text_size(text: str) -> int:
    return len(text) if text.isascii() else 4 * len(text)


def _characters_of(text: str) -> str:
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
