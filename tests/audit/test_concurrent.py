"""A trail is read while it is written, rotated, compressed and tidied up."""

from pathlib import Path
from threading import Event, Thread

from foxora_addon.audit.journal import Journal
from foxora_addon.audit.keeping import Keeping
from foxora_addon.audit.segments import lines_of
from foxora_addon.audit.verification import verify
from tests.builders import NOON, a_request_of, a_response_of, as_it_is


def writing(path: Path, keeping: Keeping, begun: Event, enough: Event) -> None:
    journal = Journal.open(path, sync="interval", wall_clock=lambda: NOON, keeping=keeping)
    for number in range(20_000):
        journal.append(a_request_of(f"x{number}", b"a" * 200), as_it_is)
        journal.append(a_response_of(f"x{number}"), as_it_is)
        journal.tend(float(number))
        if number == 20:
            begun.set()
        if enough.is_set():
            break
    journal.close()


def read_meanwhile(path: Path, keeping: Keeping, rounds: int) -> list[int]:
    """The last records that so many verifications came to, each of which must find all well."""
    begun, enough = Event(), Event()
    writer = Thread(target=writing, args=(path, keeping, begun, enough))
    writer.start()
    try:
        assert begun.wait(30)
        reports = [verify(path) for _ in range(rounds)]
    finally:
        enough.set()
        writer.join()
    assert [report.problem for report in reports] == [None] * rounds
    return [report.last_seq for report in reports]


def test_what_is_read_is_whole_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "trail.jsonl"
    seen = read_meanwhile(path, Keeping(rotate_bytes=20_000), rounds=15)
    assert seen == sorted(seen)
    numbers = [line.split(b",", 2)[1] for _, _, line in lines_of(path)]
    assert numbers == [b'"seq":%d' % seq for seq in range(1, len(numbers) + 1)]
