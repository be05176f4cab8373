"""Keeps asking the gateway who the accounts are and what models cost, and makes a call wait for it.

When is asked, how often and how long a call waits stands here; what the answers mean does not, nor
whether a question has room below the account's own ceilings: our questions count as its requests.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from math import inf
from typing import Final, Protocol

from cachetools import TTLCache

from foxora_addon.gateway.client import GatewayClient, NoReply, Reply
from foxora_addon.policy.questions import ME, MODELS

_log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS: Final = 5.0
_MOST_WAITS: Final = 3  # a minute each: an account with room for prices has it by then
_MOST_STRANGERS_AT_ONCE: Final = 100
_MOST_STRANGERS: Final = 10_000


class Books(Protocol):
    """Who counts the questions and takes the answers. Times are seconds of the monotonic clock."""

    def ask(self, payer: str, path: str, now: float) -> float:
        """Count a question that is sent now and return 0; or how many seconds it has to wait."""

    def answered(self, payer: str, path: str, answer: Reply | NoReply, now: float) -> bool:
        """Take an answer; whether it told what was asked."""


class _FirstAnswer:
    """The first answer of a payer, for which calls wait: all of them together so long at most.

    Who is not followed is asked again from `again_at` on, `pause` seconds after a failure.
    """

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.pause, self.again_at = _FIRST_PAUSE_SECONDS, inf
        self._event = asyncio.Event()
        self._deadline: float | None = None

    def came(self) -> None:
        """It is there, or the question has failed."""
        self._event.set()

    async def wait(self, seconds: float, now: float) -> None:
        """Wait for it, until so many seconds after the first call of this function at most."""
        if self._event.is_set():
            return
        if self._deadline is None:
            self._deadline = now + seconds
        with suppress(TimeoutError):
            async with asyncio.timeout(max(self._deadline - now, 0.0)):
                await self._event.wait()


class Inquiry:
    """The questions to one gateway. To be made and used in a running asyncio loop.

    `refresh_seconds` is how long an answer is good; after a failure is asked again sooner.
    """

    def __init__(
        self,
        client: GatewayClient,
        books: Books,
        now: Callable[[], float],
        *,
        refresh_seconds: float,
    ) -> None:
        self.client = client
        self.refresh_seconds = refresh_seconds
        self._books = books
        self._now = now
        self._followed: dict[str, tuple[str, _FirstAnswer]] = {}
        # Keys that pass through are asked for when they call, and not again for a while.
        self._strangers: TTLCache[str, _FirstAnswer] = TTLCache(
            _MOST_STRANGERS, refresh_seconds, timer=now
        )
        self._open_strangers = 0

    def follow(self, payers: Mapping[str, str]) -> None:
        """Ask for these payers from now on, each with its key, and for no others."""
        for payer, (key, first) in list(self._followed.items()):
            if payers.get(payer) != key:
                _cancel(first)
                del self._followed[payer]
        for payer, key in payers.items():
            if payer not in self._followed:
                first = _FirstAnswer()
                first.task = _started(self._follow(payer, key, first))
                self._followed[payer] = (key, first)

    async def settled(self, payer: str, seconds: float) -> None:
        """Wait until a followed payer's first question is answered or has failed; no longer."""
        if payer in self._followed:
            await self._followed[payer][1].wait(seconds, self._now())

    async def meet(self, payer: str, key: str, seconds: float) -> None:
        """Ask for a payer that is not followed, unless it was lately; wait no longer than that."""
        first = self._strangers.get(payer)
        if first is None or first.again_at <= self._now():
            if self._open_strangers >= _MOST_STRANGERS_AT_ONCE:
                return
            before, first = first, _FirstAnswer()
            if before is not None:
                first.pause = before.pause * 2
                first.came()  # calls have waited for it once
            self._strangers[payer] = first
            first.task = _started(self._meet(payer, key, first))
        await first.wait(seconds, self._now())

    def close(self) -> None:
        """Ask no more."""
        for first in (*(first for _, first in self._followed.values()), *self._strangers.values()):
            _cancel(first)
        self._followed.clear()
        self.client.close()

    async def _meet(self, payer: str, key: str, first: _FirstAnswer) -> None:
        self._open_strangers += 1
        try:
            if not await self._ask(payer, key, ME, waits=0):  # asleep it would keep others out
                first.again_at = self._now() + first.pause
        finally:
            self._open_strangers -= 1
            first.came()

    async def _follow(self, payer: str, key: str, first: _FirstAnswer) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            told = await self._ask(payer, key, ME)
            if told and not await self._ask(payer, key, MODELS, waits=0):
                first.came()
                await self._ask(payer, key, MODELS, waits=_MOST_WAITS)
            first.came()  # here, so that the first call's price is known, if it can be
            await asyncio.sleep(self.refresh_seconds if told else min(pause, self.refresh_seconds))
            pause = _FIRST_PAUSE_SECONDS if told else pause * 2

    async def _ask(self, payer: str, key: str, path: str, waits: float = inf) -> bool:
        """Ask one question; whether it was told.

        It waits for room below the account's ceilings, and gives up after so many waits.
        """
        try:
            while (wait := self._books.ask(payer, path, self._now())) > 0:
                if waits <= 0:
                    return False
                waits -= 1
                await asyncio.sleep(wait)
            answer = await self.client.get(path, key)
            return self._books.answered(payer, path, answer, self._now())
        except Exception:  # noqa: BLE001  # the questions after it must still be asked
            _log.exception("foxora: asking the gateway for %s failed", path)
            return False


def _started(asking: Coroutine[None, None, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(asking)


def _cancel(first: _FirstAnswer) -> None:
    if first.task is not None:
        first.task.cancel()
