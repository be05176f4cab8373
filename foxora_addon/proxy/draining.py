"""The end of the program: open calls may finish for a while, unless somebody is in a hurry.

mitmproxy cuts what is in flight once its addons are done (mitmproxy-facts.md row 24), so the time
that calls get is taken there.
"""

import asyncio
import signal
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

from mitmproxy import ctx

_NAMES = ("SIGINT", "SIGTERM", "SIGQUIT")
_SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


def heed_signals() -> None:
    """Take SIGQUIT, a terminal's second way to end, as mitmproxy takes SIGTERM.

    Not where whoever started us had it ignored: shells do so for what runs behind an `&`.
    """
    if hasattr(signal, "SIGQUIT") and signal.SIGQUIT in _heeded():
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, ctx.master.shutdown)


def _heeded() -> list[signal.Signals]:
    return [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


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
    loop, hurried, numbers = asyncio.get_running_loop(), asyncio.Event(), _heeded()
    for number in numbers:
        loop.add_signal_handler(number, hurried.set)
    try:
        yield hurried
    finally:
        for number in numbers:
            loop.add_signal_handler(number, ctx.master.shutdown)
