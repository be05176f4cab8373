"""The way of a request: from the head that arrives to the copy that is sent.

Functions on one flow and its exchange. Which exchanges are open, and what happens when one of these
raises, is the desk's business.
"""

from mitmproxy import http

from foxora_addon.api.errors import ApiError, request_too_large
from foxora_addon.exchange import Exchange
from foxora_addon.pipeline import Pipeline
from foxora_addon.policy.hosts import canonical_host
from foxora_addon.proxy import flows
from foxora_addon.reception import Arrival


def take_in(
    flow: http.HTTPFlow, arrival: Arrival, pipeline: Pipeline, now: float
) -> Exchange | None:
    """Recognise a request and turn its flow to the gateway; None if it is not ours."""
    rewritten = pipeline.arrive(arrival, now)
    if rewritten is None:
        return None
    flows.rewrite(flow.request, pipeline.rules.gateway, rewritten.fields, rewritten.target)
    return rewritten.exchange


def too_large(flow: http.HTTPFlow, limit: int, size: int | None = None) -> ApiError | None:
    """The refusal of a body over `limit` bytes; `size` None asks for the declared length."""
    if size is None:
        declared = flows.header(flow.request.headers, b"content-length") or ""
        size = int(declared[:18]) if declared.isdigit() else 0
    if size <= limit:
        return None
    return request_too_large(
        f"The request's body is over {limit} bytes, the proxy's intercept.max_request_bytes."
    )


def put_body(request: http.Request, body: bytes) -> None:
    """Put the body that a rule has made in place of the client's own."""
    request.headers.pop("content-encoding", None)
    request.raw_content = body
    if "transfer-encoding" not in request.headers:
        request.headers["content-length"] = str(len(body))


class Changed(Exception):  # noqa: N818  # reads as what it says where it is raised
    """A call is no longer what was recorded; `str` is one line for the log."""


def with_key(
    flow: http.HTTPFlow, exchange: Exchange, request: http.Request, pipeline: Pipeline, now: float
) -> http.Request:
    """The copy that is sent, with the key on.

    Raises `Changed` where it must not be: whatever other addons and their user did to the flow, it
    must still be the request that was decided on and recorded; RuntimeError if the way is not safe.
    """
    gateway, data = pipeline.rules.gateway, request.data
    host: str = data.host
    if host != gateway.host and canonical_host(host) == gateway.host:
        host = gateway.host
    if (host, data.port) != (gateway.host, gateway.port) or request.scheme != gateway.scheme:
        where = f"{request.scheme}://{request.host}:{request.port}"
        raise Changed(f"exchange {exchange.id} was turned to {where} after it was recorded")
    recorded = exchange.gateway_url or ""
    if request.path != recorded[recorded.find("/", len("https://")) :]:
        raise Changed(f"the path of exchange {exchange.id} was changed after it was recorded")
    if request.method != exchange.line.method:
        raise Changed(f"the method of exchange {exchange.id} was changed after it was recorded")
    if (data.content or b"") != exchange.sent_body:
        raise Changed(f"the body of exchange {exchange.id} was changed after it was recorded")
    if gateway.scheme == "http" and flow.server_conn.via:
        raise RuntimeError("an upstream proxy would see the key of an http:// gateway")
    key = pipeline.send(exchange, now)
    return _copy_with(request, key)


def _copy_with(request: http.Request, key: str | None) -> http.Request:
    """A request of the same head and body, but for the key: what it holds else can't change."""
    fields = [field for field in request.headers.fields if field[0].lower() != b"authorization"]
    if key is not None:
        fields.append((b"authorization", f"Bearer {key}".encode("utf-8", "surrogateescape")))
    sent, data = object.__new__(http.Request), object.__new__(http.RequestData)
    vars(data).update(vars(request.data), headers=flows.headers_with(fields))
    sent.data, sent.stream = data, request.stream
    return sent
