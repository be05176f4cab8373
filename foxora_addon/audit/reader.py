"""Reads a trail in bounded memory, and verifies it.

What `verify` proves: no record was changed, left out, put in or moved between the first and the
last line that is there. What it can't: that lines were cut off at the end, or that somebody wrote
the whole trail anew, since the chain has no secret. Keep `Report.head` elsewhere for that.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foxora_addon.audit.chain import GENESIS, hash_of_line


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification found.

    `problem` names the first thing that is wrong, with its line; None if the trail is whole.
    `torn_tail_bytes`: length of an unfinished last line, as a crash leaves it. `open` has the
    exchanges without a response record. `head` is the last record's hash.
    """

    records: int
    exchanges: int
    open: tuple[str, ...]
    head: str
    torn_tail_bytes: int = 0
    problem: str | None = None


class _Verification:
    def __init__(self) -> None:
        self.records = 0
        self.exchanges = 0
        self.head = GENESIS
        self.open: dict[str, int] = {}
        self.closed = 0

    def take(self, record: dict[str, Any], digest: str) -> str | None:
        """Take the next whole record; what is wrong with it, or None."""
        if record.get("seq") != self.records + 1:
            return f"seq is {record.get('seq')}, not {self.records + 1}: a gap or a reorder"
        if record.get("prev") != self.head:
            return "prev is not the hash of the record before it"
        exchange = str(record.get("exchange"))
        if record.get("event") == "request":
            if exchange in self.open:
                return f"exchange {exchange} begins twice"
            self.open[exchange] = self.records + 1
            self.exchanges += 1
        elif self.open.pop(exchange, None) is None:
            return f"exchange {exchange} ends without having begun, or twice"
        self.records += 1
        self.head = digest
        return None

    def report(self, problem: str | None = None, torn: int = 0) -> Report:
        return Report(self.records, self.exchanges, tuple(self.open), self.head, torn, problem)


def verify(path: Path) -> Report:
    """Verify a trail from its first line to its last; raises OSError if it can't be read.

    A torn line is accepted at the very end, or where the record after it says that it was found.
    """
    state = _Verification()
    torn = torn_at = 0
    line = b""
    for number, line in _lines(path):
        digest = hash_of_line(line.removesuffix(b"\n"))
        if digest is None:
            torn += len(line)
            torn_at = torn_at or number
            continue
        record = _object_of(line)
        if record is None or record.get("recovered") != (torn - 1 if torn_at else None):
            return state.report(f"line {torn_at or number}: changed, or not a record")
        torn = torn_at = 0
        if problem := state.take(record, digest):
            return state.report(f"line {number}: {problem}")
    if torn > len(line) or (torn_at and line.endswith(b"\n")):
        return state.report(f"line {torn_at}: changed, or not a record")
    return state.report(torn=torn)


def records_of(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a trail in their order, torn lines left out."""
    for _, line in _lines(path):
        sealed = hash_of_line(line.removesuffix(b"\n")) is not None
        if sealed and (record := _object_of(line)) is not None:
            yield record


def _object_of(line: bytes) -> dict[str, Any] | None:
    """The object on a line; None where somebody sealed something else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as stream:
        yield from enumerate(stream, 1)
