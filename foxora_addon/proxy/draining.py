"""The end of the program: open calls may finish for a while, unless somebody is in a hurry.

mitmproxy cuts what is in flight once its addons are done (mitmproxy-facts.md row 24), so the time
that calls get is taken there.

Signals are Python's own here, not the loop's. To the loop they come through a pipe, in which what
finds no room is lost, and mitmproxy puts a byte there for each line of its log: a burst of them, as
a flood of pings makes, and it would not end. The pipe still wakes the loop, for a signal that comes
as it is about to wait.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from mitmproxy import ctx

_NAMES = ("SIGINT", "SIGTERM", "SIGQUIT")
_SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


def heed_signals() -> None:
    """Take the signals to end; SIGQUIT, a terminal's second way, as mitmproxy takes SIGTERM.

    Not where whoever started us had one ignored: shells do so for what runs behind an `&`. Nor
    SIGINT from mitmproxy's console, which asks first.
    """
    asks_first = hasattr(ctx.master, "prompt_for_exit")
    for number in _heeded():
        if number != signal.SIGINT or not asks_first:
            on_signal(number, ctx.master.shutdown)


def on_signal(number: signal.Signals, then: Callable[[], object]) -> None:
    """Have the running loop call `then` at a signal from now on; behind its end, it is as ever."""
    loop = asyncio.get_running_loop()

    def told(*_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(then)
            return
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    with suppress(NotImplementedError):  # no loop of Windows has any
        loop.add_signal_handler(number, bool)
        signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)
    signal.signal(number, told)


def _heeded() -> list[signal.Signals]:
    return [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def is_ending() -> bool:
    """Whether the program ends, and not just the script: that is loaded anew as it is edited."""
    return ctx.master.should_exit.is_set()


async def finished_or_hurried(finished: Awaitable[object], seconds: float) -> None:
    """Take no new connections, and wait for the open calls; a second signal ends the wait."""
    with _hurry() as hurried:
        ctx.options.update(server=False)
        waits = [asyncio.ensure_future(finished), asyncio.ensure_future(hurried.wait())]
        _, pending = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()


@contextmanager
def _hurry() -> Iterator[asyncio.Event]:
    """An event that the next signal to end sets."""
    hurried, numbers = asyncio.Event(), _heeded()
    for number in numbers:
        on_signal(number, hurried.set)
    try:
        yield hurried
    finally:
        for number in numbers:
            on_signal(number, ctx.master.shutdown)
