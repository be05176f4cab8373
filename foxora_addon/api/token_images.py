"""How many tokens a picture in a prompt is, by its size, its detail and the model that looks.

Follows OpenAI's guide on images and vision: models count tiles of 512 pixels, and small newer ones
patches of 32. A size is read from the head of a picture that the prompt itself holds; nothing is
ever fetched, and base64 is never counted as text.
"""

import base64
import binascii
import math
from typing import Final, NamedTuple

from foxora_addon.api.token_text import bare_name

# What a picture is taken for whose size can't be seen: one that is elsewhere, or no known format.
_USUAL_SIZE: Final = (1024, 1024)

_LARGEST_SIDE, _LARGEST_SHORT_SIDE, _TILE = 2048, 768, 512
_PATCH, _MOST_PATCHES = 32, 1536

# How much base64 is decoded for a header; a JPEG's size stands after its previews and profiles.
_HEAD_CHARACTERS: Final = (64, 4_096, 131_072)


class _Tiles(NamedTuple):
    """So many tokens for the whole picture, which is all of it in low detail, and for each tile."""

    base: int
    tile: int


class _Patches(NamedTuple):
    """So many tokens for each patch."""

    factor: float


# The first that the model's name begins with.
_RULES: Final[tuple[tuple[str, _Tiles | _Patches], ...]] = (
    ("gpt-4o-mini", _Tiles(2833, 5667)),
    ("gpt-4.1-mini", _Patches(1.62)),
    ("gpt-4.1-nano", _Patches(2.46)),
    ("gpt-5-mini", _Patches(1.62)),
    ("gpt-5-nano", _Patches(2.46)),
    ("o4-mini", _Patches(1.72)),
    ("gpt-5", _Tiles(70, 140)),
    ("o1", _Tiles(75, 150)),
    ("o3", _Tiles(75, 150)),
    ("computer-use", _Tiles(65, 129)),
    ("", _Tiles(85, 170)),
)


def image_tokens(url: str, detail: object, model: str | None) -> int:
    """Return the tokens of a picture: a data URL, or any other text that stands for one.

    Any `detail` but `low` is taken for `high`: `auto`, the default, is for the model to choose.
    """
    name = bare_name(model)
    rule = next(rule for prefix, rule in _RULES if name.startswith(prefix))
    width, height = find_size(url) or _USUAL_SIZE
    if isinstance(rule, _Tiles):
        return rule.base + (0 if detail == "low" else rule.tile * _tiles_of(width, height))
    if detail == "low":
        width, height = _fitted(width, height, _TILE / max(width, height))
    patches = math.ceil(width / _PATCH) * math.ceil(height / _PATCH)
    return math.ceil(min(patches, _MOST_PATCHES) * rule.factor)


def find_size(url: str) -> tuple[int, int] | None:
    """Return the width and height, in pixels, of a PNG, JPEG, GIF or WebP in a data URL."""
    comma = url.find(",", 0, 256)
    if not url.startswith("data:") or comma < 0:
        return None
    for most in _HEAD_CHARACTERS:
        size = _size_of(_decoded(url[comma + 1 : comma + 1 + most]))
        if size is not None or len(url) <= comma + 1 + most:
            return size
    return None


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text[: len(text) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _size_of(head: bytes) -> tuple[int, int] | None:
    if head.startswith(b"\xff\xd8"):
        width, height = _jpeg_size(head)
    elif head.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = _big(head[16:20]), _big(head[20:24])
    elif head.startswith((b"GIF87a", b"GIF89a")):
        width, height = _little(head[6:8]), _little(head[8:10])
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        width, height = _webp_size(head)
    else:
        return None
    return (width, height) if width and height else None


# A frame's header: any SOF marker but DHT (C4), JPG (C8) and DAC (CC).
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _jpeg_size(head: bytes) -> tuple[int, int]:
    """Go from segment to segment (ITU-T T.81, B.1.1.4); each moves on by two bytes or more."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        if head[at + 1] in _FRAMES:
            return _big(head[at + 7 : at + 9]), _big(head[at + 5 : at + 7])
        at += 2 + _big(head[at + 2 : at + 4])
    return 0, 0


def _webp_size(head: bytes) -> tuple[int, int]:
    """Read the size by the kind of the first chunk (RFC 9649, sections 2.5 to 2.7)."""
    kind = head[12:16]
    if kind == b"VP8X":
        return _little(head[24:27]) + 1, _little(head[27:30]) + 1
    if kind == b"VP8L":
        bits = _little(head[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return _little(head[26:28]) & 0x3FFF, _little(head[28:30]) & 0x3FFF


def _big(data: bytes) -> int:
    return int.from_bytes(data)


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _tiles_of(width: int, height: int) -> int:
    width, height = _fitted(width, height, _LARGEST_SIDE / max(width, height))
    width, height = _fitted(width, height, _LARGEST_SHORT_SIDE / min(width, height))
    return math.ceil(width / _TILE) * math.ceil(height / _TILE)


def _fitted(width: int, height: int, scale: float) -> tuple[int, int]:
    """Make a picture smaller, never larger, and no side nothing."""
    if scale >= 1:
        return width, height
    return max(round(width * scale), 1), max(round(height * scale), 1)
