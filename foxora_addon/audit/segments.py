"""The files that a trail is kept in, and its lines in order, whichever file they stand in.

The trail itself is the file that is written. A closed segment stands beside it, named after the
trail and the `seq` of its first record (`trail.jsonl.000000004711`), with `.zst` once it is
compressed. What logrotate moved away (`trail.jsonl.1`, `trail.jsonl-20261125.gz`) counts as well,
in its place by the record that it begins with. What a line says is not known here.
"""

import contextlib
import errno
import gzip
import io
import re
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

import zstandard

from foxora_addon.presence import is_there

_OURS: Final = re.compile(r"\.(\d{12})(?:\.zst)?")
_LOGROTATES: Final = re.compile(r"(?:\.\d{1,6}|-\d{8}(?:\d\d)?(?:[-.]\d{1,12})?)(?:\.zst|\.gz)?")
_BEGINNING: Final = b'{"v":1,"seq":'
_TORN: Final = rb"(?:%b\d{0,18}|%b)" % (
    re.escape(_BEGINNING),
    b"|".join(re.escape(_BEGINNING[:length]) for length in range(len(_BEGINNING) - 1, 0, -1)),
)
_TORN_LINES: Final = rb"(?:%b\n+){0,32}" % _TORN
"""Beginnings of records that were torn before they said which they are."""
_FIRST: Final = re.compile(_TORN_LINES + rb'\{"v":\d{1,3},"seq":(\d{1,18}),')
_FIRST_TORN: Final = re.compile(
    rb"%b(?:%b\d{1,18},|%b?\Z)" % (_TORN_LINES, re.escape(_BEGINNING), _TORN)
)
_SEALED: Final = re.compile(rb',"hash":"[0-9a-f]{64}"\}\n?\Z')
_SEAL_BYTES: Final = 80
BEGINNING_BYTES: Final = 1 << 12
"""Within how many bytes a file says with which record it begins, and when that was written."""
_LONGEST_LINE_BYTES: Final = 1 << 26
_LONGEST_RECORD_BYTES: Final = 1 << 30  # a body of 100 MB takes up to six times as much in JSON
_RECORD: Final = b'{"v":'
_DAMAGED: Final = (zstandard.ZstdError, zlib.error, EOFError, gzip.BadGzipFile)


def segment_name(path: Path, first_seq: int) -> Path:
    """What a trail's file is called once it is closed, before it is compressed."""
    return path.with_name(f"{path.name}.{first_seq:012d}")


def segments_of(path: Path) -> list[Path]:
    """The files of a trail in the order of their records, the one that is written last.

    Empty if there is none. A file that holds what another one does, as a compressed segment beside
    its original does, is there once; and one with nothing but beginnings of a record, as a full
    disk leaves, hides none that has it. `path` may also be a single segment.
    """
    require_file(path)
    files: dict[int, Path] = {}
    for first, file in _closed_of(path):
        if first is not None and (first not in files or _has_record(file)):
            files[first] = file
    if is_there(path):
        begins = first_seq_of(path)
        files = {first: file for first, file in files.items() if begins is None or first < begins}
    return [file for _, file in sorted(files.items())] + [path] * is_there(path)


def require_file(path: Path) -> None:
    """Raise OSError for what is no file: a FIFO would keep us waiting, a device may have no end."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # whoever opens it says why it can't be
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


def closed_segments_of(path: Path) -> list[Path]:
    """The closed segments that this program named, in their order; both of a doubled one."""
    return sorted(file for file in _beside(path) if _OURS.fullmatch(_ending(file, path)))


def first_named(path: Path) -> int | None:
    """With which record the first of the closed segments begins, by their names; None: not known.

    `path` may also be a single segment.
    """
    endings = [_ending(file, path) for file in closed_segments_of(path)] or [
        path.name.removesuffix(".zst")[-13:]
    ]
    found = _OURS.fullmatch(endings[0].removesuffix(".zst"))
    return None if found is None else int(found[1])


def lines_of(path: Path) -> Iterator[tuple[Path, int, bytes]]:
    """Each line of a trail: its file, its number there from 1, and its bytes with the line break.

    A line is read whole, up to 64 MiB; longer ones, which are no records, come in pieces of that
    size under one number. Raises OSError if a file can't be read, or its compression is damaged;
    FileNotFoundError if the trail has no file at all. A trail may be written and rotated meanwhile.
    """
    require_file(path)
    with contextlib.ExitStack() as stack:
        # Opened first: if it is rotated away now, what is open stays what it was.
        active = stack.enter_context(path.open("rb")) if is_there(path) else None
        segments = segments_of(path)
        if not segments:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        begins = None if active is None else _begins(_plain(active, path.suffix))
        for segment in segments:
            if segment != path and (begins is None or _is_before(segment, path, begins)):
                yield from _lines_in(segment)
        if active is not None:
            active.seek(0)
            yield from _numbered(path, _plain(active, path.suffix))


def lines_after(path: Path, first: int, offset: int) -> Iterator[tuple[Path, int, bytes]]:
    """As `lines_of`, from the file on that begins with the record `first`, there from a byte on.

    The numbers of the first file's lines are then counted from that byte. Nothing where the trail
    has no such file, and all of the trail where `first` is 0.
    """
    for segment in segments_of(path):
        begins = _first_of(segment, path) or first
        if begins >= first:
            with _opened(segment) as stream:
                if begins == first:
                    _skip(stream, offset)
                yield from _numbered(segment, stream)


def _skip(stream: io.BufferedIOBase, count: int) -> None:
    if stream.seekable() and not isinstance(stream, gzip.GzipFile):
        stream.seek(count)
        return
    while count > 0 and (piece := stream.read(min(count, 1 << 20))):
        count -= len(piece)


def _lines_in(segment: Path) -> Iterator[tuple[Path, int, bytes]]:
    """The lines of a closed segment; none where it was removed, being old, since it was listed."""
    with contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(_opened(segment))
        except FileNotFoundError:
            return
        yield from _numbered(segment, stream)


def first_seq_of(path: Path) -> int | None:
    """The `seq` of the record that a file begins with; None if it begins with none."""
    with _opened(path) as stream:
        return _begins(stream)


def _has_record(segment: Path) -> bool:
    """Whether a line of a closed segment ends as a record does; no: all of it was torn."""
    return any(_SEALED.search(line[-_SEAL_BYTES:]) for _, _, line in _lines_in(segment))


def has_begun(data: bytes) -> bool:
    """Whether the first bytes of a file without a whole record are of one that was torn."""
    return _FIRST_TORN.match(data) is not None


def _begins(stream: io.BufferedIOBase) -> int | None:
    try:
        found = _FIRST.match(stream.read(BEGINNING_BYTES))
    except _DAMAGED:
        return None
    return None if found is None else int(found[1])


def _is_before(segment: Path, path: Path, begins: int) -> bool:
    first = _first_of(segment, path)
    return first is None or first < begins


def _beside(path: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for file in path.parent.iterdir():
            if file.name.startswith(path.name) and file.name != path.name:
                yield file


def _ending(file: Path, path: Path) -> str:
    return file.name[len(path.name) :]


def _closed_of(path: Path) -> Iterator[tuple[int | None, Path]]:
    """The closed segments with their first `seq`; of two that begin alike, ours comes later."""
    files = [file for file in _beside(path) if _LOGROTATES.fullmatch(_ending(file, path))]
    for file in [*sorted(files), *reversed(closed_segments_of(path))]:
        yield _first_of(file, path), file


def _first_of(file: Path, path: Path) -> int | None:
    if found := _OURS.fullmatch(_ending(file, path)):
        return int(found[1])
    try:
        return first_seq_of(file)
    except FileNotFoundError:  # it was removed, or compressed, since the folder was listed
        return None


@contextlib.contextmanager
def _opened(segment: Path) -> Iterator[io.BufferedIOBase]:
    """A segment without its compression; it may have been compressed since it was listed."""
    try:
        file = segment.open("rb")
    except FileNotFoundError:
        segment = segment.with_name(f"{segment.name}.zst")
        file = segment.open("rb")
    with file:
        yield _plain(file, segment.suffix)


def _plain(file: BinaryIO, suffix: str) -> io.BufferedIOBase:
    if suffix == ".zst":
        reader = zstandard.ZstdDecompressor().stream_reader(
            file, read_across_frames=True, closefd=False
        )
        return io.BufferedReader(cast("io.RawIOBase", reader), 1 << 17)
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=file, mode="rb")
    return cast("io.BufferedIOBase", file)


def _numbered(segment: Path, stream: io.BufferedIOBase) -> Iterator[tuple[Path, int, bytes]]:
    number, starts = 0, True
    try:
        while line := stream.readline(_LONGEST_LINE_BYTES):
            if starts and not line.endswith(b"\n") and line.startswith(_RECORD):
                line += stream.readline(_LONGEST_RECORD_BYTES)
            number += starts
            starts = line.endswith(b"\n")
            yield segment, number, line
    except _DAMAGED as error:
        raise OSError(errno.EIO, f"damaged compression ({error})", str(segment)) from error
