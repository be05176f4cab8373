"""Reads a large body before its call is decided on, so that no other call waits for that.

JSON is read in steps, between which the program does other things; hashing and the like go to a
thread. What is large is so by far: small bodies are read at once, which is cheaper.
"""

import asyncio
import hashlib
from typing import Any, Final

from foxora_addon.api.content_encoding import Undecodable, decoded
from foxora_addon.api.large_json import read_slowly
from foxora_addon.api.promised_json import NOT_JSON
from foxora_addon.exchange import Exchange
from foxora_addon.pipeline import Ahead

LARGE_BYTES: Final = 1_048_576


async def read_ahead(
    exchange: Exchange, body: bytes, encoding: str | None, limit: int
) -> Ahead | None:
    """What a body says; None where it can't be decoded within `limit` bytes."""
    plain = body
    if encoding:
        try:
            plain = await asyncio.to_thread(decoded, body, encoding, limit)
        except Undecodable:
            return None
    hashed = asyncio.create_task(asyncio.to_thread(sha256_of, plain))
    has_json = exchange.call is not None and exchange.call.operation.has_model
    value = await _json_of(plain) if has_json and exchange.refusal is None else NOT_JSON
    return Ahead(plain, value, await hashed)


async def _json_of(body: bytes) -> Any:
    steps = read_slowly(body)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        except (ValueError, RecursionError):
            return NOT_JSON
        await asyncio.sleep(0)


def sha256_of(data: bytes) -> str:
    """In hex; other threads go on meanwhile."""
    return hashlib.sha256(data).hexdigest()
