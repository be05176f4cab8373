"""Whole messages: what a stream is told in one event where a message has come in one piece.

Its HTTP/1 connection tells it so where speed-ups are in place (`fast.whole`).
"""

from collections.abc import Iterator
from typing import Final

from mitmproxy.http import Request, Response
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http._base import HttpEvent

from foxora_addon.proxy.hold_stream import Held
from foxora_addon.proxy.option_reading import FromOptions


class WholeRequest(http_events.RequestHeaders):
    """A request that has come in one piece: its head, and what follows it.

    `is_checked`: there is nothing to say against the head, nor does it ask for anything unusual.
    """

    def __init__(
        self, stream_id: int, request: Request, body: bytes, *, is_checked: bool = False
    ) -> None:
        super().__init__(stream_id, request, not body)
        self.body = body
        self.is_checked = is_checked


class WholeAnswer(http_events.ResponseHeaders):
    """An answer likewise; its body is in the pieces that its chunks are, if it has any.

    `is_over`: its head says that there is no body.
    """

    def __init__(
        self,
        stream_id: int,
        response: Response,
        pieces: list[bytes],
        *,
        is_over: bool = False,
        is_checked: bool = False,
    ) -> None:
        super().__init__(stream_id, response, is_over)
        self.pieces = [piece for piece in pieces if piece]
        self.is_checked = is_checked


def rest_of(self: Held, whole: WholeRequest | WholeAnswer, stream_id: int) -> Iterator[HttpEvent]:
    """What is left of a whole message once a stream has heard of its head, event by event.

    A body that is only kept until the end is put where it is kept, in place of an event.
    """
    if isinstance(whole, WholeRequest):
        if whole.body:
            yield http_events.RequestData(stream_id, whole.body)
        yield http_events.RequestEndOfMessage(stream_id)
        return
    is_kept = self.server_state == self.state_consume_response_body and has_no_limits(self)
    for piece in whole.pieces:
        if is_kept:
            self.foxora.answer_size += len(piece)
            self.response_body_buf += piece
        else:
            yield http_events.ResponseData(stream_id, piece)
    yield http_events.ResponseEndOfMessage(stream_id)


def keeps(self: Held, piece: http_events.RequestData) -> bool:
    """Put a piece of a request where it is kept until that is over, if nothing else is to be done.

    As `state_consume_request_body` does, without a step of the stream's.
    """
    if self.client_state != self.state_consume_request_body or not has_no_limits(self):
        return False
    self.request_body_buf += piece.data
    return True


def has_no_limits(self: Held) -> bool:
    """Whether bodies are kept whatever their size, as far as mitmproxy is concerned."""
    return _HAVE_NO_LIMITS.of(self.context.options)


_HAVE_NO_LIMITS: Final = FromOptions(
    lambda options: not (options.stream_large_bodies or options.body_size_limit)
)
