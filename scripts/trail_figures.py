"""Measures the trail on this machine: trail-figures [RECORDS]. Bodies are chats of 2 KB."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from foxora_addon.audit.disk import Disk
from foxora_addon.audit.journal import FOLLOW_SECONDS, Journal, Sync
from foxora_addon.audit.keeping import FOREVER, Keeping, tidy
from foxora_addon.audit.record import body_fields
from foxora_addon.audit.redaction import Redactor, Scrub
from foxora_addon.audit.segments import segments_of
from foxora_addon.audit.verification import verify
from foxora_addon.proxy.trail import JournalTrail
from tests.builders import ACCOUNT_KEY, APP_KEY, a_request_of, a_response_of, encoded

TEXT = "The quick brown fox jumps over the lazy dog, and asks what a hash chain is good for. "
BODY = encoded({"model": "gpt-4o", "messages": [{"role": "user", "content": TEXT * 24}]})[:2048]
SCRUB = Scrub(Redactor([ACCOUNT_KEY]), (APP_KEY,))


@contextmanager
def a_journal(sync: Sync, keeping: Keeping = FOREVER) -> Iterator[Journal]:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder) / "trail.jsonl"
        journal = Journal.open(
            path,
            sync=sync,
            wall_clock=time.time,
            keeping=keeping,
            follow_seconds=FOLLOW_SECONDS,
        )
        yield journal
        journal.close()


def fill(journal: Journal, exchanges: int) -> None:
    body = body_fields(BODY, 1 << 20)
    for number in range(exchanges):
        journal.append({**a_request_of(f"ex_{number:032x}"), **body}, SCRUB)
        journal.append({**a_response_of(f"ex_{number:032x}"), **body}, SCRUB)
        if number % 100 == 0:
            journal.tend(time.monotonic())


def written(sync: Sync, exchanges: int) -> None:
    with a_journal(sync) as journal:
        started, cpu = time.perf_counter(), time.thread_time()
        fill(journal, exchanges)
        seconds, cpu = time.perf_counter() - started, time.thread_time() - cpu
        each = 1e6 * cpu / exchanges / 2
    rate = exchanges * 2 / seconds
    print(f"written, sync {sync}: {rate:,.0f} records/s, {each:.0f} us of the loop's CPU a record")


def verified(exchanges: int) -> None:
    with a_journal("none", Keeping(rotate_bytes=64 << 20, compress="none")) as journal:
        fill(journal, exchanges)
        for what in ("plain", "zstd"):
            size = sum(segment.stat().st_size for segment in segments_of(journal.path))
            started = time.perf_counter()
            report = verify(journal.path)
            seconds = time.perf_counter() - started
            assert report.problem is None
            rate = report.records / seconds
            print(f"verified, {what}: {rate:,.0f} records/s, {size / 1e6:,.0f} MB")
            tidy(journal.path, Keeping(), time.time(), Disk())


async def waited(callers: int, calls: int) -> None:
    """What a call waits for its sync, with so many at once."""
    with a_journal("each") as journal:
        trail = JournalTrail(journal, "refuse", time.monotonic)
        waits: list[float] = []

        async def call(name: int) -> None:
            for number in range(calls):
                trail.write(a_request_of(f"{name}-{number}", BODY), SCRUB)
                started = time.perf_counter()
                assert await trail.safely_kept()
                waits.append(time.perf_counter() - started)

        started = time.perf_counter()
        await asyncio.gather(*(call(name) for name in range(callers)))
        seconds = time.perf_counter() - started
    waits.sort()
    middle, most = 1e3 * waits[len(waits) // 2], 1e3 * waits[int(len(waits) * 0.99)]
    print(
        f"sync each, {callers} calls at once: {len(waits) / seconds:,.0f} calls/s, "
        f"waiting {middle:.2f} ms (median), {most:.2f} ms (99 %)"
    )


def main() -> None:
    parser = argparse.ArgumentParser("scripts/trail-figures", description=__doc__)
    parser.add_argument("records", nargs="?", type=int, default=40_000)
    records = parser.parse_args().records
    syncs: tuple[Sync, ...] = ("none", "interval", "each")
    for sync in syncs:
        written(sync, records // 2)
    for callers in (1, 16, 128):
        asyncio.run(waited(callers, 400 if callers == 1 else 50))
    verified(records // 2)


if __name__ == "__main__":
    main()
