"""Reads what flows arrive with: their heads, as the clients sent them."""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from mitmproxy import http
from mitmproxy.net.http import url as urls

from foxora_addon.framing import Fields
from foxora_addon.policy.hosts import canonical_host
from foxora_addon.policy.recognise import Addressed, Head
from foxora_addon.proxy import hold
from foxora_addon.proxy.quick_headers import QuickHeaders
from foxora_addon.reception import Arrival, is_short, without_length

_MOST_HEADS: Final = 256
_EXPLICIT: Final = frozenset({"regular", "upstream"})
"""The modes of mitmproxy in which a client knows that it talks to a proxy."""

type Listeners = Collection[tuple[str, int]]


class Arrivals:
    """What flows arrive with. It is read once of heads that are alike but for the body's length.

    `listeners` gives the addresses that we listen on. It asks the system, so it is only called
    where that decides.
    """

    def __init__(self, listeners: Callable[[], Listeners]) -> None:
        self._listeners = listeners
        self._known: dict[object, Arrival] = {}

    def of(self, flow: http.HTTPFlow, told: hold.SentHead) -> Arrival:
        """A flow's request as the client sent it."""
        data, client = flow.request.data, flow.client_conn
        fields: tuple[tuple[bytes, bytes], ...] = data.headers.fields
        peer: tuple[str, int] | None = client.peername
        address, port = (peer[0], peer[1]) if peer else (None, None)
        addressed = _addressed(flow, told, self._listeners)
        line = data.method, data.scheme, data.host, data.port, data.path, data.http_version
        others, length_at = _without_length(data.headers)
        seen = line, told, client.sni, addressed, address, others
        known = self._known.get(seen)
        if known is None:
            known = Arrival(
                head=_head_of(flow, told, addressed),
                fields=fields,
                url=_url_of(flow, told),
                version=flow.request.http_version,
                address=address,
                port=port,
                alike=object(),
            )
            self._remember(seen, known)
        return Arrival(
            known.head, fields, known.url, known.version, address, port, known.alike, length_at
        )

    def _remember(self, seen: object, arrival: Arrival) -> None:
        if is_short(arrival.url, arrival.fields):
            if len(self._known) >= _MOST_HEADS:
                self._known.clear()  # it costs less than to know which came last
            self._known[seen] = arrival


def _without_length(headers: http.Headers) -> tuple[Fields, int | None]:
    """What `without_length` gives, which is known already of a head that has come before."""
    if type(headers) is QuickHeaders and headers.measured[0] is headers.fields:
        return headers.measured[1]
    return without_length(headers.fields)


def _head_of(flow: http.HTTPFlow, told: hold.SentHead, addressed: Addressed) -> Head:
    request = flow.request
    return Head(
        method=request.method,
        hosts=tuple(_hosts(flow, told)),
        port=request.port,
        target=request.path,
        addressed=addressed,
        host_header=told.host_header,
        origin=request.headers.get("origin"),
        own_origin=_own_origin(flow, told),
        fetch_site=request.headers.get("sec-fetch-site"),
        asks_preflight="access-control-request-method" in request.headers,
    )


def _own_origin(flow: http.HTTPFlow, told: hold.SentHead) -> str:
    """The web origin of what the client has asked, without a port that goes without saying."""
    scheme = "https" if flow.client_conn.tls else "http"
    authority = _authority(flow, told).lower()
    return f"{scheme}://{authority.removesuffix(':443' if scheme == 'https' else ':80')}"


def _hosts(flow: http.HTTPFlow, told: hold.SentHead) -> Iterable[str]:
    """The names of the destination, the surest first.

    A transparent or SOCKS client gives an address; then the TLS server name or, without TLS, the
    Host header says which host it wants (in these modes the original host decides).
    """
    yield canonical_host(flow.request.host) or ""
    if flow.client_conn.sni:
        yield canonical_host(flow.client_conn.sni) or ""
    elif _is_address(flow.request.host) and told.host_header:
        yield canonical_host(told.host_header.rpartition(":")[0] or told.host_header) or ""


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit() or ":" in host


def _addressed(
    flow: http.HTTPFlow, told: hold.SentHead, listeners: Callable[[], Listeners]
) -> Addressed:
    mode = flow.client_conn.proxy_mode
    if mode.type_name == "reverse" or (mode.type_name in _EXPLICIT and not told.names_host):
        return "proxy"
    host = canonical_host(flow.request.host) or ""
    return "proxy" if (host, flow.request.port) in listeners() else "host"


def _url_of(flow: http.HTTPFlow, told: hold.SentHead) -> str:
    path = flow.request.path
    slash = "" if path.startswith("/") else "/"  # HTTP/2 can name a path without one
    return f"{flow.request.scheme or 'http'}://{_authority(flow, told)}{slash}{path}"


def _authority(flow: http.HTTPFlow, told: hold.SentHead) -> str:
    if told.host_header:
        return told.host_header
    return urls.hostport(flow.request.scheme, flow.request.host, flow.request.port)
