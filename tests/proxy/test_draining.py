import asyncio
import signal
import time
from threading import Thread, get_ident
from types import SimpleNamespace

import pytest

from foxora_addon.proxy import draining
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


def test_a_second_signal_that_comes_as_the_port_closes_ends_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unheard: list[str] = []
    options = SimpleNamespace(update=lambda **_: signal.raise_signal(signal.SIGTERM))
    master = SimpleNamespace(shutdown=lambda: unheard.append("it ends already"))
    monkeypatch.setattr(draining, "ctx", SimpleNamespace(options=options, master=master))

    async def ends() -> None:
        draining.heed_signals()
        await draining.finished_or_hurried(asyncio.Event().wait(), 5)

    before = {number: signal.getsignal(number) for number in draining._SIGNALS}
    try:
        asyncio.run(ends())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert unheard == []
