"""Reads compressed messages of a WebSocket (RFC 7692) a small piece at a time, within bounds.

wsproto decodes at once whatever has come: 64 KiB may be 64 MiB, for which all other calls wait, and
a message of one megabyte fills the memory. It also forgets at a ping that a message in fragments is
compressed, and reads none behind one whose last block says that it is that (RFC 7692, 7.2.3.4).
"""

from typing import Final

from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from foxora_addon.api.content_encoding import FREE_BYTES, MOST_GROWTH

_PIECE: Final = 1024
"""Which grows to a megabyte at most."""


class BoundedDeflate(PerMessageDeflate):
    """A compression as it was agreed on, up to a bomb: that is closed with 1009.

    As with the content encoding of a stream, it is one over 16 MiB and over a hundredfold; here
    each message is looked at by itself, for silence in a session grows by more.
    """

    def __init__(self, agreed: PerMessageDeflate) -> None:
        super().__init__()
        vars(self).update(vars(agreed))
        self._room = FREE_BYTES

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        """A frame begins: it is told again where the rest of its head comes later."""
        is_compressed = self._inbound_compressed
        answer = super().frame_inbound_header(proto, opcode, rsv, payload_length)
        if not self._inbound_is_compressible:
            self._inbound_compressed = is_compressed  # the message that a control frame stands in
        return answer

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        """What comes of a part of a frame."""
        pieces: list[bytes] = []
        for start in range(0, len(data), _PIECE):
            if self._inbound_is_compressible and self._is_at_its_end:
                break  # what stands behind it zlib would keep, and copy with each piece
            piece = data[start : start + _PIECE]
            decoded = super().frame_inbound_payload_data(proto, piece)
            if isinstance(decoded, CloseReason):
                return decoded
            self._room += len(piece) * MOST_GROWTH - len(decoded)
            if self._room < 0:
                return CloseReason.MESSAGE_TOO_BIG
            pieces.append(decoded)
        return b"".join(pieces)

    def frame_inbound_complete(
        self,
        proto: FrameDecoder | FrameProtocol,
        fin: bool,  # noqa: FBT001  # as it is called
    ) -> bytes | CloseReason | None:
        """What is left of a frame."""
        if not self._inbound_is_compressible:
            return None
        left = super().frame_inbound_complete(proto, fin)
        if fin:
            self._room = FREE_BYTES
            if self._is_at_its_end:
                self._decompressor = None  # the next message begins another
        return left

    @property
    def _is_at_its_end(self) -> bool:
        return self._decompressor is not None and self._decompressor.eof


def bounded(extension: Extension) -> Extension:
    """An extension that was agreed on, within bounds where it makes messages grow."""
    return BoundedDeflate(extension) if isinstance(extension, PerMessageDeflate) else extension
