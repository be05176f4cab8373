"""What can be known of an answer that passes by, from its bytes alone.

An observation is fed the chunks that the client gets. It never changes one, keeps a bounded part,
and whatever it cannot understand it counts or leaves out.
"""

import hashlib

from foxora_addon.api.content_encoding import Decoder, Undecodable, decoder_of
from foxora_addon.api.sse import Decoder as SseDecoder
from foxora_addon.api.transcript import Transcript


class Observation:
    """The running account of one streamed answer.

    `size` and `sha256` are of the bytes as they were fed; `head` holds the first `max_head_bytes`
    of the body without its content encoding, of which no more is undone than that takes.
    `transcript` is None where the answer is not an event stream. `unread` says, in words for a
    record, why the body could not be read; None if it could.
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
        self.transcript = Transcript(max_bytes=max_head_bytes) if is_event_stream else None
        self._sse = SseDecoder()
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
            for event in self._sse.feed(data):
                self.transcript.add(event)
        if (room := self._max_head_bytes - len(self.head)) > 0:
            self.head += data[:room]

    @property
    def content_bytes(self) -> int:
        """About how many bytes of an event stream's content are kept so far."""
        return 0 if self.transcript is None else self.transcript.content_bytes

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes so far, in hex."""
        return self._sha256.hexdigest()

    @property
    def is_whole(self) -> bool:
        """Whether `head` holds all of the body so far."""
        return self.unread is None and self.body_size == len(self.head)
