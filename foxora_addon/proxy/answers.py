"""How an answer of the gateway is passed on: observed as it comes, marked, or replaced."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Final, NamedTuple

from mitmproxy import http

from foxora_addon.api.content_encoding import Decoder, Undecodable, decoder_of, encodings_in
from foxora_addon.api.endpoints import OTHER
from foxora_addon.api.error_events import error_event
from foxora_addon.api.errors import ApiError
from foxora_addon.api.picture_request import pictures_asked
from foxora_addon.api.ratelimit_headers import NAMES_AS_WRITTEN
from foxora_addon.api.usage_strip import UsageStrip
from foxora_addon.api.whole_events import WholeEvents
from foxora_addon.audit.facts import is_json
from foxora_addon.exchange import Exchange
from foxora_addon.field_lines import may_break, on_one_line, unbroken
from foxora_addon.framing import CHUNKED, Fields, without_codings
from foxora_addon.observation import Observation
from foxora_addon.policy.mask import Mask, mask_forms_of
from foxora_addon.proxy import flows
from foxora_addon.proxy.quick_headers import QuickHeaders, joined, quick
from foxora_addon.proxy.tee import Filter, Tee, Undo

_ASKED: Final = (b"content-type", b"content-encoding", b"x-request-id")
_BETWEEN: Final = len(b": \r\n")


class AnswerHead(NamedTuple):
    """What is asked of an answer's head, read off it at one go.

    `size` is about that of it, in bytes; `limits` is what the gateway says of its own. `is_clear`:
    it says nothing twice of what is asked.
    """

    fields: Fields
    size: int
    content_type: str | None
    encoding: str | None
    request_id: str | None
    limits: Sequence[tuple[str, str]]
    is_clear: bool


def head_of(response: http.Response) -> AnswerHead:
    """Read an answer's head, of which all is on lines of its own from now on.

    What compressed the body on the way is its encoding from then on (`without_codings`).
    Several values of one name are joined, as mitmproxy joins them (`field_lines`).
    """
    data, headers = response.data, quick(response)
    text = data.reason + b"".join(chain.from_iterable(headers.fields))
    if may_break(text):
        data.reason = on_one_line(data.reason)
        data.headers = headers = QuickHeaders.of(unbroken(headers.fields))
        text = data.reason + b"".join(chain.from_iterable(headers.fields))
    fields, index = headers.fields, headers.index
    if index.get(b"transfer-encoding", CHUNKED) != CHUNKED:
        data.headers = headers = QuickHeaders.of(without_codings(fields))
        fields, index = headers.fields, headers.index
    size = len(text) - len(data.reason) + _BETWEEN * len(fields)
    asked = [*map(index.get, _ASKED)]
    limits = [] if NAMES_AS_WRITTEN.isdisjoint(index) else [*_limits_in(fields)]
    kind, encoding, request_id = [found if found is None else joined(found) for found in asked]
    return AnswerHead(
        fields, size, kind, encoding, request_id or None, limits, list not in map(type, asked)
    )


def _limits_in(fields: Fields) -> Iterator[tuple[str, str]]:
    for name, value in fields:
        if name.lower() in NAMES_AS_WRITTEN:
            yield name.decode("latin-1"), value.decode("latin-1")


def observation_of(
    exchange: Exchange, response: http.Response, content_type: str, max_head_bytes: int
) -> Observation | None:
    """What will observe an answer that passes as it comes; None: it is taken as a whole.

    Errors are taken whole, since they are normalised, and so is what must be JSON. A stream is told
    by the request as well as by the content type (row 15), unless that says that it is none.
    """
    kind = content_type.lower()
    is_stream = kind.startswith("text/event-stream")
    is_stream = is_stream or (exchange.stream and not _says_otherwise(exchange, kind))
    must_be_json = exchange.call is not None and exchange.call.operation.answers_json
    passes = is_stream or not (must_be_json or is_json(kind))
    status = response.data.status_code
    upgrades = status == 101 and _names_websocket(response)
    if not upgrades and not (passes and 200 <= status < 400):
        return None
    return _observation(response, max_head_bytes, is_event_stream=is_stream)


def _says_otherwise(exchange: Exchange, kind: str) -> bool:
    """Whether a content type says that an answer is no stream, though one was asked for.

    What is heard may be asked for as plain text, and not every model has it in a stream.
    """
    is_heard = exchange.call is not None and exchange.call.operation.has_form
    plain = ("text/html", "text/plain", "text/vtt") if is_heard else ("text/html",)
    return is_json(kind) or kind.startswith(plain)


def _names_websocket(response: http.Response) -> bool:
    protocol: str = response.headers.get("upgrade", "")
    return protocol.strip().lower() == "websocket"


def observation_of_bytes(response: http.Response, max_head_bytes: int) -> Observation:
    """What observes an answer of which nothing is known but that it is too long to be held."""
    return _observation(response, max_head_bytes, is_event_stream=False)


def _observation(
    response: http.Response, max_head_bytes: int, *, is_event_stream: bool
) -> Observation:
    encoding = response.headers.get("content-encoding")
    return Observation(
        content_encoding=None if _undoing(response) else encoding,
        is_event_stream=is_event_stream,
        is_json=is_json(response.headers.get("content-type")),
        max_head_bytes=max_head_bytes,
    )


def _undoing(response: http.Response) -> Decoder | None:
    """The decoder of an answer that is not passed on encoded; None: it passes as it is.

    Answers are asked for without an encoding, so whoever gets one may have it without. A part of
    an answer (206) is one of its encoded bytes.
    """
    if response.status_code == 206:
        return None
    try:
        return decoder_of(response.headers.get("content-encoding"))
    except Undecodable:
        return None


class Passing(NamedTuple):
    """What happens to an answer on its way. `arrived` is called at each piece.

    `failed` is told what goes wrong in our own code, `broke` that the answer can't be decoded; it
    gives the last event then, as `last` does for an error that ends the stream. `strips_usage`: the
    proxy asked for the stream's usage, which the client must not see. `key` is what must not come
    back.
    """

    arrived: Callable[[], None]
    failed: Callable[[Exception], None]
    broke: Callable[[str], bytes]
    last: Callable[[ApiError], bytes]
    strips_usage: bool
    key: str | None


def tee(
    flow: http.HTTPFlow, response: http.Response, observation: Observation, passing: Passing
) -> None:
    """Stream an answer past an observation."""
    decode = _undoing(response)
    filters: list[Filter] = []
    is_readable = decode is not None or not encodings_in(response.headers.get("content-encoding"))
    if observation.transcript is not None and is_readable:
        filters = [UsageStrip(), WholeEvents()] if passing.strips_usage else [WholeEvents()]
    changes_length = decode is not None or (filters and passing.strips_usage)
    if changes_length and response.headers.pop("content-length", None):
        response.headers["transfer-encoding"] = "chunked"
    if forms := mask_forms_of(passing.key):
        filters.append(Mask(forms))
    undo = None
    if decode is not None:
        undo = Undo(decode, passing.broke, flow.kill)
        response.headers.pop("content-encoding")
    response.stream = Tee(observation, passing.arrived, passing.failed, passing.last, filters, undo)
    # Row 10: without a length, an HTTP/1 client would see no end while the connection lives.
    has_length = {"content-length", "transfer-encoding"} & {k.lower() for k in response.headers}
    if not flow.request.is_http2 and response.is_http2 and not has_length:
        response.headers["transfer-encoding"] = "chunked"


def last_event(flow: http.HTTPFlow, error: ApiError) -> bytes | None:
    """The event that ends a broken stream; if all was said before it broke, what is left of it.

    None where no client could read it as an event. That is where the client has half an event
    already, or the stream is no event stream, of a content encoding that is not known, or of a
    length that was promised.
    """
    stream = _unmeasured(flow.response)
    if stream is None or not stream.is_between_events:
        return None
    return stream.ended() if has_said_all(flow) else stream.last(error)


def has_said_all(flow: http.HTTPFlow) -> bool:
    """Whether a broken stream ends cleanly for its client, since its last event had come."""
    stream = _unmeasured(flow.response)
    return stream is not None and stream.has_said_all(partial(pictures_asked_by, flow.request))


def pictures_asked_by(request: http.Request) -> int:
    """For how many pictures a request asks, if it is for pictures."""
    body = request.get_content(strict=False) or b""
    return pictures_asked(body, request.headers.get("content-type"))


def _unmeasured(response: http.Response | None) -> Tee | None:
    """What an answer passes through that promises no length; None of any other answer."""
    if response is None or "content-length" in response.headers:
        return None
    return response.stream if isinstance(response.stream, Tee) else None


def event_of(exchange: Exchange | None, error: ApiError) -> bytes:
    """The last event of a stream that broke, as the clients of the exchange's operation read it."""
    call = None if exchange is None else exchange.call
    seen = None if exchange is None else exchange.observation
    operation = OTHER if call is None else call.operation
    transcript = None if seen is None else seen.transcript
    return error_event(error, operation.name, 0 if transcript is None else transcript.next_number)


def marks_of(
    exchange: Exchange,
    more: Iterable[tuple[bytes, bytes]] = (),
    *,
    has_request_id: bool,
    source: bytes = b"gateway",
) -> list[tuple[bytes, bytes]]:
    """What names the exchange on an answer that is not ours; `more` are further headers."""
    name = exchange.id.encode()
    told = [(b"x-foxora-exchange", name), (b"x-foxora-source", source), *more]
    if not has_request_id:
        told.append((b"x-request-id", name))
    if exchange.retries:
        told.append((b"x-foxora-retries", b"%d" % exchange.retries))
    return told


def replace_body(response: http.Response, error: ApiError, exchange: Exchange) -> None:
    """Put the documented shape in place of an error's body; other headers stay."""
    for name in ("content-encoding", "transfer-encoding", "retry-after", "retry-after-ms"):
        response.headers.pop(name, None)
    body = error.body()
    if response.status_code != error.status:
        response.status_code, response.reason = error.status, ""
    for name, value in error.headers():
        response.headers[name] = value
    response.headers["content-length"] = str(len(body))
    response.raw_content = body
    has_request_id = "x-request-id" in response.headers
    source = error.source.encode()
    flows.put(response, marks_of(exchange, has_request_id=has_request_id, source=source))
