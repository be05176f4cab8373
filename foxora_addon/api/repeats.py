r"""Knows an event of a stream again that differs from an earlier one by its text alone.

Nearly all chunks of a completion are the same bytes around another piece of text. Whoever has read
one of them, the slow way, need not read the others: what stands in the place of a JSON string, has
neither quotes nor backslashes nor control characters, and is UTF-8, is the text of just such a
chunk.
"""

import re
from typing import Final, NamedTuple

_CONTENT: Final = b'"content"'
_TEXT: Final = re.compile(rb'"content"[ \t]*:[ \t]*"([^"\\]*)"')
_MOST_BYTES: Final = 65_536
"""What is longer is read the slow way, which knows what is too long."""
_MOST_SKIPPED: Final = 64


class Frame(NamedTuple):
    """What stands before and after the text of an event, its blank line included.

    `size` is how many characters of the event's data that is.
    """

    before: bytes
    after: bytes
    size: int

    def texts_in(self, data: bytes) -> list[str] | None:
        """The texts of bytes that are such events, one or more; None where they are not."""
        before, after = self.before, self.after
        if not (data.startswith(before) and data.endswith(after)):
            return None
        if not len(before) + len(after) <= len(data) <= _MOST_BYTES:
            return None
        middle = data[len(before) : -len(after)]
        try:
            text = middle.decode()
        except UnicodeDecodeError:
            return None
        if '"' not in text:
            return [text] if text.isprintable() and "\\" not in text else None
        texts = text.split((after + before).decode())
        plain = all(t.isprintable() and '"' not in t and "\\" not in t for t in texts)
        return texts if plain else None


class Change(NamedTuple):
    """What an event was changed to, such that the same again is changed likewise.

    Of the frame `asked`, what stands before or after the text has become another one.
    """

    asked: Frame
    before: bytes
    after: bytes

    def made(self, data: bytes) -> bytes | None:
        """Such events as they are to be; None where the bytes are something else."""
        texts = self.asked.texts_in(data)
        if texts is None:
            return None
        between = self.after + self.before
        return b"".join((self.before, between.join(map(str.encode, texts)), self.after))


def change_of(event: bytes, kept: bytes) -> Change | None:
    """How an event became what was kept of it; None where nothing like it can be told of others."""
    frame = frame_of(event)
    if frame is None or kept == event:
        return None
    text = event[len(frame.before) : -len(frame.after)]
    # The one name `content` is in both, just before the text: so what is the same is whole.
    if kept.startswith(frame.before + text):
        return Change(frame, frame.before, kept[len(frame.before) + len(text) :])
    if kept.endswith(text + frame.after):
        return Change(frame, kept[: -len(text + frame.after)], frame.after)
    return None


def frame_of(event: bytes) -> Frame | None:
    r"""What stands around the one text of an event of one line; None where that is not plain.

    The event's bytes, up to its blank line, are `data: {...}\n\n`, which the caller has read as
    JSON. Its one member `content`, at whatever depth, is a string.
    """
    # Without a backslash each name is written as it is, and no string has quotes in it.
    if event.find(b"\\") >= 0 or event.count(_CONTENT) != 1 or event.find(b"\n") != len(event) - 2:
        return None
    found = _TEXT.search(event)
    if found is None or not event.startswith(b"data:") or event.find(b"\r") >= 0:
        return None
    before, after = event[: found.start(1)], event[found.end(1) :]
    try:
        around = (before + after).decode()
    except UnicodeDecodeError:
        return None
    data = around.removeprefix("data:").removeprefix(" ")
    return Frame(before, after, len(data) - len("\n\n"))


class Patience:
    """Says when looking for what repeats is worth its while: ever less often where nothing does."""

    __slots__ = ("_left", "_skipped")

    def __init__(self) -> None:
        self._skipped = 0
        self._left = 0

    def asks(self) -> bool:
        """Whether to look now."""
        if self._left:
            self._left -= 1
            return False
        return True

    def looked(self) -> None:
        """It was looked once more; nothing has come of it yet."""
        self._left = self._skipped
        self._skipped = min(2 * self._skipped + 1, _MOST_SKIPPED)

    def paid(self) -> None:
        """What was found has been of use."""
        self._skipped = self._left = 0
