"""Lets go of messages of open WebSockets that have passed: mitmproxy keeps all, however many.

The newest stay, for windows and for other addons, which find the one that passes at the end. What
is on record of them is `audit.contents`' business.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from mitmproxy import ctx
from mitmproxy.http import HTTPFlow
from mitmproxy.websocket import WebSocketMessage

MOST_MESSAGES: Final = 4_000
KEPT_MESSAGES: Final = 2_000
"""So many stay of more. mitmweb draws anew when their number is another than it was."""

KEPT_BYTES: Final = 4 * 1_048_576
LOOK_BYTES: Final = 4 * 1_048_576
"""After so many more they are looked at."""


class OpenSocket(NamedTuple):
    """An open WebSocket. `size` is that of all messages that it ever had, in bytes."""

    flow: HTTPFlow
    size: int


class PassedMessages:
    """What was looked at of the messages of open WebSockets."""

    def __init__(self) -> None:
        self._looked_at: dict[str, int] = {}

    def tidy(self, sockets: Iterable[OpenSocket]) -> None:
        """Let go of the oldest messages of those that have many, unless all are to be saved."""
        options = ctx.options
        if not options.foxora_keep_bytes or options.save_stream_file or options.hardump:
            return
        seen, self._looked_at = self._looked_at, {}
        for flow, size in sockets:
            looked_at = seen.get(flow.id, 0)
            messages = flow.websocket.messages if flow.websocket else []
            if size - looked_at >= LOOK_BYTES or len(messages) > MOST_MESSAGES:
                looked_at = size
                del messages[: superfluous(messages)]
            self._looked_at[flow.id] = looked_at


def superfluous(messages: list[WebSocketMessage]) -> int:
    """How many of the oldest are to go; the newest never does."""
    kept = size = 0
    for message in reversed(messages):
        size += len(message.content)
        if kept and (size > KEPT_BYTES or kept == KEPT_MESSAGES):
            break
        kept += 1
    return len(messages) - kept
