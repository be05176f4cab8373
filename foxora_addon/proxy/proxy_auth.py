"""Lets those calls past mitmproxy's `proxyauth` that bring what it asks for.

It looks once a call's credentials are out of its head. So its own check is made at a stand-in of
that head before; the flow itself never has them. The metadata that `proxyauth` writes has the user
alone, also where the tunnel proved who that is.
"""

from types import SimpleNamespace
from typing import Any, Final
from weakref import WeakSet

from mitmproxy.http import Headers, HTTPFlow

_WITHHELD: Final = "***"


class ProxyAuth:
    """Knows the flows that have proved who they are; `addon` is mitmproxy's, if it is there."""

    def __init__(self, addon: Any = None) -> None:
        self._addon = addon
        self._proved: WeakSet[HTTPFlow] = WeakSet()

    def look(self, flow: HTTPFlow, given: Headers) -> None:
        """Have mitmproxy's addon check the head that a flow arrived with."""
        addon = self._addon
        if addon is None or addon.validator is None:
            return
        if proved := addon.authenticated.get(flow.client_conn):
            addon.authenticated[flow.client_conn] = (proved[0], _WITHHELD)
            return
        request = SimpleNamespace(headers=Headers(given.fields))
        asked = SimpleNamespace(client_conn=flow.client_conn, request=request, metadata={})
        if type(addon).authenticate_http(addon, asked):
            self._proved.add(flow)
            addon.authenticate_http = self._has_proved

    def _has_proved(self, flow: HTTPFlow) -> bool:
        if flow in self._proved:
            return True
        is_proved: bool = type(self._addon).authenticate_http(self._addon, flow)
        return is_proved
