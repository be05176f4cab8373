"""Takes out of an event stream what asking for its usage has added, as the bytes pass by.

Cuts the bytes into events as `sse` does (HTML Living Standard, 9.2.6), and holds one back no longer
than it takes to tell; what is taken out, `usage_chunks` decides. That somebody asked, and the
client did not, is for the caller to know.
"""

from typing import Final, Literal

from foxora_addon.api.repeats import Change, Patience, change_of
from foxora_addon.api.usage_chunks import USAGE, UsageChunks

DEFAULT_MAX_EVENT_BYTES: Final = 256 * 1_024

_BOM: Final = b"\xef\xbb\xbf"
_CR: Final = ord("\r")
_COLON: Final = ord(":")
_ENDS: Final = b"\r\n"
_BLANK: Final = frozenset({b"\n", b"\r", b"\r\n"})
_WHOLE: Final = (b"\n\n", b"\r\n\r\n")
_LONGEST_HEAD: Final = len(b"data: {")


class UsageStrip:
    r"""The state of one stream between its chunks: gives back each chunk without what was added.

    Only for a body without a content encoding, and without a declared length, since it shrinks. A
    chunk may shrink to nothing, which is no end: in a chunked body nothing is to be written then.
    Removed are the extra chunk, with the other fields of its event (an id would outlive it) and
    the blank line after it, and the member `"usage": null` of others, with one comma; every other
    byte passes, comments at once, an event with the chunk that ends it. An event of more than
    `max_event_bytes` passes whole, and as it comes.

    Where the stream is cut makes no difference. Nothing raises; time is linear in the bytes fed,
    and no more than one event is held.
    """

    def __init__(self, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._chunks = UsageChunks()
        self._start: bytes | None = b""  # what may yet be a byte order mark; None once decided
        self._held = bytearray()  # the event so far, while it may still be changed
        self._line_at = 0  # where the last line of it starts
        self._data_lines = 0
        self._passes: Literal["line", "event"] | None = None  # what passes until its end
        self._in_line = False
        self._after_cr = False  # a LF at the start of the next chunk belongs to that CR
        self._after_added = False  # which has been taken out
        self._at_rest = False
        self._change: Change | None = None  # the one that the last event had
        self._patience = Patience()

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes, cut anywhere; return those that are decided to stay."""
        if not (self._at_rest and chunk.endswith(_WHOLE)):
            return self._taken(chunk)
        # The two ways of nearly every chunk: no usage in it, or once more that null.
        if chunk.find(USAGE) < 0:
            return chunk
        if self._change is not None and (kept := self._change.made(chunk)) is not None:
            self._patience.paid()
            return kept
        kept = self._taken(chunk)
        self._change = None
        if self._is_between_events() and self._patience.asks():
            self._patience.looked()
            self._change = change_of(chunk, kept)
        return kept

    def _taken(self, chunk: bytes) -> bytes:
        """Take the next bytes line by line."""
        out: list[bytes] = []
        if self._start is not None:
            chunk = self._past_bom(chunk, out)
        # bytes.splitlines() cuts at LF, CR LF and CR and nowhere else, unlike str's.
        for piece in chunk.splitlines(keepends=True):
            if self._after_cr and piece == b"\n":
                self._take_lf(out)
            else:
                self._take(piece, out)
        self._at_rest = self._chunks.begun and self._is_between_events()
        return b"".join(out)

    def end(self) -> bytes:
        """Return what was held back, at the end of the stream, however that came."""
        out = [self._start or b""]
        self._start = None
        if self._held:
            self._close(b"", out)
        return b"".join(out)

    def _is_between_events(self) -> bool:
        # A line that has not ended is held, or passes.
        return not (self._held or self._passes or self._after_cr or self._start is not None)

    def _past_bom(self, chunk: bytes, out: list[bytes]) -> bytes:
        start = (self._start or b"") + chunk
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._start = start
            return b""
        self._start = None
        if start.startswith(_BOM):
            out.append(_BOM)
        return start.removeprefix(_BOM)

    def _take_lf(self, out: list[bytes]) -> None:
        """Take the rest of a line ending where the line itself went."""
        self._after_cr = False
        if self._held:
            self._held += b"\n"
            self._release_if_over(out)
        elif not self._after_added:
            out.append(b"\n")

    def _take(self, piece: bytes, out: list[bytes]) -> None:
        """Take a line, or a part of one that the chunks have cut."""
        begins, ends = not self._in_line, piece[-1] in _ENDS
        self._in_line = not ends
        self._after_cr = piece[-1] == _CR
        self._after_added = False
        is_blank = begins and piece in _BLANK
        if self._passes:
            out.append(piece)
            if is_blank or (ends and self._passes == "line"):
                self._passes = None
        elif is_blank:
            self._close(piece, out)
        elif begins and not self._held and piece[0] == _COLON:
            out.append(piece)
            self._passes = None if ends else "line"
        else:
            self._hold(piece, begins=begins, ends=ends, out=out)

    def _hold(self, piece: bytes, *, begins: bool, ends: bool, out: list[bytes]) -> None:
        if begins:
            self._line_at = len(self._held)
        self._held += piece
        if self._may_change(ends=ends):
            self._release_if_over(out)
        else:
            self._release(out)

    def _may_change(self, *, ends: bool) -> bool:
        """Whether the last line of the event leaves open that all of it is a chunk."""
        head = self._held[self._line_at : self._line_at + _LONGEST_HEAD]
        if not head.startswith(b"data:"):
            return True
        value = head[5:].removeprefix(b" ")
        if self._data_lines == 0 and value and value[0] not in b"{ \t\r\n":
            return False
        self._data_lines += ends
        # Two chunks with no blank line between them are no event, whatever their readers make
        # of them: they must not wait for one.
        return not (ends and value.startswith(b"{") and self._data_lines == 2)

    def _release_if_over(self, out: list[bytes]) -> None:
        if len(self._held) > self._max_event_bytes:
            self._release(out)

    def _release(self, out: list[bytes]) -> None:
        """Let the event pass as it is."""
        out.append(bytes(self._held))
        self._held.clear()
        self._data_lines = 0
        self._passes = "event"

    def _close(self, blank: bytes, out: list[bytes]) -> None:
        """Pass on what stays of the event that a blank line, or the end of the stream, ends."""
        if not self._held:
            out.append(blank)
            return
        event = bytes(self._held) + blank
        self._held.clear()
        self._data_lines = 0
        kept = self._chunks.without_usage(event)
        if kept is None:
            self._after_added = True
            kept = b"".join(line for line in event.splitlines(keepends=True) if line[0] == _COLON)
        out.append(kept)
