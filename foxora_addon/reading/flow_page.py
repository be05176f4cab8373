"""Lays out what a flow holds, as if it were on record: for those who look at live traffic.

A body is given as bytes, what the records say of it as the JSON of `shown.Shown.facts`. Whatever
bytes these are, there is a page or None, and never an exception.
"""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Final

from foxora_addon.api.json_values import mapping_of
from foxora_addon.audit.record import body_fields
from foxora_addon.reading.bodies import body_json_of
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.page import Line, answer_lines, lines_of_part, request_lines, text_of_line
from foxora_addon.reading.records import Record
from foxora_addon.reading.socket_events import event_of, parts_of_event

_READ: Final = frozenset({"chat", "completions", "responses", "embeddings", "models"})
_MOST_BYTES: Final = 16_000_000
_MOST_CHARACTERS: Final = 500_000
_WIDTH: Final = 68
"""Columns after which a line goes on below: mitmweb would have it run out of half a window."""
_CELLS: Final = re.compile(r"\S {2,}")
_LEAST_CELLS: Final = 3
_LONGEST_WHOLE: Final = 1_000
"""Characters up to which a word, an indent, or a row of a table, stays on one line. mitmproxy's
console lays out lines that are wider than it in a time that grows with the square of the text, and
all calls wait meanwhile: a minute for a word of 500,000.
"""
_TOO_LONG: Final = re.compile(rf"[^ \t]{{{_LONGEST_WHOLE + 1},}}")


def can_read(body: bytes, operation: str, *, is_answer: bool) -> bool:
    """Whether there is a page of a body: of what operations it is one, and it may be JSON."""
    if len(body) > _MOST_BYTES or body[:64].lstrip()[:1] != b"{":
        return False
    return operation in _READ or (is_answer and b'"error"' in body[:64])


def request_page(body: bytes) -> str | None:
    """The page of a request; None if its body is no JSON object."""
    recorded = Recorded({"exchange": "", **_body_of(body)}, None)
    return _text_of(request_lines(recorded)) if _is_object(recorded.request) else None


def answer_page(body: bytes, facts: str) -> str | None:
    """The page of an answer; None if its body is no JSON object."""
    told = _facts_of(facts)
    response = {"exchange": "", **mapping_of(told.get("response")), **_body_of(body)}
    recorded = Recorded(mapping_of(told.get("request")), response)
    error = mapping_of(mapping_of(body_json_of(response)).get("error"))
    if error and not response.get("error"):
        response["error"] = error
    return _text_of(answer_lines(recorded)) if _is_object(response) else None


def can_read_event(message: bytes) -> bool:
    """Whether there is a page of a WebSocket's message: it may be a JSON object."""
    return len(message) <= _MOST_BYTES and message[:64].lstrip()[:1] == b"{"


def event_page(message: bytes) -> str | None:
    """The page of a WebSocket's message; None if it is no JSON object."""
    event = event_of(message.decode("utf-8", "replace"))
    if event is None:
        return None
    parts = parts_of_event(event)
    lines = (line for part in parts for line in lines_of_part(part))
    return textwrap.dedent(_text_of(lines))


def _body_of(body: bytes) -> dict[str, Any]:
    return body_fields(body, len(body))


def _is_object(record: Record | None) -> bool:
    return isinstance(body_json_of(record), dict)


def _facts_of(facts: str) -> dict[str, Any]:
    try:
        return mapping_of(json.loads(facts))
    except (ValueError, RecursionError):
        return {}


def _text_of(lines: Iterable[Line]) -> str:
    return "\n".join(window_lines(lines, "the JSON view has all of it")).strip("\n")


def window_lines(lines: Iterable[Line], elsewhere: str) -> list[str]:
    """The lines of a page, short ones, and as many as a window can bear.

    Where that is not all of them, the last one says where the rest is, in the words `elsewhere`.
    """
    kept: list[str] = []
    left = _MOST_CHARACTERS
    for line in lines:
        text = text_of_line(line)
        kept.extend(_wrapped(text[:left], line))
        left -= len(text)
        if left < 0:
            kept.append(f"… cut here: {elsewhere}")
            break
    return kept


def _wrapped(text: str, line: Line) -> Iterator[str]:
    """A line as short ones, which begin where its own text does; words that one reads stay whole.

    So does a row of a table: its cells would mean nothing below each other.
    """
    is_row = len(text) <= _LONGEST_WHOLE and len(_CELLS.findall(text)) >= _LEAST_CELLS
    if len(text) <= _WIDTH or is_row:
        yield text
        return
    lead = len(text) - len(text.lstrip())
    below = min(text.find(line.text) if line.label else lead, _WIDTH // 2)
    room = max(_WIDTH - max(lead, below), _WIDTH // 2)
    yield from textwrap.wrap(
        _TOO_LONG.sub(lambda word: _in_pieces(word[0], room), text[lead:]),
        _WIDTH,
        initial_indent=text[: min(lead, _LONGEST_WHOLE)],
        subsequent_indent=" " * below,
        expand_tabs=False,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _in_pieces(word: str, width: int) -> str:
    """A word in pieces of that width, each of which stands on a line of its own."""
    return " ".join(word[start : start + width] for start in range(0, len(word), width))
