r"""Passes an event stream on at the boundaries of its events, so that it can be ended after one.

A client can do nothing with half an event: it acts on the blank line after it (HTML Living
Standard, 9.2.6). So the first half waits here for the second, which delays no event by anything,
and where the second never comes the first is dropped: a client that saw it would take what follows
for its end. It knows nothing of what events mean, and changes no byte.
"""

import re
from typing import Final

MOST_HELD_BYTES: Final = 65_536
"""An event that is larger passes as it comes, for memory's sake."""

# A line ends in LF, CR LF or CR, and two ends on end make a blank line. A LF that follows `\n\r` or
# `\r\r` belongs to it: it stands between events, where comments and blank lines do.
_BLANK_LINES: Final = (b"\n\n", b"\n\r", b"\r\r")
_WHOLE: Final = (b"\n\n", b"\r\n\r\n")
_BETWEEN: Final = re.compile(rb"(?:(?::[^\r\n]*+)?(?:\r\n|\n|\r))*")


class WholeEvents:
    """A filter of an event stream's bytes, cut anywhere.

    `is_between`: what has passed ends after an event, or before the first one.
    """

    def __init__(self, most_held_bytes: int = MOST_HELD_BYTES) -> None:
        self.is_between = True
        self._most_held_bytes = most_held_bytes
        self._held = bytearray()
        self._last = b""  # the last byte that has passed of an event that is larger than may wait

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those that may pass by now."""
        if self.is_between and not self._held and data.endswith(_WHOLE):
            return data  # almost every chunk of a gateway is whole events
        if not self.is_between:
            return self._feed_large(data)
        seam = max(len(self._held) - 1, 0)
        is_in_comment = self._goes_on_in_comment(data)
        self._held += data
        end = 0 if is_in_comment else self._end_of_comments(self._end_of_events(seam))
        if end == 0 and len(self._held) > self._most_held_bytes:
            self.is_between = False
            end = len(self._held)
            self._last = bytes(self._held[-1:])
        return self._passed(end)

    def end(self) -> bytes:
        """The stream has come to a clean end: what has waited passes as it is."""
        return self._passed(len(self._held))

    def _feed_large(self, data: bytes) -> bytes:
        """Pass on an event that is larger than may wait, and look for its end."""
        joined = self._last + data
        ends = [i + 2 for pair in _BLANK_LINES if (i := joined.find(pair)) >= 0]
        if not ends:
            self._last = joined[-1:]
            return data
        cut = min(ends) - len(self._last)
        self.is_between, self._last = True, b""
        return data[:cut] + self.feed(data[cut:])

    def _end_of_events(self, start: int) -> int:
        """Where the last whole event ends; 0: none has. No blank line begins before `start`."""
        found = max(self._held.rfind(pair, start) for pair in _BLANK_LINES)
        return 0 if found < 0 else found + 2

    def _goes_on_in_comment(self, data: bytes) -> bool:
        """Whether these bytes are the midst of a comment that waits for its end.

        What has waited of it is not read again, or one in small pieces costs its square.
        """
        return self._held.startswith(b":") and b"\n" not in data and b"\r" not in data

    def _end_of_comments(self, start: int) -> int:
        """Where the comments end that begin at `start`: those that keep a connection alive.

        They may come without a blank line, and are no part of an event; nor is a blank line alone.
        """
        found = _BETWEEN.match(self._held, start)
        return found.end() if found else start

    def _passed(self, end: int) -> bytes:
        passed = bytes(self._held[:end])
        del self._held[:end]
        return passed
