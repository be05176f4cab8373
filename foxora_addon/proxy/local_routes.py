"""The proxy's own answers, below `/_foxora/` on its own port: how it stands, for our command line.

Only a program on this machine is answered, under a loopback name, and no web page of a foreign
origin. These requests are no exchanges: they are not forwarded, recorded or shown to any addon.
What is answered comes from callables that give JSON values without any secret.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final

from mitmproxy import http

from foxora_addon.api.errors import ApiError, forbidden_origin, not_found
from foxora_addon.policy.hosts import is_loopback
from foxora_addon.policy.recognise import Head, Territory, foreign_page, host_of

PREFIX: Final = "/_foxora/"

type Routes = Mapping[str, Callable[[], Any]]
"""Names below the prefix, and what gives their JSON value."""


class LocalRoutes:
    """The routes, by their names."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def answer(self, head: Head, peer: str | None, territory: Territory) -> http.Response | None:
        """The answer to a request whose head this is; None: it is none of ours.

        `peer` is the address that the connection comes from.
        """
        path = head.target.partition("?")[0]
        if head.addressed != "proxy" or not path.startswith(PREFIX):
            return None
        error = _refusal(head, peer, territory)
        source = self._routes.get(path.removeprefix(PREFIX))
        if error is None and (source is None or head.method != "GET"):
            error = not_found(f"There is nothing here. To GET: {self._listed()}.")
        if error is not None or source is None:
            return _response(error or not_found(f"To GET: {self._listed()}."))
        body = json.dumps(source()).encode()
        return http.Response.make(200, body, _HEADERS)

    def _listed(self) -> str:
        return ", ".join(f"{PREFIX}{name}" for name in self._routes)


_HEADERS: Final = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-foxora-source": "addon",
}


def _refusal(head: Head, peer: str | None, territory: Territory) -> ApiError | None:
    """Why nobody may see this: another machine, a name that DNS could rebind, or a web page."""
    if not _is_this_machine(peer) or not is_loopback(host_of(head.host_header)):
        return forbidden_origin(f"{PREFIX} answers this machine alone, under 127.0.0.1.")
    return foreign_page(head, territory)


def _is_this_machine(peer: str | None) -> bool:
    if peer is None:
        return False
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _response(error: ApiError) -> http.Response:
    headers = {**dict(error.headers()), "x-request-id": f"ex_{uuid.uuid4().hex}"}
    return http.Response.make(error.status, error.body(), headers)
