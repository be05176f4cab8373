"""Between mitmproxy's flows and our values: reads a head, applies a rewrite, builds an answer."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from mitmproxy import http, tls
from mitmproxy.connection import Client
from mitmproxy.flow import Error, Flow
from mitmproxy.proxy import mode_specs

from foxora_addon.api.errors import ApiError
from foxora_addon.api.ratelimit_headers import NAMES_AS_WRITTEN
from foxora_addon.exchange import GivenHead
from foxora_addon.framing import FRAMING, Index, names_of
from foxora_addon.policy.hosts import BaseUrl, canonical_host
from foxora_addon.policy.recognise import Territory
from foxora_addon.proxy.quick_headers import QuickHeaders, quick, text_of

EXCHANGE = "foxora_exchange"
"""Where a flow's metadata has the id of its exchange, which is no secret (row 14)."""

OPERATION = "foxora_operation"
"""Where the metadata has the name of the call's operation."""

FACTS = "foxora_facts"
"""Where the metadata of a flow that is over has what its records say, as JSON without secrets."""

PRIVATE = "foxora_private"
"""Set in the metadata of a flow that no addon sees: a question to the proxy itself."""


_READERS: Final = b"access-control-allow-origin"
_EXPOSED: Final = b", ".join(
    (
        *(b"retry-after", b"retry-after-ms", b"x-should-retry", b"x-request-id"),
        *(b"x-foxora-exchange", b"x-foxora-source", b"x-foxora-retries"),
        *sorted(NAMES_AS_WRITTEN),
    )
)
_NAMED_BY_HEADER: Final = frozenset({b"HTTP/1.1", b"HTTP/1.0"})


def rewrite(
    request: http.Request, gateway: BaseUrl, head: GivenHead, target: str
) -> Mapping[str, object]:
    """Turn the flow's request to the gateway, with a head that has been.

    Host and `:authority` are set as setting `request.host` would set them (row 9), all at once.
    Returns what its data says of its method and of where it goes from now on.
    """
    data = request.data
    headers = QuickHeaders.of(head.fields)
    headers.framed = headers.fields, head.framing
    turned = {
        "method": data.method,
        "scheme": gateway.scheme.encode(),
        "host": gateway.host,
        "port": gateway.port,
        "path": target.encode("utf-8", "surrogateescape"),
    }
    vars(data).update(turned, headers=headers)
    if data.authority:
        data.authority = gateway.authority.encode()
    request.stream = False
    return turned


def header(headers: http.Headers, name: bytes) -> str | None:
    """What `headers.get` gives, of a name in lower case: that makes a text of each name first."""
    if type(headers) is QuickHeaders:
        found: str | None = headers.get(name)
        return found
    names = names_of(headers.fields)
    if name not in names:
        return None
    if names.count(name) == 1:
        return text_of(headers.fields[names.index(name)][1])
    joined: str = headers[name]
    return joined


def host_header(request: http.Request) -> str | None:
    """What `request.host_header` gives: the authority of HTTP/2, or the Host header."""
    if request.data.http_version in _NAMED_BY_HEADER:
        return header(request.headers, b"host")
    return request.host_header


def put(message: http.Message, fields: Sequence[tuple[bytes, bytes]]) -> None:
    """Set several headers at once, each in place of all that have its name.

    Names are in lower case, and each is there once.
    """
    before = quick(message)
    index, new = before.index, dict(fields)
    if index.keys().isdisjoint(new):
        headers = QuickHeaders.of((*before.fields, *fields))
        headers.indexed = headers.fields, {**index, **new}
        if before.framed[0] is before.fields and FRAMING.isdisjoint(new):
            headers.framed = headers.fields, before.framed[1]
    else:
        kept = [field for field in before.fields if field[0].lower() not in new]
        headers = QuickHeaders.of((*kept, *fields))
    message.data.headers = headers


def response_of(
    error: ApiError, exchange_id: str, more: Iterable[tuple[bytes, bytes]] = ()
) -> http.Response:
    """The answer that tells a client of an error; `more` are further headers."""
    headers = [(name.encode(), value.encode()) for name, value in error.headers()]
    headers.extend(more)
    headers.append((b"x-foxora-exchange", exchange_id.encode()))
    headers.append((b"x-request-id", exchange_id.encode()))
    return http.Response.make(error.status, error.body(), http.Headers(headers))


def readable_by(
    origin: str | None, index: Index = MappingProxyType({})
) -> list[tuple[bytes, bytes]]:
    """What lets the page of an origin read an answer, unless it says itself who may.

    `index` is that of its headers (Fetch standard, 3.2: CORS protocol). None is no page.
    """
    if origin is None or _READERS in index:
        return []
    told = [(_READERS, origin.encode()), (b"access-control-expose-headers", _EXPOSED)]
    said = index.get(b"vary", [])
    varies = [said] if isinstance(said, bytes) else said
    return [*told, (b"vary", b", ".join((*varies, b"origin")))]


def is_ours(flow: object) -> bool:
    """Whether a flow of any kind is an exchange of ours, at any time after it arrived."""
    return isinstance(flow, http.HTTPFlow) and EXCHANGE in flow.metadata


def is_loaded(flow: Flow) -> bool:
    """Whether a flow was read from a file, so that nothing of it goes anywhere.

    One that was killed is no longer live either, and addons are still to hear of that.
    """
    return not (flow.live or (flow.error and flow.error.msg == Error.KILLED_MESSAGE))


def is_to_strangers(
    data: tls.ClientHelloData, territory: Territory, listeners: Collection[tuple[str, int]]
) -> bool:
    """Whether a client's TLS is for a host that is not ours; unknown is not."""
    address = data.context.server.address
    if address is None:
        return False
    port = address[1]
    names = {canonical_host(name) for name in (address[0], data.client_hello.sni) if name}
    return not any(
        (name, port) in listeners or territory.holds(name, port) for name in names if name
    )


def is_local(client: Client) -> bool:
    """Whether a client can only be this machine's, or has proved who it is by its tunnel's key."""
    mode = client.proxy_mode
    if isinstance(mode, mode_specs.LocalMode | mode_specs.WireGuardMode):
        return True
    host = client.peername[0].partition("%")[0]
    return host == "::1" or host.startswith(("127.", "::ffff:127."))
