"""What the pipeline is told when the trail can't be written, and what is made up for later."""

import asyncio
import errno
import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from foxora_addon.audit.disk import Disk
from foxora_addon.audit.head import head_path
from foxora_addon.audit.journal import Journal, Sync
from foxora_addon.audit.keys import make_key
from foxora_addon.audit.running_file import TrailUnavailable
from foxora_addon.audit.schema import RECORD
from foxora_addon.audit.signing import signed_heads
from foxora_addon.audit.verification import Kept, verify
from foxora_addon.config import Audit
from foxora_addon.proxy.trail import JournalTrail
from tests.builders import records_of


class FailingJournal(Journal):
    """A journal that fails as it is told to."""

    failure: TrailUnavailable | None = None

    def append(self, fields: Any, scrub: Any) -> int:
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
    assert trail.unrecorded == {"the disk is full": 2}
    journal.failure = None
    assert trail.write(fields("request", "ex_3"), str) == "safe"
    written = [(r["event"], r["exchange"]) for r in records_of(journal.path)]
    assert written == [("request", "ex_1"), ("response", "ex_1"), ("request", "ex_3")]
    assert trail.unrecorded == {"the disk is full": 1}
    journal.failure = TrailUnavailable("it was deleted")
    assert trail.write(fields("response", "ex_3"), str) == "lost"
    assert trail.unrecorded == {"the disk is full": 1, "it was deleted": 1}


@pytest.mark.parametrize("moment", ["tend", "close"])
def test_a_response_that_could_not_be_written_needs_no_further_call(
    tmp_path: Path, moment: str, caplog: pytest.LogCaptureFixture
) -> None:
    trail, journal = a_trail(tmp_path)
    trail.write(fields("request"), str)
    journal.failure = TrailUnavailable("the disk is full")
    trail.write(fields("response"), str)
    trail.tend()
    assert len(list(records_of(journal.path))) == 1
    journal.failure = None
    getattr(trail, moment)()
    assert [r["event"] for r in records_of(journal.path)] == ["request", "response"]
    assert "can be written again (0 records lost)" in caplog.text


def test_a_response_that_could_never_be_written_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trail, journal = a_trail(tmp_path)
    trail.write(fields("request"), str)
    journal.failure = TrailUnavailable("the disk is full")
    trail.write(fields("response"), str)
    trail.close()
    assert "1 response records could not be written" in caplog.text


def test_responses_that_wait_take_a_bounded_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trail, journal = a_trail(tmp_path)
    journal.failure = TrailUnavailable("the disk is full")
    body = "a" * 1_048_576
    for number in range(80):
        trail.write(fields("response", f"ex_{number}") | {"body": body}, str)
    journal.failure = None
    trail.tend()
    names = [record["exchange"] for record in records_of(journal.path)]
    assert names == [f"ex_{number}" for number in range(63)]
    assert "(17 records lost)" in caplog.text


class BrokenDisk(Disk):
    """A disk that takes writes and can't keep them, for as long as it is broken."""

    is_broken = True

    def force(self, fd: int) -> None:
        if self.is_broken:
            raise OSError(errno.EIO, "Input/output error")
        super().force(fd)


def on_a_broken_disk(folder: Path, sync: Sync) -> tuple[JournalTrail, BrokenDisk]:
    disk = BrokenDisk()
    journal = Journal.open(
        folder / "trail.jsonl", sync=sync, wall_clock=lambda: 1_700_000_000.0, disk=disk
    )
    clock = iter(range(1, 1_000_000))
    return JournalTrail(journal, "refuse", lambda: float(next(clock) * 100)), disk


def test_with_sync_each_a_record_is_safe_once_it_is_on_the_disk(tmp_path: Path) -> None:
    trail, disk = on_a_broken_disk(tmp_path, "each")

    async def kept(exchange: str) -> bool:
        assert trail.write(fields("request", exchange), str) == "safe"
        return await trail.safely_kept()

    assert asyncio.run(kept("ex_1")) is False
    disk.is_broken = False
    assert asyncio.run(kept("ex_2")) is True
    assert [r["seq"] for r in records_of(trail.journal.path)] == [1, 2]


def test_many_records_share_one_sync(tmp_path: Path) -> None:
    trail, disk = on_a_broken_disk(tmp_path, "each")
    begun, go_on = threading.Event(), threading.Event()
    calls = []

    def force(fd: int) -> None:
        calls.append(fd)
        begun.set()
        assert go_on.wait(10)

    disk.force = force  # type: ignore[method-assign]

    async def many() -> list[bool]:
        trail.write(fields("request", "ex_first"), str)
        first = asyncio.create_task(trail.safely_kept())
        await asyncio.to_thread(begun.wait, 10)
        waiting = []
        for number in range(50):
            trail.write(fields("request", f"ex_{number}"), str)
            waiting.append(asyncio.create_task(trail.safely_kept()))
        await asyncio.sleep(0)
        assert not first.done()
        go_on.set()
        return await asyncio.gather(first, *waiting)

    assert asyncio.run(many()) == [True] * 51
    assert len(calls) == 2


def test_one_who_gives_up_waiting_takes_the_sync_from_nobody(tmp_path: Path) -> None:
    trail, disk = on_a_broken_disk(tmp_path, "each")
    go_on = threading.Event()

    def force(fd: int) -> None:
        assert go_on.wait(10)

    disk.force = force  # type: ignore[method-assign]

    async def both() -> bool:
        trail.write(fields("request"), str)
        leaving, staying = (asyncio.create_task(trail.safely_kept()) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        go_on.set()
        return await staying

    assert asyncio.run(both()) is True


def test_with_sync_interval_nobody_waits_and_a_broken_disk_makes_records_unsafe(
    tmp_path: Path,
) -> None:
    trail, disk = on_a_broken_disk(tmp_path, "interval")
    assert trail.write(fields("request"), str) == "safe"
    assert asyncio.run(trail.safely_kept())
    trail.tend()
    assert trail.journal.synced() is not None
    assert trail.journal.synced().result(10) is False  # type: ignore[union-attr]
    assert trail.write(fields("response"), str) == "unsafe"
    disk.is_broken = False
    trail.tend()
    assert trail.journal.synced().result(10) is True  # type: ignore[union-attr]
    assert trail.write(fields("request", "ex_2"), str) == "safe"


def test_exchanges_that_a_crash_left_open_are_ended_as_aborted(tmp_path: Path) -> None:
    trail, journal = a_trail(tmp_path)
    for exchange in ("ex_1", "ex_2", "ex_3"):
        trail.write(fields("request", exchange) | {"account": f"of {exchange}"}, str)
    trail.write(fields("response", "ex_2"), str)
    journal.close()

    again, _ = a_trail(tmp_path)
    assert again.end_left_open() == 2
    assert again.end_left_open() == 0
    ended = list(records_of(journal.path))[4:]
    assert [(r["exchange"], r["account"], r["outcome"], r["seq"]) for r in ended] == [
        ("ex_1", "of ex_1", "aborted", 5),
        ("ex_3", "of ex_3", "aborted", 6),
    ]
    assert all(RECORD.validate_python(record) for record in ended)


def test_reopened_it_lets_go_of_what_was_moved_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trail, journal = a_trail(tmp_path)
    trail.write(fields("request"), str)
    moved = journal.path.rename(tmp_path / "trail.jsonl.1")
    trail.reopen()
    assert journal.path.read_bytes() == b""
    trail.write(fields("response"), str)
    assert [r["seq"] for r in records_of(journal.path)] == [1, 2]
    moved.unlink()
    journal.path.unlink()
    journal.path.mkdir()
    trail.reopen()
    assert "can't be opened: Is a directory" in caplog.text


@pytest.mark.parametrize("exchanges", [1, 3], ids=["cut", "rewritten"])
def test_checkpoints_that_begin_while_it_runs_cover_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, exchanges: int
) -> None:
    key = tmp_path / "audit.key"
    public_key = make_key(key)
    audit = Audit.model_validate(
        {"path": tmp_path / "trail.jsonl", "checkpoint_key": {"file": str(key)}}
    )

    def signed(exchange_ids: Iterable[str]) -> None:
        """The trail of a proxy that is told to sign it while it runs, from its start to its end."""
        trail, _ = a_trail(tmp_path)
        for exchange in exchange_ids:
            trail.write(fields("request", exchange), str)
            trail.write(fields("response", exchange), str)
        trail.take(audit)
        trail.close()

    def kept() -> list[Kept]:
        return signed_heads(audit.checkpoint_file, public_key)

    signed(["x1", "x2"])
    signed(["x3"])
    assert not caplog.text
    assert [head.seq for head in kept()] == [6]
    for file in (audit.path, head_path(audit.path)):
        file.unlink()
    signed(f"y{number}" for number in range(exchanges))
    assert "verify will say so" in caplog.text
    assert [head.seq for head in kept()] == [6, exchanges * 2]
    assert verify(audit.path, kept()).problem is not None


def test_when_the_trail_can_be_written_again_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trail, journal = a_trail(tmp_path)
    journal.failure = TrailUnavailable("the disk is full")
    trail.write(fields("request"), str)
    journal.failure = None
    with caplog.at_level(logging.WARNING):
        caplog.clear()
        trail.write(fields("request", "ex_2"), str)
    (record,) = caplog.records
    assert "can be written again (1 records lost)" in record.getMessage()


def test_the_log_says_so_once_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trail, journal = a_trail(tmp_path)
    journal.failure = TrailUnavailable("the disk is full")
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            trail.write(fields("request"), str)
    assert [record.getMessage() for record in caplog.records] == [
        "foxora: the disk is full; calls are refused (1 records lost so far)"
    ]
