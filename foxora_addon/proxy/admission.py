"""Brings a call to its decision: the part of it that waits.

A call waits for its account's ceilings to be known, then for its turn, and at last, where
`audit.sync` is `each`, for its record to be on the disk. What is decided stands in the pipeline; a
wait blocks no other call, and ends early where the client leaves.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from typing import Any, Final, NamedTuple

from foxora_addon.exchange import Exchange
from foxora_addon.gateway.client import GatewayClient, Trust
from foxora_addon.gateway.inquiry import Inquiry
from foxora_addon.pipeline import Ahead, Pipeline
from foxora_addon.proxy.books import AccountBooks
from foxora_addon.proxy.large import is_large, read_ahead, sha256_of
from foxora_addon.proxy.trail import JournalTrail
from foxora_addon.proxy.turns import Turns

_FIRST_ANSWER_SECONDS: Final = 2.0
"""How long the first calls of an account wait for GET /v1/me; unknown ceilings aren't enforced."""

_MOST_DECODED_AT_ONCE: Final = 2
"""Of large bodies: a few bytes may become a hundred megabytes, and others need threads too."""


class Asking(NamedTuple):
    """Whom the proxy asks for its accounts, how the gateway proves itself, and how often.

    `is_past_proxy`: calls go through an upstream proxy, as no question does.
    """

    base_url: str
    trust: Trust
    refresh_seconds: float
    is_past_proxy: bool = False


class Admission:
    """Admits calls, over a pipeline and what is asked of the gateway."""

    def __init__(self, pipeline: Pipeline, trail: JournalTrail, now: Callable[[], float]) -> None:
        self._pipeline = pipeline
        self._trail = trail
        self._now = now
        self._books = AccountBooks(pipeline)
        self._turns = Turns(pipeline.accounting, now)
        self._asking: Asking | None = None
        self._inquiry: Inquiry | None = None
        self._decoding = asyncio.Semaphore(_MOST_DECODED_AT_ONCE)

    def ask(self, asking: Asking) -> None:
        """Ask the gateway of the rules in force for its accounts; a change of both is followed."""
        rules = self._pipeline.rules
        if self._inquiry is None or self._asking != asking:
            self.close()
            client = GatewayClient(asking.base_url, asking.trust)
            self._asking, self._books.is_past_proxy = asking, asking.is_past_proxy
            self._inquiry = Inquiry(
                client, self._books, self._now, refresh_seconds=asking.refresh_seconds
            )
        self._inquiry.follow(rules.keys)
        self._books.say_shared()

    def close(self) -> None:
        """Ask no more."""
        if self._inquiry is not None:
            self._inquiry.close()
            self._inquiry = None

    def left(self, exchange: Exchange) -> None:
        """The exchange is over, whether or not it still waits."""
        self._turns.left(exchange)

    def admit(
        self,
        exchange: Exchange,
        body: bytes,
        encoding: str | None,
        is_open: Callable[[], bool],
    ) -> Coroutine[Any, Any, bool] | None:
        """Decide on a call and record it: at once (None), or once it was waited for what it needs.

        What is waited for gives back False if the exchange ended meanwhile.
        """
        if is_large(body, encoding):
            return self._admit_large(exchange, body, encoding, is_open)
        self._pipeline.read(exchange, body, encoding)
        asking = self._ceilings_known(exchange)
        if asking is None:
            self._pipeline.reserve(exchange, self._now())
            if exchange.ticket is None and self._trail.journal.sync_policy != "each":
                self._pipeline.record(exchange, body, encoding, self._now())
                return None
        return self._admit_later(asking, exchange, body, encoding, is_open)

    async def _admit_later(
        self,
        asking: Coroutine[Any, Any, None] | None,
        exchange: Exchange,
        body: bytes,
        encoding: str | None,
        is_open: Callable[[], bool],
        ahead: Ahead | None = None,
    ) -> bool:
        pipeline = self._pipeline
        if asking is not None:
            await asking
            if not is_open():
                return False
            pipeline.reserve(exchange, self._now())
        await self._turns.turn(exchange)
        if not is_open():
            pipeline.accounting.settle(exchange, None, self._now())  # it came and nobody is there
            return False
        pipeline.record(exchange, body, encoding, self._now(), ahead)
        if self._trail.journal.sync_policy == "each" and not await self._trail.safely_kept():
            pipeline.not_kept(exchange)
        return is_open()

    async def _admit_large(
        self,
        exchange: Exchange,
        body: bytes,
        encoding: str | None,
        is_open: Callable[[], bool],
    ) -> bool:
        async with self._decoding if encoding else nullcontext():
            ahead = await self._read_large(exchange, body, encoding) if is_open() else None
        if ahead is None or not is_open():
            return False
        asking = self._ceilings_known(exchange)
        if asking is None:
            self._pipeline.reserve(exchange, self._now())
        return await self._admit_later(asking, exchange, body, encoding, is_open, ahead)

    async def _read_large(self, exchange: Exchange, body: bytes, encoding: str | None) -> Ahead:
        """Do what `Pipeline.read` does while others go on."""
        pipeline = self._pipeline
        limit = pipeline.most_plain_bytes(exchange)
        ahead = await read_ahead(exchange, body, encoding, limit)
        pipeline.read(exchange, body, encoding, ahead)
        await asyncio.to_thread(pipeline.estimate, exchange, ahead)
        if exchange.changes:
            exchange.sent_sha256 = await asyncio.to_thread(sha256_of, exchange.sent_body)
        return ahead

    async def _first_answer(self, inquiry: Inquiry, payer: str) -> None:
        await inquiry.settled(payer, _FIRST_ANSWER_SECONDS)
        if self._pipeline.accounting.payers.lacks(payer):
            self._books.unanswered(payer)

    def _ceilings_known(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """What there is to wait for until the ceilings of a call are known; None: nothing."""
        payer = exchange.payer
        if exchange.refusal is not None or payer is None or self._inquiry is None:
            return None
        if exchange.account is not None:
            lacks = self._pipeline.accounting.payers.lacks(payer)
            return self._first_answer(self._inquiry, payer) if lacks else None
        if exchange.credential is None:
            return None
        seconds = _FIRST_ANSWER_SECONDS if self._pipeline.accounting.payers.lacks(payer) else 0.0
        return self._inquiry.meet(payer, exchange.credential, seconds)
