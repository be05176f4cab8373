"""What can be known of an answer that passes by, from its bytes alone.

An observation is fed the chunks that the client gets. It never changes one, keeps a bounded part,
and whatever it cannot understand it counts or leaves out.
"""

import hashlib
from typing import Any, Final

from foxora_addon.api import quick_json
from foxora_addon.api.content_encoding import Decoder, Undecodable, decoder_of
from foxora_addon.api.folding import cut
from foxora_addon.api.repeats import Frame, Patience, frame_of
from foxora_addon.api.sse import Decoder as SseDecoder
from foxora_addon.api.transcript import DEFAULT_MAX_BYTES, Transcript

_BLANK_LINE: Final = b"\n\n"  # after a line that has not ended as well
_DONE: Final = "[DONE]"


class Observation:
    """The running account of one streamed answer.

    `size` and `sha256` are of the bytes as they were fed; `head` holds the first `max_head_bytes`
    of the body without its content encoding, of which no more is undone than that takes.
    `transcript`, by which its tokens may be counted, keeps more than that; it is None where the
    answer is not an event stream. `unread` says, in words for a record, why the body could not be
    read; None if it could.
    """

    def __init__(
        self,
        *,
        content_encoding: str | None,
        is_event_stream: bool,
        is_json: bool,
        max_head_bytes: int,
    ) -> None:
        self.size = 0
        self.chunks = 0
        self.head = bytearray()
        self.body_size = 0
        self.unread: str | None = None
        self.is_json = is_json
        most = max(max_head_bytes, DEFAULT_MAX_BYTES)
        self.transcript = Transcript(most) if is_event_stream else None
        self._sse = SseDecoder()
        self._frame: Frame | None = None  # of the last event, if that only said a text
        self._speaker: dict[str, Any] | None = None
        self._patience = Patience()
        self._max_head_bytes = max_head_bytes
        self._sha256 = hashlib.sha256()
        self._decode: Decoder | None = None
        try:
            self._decode = decoder_of(content_encoding)
        except Undecodable as error:
            self.unread = str(error)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body, in any pieces."""
        self.size += len(chunk)
        self.chunks += 1
        self._sha256.update(chunk)
        if self.unread is not None:
            return
        if self._decode is None:
            self._read(chunk)
        elif not self._is_seen:
            self._read_encoded(chunk, self._decode)

    def end(self) -> None:
        """The body has come to a clean end, where clients take `[DONE]` without a blank line."""
        if self.transcript is not None and not self.transcript.done:
            for event in self._sse.feed(_BLANK_LINE):
                if event.data == _DONE:
                    self.transcript.add(event)

    def fail(self, why: str) -> None:
        """The body can't be read any further; `why` is for a record."""
        self.unread = why

    def _read_encoded(self, chunk: bytes, decode: Decoder) -> None:
        try:
            for piece in decode(chunk):
                self._read(piece)
                if self._is_seen:
                    return  # what comes of the rest, which may be a bomb, is not looked at
        except Undecodable as error:
            self.unread = str(error)

    @property
    def _is_seen(self) -> bool:
        """Whether there is nothing more to be kept."""
        return self.transcript is None and self.body_size > self._max_head_bytes

    def _read(self, data: bytes) -> None:
        self.body_size += len(data)
        if self.transcript is not None:
            self._hear(data, self.transcript)
        if (room := self._max_head_bytes - len(self.head)) > 0:
            self.head += data[:room]

    def _hear(self, data: bytes, transcript: Transcript) -> None:
        frame, speaker = self._frame, self._speaker
        texts = None if frame is None else frame.texts_in(data)
        if frame is None or speaker is None or texts is None:
            self._hear_new(data, transcript)
            return
        self._patience.paid()
        for text in texts:
            transcript.say(speaker, text, frame.size + len(text))

    def _hear_new(self, data: bytes, transcript: Transcript) -> None:
        """Take what is not the same again, and remember it if more of the same may follow."""
        may_repeat = self._patience.asks() and self._sse.is_between_events
        events = self._sse.feed(data)
        for event in events:
            transcript.add(event)
        self._frame = self._speaker = None
        if may_repeat and len(events) == 1 and self._sse.is_between_events:
            self._patience.looked()
            self._speaker = transcript.speaker()
            self._frame = None if self._speaker is None else frame_of(data)

    @property
    def content_bytes(self) -> int:
        """About how many bytes of an event stream's content are kept so far."""
        return 0 if self.transcript is None else self.transcript.content_bytes

    def message(self) -> tuple[dict[str, Any] | None, bool]:
        """The message of an event stream, with no more text than `max_head_bytes`.

        And whether that is only its beginning.
        """
        if self.transcript is None or (message := self.transcript.message()) is None:
            return None, False
        if self.content_bytes <= self._max_head_bytes:
            return message, self.transcript.truncated
        kept, is_cut = cut(message, self._max_head_bytes)
        return kept, is_cut or self.transcript.truncated

    def folded(self) -> dict[str, Any] | None:
        """All that an event stream adds up to, but its usage.

        None where not all of it was kept, or where it has more than `max_head_bytes` as JSON.
        """
        if self.transcript is None or self.transcript.truncated:
            return None
        if (answer := self.transcript.completion()) is None:
            return None
        answer.pop("usage", None)
        size = len(quick_json.text_of(answer).encode())
        return answer if size <= self._max_head_bytes else None

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes so far, in hex."""
        return self._sha256.hexdigest()

    @property
    def is_whole(self) -> bool:
        """Whether `head` holds all of the body so far."""
        return self.unread is None and self.body_size == len(self.head)
