import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from zstandard import ZstdCompressor

from foxora_addon.audit import verification
from foxora_addon.audit.chain import GENESIS, seal
from foxora_addon.audit.head import head_path
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.segments import segment_name
from foxora_addon.audit.verification import Kept, verify
from tests.builders import NOON, a_request_of, a_response_of, a_trail, as_it_is

CHANGED = "changed, or not a record"


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


def test_each_missing_line_but_the_last_is_told(sample: Path, changed: Path) -> None:
    lines = lines_of(sample)
    for index in range(len(lines) - 1):
        changed.write_bytes(b"".join(lines[:index] + lines[index + 1 :]))
        report = verify(changed)
        assert report.first_seq == 2 if index == 0 else report.problem


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


def test_a_last_line_that_was_changed_is_not_taken_for_a_torn_one(
    sample: Path, changed: Path
) -> None:
    *lines, last = lines_of(sample)
    other = last.replace(b'"event":"response"', b'"event":"Response"')
    assert other != last
    cut_within_its_hash = range(1, 60)  # of 64 digits; a single one may fit by chance
    for size in (0, *cut_within_its_hash):
        changed.write_bytes(b"".join(lines) + other[: len(other) - 1 - size])
        report = verify(changed)
        assert (report.problem, report.torn_tail_bytes) == (f"line {len(lines) + 1}: {CHANGED}", 0)
    changed.write_bytes(b"".join(lines) + other[:-68])
    assert verify(changed).torn_tail_bytes == len(other) - 68, "its hash went with what was cut off"


def test_each_beginning_of_a_last_line_is_told_as_torn(sample: Path, changed: Path) -> None:
    *lines, last = lines_of(sample)
    for size in range(1, len(last) - 1):
        changed.write_bytes(b"".join(lines) + last[:size])
        report = verify(changed)
        assert (report.problem, report.torn_tail_bytes) == (None, size)
    changed.write_bytes(b"".join([*lines, last[:-1]]))
    assert verify(changed).records == len(lines) + 1


def test_a_changed_last_line_is_told_after_the_next_start_as_well(
    sample: Path, changed: Path
) -> None:
    *lines, last = lines_of(sample)
    for end in (b"\n", b""):
        other = last[:-1].replace(b'"event":"response"', b'"event":"Response"') + end
        changed.write_bytes(b"".join([*lines, other]))
        journal = Journal.open(changed, wall_clock=lambda: NOON)
        journal.append(a_request_of("x"), as_it_is)
        journal.close()
        assert verify(changed).problem == f"line {len(lines) + 1}: {CHANGED}"


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
    assert verify(changed).problem == "line 2: seq is 3, not 2: 2 missing, or moved"


def test_torn_lines_of_several_records_are_no_crash(sample: Path, changed: Path) -> None:
    lines = lines_of(sample)
    cut = [line[: line.rindex(b',"hash"')] for line in lines]
    for whole in range(len(lines) - 1):
        changed.write_bytes(b"\n".join([*(each[:-1] for each in lines[:whole]), *cut[whole:]]))
        report = verify(changed)
        if whole:
            assert report.problem == f"line {whole + 1}: {CHANGED}"
    for text in (b"any words\n\nmore words", b'{"v":1,"se\nwords', b'{"v":1,"seq":99,\n{"v":1'):
        changed.write_bytes(sample.read_bytes() + text)
        assert verify(changed).problem == f"line {len(lines) + 1}: {CHANGED}"
    begun = b'{"v":1,"seq":%d,' % (len(lines) + 1)
    again = begun + b'"time\n{"v":1,"s\n\n' + begun
    changed.write_bytes(sample.read_bytes() + again)
    assert (verify(changed).problem, verify(changed).torn_tail_bytes) == (None, len(again))


def test_a_torn_tail_is_told_and_is_no_problem(sample: Path, changed: Path) -> None:
    changed.write_bytes(sample.read_bytes() + b'{"v":1,"se')

    report = verify(changed)
    assert (report.problem, report.torn_tail_bytes, report.records) == (None, 10, 4)


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        (a_request_of("x1"), "line 2: exchange x1 begins twice"),
        (a_response_of("x2"), "line 2: exchange x2 ends without having begun"),
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


def test_a_record_that_was_rewritten_and_sealed_again_is_found(sample: Path, changed: Path) -> None:
    lines = lines_of(sample)
    record = lines[0].partition(b',"hash":')[0].replace(b'"POST"', b'"GET"') + b"}"
    changed.write_bytes(b"".join([seal(record)[0], *lines[1:]]))

    assert verify(changed).problem == "line 2: prev is not the hash of the record before it"


def in_segments(path: Path, *places: int) -> list[Path]:
    """Move the lines before the last of these places into closed segments; all files in order."""
    lines = lines_of(path)
    starts = [0, *places]
    files = [segment_name(path, start + 1) for start in starts[:-1]] + [path]
    for file, start, end in zip(files, starts, [*places, len(lines)], strict=True):
        file.write_bytes(b"".join(lines[start:end]))
    return files


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    return in_segments(a_trail(tmp_path / "trail.jsonl", exchanges=4), 3, 5)


def test_the_chain_goes_across_segments(parts: list[Path]) -> None:
    report = verify(parts[-1])

    assert (report.records, report.exchanges, report.segments, report.problem) == (8, 4, 3, None)
    assert (report.first_seq, report.last_seq, report.begun_before) == (1, 8, 0)


def test_a_trail_whose_first_segments_are_gone_begins_later_and_is_fine(parts: list[Path]) -> None:
    parts[0].unlink()
    report = verify(parts[-1])

    assert (report.problem, report.first_seq, report.records) == (None, 4, 5)
    assert report.begun_before == 1
    assert report.exchanges == 2


@pytest.mark.parametrize("kept", [0, 1, 2])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_lines_that_were_cut_off_where_the_first_segment_begins_are_found(
    parts: list[Path], kept: int, is_compressed: bool
) -> None:
    data = b"".join(lines_of(parts[0])[3 - kept :])
    if is_compressed:
        parts[0].unlink()
        data, parts[0] = ZstdCompressor().compress(data), Path(f"{parts[0]}.zst")
    parts[0].write_bytes(data)

    place = "trail.jsonl.000000000001" if kept else "trail.jsonl.000000000004"
    problem = verify(parts[-1]).problem
    assert problem is not None
    assert problem.startswith(f"{place}{'.zst' if kept and is_compressed else ''}, line 1: 1")
    assert problem.endswith("missing: cut off at the beginning of a file that is here")
    if kept:
        assert verify(parts[0]).problem is not None


def test_lines_that_were_cut_off_where_the_trail_begins_are_found_by_its_head(
    tmp_path: Path,
) -> None:
    trail = a_trail(tmp_path / "trail.jsonl", exchanges=4)
    whole = lines_of(trail)
    for count in range(1, 8):
        trail.write_bytes(b"".join(whole[count:]))
        missing = "1" if count == 1 else f"1 to {count}"
        assert verify(trail).problem == (
            f"line 1: {missing} missing: cut off at the beginning of a file that is here"
        )
    head_path(trail).unlink()  # nothing tells it from a trail whose first files are gone
    assert verify(trail).problem is None


def test_a_file_that_was_made_anew_since_the_head_is_no_finding(tmp_path: Path) -> None:
    trail = a_trail(tmp_path / "trail.jsonl", exchanges=2)
    head = head_path(trail).read_bytes()
    trail.unlink()
    a_trail(trail, exchanges=2)
    head_path(trail).write_bytes(head)

    report = verify(trail)
    assert (report.problem, report.first_seq) == (None, 5)


def test_a_segment_that_is_gone_from_the_middle_is_named(parts: list[Path]) -> None:
    parts[1].unlink()
    assert verify(parts[-1]).problem == "line 1: seq is 6, not 4: 4 to 5 missing, or moved"


def test_what_is_wrong_in_a_segment_is_told_with_its_file(parts: list[Path]) -> None:
    lines = lines_of(parts[1])
    lines[1] = lines[1].replace(b"completed", b"forgotten").replace(b"POST", b"PUSH")
    parts[1].write_bytes(b"".join(lines))
    assert verify(parts[-1]).problem == (
        "trail.jsonl.000000000004, line 2: changed, or not a record"
    )


def test_a_torn_line_at_the_end_of_a_segment_is_told_of_by_the_next_record(tmp_path: Path) -> None:
    path = tmp_path / "trail.jsonl"
    line, digest = seal(
        b'{"v":1,"seq":1,"event":"request","exchange":"x","recovered":null,"prev":"%s"}'
        % GENESIS.encode()
    )
    segment_name(path, 1).write_bytes(line + b"torn")
    for told, is_fine in ((b"4", True), (b"3", False), (b"null", False)):
        record = b'{"v":1,"seq":2,"event":"response","exchange":"x","recovered":%s,"prev":"%s"}'
        path.write_bytes(seal(record % (told, digest.encode()))[0])
        assert (verify(path).problem is None) is is_fine


def test_an_exchange_that_ends_twice_or_begins_twice_is_told(changed: Path) -> None:
    for last in (a_request_of("x0"), a_response_of("x0")):
        changed.unlink(missing_ok=True)
        head_path(changed).unlink(missing_ok=True)
        journal = Journal.open(changed, sync="none", wall_clock=lambda: NOON)
        for fields in (a_request_of("x0"), a_response_of("x0"), last):
            journal.append(fields, as_it_is)
        journal.close()
        word = "begins" if last["event"] == "request" else "ends"
        assert verify(changed).problem == f"line 3: exchange x0 {word} twice"


def test_a_tail_that_was_cut_off_shows_against_a_head_that_was_kept(
    sample: Path, changed: Path
) -> None:
    whole = verify(sample)
    kept = [Kept(whole.last_seq, whole.head), Kept(None, whole.head), Kept(whole.last_seq, None)]
    changed.write_bytes(b"".join(lines_of(sample)[:-1]))

    assert all(verify(sample, [head]).problem is None for head in kept)
    assert [verify(changed, [head]).problem for head in kept] == [
        "it ends with record 3, and had come to 4: it was cut off",
        f"no record has the hash {whole.head}: cut off before it, or rewritten",
        "it ends with record 3, and had come to 4: it was cut off",
    ]


def test_a_trail_that_was_written_anew_shows_against_a_head_that_was_kept(
    sample: Path, changed: Path
) -> None:
    whole = verify(sample)
    a_trail(changed, exchanges=3)
    forged = lines_of(changed)
    prev, lines = GENESIS, []
    for line in forged:
        record = line.partition(b',"prev":')[0].replace(b"POST", b"PUSH").replace(b"200", b"201")
        sealed, prev = seal(record + b',"prev":"%s"}' % prev.encode())
        lines.append(sealed)
    changed.write_bytes(b"".join(lines))

    assert verify(changed).problem is None
    problem = "line 4: record 4 is not the one that was kept: the trail was rewritten"
    assert verify(changed, [Kept(whole.last_seq, whole.head)]).problem == problem


def test_a_head_of_a_segment_that_is_gone_is_counted_and_no_problem(parts: list[Path]) -> None:
    heads = [json.loads(line)["hash"] for part in parts for line in lines_of(part)]
    parts[0].unlink()

    report = verify(parts[-1], [Kept(1, heads[0]), Kept(3, heads[2]), Kept(5, heads[4])])
    assert (report.problem, report.unchecked) == (None, 1)
    assert verify(parts[-1], [Kept(3, heads[0])]).problem is not None


def test_it_tells_how_far_it_has_come(parts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_PROGRESS_BYTES", 1500)
    told: list[int] = []
    verify(parts[-1], progress=told.append)
    assert told == sorted(told)
    assert 2 <= len(told) <= 8
    assert told[-1] <= sum(part.stat().st_size for part in parts)
