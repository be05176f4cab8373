import gzip
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.observation import Observation
from tests.builders import encoded


def an_observation(
    encoding: str | None = None, *, stream: bool = False, head: int = 100
) -> Observation:
    return Observation(
        content_encoding=encoding, is_event_stream=stream, is_json=not stream, max_head_bytes=head
    )


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(0, 100))
def test_it_counts_and_hashes_all_and_keeps_the_head(chunks: list[bytes], head: int) -> None:
    seen = an_observation(head=head)
    for chunk in chunks:
        seen.feed(chunk)
    body = b"".join(chunks)

    assert (seen.size, seen.body_size, seen.chunks) == (len(body), len(body), len(chunks))
    assert seen.sha256 == hashlib.sha256(body).hexdigest()
    assert bytes(seen.head) == body[:head]
    assert seen.is_whole is (len(body) <= head)


def test_the_hash_is_of_the_wire_and_the_head_of_what_it_means() -> None:
    body = gzip.compress(b'{"id":1}')
    seen = an_observation("gzip")
    for index in range(len(body)):
        seen.feed(body[index : index + 1])

    assert bytes(seen.head) == b'{"id":1}'
    assert seen.sha256 == hashlib.sha256(body).hexdigest()
    assert (seen.size, seen.body_size) == (len(body), 8)
    assert seen.is_whole


@pytest.mark.parametrize("encoding", ["x-fake", "gzip"])
def test_what_cannot_be_read_is_counted_and_said(encoding: str) -> None:
    seen = an_observation(encoding)
    seen.feed(b"not so ")
    seen.feed(b"encoded")

    assert seen.unread
    assert (seen.size, bytes(seen.head), seen.is_whole) == (14, b"", False)


def test_a_stream_is_folded_in_whatever_pieces_it_comes() -> None:
    event = {"id": "c1", "choices": [{"index": 0, "delta": {"content": "Hé"}}]}
    body = b"data: " + encoded(event) + b"\n\ndata: [DONE]\n\n"
    seen = an_observation(stream=True)
    for index in range(len(body)):
        seen.feed(body[index : index + 1])

    assert seen.transcript is not None
    assert seen.transcript.done
    message = seen.transcript.message()
    assert message is not None
    assert message["content"] == "Hé"


@pytest.mark.parametrize("text", ["x" * 500, "🙂" * 150])
def test_a_finished_response_has_no_more_text_in_its_message_than_is_kept(text: str) -> None:
    message = {"type": "message", "content": [{"type": "output_text", "text": text}]}
    last = {"type": "response.completed", "response": {"output": [message]}}
    seen = an_observation(stream=True, head=400)
    seen.feed(b"data: " + json.dumps(last, ensure_ascii=False).encode() + b"\n\n")

    kept, is_cut = seen.message()
    assert kept is not None
    assert len(kept["content"][0]["text"].encode()) == 400
    assert is_cut


def test_it_is_folded_with_all_but_its_usage_where_that_is_no_more_than_is_kept() -> None:
    answer = {"output": [{"type": "message", "content": "é"}, {"type": "web_search_call"}]}
    last = {"type": "response.completed", "response": answer | {"usage": {"input_tokens": 3}}}
    size = len(json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode())
    for head, folded in ((size, answer), (size - 1, None)):
        seen = an_observation(stream=True, head=head)
        seen.feed(b"data: " + json.dumps(last).encode() + b"\n\n")
        assert seen.folded() == folded


def test_what_is_no_stream_has_no_transcript() -> None:
    assert an_observation().transcript is None


@given(st.lists(st.binary(max_size=60), max_size=6), st.sampled_from([None, "gzip", "br", "zstd"]))
def test_any_bytes_can_be_observed(chunks: list[bytes], encoding: str | None) -> None:
    seen = an_observation(encoding, stream=True)
    for chunk in chunks:
        seen.feed(chunk)

    assert seen.size == sum(map(len, chunks))


def test_no_more_is_decoded_than_is_kept() -> None:
    bomb = gzip.compress(bytes(100_000_000))
    seen = an_observation("gzip")
    seen.feed(bomb)
    seen.feed(b"and what follows")

    assert (seen.size, len(seen.head)) == (len(bomb) + 16, 100)
    assert seen.body_size < 2 * 1_048_576
    assert not seen.is_whole


def test_a_stream_that_grows_like_a_bomb_is_read_no_further() -> None:
    seen = an_observation("gzip", stream=True)
    seen.feed(gzip.compress(bytes(100_000_000)))

    assert seen.unread == "the body grows more than any honest one as it is decoded"
    assert seen.body_size < 30 * 1_048_576
