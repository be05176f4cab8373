"""Pictures and sounds, made and not stored: a plain PNG, silence as WAV, PCM or MP3."""

import struct
import zlib

_RATE = 24_000
_BYTES_A_SAMPLE = 2
# MPEG 2, layer III, 24 kHz, 64 kbit/s, mono: 192 octets, 24 ms; zeros are silence.
_MP3_FRAME = b"\xff\xf3\x84\xc4" + bytes(188)
_MP3_FRAME_MS = 24


def png(width: int, height: int) -> bytes:
    """A black picture of that size."""
    rows = (b"\0" + bytes(-(-width // 8))) * height
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def silence(form: str, milliseconds: int) -> bytes | None:
    """So much silence in mono at 24 kHz; None for a form that is not wav, pcm or mp3."""
    if form == "mp3":
        return _MP3_FRAME * -(-milliseconds // _MP3_FRAME_MS)
    samples = bytes(_RATE * milliseconds // 1_000 * _BYTES_A_SAMPLE)
    return {"pcm": samples, "wav": _wav(samples)}.get(form)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _wav(samples: bytes) -> bytes:
    rates = (_RATE, _RATE * _BYTES_A_SAMPLE, _BYTES_A_SAMPLE, 8 * _BYTES_A_SAMPLE)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, *rates)
    data = struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI4s", b"RIFF", 4 + len(form) + len(data), b"WAVE") + form + data
