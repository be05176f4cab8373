"""Writes the trail: one record, one write, one line; one writer at a time.

A record is with the kernel when `append` returns. What `kill -9` can leave behind is a torn last
line: the next start closes it off, never removing a byte, and the next record says in `recovered`
how many bytes stand there.
"""

import fcntl
import json
import os
import stat
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, Self

from foxora_addon.audit.chain import GENESIS, hash_of_line, seal
from foxora_addon.audit.record import VERSION

type Sync = Literal["none", "interval", "each"]

_TAIL_BYTES: Final = 1 << 20
_SYNC_SECONDS: Final = 1.0
_force: Final = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
_FIRST: Final = b'{"v":%d,"seq":1,' % VERSION
_OURS: Final = frozenset(
    {"event", "exchange", "operation", "outcome", "source", "body_encoding", "body_sha256", "usage"}
)
"""Members whose values are words or numbers of our own, which no client can choose."""


class TrailUnavailable(Exception):  # noqa: N818  # reads as what it says where it is raised
    """The trail can't be written; `str` is one line for the operator."""


class NotSynced(TrailUnavailable):
    """The record is in the trail and counted, but not known to be on the disk."""


class Journal:
    """An open trail.

    `sync` is when records are forced to the disk: never by us, at most once a second, or each one.
    `wall_clock` gives Unix seconds.
    """

    def __init__(self, path: Path, sync: Sync, wall_clock: Callable[[], float]) -> None:
        self.path = path
        self.sync_policy = sync
        self._wall_clock = wall_clock
        self._fd = -1
        self._seq = 0
        self._prev = GENESIS
        self._torn = 0  # bytes behind the last whole record
        self._mid_line = False
        self._unsynced = False
        self._synced_at = 0.0

    @classmethod
    def open(cls, path: Path, *, sync: Sync = "interval", wall_clock: Callable[[], float]) -> Self:
        """Open or create a trail and go on where it ends; raises `TrailUnavailable`.

        The file is readable by its owner only, and locked: a second writer is refused.
        """
        journal = cls(path, sync, wall_clock)
        journal._open()
        try:
            journal._continue()
        except TrailUnavailable:
            journal.close()
            raise
        return journal

    def close(self) -> None:
        """Sync and close; twice is once."""
        if self._fd >= 0:
            try:
                self.sync()
            finally:
                os.close(self._fd)
                self._fd = -1

    def sync_if_due(self, now: float) -> None:
        """Sync once a second at the most; `now` is in seconds of a monotonic clock."""
        if now - self._synced_at >= _SYNC_SECONDS:
            self._synced_at = now
            self.sync()

    def sync(self) -> None:
        """Force what was written to the disk, if anything was and the policy is not "none".

        Raises `NotSynced`: what was written stays written, but a power loss may take it.
        """
        if self._unsynced and self.sync_policy != "none" and self._fd >= 0:
            self._unsynced = False
            try:
                _force(self._fd)
            except OSError as error:
                raise NotSynced(
                    f"the trail {self.path} can't be synced: {error.strerror}"
                ) from error

    def append(self, fields: Mapping[str, Any], scrub: Callable[[str], str]) -> int:
        """Append one record and return its `seq`.

        `fields` is a record without v, seq, time, prev and hash; `scrub` redacts each text in it,
        so that what it takes out can't change what the record is. Raises `TrailUnavailable`, with
        nothing counted: the next record takes the place; or `NotSynced`, with the record written.
        """
        self._follow_the_path()
        seq = self._seq + 1
        record = {
            "v": VERSION,
            "seq": seq,
            "time": _iso(self._wall_clock()),
            **scrubbed(fields, scrub),
            "recovered": self._torn or None,
        }
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        data = text.encode("utf-8", "backslashreplace")  # a lone surrogate, as a JSON escape
        line, digest = seal(b'%s,"prev":"%s"}' % (data[:-1], self._prev.encode()))
        self._write(b"\n" + line if self._mid_line else line)
        self._seq, self._prev, self._torn, self._unsynced = seq, digest, 0, True
        if self.sync_policy == "each":
            self.sync()
        return seq

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            raise self._unavailable("can't be written", error) from error
        if written < len(data) - 1:  # a record that lacks its line break alone is whole
            if written:
                self._torn += written - (self._mid_line and not self._torn)
                self._mid_line = self._torn > 0
            raise TrailUnavailable(f"the trail {self.path} can't be written: the disk is full")
        self._mid_line = written < len(data)

    def _follow_the_path(self) -> None:
        """Reopen a trail that was deleted or moved away under us, going on with seq and chain."""
        try:
            ours, named = os.fstat(self._fd), self.path.stat()
            if (ours.st_ino, ours.st_dev) == (named.st_ino, named.st_dev):
                return
        except OSError:
            pass  # it is not there: what follows makes it, or says why it can't
        old = self._fd
        self._open()
        self._torn, self._mid_line = 0, False
        if old >= 0:
            os.close(old)

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            fd = os.open(self.path, flags, stat.S_IRUSR | stat.S_IWUSR)
        except OSError as error:
            raise self._unavailable("can't be opened", error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise TrailUnavailable(
                f"the trail {self.path} is written by another proxy; stop that one, or give this "
                "one its own with foxora_audit=PATH"
            ) from error
        self._fd = fd

    def _continue(self) -> None:
        """Find the last whole record, from the end, and what stands torn behind it."""
        size = os.fstat(self._fd).st_size
        if size == 0:
            return
        length = min(size, _TAIL_BYTES)
        while True:
            tail = os.pread(self._fd, length, size - length)
            lines = tail.split(b"\n")
            for index in range(len(lines) - 1, -1, -1):
                whole = index > 0 or length == size
                if whole and (found := _sealed(lines[index])) is not None:
                    self._seq, self._prev = found
                    self._torn = len(b"\n".join(lines[index + 1 :]))
                    self._mid_line = self._torn > 0 or index == len(lines) - 1
                    return
            if length == size and (tail.startswith(_FIRST) or _FIRST.startswith(tail)):
                self._torn, self._mid_line = size, True
                return
            if length == size:
                raise TrailUnavailable(
                    f"{self.path} is no trail: it has no whole record; give another path with "
                    "foxora_audit=PATH"
                )
            length = min(size, length * 4)

    def _unavailable(self, what: str, error: OSError) -> TrailUnavailable:
        return TrailUnavailable(f"the trail {self.path} {what}: {error.strerror}")


def _sealed(line: bytes) -> tuple[int, str] | None:
    digest = hash_of_line(line)
    if digest is None:
        return None
    return int(json.loads(line)["seq"]), digest


def scrubbed(fields: Mapping[str, Any], scrub: Callable[[str], str]) -> dict[str, Any]:
    """The members with their texts redacted; of the names, only those in a folded message."""
    return {
        name: value if name in _OURS else _texts_scrubbed(value, scrub, names=name == "message")
        for name, value in fields.items()
    }


def _texts_scrubbed(value: Any, scrub: Callable[[str], str], *, names: bool) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {
            scrub(name) if names else name: _texts_scrubbed(item, scrub, names=names)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_texts_scrubbed(item, scrub, names=names) for item in value]
    return value


def _iso(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
