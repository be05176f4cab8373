import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Mapping
from functools import partial

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.content_encoding import Undecodable, decoded, decoder_of

ENCODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": partial(brotli.compress, quality=5),
    "zstd": zstandard.ZstdCompressor().compress,
}
NAMES = st.sampled_from(sorted(ENCODERS))
LIMIT = 1_000_000


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


def by_pieces(data: bytes, encoding: str, size: int) -> bytes:
    decode = decoder_of(encoding)
    assert decode is not None
    starts = range(0, len(data), size)
    return b"".join(piece for start in starts for piece in decode(data[start : start + size]))


@given(st.lists(NAMES, min_size=1, max_size=2), st.binary(max_size=5_000))
def test_what_was_encoded_is_decoded(names: list[str], body: bytes) -> None:
    encoded = body
    for name in names:
        encoded = ENCODERS[name](encoded)

    assert decoded(encoded, ", ".join(names), LIMIT) == body


@given(NAMES, st.binary(max_size=500), st.integers(1, 40))
def test_the_pieces_make_no_difference(name: str, body: bytes, size: int) -> None:
    assert by_pieces(ENCODERS[name](body), name, size) == body


@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
def test_deflate_without_its_wrapping_is_decoded(size: int) -> None:
    assert by_pieces(raw_deflate(b"hello" * 9), "deflate", size) == b"hello" * 9


@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_several_members_are_one_body(name: str, size: int) -> None:
    encoded = ENCODERS[name](b"one ") + ENCODERS[name](b"two")

    assert by_pieces(encoded, name, size) == b"one two"


@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
@pytest.mark.parametrize("name", ["gzip", "deflate"])
@pytest.mark.parametrize("behind", [b"\0", b"x" * 3_000, b"\x1fx" + gzip.compress(b"two", mtime=0)])
def test_what_stands_behind_the_end_is_dropped(name: str, size: int, behind: bytes) -> None:
    assert by_pieces(ENCODERS[name](b"one") + behind, name, size) == b"one"


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_what_stands_behind_the_end_is_not_kept(name: str) -> None:
    """It would be copied with each piece that comes, and a few megabytes take a minute."""
    decode, behind = decoder_of(name), b"\0" * 65_536
    assert decode is not None
    assert b"".join(decode(ENCODERS[name](b"one"))) == b"one"
    tracemalloc.start()
    try:
        for _ in range(16):
            assert b"".join(decode(behind)) == b""
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < len(behind)


@pytest.mark.parametrize("encoding", [None, "", "identity", " Identity ,", "identity, identity"])
def test_without_an_encoding_the_body_is_as_it_is(encoding: str | None) -> None:
    body = b"\x1f\x8bplain"

    assert decoder_of(encoding) is None
    assert decoded(body, encoding, 1) is body


def test_names_are_read_in_any_case() -> None:
    assert decoded(gzip.compress(b"a"), " GZip , identity", LIMIT) == b"a"


@pytest.mark.parametrize("encoding", ["compress", "gzip, x-fake", "gzip gzip", "br;q=1", "é" * 99])
def test_an_unknown_encoding_is_told(encoding: str) -> None:
    with pytest.raises(Undecodable, match="is not known"):
        decoder_of(encoding)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_what_is_not_so_encoded_is_told(name: str) -> None:
    with pytest.raises(Undecodable, match=f"is not valid {name}"):
        decoded(b'{"model": "gpt-4o-mini", "messages": []}', name, LIMIT)


@given(NAMES, st.binary(max_size=200))
def test_any_bytes_are_decoded_or_told(name: str, body: bytes) -> None:
    try:
        assert len(decoded(body, name, LIMIT)) <= LIMIT
    except Undecodable:
        assert body


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_bomb_is_noticed(name: str) -> None:
    bomb = ENCODERS[name](bytes(3_000_000))

    with pytest.raises(Undecodable, match="larger than 1000000 bytes"):
        decoded(bomb, name, LIMIT)


def test_a_bomb_in_a_bomb_is_noticed() -> None:
    with pytest.raises(Undecodable, match="larger than"):
        decoded(gzip.compress(gzip.compress(bytes(30_000_000))), "gzip, gzip", LIMIT)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_bomb_in_a_stream_is_noticed_before_it_has_grown(name: str) -> None:
    bomb = ENCODERS[name](bytes(100_000_000))
    decode = decoder_of(name)
    assert decode is not None
    sizes: list[int] = []
    chunks = (bomb[start : start + 65_536] for start in range(0, len(bomb), 65_536))
    with pytest.raises(Undecodable, match="grows more than any honest one"):
        sizes.extend(len(piece) for chunk in chunks for piece in decode(chunk))

    assert max(sizes) <= 4 * 1_048_576
    assert sum(sizes) <= 16 * 1_048_576 + 100 * len(bomb)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_stream_that_repeats_itself_is_no_bomb(name: str) -> None:
    """Events of one stream share all but a word; they are still no hundredfold."""
    events = b"".join(
        b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":17,'
        b'"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"w%d"}}]}\n\n' % number
        for number in range(100_000)
    )

    assert by_pieces(ENCODERS[name](events), name, 65_536) == events


def test_more_than_two_encodings_are_not_undone() -> None:
    with pytest.raises(Undecodable, match="more than 2"):
        decoder_of("gzip, gzip, gzip")


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_body_of_just_the_limit_is_decoded(name: str) -> None:
    assert len(decoded(ENCODERS[name](bytes(5_000)), name, 5_000)) == 5_000
