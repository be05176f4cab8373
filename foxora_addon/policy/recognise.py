"""Decides whether a request is a call for the gateway, and under which path.

It knows names, ports and paths. It knows nothing of keys or bodies, and it never looks a name up.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from string import ascii_letters, digits
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote

from foxora_addon.api.endpoints import API_ROOTS, MOST_DECODINGS, Operation, find_operation
from foxora_addon.api.errors import ApiError, forbidden_origin, invalid_request, not_found
from foxora_addon.policy.hosts import HostPattern, canonical_host

Addressed = Literal["proxy", "host"]
"""`proxy`: the client names this listener as its API (base URL, reverse mode). `host`: it names
another host and this is its proxy."""

Outside = Literal["ours", "if shaped", "foreign"]


class Head(NamedTuple):
    """What the head of a request says, as the client sent it.

    `hosts` are the names that the client gave for its destination, lower-cased, the surest first
    (the CONNECT or URL host, then the TLS server name). `target` is path and query. `origin` is
    that of the web page that sent it, `own_origin` that of what it was sent to.
    """

    method: str
    hosts: tuple[str, ...]
    port: int
    target: str
    addressed: Addressed
    host_header: str | None = None
    origin: str | None = None
    own_origin: str | None = None
    fetch_site: str | None = None
    asks_preflight: bool = False


class Place(NamedTuple):
    """A host whose API we serve, and the paths below which that API lies, the longest first.

    `outside` says what other paths of the host are: calls as well (a base URL without `/v1`), calls
    if they are shaped like one, or somebody's web site.
    """

    host: HostPattern
    prefixes: tuple[str, ...]
    outside: Outside = "foreign"


@dataclass(frozen=True, slots=True)
class Territory:
    """All that is ours, built once for a configuration by `territory_of`.

    `prefixes` are the paths below which any provider keeps this API, the longest first. `own_names`
    are the names that this listener answers to, `origins` the web origins that may call it.
    """

    own_names: frozenset[str]
    origins: frozenset[str]
    prefixes: tuple[str, ...]
    _by_host: Mapping[str, tuple[Place, ...]]

    def places_of(self, host: str, port: int) -> Iterator[Place]:
        """The places that a destination is in: those of its own name, then those of `*.` above."""
        yield from self._listed(host, port)
        labels = host.split(".")
        for index in range(1, len(labels)):
            yield from self._listed("*." + ".".join(labels[index:]), port)

    def _listed(self, host: str, port: int) -> Iterator[Place]:
        for place in self._by_host.get(host, ()):
            if place.host.port in {None, port}:
                yield place

    def holds(self, host: str, port: int) -> bool:
        """Whether anything at this destination can be ours; decides what TLS is opened."""
        return any(True for _ in self.places_of(host, port))


def territory_of(
    places: Iterable[Place], own_names: Iterable[str], origins: Iterable[str] = ()
) -> Territory:
    """Build a territory: places indexed by host, all their prefixes together, longest first."""
    by_host: dict[str, tuple[Place, ...]] = {}
    prefixes = {"/v1", "/openai/v1", "/openai"}
    for place in places:
        by_host[place.host.host] = (*by_host.get(place.host.host, ()), place)
        prefixes.update(prefix for prefix in place.prefixes if prefix)
    ordered = tuple(sorted(prefixes, key=len, reverse=True))
    return Territory(frozenset(own_names), frozenset(origins), ordered, by_host)


class Recognised(NamedTuple):
    """A call for the gateway.

    `path` lies below the gateway's base path and begins with a slash; `query` has no question mark.
    `deployment` is the model that an Azure path names; None where it names none. `boundary` is that
    of the form in an upload's body; None where it is no form. `model` is the one that the gateway
    is asked for in a realtime session's URL; None: in none, or that names none.
    """

    operation: Operation
    path: str
    query: str
    deployment: str | None = None
    preflight: bool = False
    boundary: bytes | None = None
    model: str | None = None


METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""What the API may be asked by. TRACE would have the gateway's server echo the key (RFC 9110,
9.3.8), and a word of the client's own could be anything, its key as well."""


def recognise(head: Head, territory: Territory) -> Recognised | ApiError | None:
    """Decide what a request is.

    None: not ours, to be passed on untouched. `ApiError`: ours to answer, and refused: a path that
    could leave `/v1`, a foreign web origin, a name that is not ours, or nothing like the API.
    """
    if head.addressed == "proxy":
        return _recognise_at_proxy(head, territory)
    for host in head.hosts:
        for place in territory.places_of(host, head.port):
            if (found := _recognise_at_place(head, place, territory)) is not None:
                return found
    return None


def _recognise_at_proxy(head: Head, territory: Territory) -> Recognised | ApiError:
    name = host_of(head.host_header)
    if not name and head.method == "PRI":  # what HTTP/2 begins with (RFC 9113, 3.4)
        return invalid_request("HTTP/2 is spoken over TLS alone: use https://, or HTTP/1.1.")
    if not name:
        return invalid_request("The request names no host: send a Host header of this proxy's.")
    if name not in territory.own_names and not territory.holds(name, head.port):
        return _foreign_name(name, territory)
    path = head.target.partition("?")[0]
    plain = _unescaped(path)
    below = _below(path, plain, territory.prefixes)
    shaped = below is not None and below.path != "/"
    if not shaped and _first_segment(plain) not in API_ROOTS:
        return foreign_page(head, territory) or _no_such_path(path)
    return foreign_page(head, territory) or _call(head, below or _Below(path))


def _recognise_at_place(
    head: Head, place: Place, territory: Territory
) -> Recognised | ApiError | None:
    path = head.target.partition("?")[0]
    plain = _unescaped(path)
    below = _below(path, plain, place.prefixes)
    if below is None:
        shaped = _first_segment(plain) in API_ROOTS
        if place.outside == "foreign" or (place.outside == "if shaped" and not shaped):
            return None
    return foreign_page(head, territory) or _call(head, below or _Below(path))


def foreign_page(head: Head, territory: Territory) -> ApiError | None:
    """Refuse what a page of another web origin sends: it would spend the account's key.

    Browsers send `Origin` with every POST and every preflight (Fetch standard, 3.2), and
    `Sec-Fetch-Site` with the requests that carry no Origin (Fetch Metadata, 2.4). Some WebSocket
    libraries send as Origin whatever they connect to: no page of another's has that.
    """
    if head.origin in territory.origins:
        return None
    if head.origin is not None and not _is_own(head.origin, head, territory):
        return _foreign_origin(head.origin)
    if head.fetch_site in {"cross-site", "same-site"}:
        return _foreign_origin("another site")
    return None


def _is_own(origin: str, head: Head, territory: Territory) -> bool:
    """Whether it is that of what is asked, under a name that is ours: others can be rebound."""
    if origin.lower() != head.own_origin:
        return False
    name = host_of(head.host_header)
    return name in territory.own_names or (bool(name) and territory.holds(name, head.port))


def _foreign_origin(origin: str) -> ApiError:
    return forbidden_origin(
        f"A web page of {_shown(origin)} may not call through this proxy. If it is yours, list its "
        "origin under listen.origins in foxora.yaml."
    )


def _foreign_name(name: str, territory: Territory) -> ApiError:
    accepted = ", ".join(sorted(territory.own_names))
    return forbidden_origin(
        f"This proxy does not answer to the name '{_shown(name)}', only to {accepted}. If the name "
        "is yours, list it under listen.names in foxora.yaml."
    )


def _no_such_path(target: str) -> ApiError:
    return not_found(
        f"There is nothing at {_shown(target.partition('?')[0])}. This is foxora-addon: it serves "
        "the OpenAI API below /v1, for example /v1/chat/completions; point OPENAI_BASE_URL there."
    )


def _shown(text: str) -> str:
    """Foreign text as it may stand in a message: printable ASCII, bounded."""
    return re.sub(r"[^\x20-\x7e]", "?", text[:120])


_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)(?=/|$)")
_PORT = re.compile(":?[0-9]*")
_UNRESERVED = ascii_letters + digits + "-._~"
_UNSAFE = re.compile(r"[^\x21-\x7e]|[\\#]")
_SLASHES = re.compile(r"/{2,}")
_PLAIN = {f"%{ord(letter):{form}}": letter for letter in _UNRESERVED for form in ("02x", "02X")}
_ESCAPE = re.compile(r"(%(?:2[DdEe]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee]))")


class _Below(NamedTuple):
    """What of a path lies below the API's root, and the deployment that it names."""

    path: str
    deployment: str | None = None


def _below(path: str, plain: str, prefixes: tuple[str, ...]) -> _Below | None:
    """Read a path, `plain` unescaped, below the longest prefix that fits; None where none does."""
    path, plain = _SLASHES.sub("/", path), _SLASHES.sub("/", plain)
    match = _DEPLOYMENT.match(plain)
    if match and "/openai" in prefixes:
        return _Below(_behind(match.group(), path), unquote(match.group(1)))
    for prefix in prefixes:
        if plain == prefix or plain.startswith(prefix + "/"):
            return _Below(_behind(prefix, path))
    return None


def _unescaped(path: str) -> str:
    """A path with nothing escaped that need not be: it is the same path (RFC 3986, 6.2.2.2).

    Without a call for each escape: a path may have 20,000 of them, and all calls wait meanwhile.
    """
    if "%" not in path:
        return path
    parts = _ESCAPE.split(path)  # every other one is an escape
    parts[1::2] = map(_PLAIN.__getitem__, parts[1::2])
    return "".join(parts)


def _behind(prefix: str, path: str) -> str:
    """What of a path, as it came, lies behind the segments of a prefix."""
    return "/" + "/".join(path.split("/")[1 + prefix.count("/") :])


def _call(head: Head, below: _Below) -> Recognised | ApiError:
    """The call that a target names, if no reading of it can lead out of `/v1`."""
    path, _, query = head.target.partition("?")
    begins_well = path.startswith("/") or path == "*"
    if not begins_well or _UNSAFE.search(head.target) or _leaves_its_folder(path):
        return invalid_request(
            "The request's path begins with no slash, or has a dot segment, a backslash or a "
            "character that is not allowed in a URL; it is not forwarded."
        )
    if head.method not in METHODS:
        return invalid_request(f"The API is asked by {', '.join(sorted(METHODS))} alone.")
    rest = _SLASHES.sub("/", "/" + below.path)
    operation = find_operation(head.method, rest)
    preflight = head.method == "OPTIONS" and head.asks_preflight
    return Recognised(operation, rest, query, below.deployment, preflight)


def _first_segment(plain: str) -> str:
    return plain.strip("/").partition("/")[0]


def _leaves_its_folder(path: str) -> bool:
    """Whether a dot segment stands in the path, at any depth of percent-encoding.

    An encoded slash alone stays: model ids have them (`/v1/models/org%2Fmodel`).
    """
    for _ in range(MOST_DECODINGS):
        if not {".", ".."}.isdisjoint(re.split(r"[/\\;]", path)):
            return True
        decoded = unquote(path)
        if decoded == path:
            return False
        path = decoded
    return True


def host_of(host_header: str | None) -> str:
    """The canonical name in a Host header, without port or brackets; empty if there is none.

    Nor is there one in several (RFC 9112, 3.2).
    """
    if not host_header:
        return ""
    name, port = host_header.strip(), ""
    if name.startswith("["):
        name, _, port = name[1:].partition("]")
    elif name.count(":") == 1:
        name, _, port = name.partition(":")
    is_one = _PORT.fullmatch(port) is not None
    return (canonical_host(name) if is_one else None) or ""
