"""Keeps asking the gateway who the accounts are and what models cost, and makes a call wait for it.

When is asked, how often and how long a call waits stands here; what the answers mean does not, nor
whether a question has room below the account's own ceilings: our questions count as its requests.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, Protocol

from cachetools import TTLCache

from foxora_addon.gateway.client import GatewayClient, Told, Untold

_log = logging.getLogger(__name__)

ME: Final = "/me"
MODELS: Final = "/models"
_FIRST_PAUSE_SECONDS: Final = 5.0
_MOST_STRANGERS_AT_ONCE: Final = 100
_MOST_STRANGERS: Final = 10_000


class Books(Protocol):
    """Who counts the questions and takes the answers. Times are seconds of the monotonic clock."""

    def ask(self, payer: str, now: float) -> float:
        """Count a question that is sent now and return 0; or how many seconds it has to wait."""

    def answered(self, payer: str, path: str, answer: Told | Untold, asked_at: float) -> bool:
        """Take an answer; whether it told what was asked."""


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
        self._following: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._asked: dict[str, asyncio.Event] = {}
        # Keys that pass through are asked for when they call, and not again for a while.
        self._strangers: TTLCache[str, asyncio.Task[bool]] = TTLCache(
            _MOST_STRANGERS, refresh_seconds, timer=now
        )

    def follow(self, payers: Mapping[str, str]) -> None:
        """Ask for these payers from now on, each with its key, and for no others."""
        for payer, (key, task) in list(self._following.items()):
            if payers.get(payer) != key:
                task.cancel()
                del self._following[payer]
        for payer, key in payers.items():
            if payer not in self._following:
                self._asked[payer] = asyncio.Event()
                task = asyncio.get_running_loop().create_task(self._follow(payer, key))
                self._following[payer] = (key, task)

    async def settled(self, payer: str, seconds: float) -> None:
        """Wait until a followed payer's first question is answered or has failed; no longer."""
        asked = self._asked.get(payer)
        if asked is not None and not asked.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asked.wait()

    async def meet(self, payer: str, key: str, seconds: float) -> None:
        """Ask for a payer that is not followed, unless it was lately; wait no longer than that."""
        task = self._strangers.get(payer)
        if task is None:
            if sum(not task.done() for task in self._strangers.values()) > _MOST_STRANGERS_AT_ONCE:
                return
            task = asyncio.get_running_loop().create_task(self._ask(payer, key, ME))
            self._strangers[payer] = task
        if not task.done():
            await asyncio.wait([task], timeout=seconds)

    def close(self) -> None:
        """Ask no more."""
        for _, task in self._following.values():
            task.cancel()
        for stranger in self._strangers.values():
            stranger.cancel()
        self._following.clear()
        self.client.close()

    async def _follow(self, payer: str, key: str) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            told = await self._ask(payer, key, ME)
            self._asked[payer].set()
            if told:
                pause = _FIRST_PAUSE_SECONDS
                await self._ask(payer, key, MODELS)
                await asyncio.sleep(self.refresh_seconds)
            else:
                await asyncio.sleep(min(pause, self.refresh_seconds))
                pause *= 2

    async def _ask(self, payer: str, key: str, path: str) -> bool:
        """Ask one question, when the account's ceilings have room for it."""
        try:
            while (wait := self._books.ask(payer, self._now())) > 0:  # noqa: ASYNC110  # a moment
                await asyncio.sleep(wait)
            asked_at = self._now()
            answer = await self.client.get(path, key)
            return self._books.answered(payer, path, answer, asked_at)
        except Exception:  # noqa: BLE001  # the questions after it must still be asked
            _log.exception("foxora: asking the gateway for %s failed", path)
            return False
