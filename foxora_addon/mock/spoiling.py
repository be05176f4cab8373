"""What a fault does to an answer: stands in for it, or spoils it. Values in, values out."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from foxora_addon.mock.answers import (
    DONE,
    Answer,
    Pairs,
    error_answer,
    error_body,
    event_of,
    plain_answer,
)
from foxora_addon.mock.faults import Fault

_GARBAGE = b"\x16\x03\x01 this is not HTTP \xff\xfe\r\n\r\n\x00\x00"
_HTML = (
    b"<!DOCTYPE html><html><head><title>Bad Gateway</title></head>"
    b"<body><h1>Bad Gateway</h1><p>The mock gateway was asked for a page.</p></body></html>\n"
)
_GZIP = 16 + zlib.MAX_WBITS
_WITHOUT_BODY = frozenset({204, 304})


def stand_in(fault: Fault) -> Answer:
    """The answer of a fault that hides the gateway (`Fault.hides_gateway`)."""
    octets = _instead_of_http(fault)
    if octets is not None:
        return Answer(0, (), octets, ending="mute" if fault.mute else "cut", raw=True)
    if fault.redirect is not None:
        return plain_answer(fault.status or 307, (("location", fault.redirect),), b"")
    if fault.html:
        return plain_answer(fault.status or 502, _typed("text/html; charset=utf-8"), _HTML)
    if fault.body is not None or fault.empty:
        return plain_answer(fault.status or 200, _typed("application/json"), fault.body or b"")
    status = fault.status or 500
    return error_answer(status, f"The mock gateway was asked for a {status}.")


def spoiled(answer: Answer, fault: Fault) -> Answer:
    """The answer with the fault's words applied: content first, then coding, then the wire."""
    spoiled_answer = _with_coding(_with_head(_with_events(answer, fault), fault), fault)
    return _with_wire(spoiled_answer, fault)


def _instead_of_http(fault: Fault) -> tuple[bytes, ...] | None:
    if fault.garbage or fault.raw is not None:
        return (fault.raw or _GARBAGE,)
    return () if fault.mute or fault.close_before_head else None


def _typed(content_type: str) -> Pairs:
    return (("content-type", content_type),)


def _with_events(answer: Answer, fault: Fault) -> Answer:
    pieces = answer.pieces
    if fault.error_event and len(pieces) > 1:
        half = pieces[: len(pieces) // 2]
        pieces = (*half, _error_event(half))
    if fault.no_done:
        pieces = tuple(piece for piece in pieces if piece != DONE)
    return replace(answer, pieces=pieces)


def _error_event(before: Sequence[bytes]) -> bytes:
    """An error as an event after others; among typed ones it is OpenAI's `error`, numbered on.

    OpenAI's reference has it flat; openai for Python and Node raise on a member `error`, which
    OpenAI's own streams have as well. So both are told.
    """
    error = error_body(502, "The upstream provider failed in mid-stream.")
    if not before[0].startswith(b"event: "):
        return event_of(error)
    told = error["error"]
    typed = {"type": "error", **told, "sequence_number": len(before)}
    return event_of({**typed, "error": {"type": "server_error", **told}}, "error")


def _with_head(answer: Answer, fault: Fault) -> Answer:
    if answer.raw:
        return answer
    headers = answer.headers
    if fault.type is not None:
        headers = (*(p for p in headers if p[0] != "content-type"), *_typed(fault.type))
    if fault.retry_after is not None:
        headers = (*headers, ("retry-after", fault.retry_after))
    status = fault.status or answer.status
    return replace(answer, status=status, headers=(*headers, *fault.headers))


def _with_coding(answer: Answer, fault: Fault) -> Answer:
    pieces = answer.pieces
    headers = answer.headers
    length = answer.length
    if fault.gzip and not answer.raw:
        pieces = tuple(_compressed(pieces))
        headers = (*headers, ("content-encoding", "gzip"))
    if fault.chunks:
        pieces = tuple(_split(b"".join(pieces), fault.chunks))
        length = None
    if length is not None:
        length = sum(map(len, pieces))
    return without_forbidden_body(replace(answer, headers=headers, pieces=pieces, length=length))


def without_forbidden_body(answer: Answer) -> Answer:
    """The answer without a body if its status has none (RFC 9110, 15.3.5 and 15.4.5)."""
    if answer.status in _WITHOUT_BODY:
        return replace(answer, pieces=(), length=None)
    return answer


def _with_wire(answer: Answer, fault: Fault) -> Answer:
    pieces = answer.pieces
    ending = answer.ending
    if fault.cut_bytes is not None:
        pieces, ending = tuple(_first_octets(pieces, fault.cut_bytes)), "cut"
    if fault.cut_after is not None:
        pieces, ending = pieces[: fault.cut_after], "cut"
    if fault.mute_after is not None:
        pieces, ending = pieces[: fault.mute_after], "mute"
    gap = fault.chunk_delay_seconds
    return replace(
        answer,
        pieces=pieces,
        ending=ending,
        delay_seconds=fault.delay_seconds,
        piece_delay_seconds=answer.piece_delay_seconds if gap is None else gap,
    )


def _compressed(pieces: Sequence[bytes]) -> Iterator[bytes]:
    """Each piece compressed and flushed, so that it can be read before the next one comes."""
    coder = zlib.compressobj(wbits=_GZIP)
    for piece in pieces[:-1]:
        yield coder.compress(piece) + coder.flush(zlib.Z_SYNC_FLUSH)
    yield (coder.compress(pieces[-1]) if pieces else b"") + coder.flush()


def _split(body: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        if start < len(body):
            yield body[start : start + size]
        start += size
    if start < len(body):
        yield body[start:]


def _first_octets(pieces: Sequence[bytes], count: int) -> Iterator[bytes]:
    for piece in pieces:
        if count <= 0:
            return
        yield piece[:count]
        count -= len(piece)
