import asyncio
import signal
import time
from threading import Thread, get_ident

from foxora_addon.proxy.draining import on_signal


def _take_in_this_thread() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    time.sleep(0.2)  # the loop waits by then
    signal.pthread_kill(get_ident(), signal.SIGUSR1)


async def _seconds_until_told() -> float:
    told = asyncio.Event()
    on_signal(signal.SIGUSR1, told.set)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    began = time.monotonic()
    asyncio.get_running_loop().call_later(5, told.set)
    Thread(target=_take_in_this_thread).start()
    await told.wait()
    return time.monotonic() - began


def test_a_signal_that_does_not_interrupt_the_wait_of_the_loop_wakes_it() -> None:
    try:
        assert asyncio.run(_seconds_until_told()) < 4
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
