from collections.abc import Iterator
from pathlib import Path

import pytest

from foxora_addon.audit.chain import GENESIS, seal
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.reader import records_of, verify
from tests.builders import NOON, a_request_of, a_response_of, a_trail, as_it_is


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_trail(tmp_path_factory.mktemp("sample") / "trail.jsonl", exchanges=2)


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    return tmp_path / "changed.jsonl"


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_a_whole_trail_has_no_problem(sample: Path) -> None:
    report = verify(sample)

    assert (report.records, report.exchanges, report.open) == (4, 2, ())
    assert report.problem is None
    assert report.torn_tail_bytes == 0
    assert report.head.encode() in lines_of(sample)[-1]


def test_an_empty_trail_has_no_problem(changed: Path) -> None:
    changed.touch()

    assert verify(changed).problem is None
    assert verify(changed).head == GENESIS


def test_a_trail_that_is_not_there_cannot_be_read(changed: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify(changed)


def test_each_missing_line_but_the_last_is_found(sample: Path, changed: Path) -> None:
    lines = lines_of(sample)
    for index in range(len(lines) - 1):
        changed.write_bytes(b"".join(lines[:index] + lines[index + 1 :]))
        assert verify(changed).problem


def test_each_swap_is_found(sample: Path, changed: Path) -> None:
    lines = lines_of(sample)
    for first in range(len(lines)):
        for second in range(first):
            swapped = list(lines)
            swapped[first], swapped[second] = lines[second], lines[first]
            changed.write_bytes(b"".join(swapped))
            assert verify(changed).problem


def test_each_line_that_is_there_twice_is_found(sample: Path, changed: Path) -> None:
    lines = lines_of(sample)
    for index, line in enumerate(lines):
        for place in range(index, len(lines) + 1):
            changed.write_bytes(b"".join([*lines[:place], line, *lines[place:]]))
            assert verify(changed).problem


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"x\n", seal(b'{"seq":2}')[0], seal(b"[1]")[0]])
def test_each_line_put_in_is_found(sample: Path, changed: Path, line: bytes) -> None:
    lines = lines_of(sample)
    for place in range(len(lines) + 1):
        changed.write_bytes(b"".join([*lines[:place], line, *lines[place:]]))
        assert verify(changed).problem


def flips(data: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


def small_trail() -> tuple[bytes, bytes]:
    """Two lines with no more in them than what is verified."""
    first, digest = seal(b'{"seq":1,"event":"request","exchange":"x","prev":"%s"}' % (b"0" * 64))
    second, _ = seal(b'{"seq":2,"event":"response","exchange":"x","prev":"%s"}' % digest.encode())
    return first, second


def test_each_flipped_bit_is_found(changed: Path) -> None:
    first, second = small_trail()
    changed.write_bytes(first + second)
    assert verify(changed).problem is None
    for flipped in flips(first):
        changed.write_bytes(flipped + second)
        assert verify(changed).problem


def test_each_flipped_bit_of_the_last_line_is_told(changed: Path) -> None:
    first, second = small_trail()
    for flipped in flips(second):
        changed.write_bytes(first + flipped)
        report = verify(changed)
        assert report.problem or report.torn_tail_bytes == len(second)


def test_the_first_thing_that_is_wrong_is_named_with_its_line(sample: Path, changed: Path) -> None:
    lines = lines_of(sample)
    lines[1] = lines[1].replace(b"completed", b"forgotten")
    changed.write_bytes(b"".join(lines))
    assert verify(changed).problem == "line 2: changed, or not a record"

    del lines[1]
    changed.write_bytes(b"".join(lines))
    assert verify(changed).problem == "line 2: seq is 3, not 2: a gap or a reorder"


def test_a_torn_tail_is_told_and_is_no_problem(sample: Path, changed: Path) -> None:
    changed.write_bytes(sample.read_bytes() + b'{"v":1,"se')

    report = verify(changed)
    assert (report.problem, report.torn_tail_bytes, report.records) == (None, 10, 4)
    assert len(list(records_of(changed))) == 4


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        (a_request_of("x1"), "line 2: exchange x1 begins twice"),
        (a_response_of("x2"), "line 2: exchange x2 ends without having begun, or twice"),
    ],
)
def test_records_that_do_not_pair_are_found(
    changed: Path, second: dict[str, object], problem: str
) -> None:
    journal = Journal.open(changed, sync="none", wall_clock=lambda: NOON)
    journal.append(a_request_of("x1"), as_it_is)
    journal.append(second, as_it_is)
    journal.close()

    assert verify(changed).problem == problem


def test_exchanges_without_their_response_are_told(changed: Path) -> None:
    journal = Journal.open(changed, sync="none", wall_clock=lambda: NOON)
    for number in range(3):
        journal.append(a_request_of(f"x{number}"), as_it_is)
    journal.append(a_response_of("x1"), as_it_is)
    journal.close()

    assert verify(changed).problem is None
    assert verify(changed).open == ("x0", "x2")


def test_records_come_in_their_order(sample: Path) -> None:
    assert [record["seq"] for record in records_of(sample)] == [1, 2, 3, 4]


def test_a_record_that_was_rewritten_and_sealed_again_is_found(sample: Path, changed: Path) -> None:
    lines = lines_of(sample)
    record = lines[0].partition(b',"hash":')[0].replace(b'"POST"', b'"GET"') + b"}"
    changed.write_bytes(b"".join([seal(record)[0], *lines[1:]]))

    assert verify(changed).problem == "line 2: prev is not the hash of the record before it"
