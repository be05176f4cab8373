"""Has mitmproxy send saved flows again only once we take calls.

It begins with those of `client_replay` while its addons are still being told that it runs, and so
before ours has heard of that.
"""

import asyncio
from collections.abc import Awaitable, Callable

from mitmproxy.addons.clientplayback import ClientPlayback


def begin_after(ready: asyncio.Event, playback: ClientPlayback | None) -> None:
    """Have a playback that has not begun yet begin when this is so; None: there is none."""
    if playback is None or playback.playback_task is not None:
        return
    begun: Callable[[], Awaitable[None]] = playback.playback

    async def begins() -> None:
        await ready.wait()
        await begun()

    playback.playback = begins  # type: ignore[method-assign]
