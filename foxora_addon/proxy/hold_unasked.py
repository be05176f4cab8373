"""Keeping other addons from what nobody asked for, and mitmproxy can't take: tunnels and trailers.

At a 101 mitmproxy passes all that follows on the connection on as it is, the client's next call and
its key as well, and nobody reads it. On trailers behind a request it crashes, on HTTP/1.
"""

import logging
from typing import Final

from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http import _events as http_events

from foxora_addon.proxy.flows import EXCHANGE, is_ours
from foxora_addon.proxy.hold_stream import Held

_log = logging.getLogger(__name__)

SWITCHING_PROTOCOLS: Final = 101


def note_status(self: Held) -> None:
    """Remember the status of an answer that the addons are about to hear of."""
    if self.flow.response is not None:
        self.foxora.status = self.flow.response.data.status_code


def keep_from_switching(self: Held) -> None:
    """Put the status back that was remembered, where they have made a 101 of it."""
    response, status = self.flow.response, self.foxora.status
    if response is None or not SWITCHING_PROTOCOLS == response.data.status_code != status:
        return
    response.status_code = status
    _log.warning(
        "foxora: an addon would make a tunnel (101) of the answer of %s; its status is %d again",
        _name_of(self),
        status,
    )


def can_take(self: Held, command: SendHttp) -> bool:
    """Whether what a stream sends to a server can be sent; it is left out if not."""
    is_trailers = isinstance(command.event, http_events.RequestTrailers)
    if not is_trailers or command.connection.alpn == b"h2":
        return True
    _log.warning(
        "foxora: the trailers of %s are left out: its request goes out over HTTP/1, where "
        "mitmproxy can't say them",
        _name_of(self),
    )
    return False


def _name_of(self: Held) -> str:
    return (
        f"exchange {self.flow.metadata[EXCHANGE]}"
        if is_ours(self.flow)
        else "a call to another host"
    )
