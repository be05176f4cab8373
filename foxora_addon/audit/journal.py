"""Writes the trail: one record, one write, one line; one writer at a time.

A record is with the kernel when `append` returns. What `kill -9` can leave behind is a torn last
line: the next start closes it off, never removing a byte, and the next record says in `recovered`
how many bytes stand there. When records reach the disk itself is the `Syncer`'s business, and what
becomes of closed segments the `Keeper`'s.
"""

import contextlib
import math
import os
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Literal, Self

from foxora_addon.audit.chain import GENESIS
from foxora_addon.audit.disk import Disk
from foxora_addon.audit.head import Head, read_head, write_head
from foxora_addon.audit.keeping import FOREVER, Keeper, Keeping
from foxora_addon.audit.line import line_of
from foxora_addon.audit.recovery import NoTrail, beginning_of, end_of, left_open, not_kept
from foxora_addon.audit.segments import closed_segments_of, first_seq_of, segment_name
from foxora_addon.audit.syncer import Syncer

type Sync = Literal["none", "interval", "each"]

_TEND_SECONDS: Final = 1.0
_ROTATE_AGAIN_SECONDS: Final = 60.0
FOLLOW_SECONDS: Final = 0.05
"""How long a proxy goes on in a file that was moved away, or deleted: to ask always costs 5 us.

What was written into a deleted one is written again into the next.
"""


class TrailUnavailable(Exception):  # noqa: N818  # reads as what it says where it is raised
    """The trail can't be written; `str` is one line for the operator."""


class TrailTaken(TrailUnavailable):
    """Another proxy writes it."""


class Journal:
    """An open trail.

    `sync_policy` is when records are forced to the disk: never by us, at most once a second, or
    each one. `wall_clock` gives Unix seconds, `say` takes a line for the operator. `left_open` maps
    the exchanges without a response record to their accounts.
    """

    def __init__(
        self,
        path: Path,
        sync: Sync,
        wall_clock: Callable[[], float],
        *,
        disk: Disk | None = None,
        say: Callable[[str], None] = lambda _: None,
        follow_seconds: float = 0.0,
    ) -> None:
        self.path = path
        self.sync_policy = sync
        self.keeping = FOREVER
        self._rotates = False
        self.left_open: dict[str, str | None] = {}
        self.seq = 0
        """The number of the last record; 0 before the first."""
        self._name = str(path)
        self._wall_clock = wall_clock
        self._say = say
        self._disk = disk or Disk()
        self._syncer = Syncer(self._disk, path.parent)
        self._keeper = Keeper(path, self._disk, say)
        self._fd = -1
        self._file = (0, 0)  # device and inode
        self._size = 0
        self._seen = (0, 0)  # size and seq when the file was last seen under its name
        self._first = 1  # seq of the first record of the file
        self._began = 0.0  # when that was written, in Unix seconds
        self._prev = GENESIS
        self._torn = 0  # bytes behind the last whole record
        self._mid_line = False
        self._asked: Future[bool] | None = None
        self._is_dirty = False
        self._tended_at = 0.0
        self._headed_seq = -1
        self._unrotated_at = -math.inf  # when it could not be rotated last
        self._follow_seconds = follow_seconds
        self._followed_at = -math.inf

    @classmethod
    def open(  # noqa: PLR0913  # one keyword for each thing that a trail is kept by
        cls,
        path: Path,
        *,
        sync: Sync = "interval",
        wall_clock: Callable[[], float],
        keeping: Keeping = FOREVER,
        disk: Disk | None = None,
        say: Callable[[str], None] = lambda _: None,
        known: tuple[int, str] = (0, GENESIS),
        follow_seconds: float = 0.0,
    ) -> Self:
        """Open or create a trail and go on where it ends; raises `TrailUnavailable`.

        A new file is readable by its owner only; one that is there keeps its mode, and is told of
        if others may open it. It is locked: a second writer is refused. `known` are `seq` and hash
        of a record that the trail is known to have had: it goes on behind it.
        Whether the file still has its name is asked every `follow_seconds`; 0: at each record.
        """
        journal = cls(path, sync, wall_clock, disk=disk, say=say, follow_seconds=follow_seconds)
        journal._open()
        try:
            journal._continue(known)
            journal.keep(keeping)
        except BaseException:
            journal._abandon()
            raise
        return journal

    def _abandon(self) -> None:
        self._keeper.close()
        self._fd = -1
        self._syncer.close(syncs=False)

    @property
    def head(self) -> str:
        """The hash of the last record; zeros before the first."""
        return self._prev

    def close(self) -> None:
        """Sync and close; twice is once."""
        if self._fd >= 0:
            self._keeper.close()
            try:
                self.see_to_the_last_records()
            except TrailUnavailable as error:
                self._say(str(error))
            self._write_head()
            self._fd = -1
            self._syncer.close(syncs=self.sync_policy != "none")
            if self.sync_failure is not None:
                self._say(self.sync_failure)

    def keep(self, keeping: Keeping) -> None:
        """Rotate, compress and remove as this says from now on."""
        self.keeping = keeping
        self._rotates = (keeping.rotate_bytes, keeping.rotate_seconds) != (None, None)
        if keeping != FOREVER:
            self._keeper.tidy(keeping, self._wall_clock())

    def tend(self, now: float) -> None:
        """What is due once a second: a sync, the head, removals; `now` is of a monotonic clock."""
        if now - self._tended_at < _TEND_SECONDS or self._fd < 0:
            return
        self._tended_at = now
        if self.sync_policy != "none" and (self._is_dirty or self._syncer.failure is not None):
            self._ask_for_sync()
        self._write_head()
        if self.keeping != FOREVER:
            self._keeper.tidy_if_due(self.keeping, self._wall_clock())

    def synced(self) -> Future[bool] | None:
        """Done when what was written before it was last asked for is on the disk: whether it is.

        Each append asks where the policy is "each". None if nobody has asked yet.
        """
        return self._asked

    @property
    def sync_failure(self) -> str | None:
        """Why what was written last is not known to be on the disk; None if nothing speaks so."""
        error = self._syncer.failure
        if error is None or self.sync_policy == "none":
            return None
        return f"the trail {self.path} can't be synced: {error.strerror}"

    def append(self, fields: Mapping[str, Any], scrub: Callable[[str], str]) -> int:
        """Append one record and return its `seq`.

        `fields` and `scrub` are as in `line.line_of`. Raises `TrailUnavailable`, with nothing
        counted: the next record takes the place.
        """
        now = self._wall_clock()
        if not 0 <= now - self._followed_at < self._follow_seconds:
            self.follow_the_path()
            self._followed_at = now  # not before: where it raises, the next record asks again
        seq = self.seq + 1
        line, digest = line_of(
            fields, scrub, seq=seq, unix_seconds=now, recovered=self._torn, prev=self._prev
        )
        if self._rotates and self._is_full(len(line), now):
            self.follow_the_path()  # what is closed must be the file that we write
            if self._is_full(len(line), now):
                self._rotate(now)
        self._write(b"\n" + line if self._mid_line else line)
        if seq == self._first or now < self._began:  # the clock was set back: it counts from here
            self._began = now
        self.seq = seq
        self._prev = digest
        self._torn = 0
        self._is_dirty = True
        if fields["event"] == "request":
            self.left_open[fields["exchange"]] = fields.get("account")
        else:
            self.left_open.pop(fields["exchange"], None)
        if self.sync_policy == "each":
            self._ask_for_sync()
        return seq

    def _ask_for_sync(self) -> None:
        self._is_dirty = False
        self._asked = self._syncer.ask()

    def _write(self, data: bytes) -> None:
        try:
            written = self._disk.write(self._fd, data)
        except OSError as error:
            raise self._unavailable("can't be written", error) from error
        self._size += written
        if written == len(data):
            self._mid_line = False
        elif written == len(data) - 1:  # a record that lacks its line break alone is whole
            self._mid_line = True
        else:
            if written:
                self._torn += written - (self._mid_line and not self._torn)
                self._mid_line = self._torn > 0
            raise TrailUnavailable(f"the trail {self.path} can't be written: the disk is full")

    def follow_the_path(self) -> None:
        """Go on in what stands under the trail's name, where that is no more the file we write.

        Deleted or moved away (logrotate's `create`), it is made anew, with seq and chain going on.
        One that was cut (`copytruncate`) is told to the operator. Raises `TrailUnavailable`.
        """
        try:
            found = self._disk.stat(self._name)
        except OSError:
            found = None  # it is not there: what follows makes it, or says why it can't
        if found is None or (found.st_dev, found.st_ino) != self._file:
            self._go_on_in_another()
        elif found.st_size < self._size:
            self._was_cut(found.st_size)
        self._seen = (self._size, self.seq)

    def see_to_the_last_records(self) -> None:
        """Follow the path if there are records since it was last looked at, as `append` does."""
        if self.seq != self._seen[1] and self._fd >= 0:
            self.follow_the_path()

    def _go_on_in_another(self) -> None:
        """Go on in what stands under the name, with what nobody can read any more written again."""
        is_deleted, seen = self._is_deleted(), self._seen[1]
        deleted_at = os.fstat(self._fd).st_ctime
        lost = self._written_since_seen() if is_deleted else b""
        self._open()
        if is_deleted:
            self._torn = 0  # what was torn went with the file
        is_copy = self._begin_file()
        if lost:
            with contextlib.suppress(OSError, NoTrail):  # then nothing says that any of it is there
                lost, seen = not_kept(self.path, lost, seen, deleted_at)
        if lost and b"\n" in lost[: self._written_again(lost)]:
            self._is_dirty = True
            if not is_copy:
                self._first, self._began = seen + 1, self._wall_clock()
            if self.sync_policy == "each":
                self._ask_for_sync()

    def _is_deleted(self) -> bool:
        try:
            return not self._disk.is_named(self._fd)
        except OSError:
            return False  # then nothing can be read in it either

    def _written_since_seen(self) -> bytes:
        """The records that were written since the file was last seen, but for what is torn."""
        start = self._seen[0]
        try:
            data = self._disk.read(self._fd, self._size - start, start)
        except OSError as error:
            self._say(f"the trail {self.path} was deleted, and can't be read: {error.strerror}")
            return b""
        return (data[: data.rfind(b"\n") + 1] if self._torn else data).lstrip(b"\n")

    def _written_again(self, lines: bytes) -> int:
        """Write lines into the file that was begun; how many bytes of them are there.

        A copy may have been made in the midst of a record: that goes on where it was cut.
        """
        there, lead = self._begun_of(lines), b""
        if self._mid_line and not there:
            lead = b"\n"
        data = lead + lines[there:]
        try:
            written = self._disk.write(self._fd, data)
        except OSError:
            written = 0
        self._size += written
        if written == len(data):
            self._mid_line = not lines.endswith(b"\n")
            self._torn = 0 if there else self._torn
        else:
            self._say(f"the trail {self.path} was deleted, and its last records went with it")
            self._begin_file()
        return max(there + written - len(lead), 0)

    def _begun_of(self, lines: bytes) -> int:
        """How many bytes of lines are what stands torn at the end of the file."""
        try:
            torn = self._disk.read(self._fd, self._torn, self._size - self._torn)
        except OSError:
            return 0
        return len(torn) if lines.startswith(torn) else 0

    def _was_cut(self, size: int) -> None:
        self._say(
            f"the trail {self.path} was cut from {self._size} to {size} bytes by another program; "
            "records may be lost, and verify will say so. copytruncate can't be followed: use "
            "audit.rotate_bytes, or logrotate's create"
        )
        self._size = size
        self._begin_file()

    def _begin_file(self) -> bool:
        """Take what stands in the file as it is; seq and chain go on.

        Whether it begins as the one before did, and so is called as that is.
        """
        is_copy, self._mid_line = False, self._size > 0
        if self._size:
            with contextlib.suppress(OSError, NoTrail):  # then the next begins a line all the same
                end = end_of(self.path)
                self._torn, self._mid_line = end.torn, end.mid_line
                is_copy = first_seq_of(self.path) == self._first
        if not is_copy:
            self._first = self.seq + 1
        return is_copy

    def _open(self) -> None:
        fd = self._locked()
        while not self._is_under_the_name(fd):  # whoever wrote it has begun another meanwhile
            os.close(fd)
            fd = self._locked()
        self._use(fd)

    def _is_under_the_name(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self._disk.stat(self._name))
        except FileNotFoundError:
            return False
        except OSError as error:
            os.close(fd)
            raise self._unavailable("can't be opened", error) from error

    def _locked(self) -> int:
        """Open what stands under the trail's name for ourselves alone."""
        try:
            fd = self._disk.open(self._name)
        except OSError as error:
            raise self._unavailable("can't be opened", error) from error
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode) or _is_output(fd):  # /dev/null keeps nothing, a FIFO blocks us
            os.close(fd)
            what = "what we print to" if stat.S_ISREG(mode) else "no regular file"
            raise TrailUnavailable(
                f"{self.path} is {what}; give the trail another path with foxora_audit=PATH"
            )
        try:
            self._disk.lock(fd)
        except OSError as error:
            os.close(fd)
            raise TrailTaken(
                f"the trail {self.path} is written by another proxy; stop that one, or give this "
                "one its own with foxora_audit=PATH"
            ) from error
        if mode & stat.S_IRWXO:
            self._say(
                f"the trail {self.path} was there, and everybody on this machine may open it (mode "
                f"{stat.S_IMODE(mode):04o}); it has the text of calls: chmod 600 {self.path}"
            )
        return fd

    def _use(self, fd: int) -> None:
        found = os.fstat(fd)
        self._fd, self._file, self._size = fd, (found.st_dev, found.st_ino), found.st_size
        self._seen = (self._size, self.seq)
        self._syncer.use(fd)
        if self.sync_policy == "none":
            self._syncer.let_go()

    def _continue(self, known: tuple[int, str]) -> None:
        """Go on where the trail ends, or where it is known that it had come to."""
        try:
            for segment in closed_segments_of(self.path):
                if segment.stat().st_ino == self._file[1]:  # a rotation that was cut short
                    self._disk.unlink(str(segment))
            end, head = end_of(self.path), read_head(self.path)
            self.left_open = left_open(self.path, head)
            first, began = beginning_of(self.path)
        except NoTrail as error:
            raise TrailUnavailable(
                f"{self.path} is no trail: it has no whole record; give another path with "
                "foxora_audit=PATH"
            ) from error
        except OSError as error:
            raise self._unavailable("can't be read", error) from error
        self.seq, self._prev = end.seq, end.hash
        self._torn, self._mid_line = end.torn, end.mid_line
        if head is not None and head.seq > end.seq:
            self.seq, self._prev, self.left_open = head.seq, head.hash, dict(head.open)
        if known[0] > self.seq:
            self.seq, self._prev = known
        if self.seq > end.seq:
            self._say(
                f"the trail {self.path} ends with record {end.seq}, but had come to {self.seq}: "
                "what is missing was removed, or lost in a power failure; verify will say so"
            )
        self._first, self._began = first or self.seq + 1, began or self._wall_clock()

    def _is_full(self, length: int, now: float) -> bool:
        if not self._size or self._torn or self._mid_line:
            return False  # a torn line stays in one file with the record that tells of it
        if 0 <= now - self._unrotated_at < _ROTATE_AGAIN_SECONDS:
            return False
        most, longest = self.keeping.rotate_bytes, self.keeping.rotate_seconds
        return (most is not None and self._size + length > most) or (
            longest is not None and now - self._began >= longest
        )

    def _rotate(self, now: float) -> None:
        """Begin a new file. There is one under the trail's name at every moment.

        Where that fails, the old one goes on, and it is tried again in a minute.
        """
        fd = -1
        try:
            fd = self._disk.open(fresh := f"{self._name}.next", os.O_TRUNC)
            self._disk.lock(fd)
            self._put_in_place(fresh, str(segment_name(self.path, self._first)))
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            self._unrotated_at = now
            self._say(f"the trail {self.path} can't be rotated, and goes on as it is: {error}")
            return
        self._use(fd)
        self._first = self.seq + 1
        self._keeper.tidy(self.keeping, now)

    def _put_in_place(self, fresh: str, segment: str) -> None:
        self._disk.link(self._name, segment)
        try:
            self._disk.rename(fresh, self._name)
        except OSError:
            self._disk.unlink(segment)
            raise

    def _write_head(self) -> None:
        if self._headed_seq == self.seq:
            return
        head = Head(self.seq, self._prev, self._first, self._size, self.left_open)
        with contextlib.suppress(OSError):  # the next start then looks for what is open by itself
            write_head(self.path, head, self._disk)
            self._headed_seq = self.seq

    def _unavailable(self, what: str, error: OSError) -> TrailUnavailable:
        return TrailUnavailable(f"the trail {self.path} {what}: {error.strerror}")


def _is_output(fd: int) -> bool:
    """Whether it is the file that standard output or standard error goes to."""
    for output in (1, 2):
        with contextlib.suppress(OSError):  # it is closed
            if os.path.sameopenfile(fd, output):
                return True
    return False
