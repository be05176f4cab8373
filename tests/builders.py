"""Values for the tests of the core: heads, arrivals, rules, and a trail that is a list."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from foxora_addon.audit.chain import sealed_record_of
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.line import scrubbed
from foxora_addon.audit.record import VERSION, body_fields, request_fields, response_fields
from foxora_addon.audit.schema import RECORD
from foxora_addon.audit.segments import lines_of
from foxora_addon.config import load
from foxora_addon.exchange import Client, Exchange, RequestLine
from foxora_addon.pipeline import Kept, Pipeline
from foxora_addon.policy.limit_refusal import Denied
from foxora_addon.policy.limits import AccountLimiter, Reservation
from foxora_addon.policy.recognise import Head
from foxora_addon.reception import Arrival
from foxora_addon.rules import Rules, rules_of

ACCOUNT_KEY = "foxora_sk_test_obviously-fake-account"
APP_KEY = "sk-obviously-fake-app-key-0123456789"
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello."}]}
NOON = 1_795_435_200.0
"""2026-11-23T12:00:00Z."""


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def some_rules(**changes: Any) -> Rules:
    """The rules of a configuration that has one default account and nothing else."""
    config = load({}, {"FOXORA_API_KEY": ACCOUNT_KEY}, Path("/nonexistent"))
    return replace(rules_of(config, ()), **changes)


def answer_of(limiter: AccountLimiter, tokens: int, now: float) -> Reservation | Denied:
    """What a limiter takes for a call, as `Allowances` asks it; or why it takes nothing."""
    free = limiter.admit_if_free(tokens, now)
    return free or limiter.refusal(tokens, now) or limiter.admit(tokens, now)


def a_head(target: str = "/v1/chat/completions", **more: Any) -> Head:
    """A POST to this listener, which the client takes for the API."""
    given: dict[str, Any] = {
        "method": "POST",
        "hosts": ("127.0.0.1",),
        "port": 8080,
        "target": target,
        "addressed": "proxy",
        "host_header": "127.0.0.1:8080",
    }
    return Head(**given | more)


def an_arrival(
    head: Head | None = None, fields: tuple[tuple[bytes, bytes], ...] | None = None
) -> Arrival:
    head = head or a_head()
    if fields is None:
        fields = ((b"authorization", b"Bearer " + APP_KEY.encode()), (b"user-agent", b"OpenAI/1"))
    return Arrival(head, fields, f"http://127.0.0.1:8080{head.target}", "HTTP/1.1", "10.0.0.7")


def an_exchange(exchange_id: str = "x1", **more: Any) -> Exchange:
    client = Client("10.0.0.7", None, "OpenAI/1", None)
    line = RequestLine("POST", "http://127.0.0.1:8080/v1/chat/completions", "HTTP/1.1")
    return Exchange(exchange_id, 100.0, client, line, **more)


@dataclass
class ListTrail:
    """A trail in memory. What it takes has passed the schema; `works` False is a full disk."""

    works: bool = True
    records: list[dict[str, Any]] = field(default_factory=list)

    def write(self, fields: Mapping[str, Any], scrub: Callable[[str], str]) -> Kept:
        if not self.works:
            return "lost"
        record = json.loads(json.dumps(scrubbed(fields, scrub)))
        RECORD.validate_python(sealed(record, len(self.records) + 1))
        self.records.append(record)
        return "safe"

    def of_kind(self, event: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["event"] == event]


def sealed(fields: Mapping[str, Any], seq: int = 1) -> dict[str, Any]:
    """A record with what the journal adds, its hashes made up."""
    return {
        "v": VERSION,
        "seq": seq,
        "time": "2026-11-23T12:00:00.000000Z",
        **fields,
        "recovered": None,
        "prev": "0" * 64,
        "hash": "f" * 64,
    }


def a_pipeline(trail: ListTrail | None = None, **changes: Any) -> Pipeline:
    """A pipeline whose exchanges are named x1, x2, ..."""
    ids = iter(range(1, 1_000_000))
    return Pipeline(
        some_rules(**changes),
        ListTrail() if trail is None else trail,
        lambda: f"x{next(ids)}",
    )


def admit(
    pipeline: Pipeline,
    exchange: Exchange,
    body: bytes,
    now: float,
    encoding: str | None = None,
) -> None:
    """Decide on a call at once, and record it."""
    pipeline.read(exchange, body, encoding)
    pipeline.reserve(exchange, now)
    pipeline.record(exchange, body, encoding, now)


def as_it_is(text: str) -> str:
    """A scrub that finds nothing."""
    return text


def a_request_of(exchange_id: str, body: bytes = b"") -> dict[str, Any]:
    """The members of a request record, without what the journal adds."""
    return request_fields(an_exchange(exchange_id), body_fields(body, 1_000))


def a_response_of(exchange_id: str, body: bytes = b"") -> dict[str, Any]:
    """The members of a response record, without what the journal adds."""
    return response_fields(
        an_exchange(exchange_id),
        body_fields(body, 1_000),
        {},
        status=200,
        outcome="completed",
        source="gateway",
        now=101.5,
    )


def a_trail(path: Path, exchanges: int = 2) -> Path:
    """A trail on the disk in which each exchange has both of its records."""
    journal = Journal.open(path, sync="none", wall_clock=lambda: NOON)
    for number in range(exchanges):
        journal.append(a_request_of(f"x{number}"), as_it_is)
        journal.append(a_response_of(f"x{number}"), as_it_is)
    journal.close()
    return path


def records_of(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a trail in their order, from all of its files, torn lines left out."""
    for _, _, line in lines_of(path):
        if record := sealed_record_of(line.removesuffix(b"\n")):
            yield record
