"""The way of a WebSocket: from the 101 that opens it to the end of its exchange.

Functions on one flow and its exchange, as in `responses`. What mitmproxy itself does with a
WebSocket is changed in `host_sockets`.
"""

from typing import Final

from mitmproxy import http
from mitmproxy.websocket import WebSocketMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import split_comma_header

from foxora_addon.exchange import Exchange
from foxora_addon.pipeline import Pipeline
from foxora_addon.policy.mask import mask_forms_of, masked
from foxora_addon.proxy import failures
from foxora_addon.proxy.handlers import handler_of
from foxora_addon.proxy.hold_unasked import SWITCHING_PROTOCOLS

_UNREADABLE: Final = (
    "The gateway opened a WebSocket with a compression that the proxy can't read, or that is none "
    "(Sec-WebSocket-Extensions)."
)


def flaw_of_opening(response: http.Response) -> str | None:
    """Why nobody could read what follows a 101, in words for the client; None: it can be read.

    mitmproxy reads the extensions once the client has been told that it may begin, and crashes on
    what wsproto doesn't take.
    """
    agreed = response.headers.get("sec-websocket-extensions", "")
    # As mitmproxy's layer reads it: of a digit or a space that is not ASCII nothing is left.
    for extension in split_comma_header(agreed.encode("ascii", "replace")):
        if extension.split(";", 1)[0].strip() == PerMessageDeflate.name:
            try:
                PerMessageDeflate().finalize(extension)
            except (ValueError, IndexError):
                return _UNREADABLE
    return None


def opens(flow: http.HTTPFlow, exchange: Exchange) -> bool:
    """Whether a 101 is the gateway's, and what follows it will be read as a WebSocket."""
    is_read = flow.websocket is not None and exchange.flaw is None
    return is_read and exchange.answered_status == SWITCHING_PROTOCOLS


def passes(message: WebSocketMessage, exchange: Exchange, pipeline: Pipeline, now: float) -> None:
    """Take a message down, and have it pass as it may: as it came, without the key, or not."""
    if not message.from_client:
        clean = masked(message.content, mask_forms_of(exchange.credential))
        if clean is not message.content:
            message.content = clean
    told = message.content
    passing = pipeline.said(exchange, told, now, is_clients=message.from_client)
    if passing is None:
        message.drop()
    elif passing is not told:
        message.content = passing


def words_for_client(exchange: Exchange) -> list[bytes]:
    """What of our own the client is to be told now; nothing a second time."""
    if exchange.socket is None:
        return []
    words, exchange.socket.words = exchange.socket.words, []
    return words


def end(flow: http.HTTPFlow, exchange: Exchange, pipeline: Pipeline, now: float) -> None:
    """End the exchange of a WebSocket: one that nobody has closed has lost a side (RFC 6455).

    Where that is the gateway, `host_sockets` has left a reason if it was ended for what that said.
    """
    told = flow.websocket
    if told is None or told.close_code != CloseReason.ABNORMAL_CLOSURE:
        pipeline.streamed(exchange, now)
    elif told.closed_by_client:
        pipeline.lost(exchange, "client_disconnected", "network", now)
    else:
        error = failures.BROKEN_FRAMES if told.close_reason else failures.BROKEN_SOCKET
        if told.close_reason == failures.LONG_MESSAGE.message:
            error = failures.LONG_MESSAGE
        pipeline.lost(exchange, "stream_broken", error.source, now, error)


def cut(flow: http.HTTPFlow) -> None:
    """End a WebSocket, and have its last message go nowhere.

    Its connection to the gateway is given up (mitmproxy-facts.md row 21), and the client's follows.
    """
    if flow.websocket is not None:
        flow.websocket.messages[-1].drop()
    handler = handler_of(flow.client_conn)
    transport = handler.transports.get(flow.server_conn) if handler else None
    if transport is not None and transport.handler is not None:
        transport.handler.cancel("failed")
