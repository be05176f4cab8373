"""What a picture costs: OpenAI's documented examples, and sizes out of real headers."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.token_images import find_size, image_tokens


def data_url(head: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(head + bytes(200)).decode()}"


def png(width: int, height: int) -> str:
    return data_url(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height))


def jpeg(width: int, height: int, before: bytes = b"") -> bytes:
    frame = b"\xff\xc2\0\x11\x08" + struct.pack(">HH", height, width)
    return b"\xff\xd8" + before + frame


def segment(size: int) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", size + 2) + bytes(size)


@pytest.mark.parametrize(
    ("width", "height", "detail", "model", "tokens"),
    [
        (1024, 1024, "high", "gpt-4o", 765),
        (2048, 4096, "high", "gpt-4o", 1105),
        (4096, 8192, "low", "gpt-4o", 85),
        (512, 512, "auto", "gpt-4o", 255),
        (128, 64, None, "gpt-4o", 255),
        (1024, 1024, "high", "openai/gpt-4o-2024-11-20", 765),
        (128, 64, "high", "gpt-4o-mini", 2833 + 5667),
        (128, 64, "low", "gpt-4o-mini", 2833),
        (1024, 1024, "high", "o1", 75 + 4 * 150),
        (1024, 1024, "high", "gpt-5", 70 + 4 * 140),
        (1024, 1024, "high", "gpt-4.1-mini", 1659),
        (128, 64, "high", "gpt-4.1-mini", 13),
        (9000, 9000, "high", "gpt-4.1-nano", 3779),
        (1024, 1024, "low", "gpt-4.1-mini", 415),
        (1024, 1024, "high", None, 765),
    ],
)
def test_a_picture_costs_what_the_guide_says(
    width: int, height: int, detail: str | None, model: str | None, tokens: int
) -> None:
    assert image_tokens(png(width, height), detail, model) == tokens


def test_a_picture_elsewhere_is_taken_for_one_of_the_usual_size() -> None:
    assert image_tokens("https://example.com/a.png", "high", "gpt-4o") == 765
    assert image_tokens("https://example.com/a.png", "low", "gpt-4o") == 85


@pytest.mark.parametrize(
    "head",
    [
        b"GIF89a" + struct.pack("<HH", 320, 200),
        b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 320, 200),
        b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + struct.pack("<I", 319 | 199 << 14),
        b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0" + b"\x3f\x01\0" + b"\xc7\0\0",
        jpeg(320, 200),
        jpeg(320, 200, segment(10) + b"\xff\xc4\0\x03\0"),
        jpeg(320, 200, segment(20_000) + segment(60_000)),
    ],
)
def test_the_size_stands_in_the_head_of_every_usual_format(head: bytes) -> None:
    assert find_size(data_url(head)) == (320, 200)


@pytest.mark.parametrize(
    "url",
    [
        *("", "data:", "data:image/png;base64,", "data:image/png;base64,!!!!", "https://a/b,c"),
        data_url(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(8)),
        data_url(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        data_url(jpeg(320, 200, segment(65_000) * 3)),
        data_url(b"\xff\xd8" + b"\xff\xe0\0\0" * 40_000),
        "data:image/png;base64," + "A" * 3_000_000,
        "data:image/png;base64,\u6f22\u6f22\u6f22\u6f22",
    ],
    ids=str.__len__,
)
def test_what_has_no_readable_size_has_none(url: str) -> None:
    assert find_size(url) is None


@given(st.binary(max_size=200), st.sampled_from([b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"GIF89a"]))
def test_no_header_raises_or_costs_without_bound(tail: bytes, magic: bytes) -> None:
    for model in ("gpt-4o", "gpt-4.1-mini"):
        assert 0 < image_tokens(data_url(magic + tail), "high", model) <= 85 + 170 * 32


@given(st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1))
def test_a_size_of_any_shape_is_cut_to_a_few_tiles(width: int, height: int) -> None:
    assert 255 <= image_tokens(png(width, height), "high", "gpt-4o") <= 85 + 170 * 8
