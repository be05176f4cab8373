"""Looks for what `--grep` asks for in what was asked and answered, in linear time whatever it is.

Patterns run on RE2, which is linear by construction: one that Python's own engine would take hours
over on a long text can be given by mistake, and the texts are others'.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from foxora_addon.api.json_values import mapping_of
from foxora_addon.audit.pattern import Linear
from foxora_addon.reading.records import Record

_PLAIN: Final = re.compile(r"(?:[^\\.^$*+?{}\[\]|()]|\\[^0-9A-Za-z])+")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_LINES: Final = re.compile(r"(?:\A|[\r\n])(?:data:)?[ \t]*([{\[][^\r\n]*[}\]])")
_QUOTED: Final = ("body", "message", "folded", "model", "tags")


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is looked for: a regular expression of RE2's; `plain` is the text that it means alone.

    None: it means more than one.
    """

    text: str
    plain: str | None


def parse_grep(text: str) -> Pattern:
    """The pattern. Raises ValueError with words."""
    plain = _ESCAPED.sub(r"\1", text) if _PLAIN.fullmatch(text) else None
    if plain is None:
        _compiled(text)
    return Pattern(text, plain)


def _compiled(text: str) -> Linear:
    try:
        return Linear(text)
    except ValueError as error:
        raise ValueError(f"'{text}' is no regular expression of RE2's: {error}") from None


class Grep:
    """Looks for a pattern in what was asked and answered, as it reads without JSON's escapes.

    What the proxy itself has noted down, as ids, digests and outcomes, is no part of it.
    """

    def __init__(self, pattern: Pattern) -> None:
        self._found_in = _search_of(pattern)
        plain = pattern.plain
        is_as_in_json = plain is not None and re.fullmatch(r"[A-Za-z0-9_ ]+", plain)
        self._literal = plain.encode() if plain is not None and is_as_in_json else None

    def may_find(self, line: bytes) -> bool:
        """Whether it is worth reading the line: letters stand in JSON as they are, or escaped."""
        return self._literal is None or self._literal in line or b"\\u" in line

    def finds(self, record: Record) -> bool:
        """Whether the pattern is in one of the texts of what a record quotes."""
        return any(self._found_in(text) for text in texts_of(_quoted(record)))


def _quoted(record: Record) -> list[Any]:
    """What a record has of a client's, a model's or the gateway's own words."""
    error = mapping_of(record.get("error"))
    files, messages = record.get("files"), mapping_of(record.get("websocket")).get("messages")
    return [
        *(record.get(name) for name in _QUOTED),
        mapping_of(record.get("http")).get("url"),
        *(error.get(name) for name in ("code", "message", "param")),
        *_members(files, "filename"),
        *_members(messages, "text"),
    ]


def _members(items: Any, name: str) -> list[Any]:
    return [mapping_of(item).get(name) for item in items] if isinstance(items, list) else []


def _search_of(pattern: Pattern) -> Callable[[str], bool]:
    plain = pattern.plain
    if plain is not None:
        return lambda text: plain in text
    is_in = _compiled(pattern.text).is_in
    return lambda text: is_in(text.encode("utf-8", "replace"))


def texts_of(value: Any) -> Iterator[str]:
    """Every text in a value; of a text that is JSON, or has lines of it, also the texts in that."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, str):
            yield item
            waiting.extend(_inner(item))


def _inner(text: str) -> Iterator[Any]:
    """The JSON value that a text is; else those that are lines of it, as of a batch or a stream.

    Of the lines only those with an escape: the others read as they stand.
    """
    if text.lstrip()[:1] in ("{", "[") and (values := _values_in(text)):
        yield from values
    elif "\\" in text:
        for line in _LINES.finditer(text):
            if "\\" in line[1]:
                yield from _values_in(line[1])


def _values_in(text: str) -> list[Any]:
    """The JSON value that a text is; none where it is none."""
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError):
        return []
