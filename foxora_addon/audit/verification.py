"""Verifies a trail, across all of its files, in bounded memory.

What `verify` proves: no record was changed, left out, put in or moved between the first and the
last line that is there. What it can't, since the chain has no secret: that lines were cut off at
the end, be it within the last, or that somebody wrote all of it anew. For that, give it a head that
was kept elsewhere, or a signed one (`signing`). What was cut off at the beginning shows where its
file is still here, by what that is called, or by the trail's head.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from foxora_addon.audit.chain import GENESIS, hash_of_line, may_be_torn, object_of
from foxora_addon.audit.head import read_head
from foxora_addon.audit.segments import first_named, has_begun, lines_of

_HEAD: Final = re.compile(
    rb'\{"v":\d+,"seq":(\d{1,18}),"time":"[^"\\]{1,40}",'
    rb'"event":"(request|response)","exchange":"([^"\\]{1,100})",'
)
_TAIL: Final = re.compile(
    rb',"recovered":(null|\d{1,18}),"prev":"([0-9a-f]{64})","hash":"[0-9a-f]{64}"\}'
)
_TAIL_BYTES: Final = 256
_PROGRESS_BYTES: Final = 1 << 24
_MOST_ENDED: Final = 1 << 16


class Kept(NamedTuple):
    """A head that was kept elsewhere: what a trail had come to. None is not known."""

    seq: int | None
    hash: str | None


class Report(NamedTuple):
    """What a verification found.

    `problem` names the first thing that is wrong, with its file and line; None if the trail is
    whole. `first_seq`: where it begins; over 1, earlier segments are not there. `torn_tail_bytes`:
    length of what stands unfinished at the end, as a crash or a full disk leaves it. `open` has the
    exchanges without a response record, `begun_before` counts those whose request record is in an
    earlier segment.
    `head` is the last record's hash, `last_seq` its number. `unchecked` counts the kept heads that
    stand in earlier segments.
    """

    records: int
    exchanges: int
    open: tuple[str, ...]
    head: str
    first_seq: int = 1
    last_seq: int = 0
    begun_before: int = 0
    unchecked: int = 0
    segments: int = 0
    torn_tail_bytes: int = 0
    problem: str | None = None


class _Links(NamedTuple):
    """What of a record is verified."""

    seq: object
    event: object
    exchange: str
    prev: object
    recovered: object


class _Exchanges:
    """That each exchange begins once and ends once; of those that ended, the last 65,536."""

    def __init__(self) -> None:
        self.open: dict[str, None] = {}
        self.count = 0
        self.begun_before = 0
        self._ended: OrderedDict[str, None] = OrderedDict()

    def take(self, event: object, exchange: str, *, is_whole: bool) -> str | None:
        """Take an event; what is wrong, or None. `is_whole`: the trail begins with record 1."""
        if event == "request":
            if exchange in self.open or exchange in self._ended:
                return f"exchange {exchange} begins twice"
            self.open[exchange] = None
            self.count += 1
            return None
        if exchange in self._ended:
            return f"exchange {exchange} ends twice"
        if exchange in self.open:
            del self.open[exchange]
        elif is_whole:
            return f"exchange {exchange} ends without having begun"
        else:
            self.begun_before += 1
        self._ended[exchange] = None
        if len(self._ended) > _MOST_ENDED:
            self._ended.popitem(last=False)
        return None


class _KeptHeads:
    """The kept heads, however many: by the record that each is of, and by hash."""

    def __init__(self, kept: Sequence[Kept]) -> None:
        self.kept = kept
        self._hashes = {each.hash for each in kept}
        self._by_seq: dict[int | None, set[str | None]] = {}
        for each in kept:
            self._by_seq.setdefault(each.seq, set()).add(each.hash)
        self._found: set[str] = set()

    def look(self, seq: int, head: str) -> str | None:
        """Look at the next record; what is wrong with it, or None."""
        if head in self._hashes:
            self._found.add(head)
        if self._by_seq.get(seq, set()) - {head, None}:
            return f"record {seq} is not the one that was kept: the trail was rewritten"
        return None

    def end(self, seq: int) -> str | None:
        """What is wrong if the trail ends with this record, or None."""
        for kept in self.kept:
            if kept.seq is not None and kept.seq > seq:
                return f"it ends with record {seq}, and had come to {kept.seq}: it was cut off"
            if kept.seq is None and kept.hash not in self._found:
                return f"no record has the hash {kept.hash}: cut off before it, or rewritten"
        return None

    def unchecked(self, first_seq: int) -> int:
        """How many of them stand in segments that are not here."""
        return sum(
            kept.seq is not None and kept.seq < first_seq and kept.hash not in self._found
            for kept in self.kept
        )


@dataclass(slots=True)
class _Verification:
    kept: _KeptHeads
    exchanges: _Exchanges = field(default_factory=_Exchanges)
    records: int = 0
    first_seq: int = 1
    seq: int = 0
    head: str = GENESIS
    torn: int = 0
    torn_lines: int = 0
    is_one_record: bool = True
    ends_with_break: bool = True
    torn_place: str = ""

    def take(self, line: bytes, place: Callable[[], str]) -> str | None:
        """Take the next line; what is wrong, with its place, or None."""
        bare = line.removesuffix(b"\n")
        digest = hash_of_line(bare)
        if digest is None:
            if bare and not may_be_torn(bare):
                return f"{place()}: changed, or not a record"
            self._take_torn(line, place())
            return None
        links = _links_of(line)
        if links is None or not self._tells_what_is_torn(links):
            return f"{self.torn_place or place()}: changed, or not a record"
        self.torn, self.torn_lines, self.torn_place = 0, 0, ""
        self.is_one_record = True
        problem = self._follow(links, digest)
        return None if problem is None else f"{place()}: {problem}"

    def _take_torn(self, line: bytes, place: str) -> None:
        self.torn += len(line)
        self.torn_lines += 1
        self.is_one_record = self.is_one_record and self._may_be_next(line)
        self.ends_with_break = line.endswith(b"\n")
        self.torn_place = self.torn_place or place

    def _may_be_next(self, line: bytes) -> bool:
        """Whether a torn line is of the next record: one that could not be written is tried again.

        Where no record was read yet, of any.
        """
        if not self.records:
            return has_begun(line.rstrip(b"\n"))
        said = b'{"v":1,"seq":%d,' % (self.seq + 1)
        return line.startswith(said) or said.startswith(line.rstrip(b"\n"))

    def _tells_what_is_torn(self, links: _Links) -> bool:
        if not self.records and links.seq != 1 and not self.torn:
            return True  # what was torn before it is in a segment that is not here
        return links.recovered == (self.torn - self.ends_with_break if self.torn else None)

    def _follow(self, links: _Links, digest: str) -> str | None:
        if not self.records and isinstance(links.seq, int) and links.seq > 1:
            self.first_seq, self.seq, self.head = links.seq, links.seq - 1, str(links.prev)
            if problem := self.kept.look(self.seq, self.head):
                return problem
        if links.seq != self.seq + 1:
            return self._gap(links.seq)
        if links.prev != self.head:
            return "prev is not the hash of the record before it"
        is_whole = self.first_seq == 1
        if problem := self.exchanges.take(links.event, links.exchange, is_whole=is_whole):
            return problem
        self.records += 1
        self.seq, self.head = self.seq + 1, digest
        return self.kept.look(self.seq, self.head)

    def _gap(self, seq: object) -> str:
        expected = self.seq + 1
        if not isinstance(seq, int) or seq < expected:
            return f"seq is {seq}, not {expected}: moved, or there twice"
        last = f" to {seq - 1}" if seq - 1 > expected else ""
        return f"seq is {seq}, not {expected}: {expected}{last} missing, or moved"

    def end(self) -> str | None:
        """What is wrong at the end of the trail, or None."""
        is_known = self.torn_lines <= 1 or self.is_one_record
        if self.torn and (self.ends_with_break or not is_known):
            return f"{self.torn_place}: changed, or not a record"
        return self.kept.end(self.seq)


def verify(
    path: Path, kept: Sequence[Kept] = (), progress: Callable[[int], None] = lambda _: None
) -> Report:
    """Verify a trail from its first line to its last, across its segments.

    A torn line (see `chain.may_be_torn`) is accepted at the very end, or where the record after it
    says that it was found. On a full disk, where a record is tried again and again, there may be
    several, all of that one.
    `kept` are heads that were kept elsewhere: each must be in the trail. `progress` is told now and
    then how many bytes were read. Raises OSError if a file can't be read.
    """
    state, files, read, told = _Verification(_KeptHeads(kept)), set[Path](), 0, 0
    problem: str | None = None
    is_begun = False
    for segment, number, line in lines_of(path):
        files.add(segment)
        problem = state.take(line, lambda: _place(path, segment, number))  # noqa: B023  # called at once
        if state.records and not is_begun and problem is None:
            is_begun = True
            if gap := _cut_off_before(path, segment, state.first_seq):
                problem = f"{_place(path, segment, number)}: {gap}"
        if problem is not None:
            break
        read += len(line)
        if read - told >= _PROGRESS_BYTES:
            told = read
            progress(read)
    problem = problem or state.end()
    return Report(
        state.records,
        state.exchanges.count,
        tuple(state.exchanges.open),
        state.head,
        state.first_seq,
        state.seq,
        state.exchanges.begun_before,
        state.kept.unchecked(state.first_seq),
        len(files),
        0 if problem else state.torn,
        problem,
    )


def _cut_off_before(path: Path, segment: Path, first_seq: int) -> str | None:
    """Whether records were cut off at the beginning of a file that is here, in words for it.

    Files that are gone are no finding. But a closed file is called after its first record, and the
    head knows with which one the file began that is written, if it was written behind this record.
    """
    begins = first_named(path) or first_seq
    head = read_head(path) if segment == path else None
    if head is not None and head.seq >= first_seq:
        begins = min(begins, head.first)
    if begins >= first_seq:
        return None
    last = f" to {first_seq - 1}" if first_seq - 1 > begins else ""
    return f"{begins}{last} missing: cut off at the beginning of a file that is here"


def _place(path: Path, segment: Path, number: int) -> str:
    return f"line {number}" if segment == path else f"{segment.name}, line {number}"


def _links_of(line: bytes) -> _Links | None:
    """What is verified of a sealed line; None where somebody sealed something else.

    Records as this program writes them have these members at their two ends, where they are found
    without reading the whole. Others, which are sealed by the same rule, are read as JSON.
    """
    head = _HEAD.match(line)
    tail = _TAIL.search(line, max(len(line) - _TAIL_BYTES, 0))
    if head is None or tail is None or tail.end() < len(line) - 1:
        return _links_of_object(line)
    seq, event, exchange = head.groups()
    recovered = None if tail[1] == b"null" else int(tail[1])
    return _Links(int(seq), event.decode(), exchange.decode(), tail[2].decode(), recovered)


def _links_of_object(line: bytes) -> _Links | None:
    value = object_of(line)
    if value is None:
        return None
    exchange = str(value.get("exchange"))
    return _Links(
        value.get("seq"), value.get("event"), exchange, value.get("prev"), value.get("recovered")
    )
