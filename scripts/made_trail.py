"""Writes a trail of made-up exchanges, the same for the same seed: for measuring and for trying.

    scripts/made-trail 1000000 /tmp/trail.jsonl [SEED]

The first figure is how many records. They are sealed, so that `audit verify` holds;
exchanges overlap, and some are refused or fail. The head of the trail is written beside it.
"""

import hashlib
import heapq
import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from foxora_addon.audit.chain import GENESIS, seal
from foxora_addon.audit.disk import Disk
from foxora_addon.audit.head import Head, write_head
from foxora_addon.audit.record import body_fields, request_fields, response_fields
from foxora_addon.audit.recovery import sealed
from foxora_addon.exchange import Client, Exchange, RequestLine

START: Final = 1_795_435_200.0  # 2026-11-23T12:00:00Z
MODELS: Final = ("gpt-4o-mini", "gpt-4o", "claude-sonnet-4", "text-embedding-3-small")
WORDS: Final = ("the", "trail", "keeps", "what", "a", "call", "said,", "and", "it", "cost", "in")

type Record = dict[str, Any]

# What a record has that is not made up below is as the proxy itself would write it.
_PLAIN: Final = Exchange("", 0.0, Client(None, None, None, None), RequestLine("", "", ""))
_REQUEST: Final = request_fields(_PLAIN, body_fields(b"", 0))
_RESPONSE: Final = response_fields(
    _PLAIN, body_fields(b"", 0), {}, status=200, outcome="completed", source="gateway", now=0.0
)


def records(count: int, seed: int) -> Iterator[tuple[float, Record]]:
    """So many records with their moments (Unix seconds), in order."""
    dice = random.Random(seed)
    endings: list[tuple[float, int, Record]] = []
    now, number, given = START, 0, 0
    while given < count:
        now += dice.expovariate(20.0)
        while endings and given < count and (endings[0][0] <= now or len(endings) >= count - given):
            ended, _, response = heapq.heappop(endings)
            given += 1
            yield ended, response
        if given >= count:
            return
        number += 1
        request, response, seconds = an_exchange(dice, number)
        given += 1
        yield now, request
        heapq.heappush(endings, (now + seconds, number, response))


def an_exchange(dice: random.Random, number: int) -> tuple[Record, Record, float]:
    """The request, the response and the seconds between them."""
    exchange = f"ex_{dice.getrandbits(128):032x}"
    account = dice.choice(("acme", "globex", "initech"))
    model = dice.choices(MODELS, (60, 25, 10, 5))[0]
    is_refused, is_broken = dice.random() < 0.04, dice.random() < 0.02
    prompt = " ".join(dice.choices(WORDS, k=dice.randint(4, 60)))
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": prompt}]})
    seconds = 0.001 if is_refused else dice.lognormvariate(0.2, 0.8)
    request = {
        **_REQUEST,
        "exchange": exchange,
        "account": account,
        "client": {
            "name": None,
            "address": f"10.0.0.{number % 7 + 1}",
            "key": f"key:{number % 5:016x}",
            "user_agent": "OpenAI/Python 2.8.1",
            "retry": 0,
        },
        "http": {
            "method": "POST",
            "url": "https://api.openai.com/v1/chat/completions",
            "version": "HTTP/1.1",
        },
        "gateway_url": "https://api.foxora.ai/v1/chat/completions",
        "operation": "chat",
        "model": model,
        "stream": False,
        "decision": {
            **_REQUEST["decision"],
            "verdict": "refuse" if is_refused else "forward",
            "reason": "rate_limit_exceeded" if is_refused else None,
            "estimated_tokens": -(-len(body) // 4),
            "waited_ms": 0.0,
        },
        **_body(body),
    }
    answer = _answer(dice, model, is_refused=is_refused, is_broken=is_broken, seconds=seconds)
    response = {**_RESPONSE, "exchange": exchange, "account": account, **answer}
    return request, response, seconds


def _answer(
    dice: random.Random, model: str, *, is_refused: bool, is_broken: bool, seconds: float
) -> Record:
    text = " ".join(dice.choices(WORDS, k=dice.randint(4, 120)))
    status, outcome, error = 200, "completed", None
    body = json.dumps(
        {
            "id": f"cmpl_{dice.getrandbits(64):x}",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}],
        }
    )
    if is_refused or is_broken:
        status, outcome = (429, "refused") if is_refused else (502, "gateway_error")
        code = "rate_limit_exceeded" if is_refused else "gateway_error"
        error = {"code": code, "message": "Please try again.", "param": None}
        body = json.dumps({"error": error})
    tokens = dice.randint(5, 80), dice.randint(5, 160)
    usage = dict(zip(("input_tokens", "output_tokens"), tokens, strict=True))
    return {
        "status": status,
        "outcome": outcome,
        "source": "addon" if is_refused else "gateway",
        "duration_ms": round(seconds * 1000, 3),
        "first_byte_ms": None if error else round(seconds * 400, 3),
        "model": None if error else model,
        "response_id": None,
        "finish_reasons": [] if error else ["stop"],
        "usage": None if error else {**usage, "total_tokens": sum(tokens), "source": "reported"},
        "cost_usd": None if error else round(sum(tokens) * 0.0000004, 9),
        "error": error,
        "gateway_request_id": None,
        "message": None,
        "chunks": None,
        **_body(body),
    }


def _body(text: str) -> Record:
    data = text.encode()
    return {
        "body": text,
        "body_encoding": "utf-8",
        "body_truncated": False,
        "body_bytes": len(data),
        "body_sha256": hashlib.sha256(data).hexdigest(),
    }


def lines(count: int, seed: int) -> Iterator[bytes]:
    """The same as lines of a trail, in one chain."""
    prev = GENESIS
    for seq, (moment, fields) in enumerate(records(count, seed), 1):
        time = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        record = {"v": 1, "seq": seq, "time": time, **fields, "recovered": None, "prev": prev}
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        line, prev = seal(text.encode())
        yield line


def main(arguments: list[str]) -> int:
    if not 2 <= len(arguments) <= 3 or not arguments[0].isdigit():
        print("usage: scripts/made-trail RECORDS PATH [SEED]", file=sys.stderr)
        return 2
    seed = int(arguments[2]) if len(arguments) > 2 else 1
    path, line = Path(arguments[1]), b""
    with path.open("wb") as trail:
        for line in lines(int(arguments[0]), seed):
            trail.write(line)
    if (last := sealed(line.removesuffix(b"\n"))) is not None:
        write_head(path, Head(*last, 1, path.stat().st_size, {}), Disk())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
