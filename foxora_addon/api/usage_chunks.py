"""Tells which whole events of a stream asking for its usage has added or changed.

Knows chunks of chat and legacy completions; how events are cut out of bytes is `usage_strip`'s.
"""

import re
from typing import Any, Final, TypeGuard

from foxora_addon.api import quick_json
from foxora_addon.api.json_splice import find_members, removal_of

USAGE: Final = b'"usage"'
"""Events without these bytes are none of ours."""

_CHOICES: Final = b'"choices"'
"""No event has choices without these bytes, but for one that writes the name with an escape."""

_SPACE: Final = " \t\n\r"
_NULL: Final = re.compile(r'"usage"[ \t\n\r]*:[ \t\n\r]*null')
# A letter of a name may be written as an escape, which JSON reads as the same name.
_ESCAPE: Final = "\\u00"
_ESCAPE_BYTES: Final = _ESCAPE.encode()
# What an added chunk says of itself or of the cost, by whichever gateway: x_groq is Groq's request
# id and usage, timings llama.cpp's, obfuscation OpenAI's padding and p Mistral's.
_ACCOUNTING: Final = frozenset(
    {
        *("id", "object", "created", "model", "choices", "usage", "system_fingerprint"),
        *("service_tier", "provider", "obfuscation", "p", "x_groq", "timings"),
    }
)

type Chunk = dict[str, Any]


class UsageChunks:
    """What the chunks of one stream have shown so far.

    Added is an event with a `usage` object and no choices (an empty list, as OpenAI has it, null,
    or no such member, as others have it), after a chunk with choices. One that tells more, in a
    member with content that the first chunk had none in, stays whole: a client that looks for
    citations in the last chunk would miss them, and a gateway with a reason of its own to send the
    chunk would have sent it unasked.
    """

    def __init__(self) -> None:
        self.begun = False
        self._told: frozenset[str] = frozenset()

    def without_usage(self, event: bytes) -> bytes | None:
        r"""Return what stays of an event, its lines up to the blank one; None if it was added.

        Total. Taken out of an event that stays is at most the null member `usage`, with one comma.
        """
        # To find these out as JSON takes ten times as long.
        if self.begun:
            if event.find(USAGE) < 0:
                return event
        elif event.find(_CHOICES) < 0 and event.find(_ESCAPE_BYTES) < 0:
            return event
        try:
            return self._judged(event)
        except (ValueError, RecursionError):
            return event  # not JSON, or nested so deeply that nobody reads it

    def _judged(self, event: bytes) -> bytes | None:
        spans = _data_spans(event)
        # One character a byte, so that places agree; JSON's own signs are ASCII.
        text = b"\n".join([event[start:end] for start, end in spans]).decode("latin-1")
        chunk = quick_json.read(text)
        if not _is_of_completion(chunk):
            return event
        if self._is_added(chunk, text):
            return None
        if not isinstance(chunk.get("choices"), list):
            return event
        if chunk["choices"] and not self.begun:
            self.begun = True
            self._told = _told_by(chunk)
        if chunk.get("usage", 0) is not None or event.find(USAGE) < 0:
            return event
        removal = _removal_of(text)
        return _without(event, spans, *removal) if removal else event

    def _is_added(self, chunk: Chunk, text: str) -> bool:
        if not self.begun or not isinstance(chunk.get("usage"), dict):
            return False
        if chunk.get("choices") not in (None, []):
            return False
        if not _told_by(chunk) <= self._told | _ACCOUNTING:
            return False
        # With duplicate names, what one reader sees another doesn't.
        return len(find_members(text)) == len(chunk)


def _is_of_completion(value: Any) -> TypeGuard[Chunk]:
    """Whether an event's data may be a chunk of a completion, with choices or without; no error."""
    if not isinstance(value, dict):
        return False
    kind = value.get("object") or "completion"
    return isinstance(kind, str) and "completion" in kind and not value.get("error")


def _told_by(chunk: Chunk) -> frozenset[str]:
    """Return the names of the members that have content."""
    return frozenset(name for name, value in chunk.items() if value not in (None, "", [], {}))


def _removal_of(text: str) -> tuple[int, int] | None:
    """Return where the null member `usage` stands, with its comma, in an object that has one."""
    if text.count('"usage"') == 1 and _ESCAPE not in text:
        # Then these bytes are the member's name: the object has it, written without an escape.
        at = text.index('"usage"')
        before = text[:at].rstrip(_SPACE)
        found = _NULL.match(text, at)
        if found and before.endswith(","):
            return len(before[:-1].rstrip(_SPACE)), found.end()
    return removal_of(text, "usage")


def _data_spans(event: bytes) -> list[tuple[int, int]]:
    """Return where the values of the `data` lines stand."""
    spans, at = [], 0
    for line in event.splitlines(keepends=True):
        content = line.rstrip(b"\r\n")
        if content.startswith(b"data:"):
            start = at + (6 if content.startswith(b"data: ") else 5)
            spans.append((start, at + len(content)))
        elif content == b"data":
            spans.append((at + 4, at + 4))
        at += len(line)
    return spans


def _without(event: bytes, spans: list[tuple[int, int]], start: int, end: int) -> bytes:
    """Return `event` without a part of its joined data, of which `start` and `end` are places."""
    if len(spans) == 1:
        data_at = spans[0][0]
        return event[: data_at + start] + event[data_at + end :]
    first, from_byte = _byte_of(spans, start)
    last, to_byte = _byte_of(spans, end)
    between = event[spans[first][1] : spans[last][0]].splitlines()[1:]
    if not all(line.startswith(b"data") for line in between):
        return event  # a comment in the midst of the member
    return event[:from_byte] + event[to_byte:]


def _byte_of(spans: list[tuple[int, int]], at: int) -> tuple[int, int]:
    """Return the line, and the byte of the event, in which a place of the joined data stands."""
    for line, (start, end) in enumerate(spans):
        if at <= end - start:
            return line, start + at
        at -= end - start + 1
    raise IndexError("no place of the data")
