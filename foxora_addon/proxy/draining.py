"""The end of the program: open calls may finish for a while, unless somebody is in a hurry.

mitmproxy cuts what is in flight once its addons are done (mitmproxy-facts.md row 24), so the time
that calls get is taken there.
"""

import asyncio
import signal
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

from mitmproxy import ctx

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def is_ending() -> bool:
    """Whether the program ends, and not just the script: that is loaded anew as it is edited."""
    return ctx.master.should_exit.is_set()


async def finished_or_hurried(finished: Awaitable[object], seconds: float) -> None:
    """Take no new connections, and wait for the open calls; a second signal ends the wait."""
    ctx.options.update(server=False)
    with _hurry() as hurried:
        waits = [asyncio.ensure_future(finished), asyncio.ensure_future(hurried.wait())]
        _, pending = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()


@contextmanager
def _hurry() -> Iterator[asyncio.Event]:
    """An event that the next signal to end sets."""
    loop, hurried = asyncio.get_running_loop(), asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, hurried.set)
    try:
        yield hurried
    finally:
        for number in _SIGNALS:
            loop.add_signal_handler(number, ctx.master.shutdown)
