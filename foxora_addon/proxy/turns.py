"""Makes calls wait for their turn: a future for each, and one timer for each account's line.

Who goes when is the accounting's business. Nothing here polls: a line is looked at when it gets a
call, when room was freed, and at the moment that it named itself.
"""

import asyncio
from collections.abc import Callable

from foxora_addon.exchange import Exchange
from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.line import Ticket
from foxora_addon.policy.turns import Ended


class Turns:
    """The calls that wait, in the running asyncio loop. `now` is the accounting's clock."""

    def __init__(self, accounting: Accounting, now: Callable[[], float]) -> None:
        self._accounting = accounting
        self._now = now
        self._waiting: dict[Ticket, asyncio.Future[Ended | None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._woken: set[str] = set()
        accounting.room_freed = self._wake_soon

    async def turn(self, exchange: Exchange) -> None:
        """Wait until the call's wait is over; what it waited for, or its refusal, is then on it.

        Returns at once where it has no ticket, and soon after `left`.
        """
        ticket = exchange.ticket
        if ticket is None:
            return
        future = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        try:
            ended = await future
        finally:
            del self._waiting[ticket]
        if ended is not None:
            exchange.waited_seconds = ended.waited_seconds
            exchange.refusal = self._accounting.admitted(exchange, ended.answer, self._now())

    def left(self, exchange: Exchange) -> None:
        """The exchange is over: if it waits, it waits no longer."""
        future = None if exchange.ticket is None else self._waiting.get(exchange.ticket)
        if future is not None and not future.done():
            future.set_result(None)

    def _wake_soon(self, account: str) -> None:
        if account not in self._woken:
            self._woken.add(account)
            asyncio.get_running_loop().call_soon(self._wake, account)

    def _wake(self, account: str) -> None:
        self._woken.discard(account)
        if (timer := self._timers.pop(account, None)) is not None:
            timer.cancel()
        called = self._accounting.wake(account, self._now())
        for ended in called.ended:
            future = self._waiting.get(ended.ticket)
            if future is not None and not future.done():
                future.set_result(ended)
        if called.next_at is not None:
            delay = max(called.next_at - self._now(), 0.0)
            timer = asyncio.get_running_loop().call_later(delay, self._wake, account)
            self._timers[account] = timer
