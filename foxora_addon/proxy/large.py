"""Reads a large body before its call is decided on, so that no other call waits for that.

JSON is read in steps, between which the program does other things; forms, hashing and the like go
to a thread. What is large is so by far: small bodies are read at once, which is cheaper. But one
that is compressed may be large all the same, which is found by decoding its beginning.
"""

import asyncio
import hashlib
from typing import Any, Final

from foxora_addon.api.content_encoding import TooLong, Undecodable, decoded
from foxora_addon.api.errors import ApiError
from foxora_addon.api.large_json import read_slowly
from foxora_addon.api.promised_json import NOT_JSON, too_deep
from foxora_addon.exchange import Exchange
from foxora_addon.pipeline import Ahead
from foxora_addon.policy.recognise import Recognised
from foxora_addon.policy.validation import form_in, plain_body

LARGE_BYTES: Final = 1_048_576
LARGE_ENCODED_BYTES: Final = 65_536
"""Of a body that is compressed, as it came or decoded: that takes longer than all else."""


def is_large(body: bytes, encoding: str | None) -> bool:
    """Whether other calls would wait for a body that is read at once."""
    if not encoding:
        return len(body) >= LARGE_BYTES
    if len(body) >= LARGE_ENCODED_BYTES:
        return True
    try:
        decoded(body, encoding, LARGE_ENCODED_BYTES)
    except TooLong:
        return True
    except Undecodable:
        return False  # it is refused as soon as it is read
    return False


async def read_ahead(exchange: Exchange, body: bytes, encoding: str | None, limit: int) -> Ahead:
    """What a body says that is decoded in no more than `limit` bytes, or that it can't be."""
    plain: bytes | ApiError = body
    if encoding:
        plain = await asyncio.to_thread(plain_body, body, encoding, limit)
    if isinstance(plain, ApiError):
        return Ahead(plain, NOT_JSON, await asyncio.to_thread(sha256_of, body))
    hashed = asyncio.create_task(asyncio.to_thread(sha256_of, plain))
    call = exchange.call if exchange.refusal is None else None
    value = NOT_JSON if call is None else await _value_of(call, plain)
    return Ahead(plain, value, await hashed)


async def _value_of(call: Recognised, body: bytes) -> object:
    """What the body of a call holds; `NOT_JSON` where none is looked for as well."""
    if call.boundary is not None:
        return await asyncio.to_thread(form_in, call, body) or NOT_JSON
    has_json = call.operation.has_model or call.operation.has_form
    return await _json_of(body) if has_json else NOT_JSON


async def _json_of(body: bytes) -> Any:
    steps = read_slowly(body)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        except ValueError:
            return NOT_JSON
        except RecursionError:
            return too_deep(body)
        await asyncio.sleep(0)


def sha256_of(data: bytes) -> str:
    """In hex; other threads go on meanwhile."""
    return hashlib.sha256(data).hexdigest()
