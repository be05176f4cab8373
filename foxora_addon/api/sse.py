"""Decodes a stream of server-sent events out of its bytes, however those are cut into chunks.

Follows the WHATWG rules (HTML Living Standard, 9.2.6, "Interpreting an event stream"). It knows
neither JSON nor what the events mean; nothing here delays or changes the bytes themselves.
"""

from typing import Final, NamedTuple

DEFAULT_MAX_EVENT_BYTES: Final = 16 * 1_048_576

_BOM: Final = b"\xef\xbb\xbf"
_LF: Final = 10
_CR: Final = 13
_FIRST_LINES: Final = (b"data:", b"event:", b"id:", b"retry:", b":")


def begins_stream(body: bytes) -> bool:
    """Whether a body begins as an event stream does, with a field or a comment; no JSON does."""
    return body.removeprefix(_BOM).startswith(_FIRST_LINES)


class Event(NamedTuple):
    """A dispatched event: its data and its type.

    A tuple and no dataclass, for one is built for every token of a stream.
    """

    data: str
    event: str = "message"


class Decoder:
    r"""The state of one stream between its chunks.

    An event is dispatched by the blank line after it, so what follows the last blank line is never
    seen, as the rules want it. Lines end in LF, CR LF or CR. Bytes that are not UTF-8 become
    U+FFFD. `id` and `retry` are ignored, for nobody here reconnects.

    Time is linear in the bytes fed, memory is bounded by a small multiple of `max_event_bytes`: an
    event whose lines hold more is skipped up to its blank line.
    """

    def __init__(self, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._start: bytes | None = b""  # what may yet be a byte order mark; None once decided
        self._line = bytearray()  # the line that has not ended yet
        self._after_cr = False  # a LF at the start of the next chunk belongs to that CR
        self._skipping = False
        self._event_bytes = 0
        self._data: list[bytes] = []
        self._type = b""

    @property
    def is_between_events(self) -> bool:
        """Whether what was fed so far ends with the blank line of an event."""
        is_within = self._line or self._event_bytes or self._after_cr or self._skipping
        return self._start is None and not is_within

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes, cut anywhere; return the events that they complete, mostly none."""
        if self._start is not None:
            chunk = self._without_bom(chunk)
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[0] == _LF:
                chunk = chunk[1:]
        events: list[Event] = []
        # bytes.splitlines() cuts at LF, CR LF and CR and nowhere else, unlike str's.
        for line in chunk.splitlines(keepends=True):
            ending = line[-1]
            self._after_cr = ending == _CR
            if ending not in (_LF, _CR):
                self._hold(line)
                continue
            content = line.rstrip(b"\r\n")
            if self._line:
                content = self._released(content)
            if content:
                self._take(content)
            else:
                self._dispatch(events)
        return events

    def _without_bom(self, chunk: bytes) -> bytes:
        start = (self._start or b"") + chunk
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._start = start
            return b""
        self._start = None
        return start.removeprefix(_BOM)

    def _hold(self, piece: bytes) -> None:
        """Keep a piece of a line whose end has not come; while skipping, only that there is one."""
        self._line += piece
        if self._event_bytes + len(self._line) > self._max_event_bytes:
            self._skip()
        if self._skipping:
            del self._line[1:]

    def _released(self, rest: bytes) -> bytes:
        self._line += rest
        content = bytes(self._line)
        self._line.clear()
        return content

    def _take(self, content: bytes) -> None:
        """Take one whole line that is not blank."""
        self._event_bytes += len(content)
        if self._event_bytes > self._max_event_bytes:
            self._skip()
        if self._skipping:
            return
        name, _, value = content.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value

    def _skip(self) -> None:
        self._skipping = True
        self._data.clear()

    def _dispatch(self, events: list[Event]) -> None:
        if self._data and not self._skipping:
            data = b"\n".join(self._data).decode("utf-8", "replace")
            kind = self._type.decode("utf-8", "replace") if self._type else "message"
            events.append(Event(data, kind))
        self._data.clear()
        self._type = b""
        self._event_bytes = 0
        self._skipping = False
