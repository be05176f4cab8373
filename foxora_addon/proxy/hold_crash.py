"""Learns of what is raised in mitmproxy's own layers: it logs that, and tells nobody.

Whoever waits for an answer there would wait on, until a deadline says that the gateway is late.
"""

from typing import Any, Final, cast

from mitmproxy.proxy import events
from mitmproxy.proxy.server import ConnectionHandler

from foxora_addon.proxy import hold
from foxora_addon.proxy.hold_stream import Commands

_SERVER_EVENT: Final = ConnectionHandler.server_event


class _Outermost:
    """The outermost layer of a client's connection, which has the desk told of what it raises."""

    def __init__(self, handler: ConnectionHandler) -> None:
        self._layer, self._client = handler.layer, handler.client

    def handle_event(self, event: events.Event) -> Commands:
        try:
            yield from self._layer.handle_event(event)
        except Exception:
            hold.crashed(self._client)
            raise


def guard(handler: ConnectionHandler | None) -> None:
    """Have the desk hear of a crash on a connection that begins; `fast.server` tells it itself."""
    if handler is not None and type(handler).server_event is _SERVER_EVENT:
        handler.layer = cast("Any", _Outermost(handler))
