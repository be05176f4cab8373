"""The way of a request: from the head that arrives to the copy that is sent.

Functions on one flow and its exchange. Which exchanges are open, and what happens when one of these
raises, is the desk's business.
"""

import re
from functools import lru_cache
from typing import Final

from mitmproxy import http

from foxora_addon.api.errors import ApiError
from foxora_addon.api.forms import boundary_of
from foxora_addon.exchange import Exchange, GivenHead, State
from foxora_addon.framing import frames_in, tells_end, written
from foxora_addon.pipeline import Pipeline
from foxora_addon.policy.hosts import BaseUrl, canonical_host
from foxora_addon.policy.validation import too_long
from foxora_addon.proxy import failures, flows
from foxora_addon.proxy.quick_headers import QuickHeaders, values_in
from foxora_addon.reception import Arrival

_WIDE: Final = r"utf-?(?:16|32)[a-z]*"
_WIDE_CHARSET: Final = re.compile(
    rf';\s*charset\s*=\s*(?:{_WIDE}|"{_WIDE}")(?=\s*(?:;|\Z))', re.IGNORECASE
)
"""What JSON was in that a rule has changed: that is written in UTF-8."""


def take_in(
    flow: http.HTTPFlow, arrival: Arrival, pipeline: Pipeline, now: float
) -> Exchange | None:
    """Recognise a request and turn its flow to the gateway; None if it is not ours."""
    rewritten = pipeline.arrive(arrival, now)
    if rewritten is None:
        return None
    exchange, gateway = rewritten.exchange, pipeline.rules.gateway
    exchange.turned = flows.rewrite(flow.request, gateway, rewritten.head, rewritten.target)
    return exchange


def declared_size(arrival: Arrival) -> int:
    """The bytes that a head says its body has; 0 if it says nothing of them, or nothing clear."""
    digits = b"" if arrival.length_at is None else arrival.fields[arrival.length_at][1]
    return int(digits[:18]) if digits.isdigit() else 0


def too_large(size: int, limit: int) -> ApiError | None:
    """The refusal of a body over `limit` bytes."""
    return too_long(limit) if size > limit else None


def heed_head(request: http.Request, exchange: Exchange) -> str | None:
    """Take what a head says of its body now, which another addon may have changed since it came.

    That is a form's boundary, which the exchange has, and what the body is encoded in.
    """
    headers, given, call = request.headers, exchange.head, exchange.call
    if given is not None and headers.fields is given.fields:
        return given.encoding
    if call is not None and call.operation.has_form:
        boundary = boundary_of(flows.header(headers, b"content-type"))
        exchange.call = call._replace(boundary=boundary)
    return flows.header(headers, b"content-encoding")


def record_undecided(
    flow: http.HTTPFlow, exchange: Exchange, pipeline: Pipeline, now: float
) -> None:
    """Write the request record of a call that ends before it is decided on, with what came of it.

    Its body is looked through for secrets as any other is: without its content encoding. If it
    stood in line, it has waited until now.
    """
    if exchange.ticket is not None:
        exchange.waited_seconds = now - exchange.ticket.joined_at
    encoding = heed_head(flow.request, exchange)
    pipeline.record(exchange, flow.request.raw_content or b"", encoding, now)


def put_body(request: http.Request, body: bytes) -> None:
    """Put the body that a rule has made in place of the client's own."""
    request.headers.pop("content-encoding", None)
    content_type = flows.header(request.headers, b"content-type")
    if content_type is not None and _WIDE_CHARSET.search(content_type):
        request.headers["content-type"] = _WIDE_CHARSET.sub("; charset=utf-8", content_type)
    request.raw_content = body
    if "transfer-encoding" not in request.headers:
        request.headers["content-length"] = str(len(body))


def put_back(request: http.Request, exchange: Exchange) -> None:
    """Put what was to be sent in place of what the proxy itself has asked for beyond it.

    Where that is the client's own body, what its head said of it is true again.
    """
    put_body(request, exchange.sent_body)
    if exchange.changes.keys() <= {"stream_options"}:
        for name in ("content-type", "content-encoding"):
            if values := values_in(exchange.own_fields, name):
                request.headers.set_all(name, values)


class NotSent(Exception):  # noqa: N818  # reads as what it says where it is raised
    """A call must not be sent; `str` is one line for the log, `worded` how it ends."""

    def __init__(self, text: str, worded: failures.Worded) -> None:
        super().__init__(text)
        self.worded = worded


def check_decided(exchange: Exchange, request: http.Request) -> BaseUrl:
    """The gateway that a call goes to, be it no longer the one of the rules in force.

    Raises `NotSent` where nobody has decided on it, or it goes elsewhere. Whatever other addons
    did: the first is theirs where they fail, the second where they turn it.
    """
    gateway = exchange.gateway
    if exchange.state is State.ARRIVED or gateway is None:
        raise NotSent(f"exchange {exchange.id} was never decided on", failures.UNDECIDED)
    turned = exchange.turned
    if turned is None or not turned.items() <= vars(request.data).items():
        _check_line(exchange, request, gateway)
    return gateway


def _check_line(exchange: Exchange, request: http.Request, gateway: BaseUrl) -> None:
    """Raise `NotSent` unless a request goes where it was to, in whatever spelling."""
    host: str = request.data.host
    if host != gateway.host and canonical_host(host) == gateway.host:
        host = gateway.host
    if (host, request.port) != (gateway.host, gateway.port) or request.scheme != gateway.scheme:
        where = f"{request.scheme}://{request.host}:{request.port}"
        raise _changed(f"exchange {exchange.id} was turned to {where}")
    recorded = exchange.gateway_url or ""
    if request.path != recorded[recorded.find("/", len("https://")) :]:
        raise _changed(f"the path of exchange {exchange.id} was changed")
    if request.method != exchange.line.method:
        raise _changed(f"the method of exchange {exchange.id} was changed")


def with_key(
    flow: http.HTTPFlow, exchange: Exchange, request: http.Request, pipeline: Pipeline, now: float
) -> http.Request:
    """The copy that is sent, with the key on.

    Raises `NotSent` where it must not be: whatever other addons and their user did to the flow, it
    must still be the request that was decided on and recorded, and nobody else may see the key.
    """
    gateway = check_decided(exchange, request)
    if (request.data.content or b"") != exchange.sent_body:
        raise _changed(f"the body of exchange {exchange.id} was changed")
    if gateway.scheme == "http" and flow.server_conn.via:
        text = "an upstream proxy would see the key of an http:// gateway"
        raise NotSent(text, failures.EXPOSED)
    key = pipeline.send(exchange, now)
    return _copy_with(request, exchange.head, key)


def _changed(what: str) -> NotSent:
    return NotSent(f"{what} after it was recorded", failures.CHANGED)


def _copy_with(request: http.Request, given: GivenHead | None, key: str | None) -> http.Request:
    """A request of the same head and body, but for the key: what it holds else can't change.

    It tells its body's length. HTTP/2 need not, and another addon may have put a wrong one; what is
    beyond it an HTTP/1 gateway would take for a further request, which is on no record. And it is
    of our own version, not of the client's (RFC 9112, 2.3): to HTTP/1.0 some gateways say no end of
    a stream, and keep the connection.
    """
    fields, body = request.data.headers.fields, request.data.content or b""
    own, line = _own_of(key)
    if given is not None and fields is given.fields and (given.is_framed or not body):
        headers = QuickHeaders.of((*fields[:-1], *own))
        headers.framed = headers.fields, given.framing
        headers.written = headers.fields, given.written + line
    else:
        kept = [field for field in fields if field[0].lower() != b"authorization"]
        frames = frames_in(kept)
        if not tells_end(frames, len(body)):
            kept = [field for field in kept if field not in frames]
            kept.append((b"content-length", b"%d" % len(body)))
        headers = QuickHeaders.of((*kept, *own))
    sent, data = object.__new__(http.Request), object.__new__(http.RequestData)
    vars(data).update(vars(request.data), headers=headers)
    if data.http_version == b"HTTP/1.0":
        data.http_version = b"HTTP/1.1"
    sent.data, sent.stream = data, request.stream
    return sent


@lru_cache(maxsize=256)
def _own_of(key: str | None) -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    """The field that has a key, if there is one; and what it is on HTTP/1."""
    if key is None:
        return (), b""
    own = ((b"authorization", f"Bearer {key}".encode("utf-8", "surrogateescape")),)
    return own, written(own)
