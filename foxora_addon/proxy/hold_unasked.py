"""Keeping other addons from what nobody asked for, and mitmproxy can't take.

At a 101 mitmproxy passes all that follows on the connection on as it is, the client's next call and
its key as well, and nobody reads it. On trailers behind a request it crashes, on HTTP/1. And it
sends a head as it is, whatever that says of the body's length.
"""

import logging
from typing import Final

from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http import _events as http_events

from foxora_addon.framing import WITHOUT_BODY, frames_in, tells_end
from foxora_addon.proxy.flows import EXCHANGE, is_ours
from foxora_addon.proxy.hold_stream import Held
from foxora_addon.proxy.quick_headers import QuickHeaders

_log = logging.getLogger(__name__)

SWITCHING_PROTOCOLS: Final = 101


def note_head(self: Held) -> None:
    """Remember the head of an answer that the addons are about to hear of."""
    if (response := self.flow.response) is not None:
        self.foxora.status = response.data.status_code
        self.foxora.head = response.data.headers.fields


def note_whole(self: Held) -> None:
    """Remember what they are about to hear of an answer that is complete."""
    if (response := self.flow.response) is not None:
        self.foxora.status = response.data.status_code
        self.foxora.body = response.data.content


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


def keep_to_body(self: Held) -> None:
    """Have the head of an answer of ours that was taken whole tell its body's true length.

    What is beyond the length that it tells, clients take for the next call's answer.
    """
    response = self.flow.response
    if response is None:
        return
    data, noted = response.data, self.foxora
    if data.headers.fields is noted.head and data.content is noted.body:
        return  # nobody changed it
    is_headless = self.flow.request.data.method.upper() == b"HEAD"
    if is_headless or response.stream or data.status_code == SWITCHING_PROTOCOLS:
        return
    if not is_ours(self.flow):
        return
    frames = frames_in(data.headers.fields)
    kept = [field for field in data.headers.fields if field not in frames]
    if data.status_code in WITHOUT_BODY:
        data.content, data.headers = b"", QuickHeaders.of(kept)
    elif frames and not tells_end(frames, len(data.content or b"")):
        length = b"%d" % len(data.content or b"")
        data.headers = QuickHeaders.of((*kept, (b"content-length", length)))


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
