"""How a head says where its body ends, and what was done to that on the way."""

import pytest

from foxora_addon.framing import Fields, without_codings

TYPE = (b"Content-Type", b"text/plain")
CHUNKS = (b"Transfer-Encoding", b"chunked")


@pytest.mark.parametrize(
    ("codings", "left"),
    [
        ([b"Chunked"], [CHUNKS]),
        ([b"identity"], []),
        ([b"gzip, chunked"], [CHUNKS, (b"Content-Encoding", b"gzip")]),
        ([b"gzip", b" chunked"], [CHUNKS, (b"Content-Encoding", b"gzip")]),
        ([b"deflate ,\tGZIP"], [(b"Content-Encoding", b"deflate, gzip")]),
        ([b",,"], []),
    ],
)
def test_no_transfer_coding_but_chunks_is_left(codings: list[bytes], left: Fields) -> None:
    fields = [*((b"transfer-encoding", coding) for coding in codings), TYPE]
    assert without_codings(fields) == [TYPE, *left]


def test_what_was_done_on_the_way_is_undone_before_what_was_done_first() -> None:
    encoded = (b"content-encoding", b"br")
    fields = [encoded, (b"Transfer-Encoding", b"gzip, chunked")]
    assert without_codings(fields) == [encoded, CHUNKS, (b"Content-Encoding", b"gzip")]
