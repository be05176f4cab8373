"""What the pipeline is told when the trail can't be written, and what is made up for later."""

import logging
from pathlib import Path
from typing import Any

import pytest

from foxora_addon.audit.journal import Journal, NotSynced, TrailUnavailable
from foxora_addon.audit.reader import records_of
from foxora_addon.proxy.trail import JournalTrail


class FailingJournal(Journal):
    """A journal that fails as it is told to."""

    failure: TrailUnavailable | None = None

    def append(self, fields: Any, scrub: Any) -> int:
        if isinstance(self.failure, NotSynced):
            super().append(fields, scrub)
        if self.failure is not None:
            raise self.failure
        return super().append(fields, scrub)


def a_trail(folder: Path) -> tuple[JournalTrail, FailingJournal]:
    journal = FailingJournal.open(folder / "trail.jsonl", wall_clock=lambda: 1_700_000_000.0)
    return JournalTrail(journal, "refuse", lambda: 0.0), journal


def fields(event: str, exchange: str = "ex_1") -> dict[str, Any]:
    return {"event": event, "exchange": exchange}


def test_a_response_that_cannot_be_written_is_written_before_the_next_record(
    tmp_path: Path,
) -> None:
    trail, journal = a_trail(tmp_path)
    assert trail.write(fields("request"), str) == "safe"
    journal.failure = TrailUnavailable("the disk is full")
    assert trail.write(fields("response"), str) == "lost"
    assert trail.write(fields("request", "ex_2"), str) == "lost"
    journal.failure = None
    assert trail.write(fields("request", "ex_3"), str) == "safe"
    written = [(r["event"], r["exchange"]) for r in records_of(journal.path)]
    assert written == [("request", "ex_1"), ("response", "ex_1"), ("request", "ex_3")]


def test_a_record_that_is_not_synced_is_written_once_and_not_safe(tmp_path: Path) -> None:
    trail, journal = a_trail(tmp_path)
    journal.failure = NotSynced("the disk is gone")
    assert trail.write(fields("request"), str) == "unsafe"
    assert trail.write(fields("response"), str) == "unsafe"
    assert [r["seq"] for r in records_of(journal.path)] == [1, 2]


def test_the_log_says_so_once_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trail, journal = a_trail(tmp_path)
    journal.failure = TrailUnavailable("the disk is full")
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            trail.write(fields("request"), str)
    assert [record.getMessage() for record in caplog.records] == [
        "foxora: the disk is full; calls are refused (1 so far)"
    ]
