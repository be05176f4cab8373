"""The file that a trail is written into: found under the trail's name, locked, followed, closed.

What a record says is not known here, but for its number. Other programs may move the file away,
delete it, cut it, or put another in its place, and a disk may take half of what is written.
"""

import contextlib
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from foxora_addon.audit.disk import Disk
from foxora_addon.audit.keeping import Keeping
from foxora_addon.audit.recovery import End, NoTrail, end_of, not_kept
from foxora_addon.audit.segments import closed_segments_of, first_seq_of, segment_name

_ROTATE_AGAIN_SECONDS: Final = 60.0


class TrailUnavailable(Exception):  # noqa: N818  # reads as what it says where it is raised
    """The trail can't be written; `str` is one line for the operator."""


class TrailTaken(TrailUnavailable):
    """Another proxy writes it."""


class RunningFile:
    """The file of a trail that is written, and what stands in it.

    `wall_clock` gives Unix seconds, `say` takes a line for the operator, and `use` each descriptor
    that is written from then on: whoever takes it closes it. All methods that touch the file raise
    `TrailUnavailable`, unless they say otherwise.
    """

    def __init__(
        self,
        path: Path,
        disk: Disk,
        wall_clock: Callable[[], float],
        say: Callable[[str], None],
        use: Callable[[int], None],
    ) -> None:
        self.path = path
        self.size = 0
        self.first = 1
        """The `seq` of its first record, whether or not that is written yet."""
        self.torn = 0
        """How many bytes stand behind its last whole record."""
        self._name = str(path)
        self._disk = disk
        self._wall_clock = wall_clock
        self._say = say
        self._use = use
        self._fd = -1
        self._identity = (0, 0)  # device and inode
        self._seen_size = self._seen_seq = 0  # when it was last seen under its name
        self._began = 0.0  # when its first record was written, in Unix seconds
        self._mid_line = False
        self._unrotated_at = -math.inf  # when it could not be rotated last

    @property
    def is_open(self) -> bool:
        """Whether it may be written."""
        return self._fd >= 0

    def let_go(self) -> None:
        """Write no more."""
        self._fd = -1

    # Writing.

    def write(self, line: bytes, seq: int, now: float) -> None:
        """Write one record's line, with `now` in Unix seconds."""
        data = b"\n" + line if self._mid_line else line
        try:
            written = self._disk.write(self._fd, data)
        except OSError as error:
            raise self.unavailable("can't be written", error) from error
        self.size += written
        if written < len(data):
            self._was_cut_short(data, written)
        else:
            self._mid_line = False
        self.torn = 0
        if seq == self.first or now < self._began:  # the clock was set back: it counts from here
            self._began = now

    def _was_cut_short(self, data: bytes, written: int) -> None:
        """Go on if a record lacks no more than its line break, which makes it whole."""
        if written == len(data) - 1:
            self._mid_line = True
            return
        if written:
            self.torn += written - (self._mid_line and not self.torn)
            self._mid_line = self.torn > 0
        raise TrailUnavailable(f"the trail {self.path} can't be written: the disk is full")

    # Opening.

    def open(self, seq: int) -> None:
        """Open what stands under the trail's name, made if need be, for ourselves alone.

        `seq` is the number of the last record of all.
        """
        fd = self._locked()
        while not self._is_under_the_name(fd):  # whoever wrote it has begun another meanwhile
            os.close(fd)
            fd = self._locked()
        self._take(fd, seq)

    def _is_under_the_name(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self._disk.stat(self._name))
        except FileNotFoundError:
            return False
        except OSError as error:
            os.close(fd)
            raise self.unavailable("can't be opened", error) from error

    def _locked(self) -> int:
        try:
            fd = self._disk.open(self._name)
        except OSError as error:
            raise self.unavailable("can't be opened", error) from error
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

    def _take(self, fd: int, seq: int) -> None:
        found = os.fstat(fd)
        self._fd, self._identity = fd, (found.st_dev, found.st_ino)
        self.size = found.st_size
        self._seen_size, self._seen_seq = self.size, seq
        self._use(fd)

    def go_on_behind(self, end: End, first: int, began: float | None) -> None:
        """Take it that it was found to end, and to have begun, with these; `began` as `now`."""
        self.torn, self._mid_line = end.torn, end.mid_line
        self.first, self._began = first, began or self._wall_clock()

    # Following the path.

    def follow(self, seq: int) -> bool:
        """Go on in what stands under the trail's name, where that is no more the file we write.

        Deleted or moved away (logrotate's `create`), it is made anew. One that was cut
        (`copytruncate`) is told to the operator. Whether records were written once more.
        """
        try:
            found = self._disk.stat(self._name)
        except OSError:
            found = None  # it is not there: what follows makes it, or says why it can't
        is_written = False
        if found is None or (found.st_dev, found.st_ino) != self._identity:
            is_written = self._go_on_in_another(seq)
        elif found.st_size < self.size:
            self._was_cut(found.st_size, seq)
        self._seen_size, self._seen_seq = self.size, seq
        return is_written

    def has_unseen(self, seq: int) -> bool:
        """Whether there are records since it was last seen under its name."""
        return seq != self._seen_seq

    def _go_on_in_another(self, seq: int) -> bool:
        """Go on in what stands under the name, with what nobody can read any more written again."""
        is_deleted, seen = self._is_deleted(), self._seen_seq
        deleted_at = os.fstat(self._fd).st_ctime
        lost = self._written_since_seen() if is_deleted else b""
        self.open(seq)
        if self.torn and seq < self.first:
            self.torn = self._torn_before()  # what is in the file is all of one that is no part
        elif is_deleted:
            self.torn = 0  # it went with the file
        is_copy = self._begin(seq)
        if lost:
            with contextlib.suppress(OSError, NoTrail):  # then nothing says that any of it is there
                lost, seen = not_kept(self.path, lost, seen, deleted_at)
        if not (lost and b"\n" in lost[: self._written_again(lost, seq)]):
            return False
        if not is_copy:
            self.first, self._began = seen + 1, self._wall_clock()
        return True

    def _torn_before(self) -> int:
        """How many bytes stand torn at the end of the files before; 0 if they can't be read."""
        with contextlib.suppress(OSError, NoTrail):
            return end_of(self.path).torn
        return 0

    def _is_deleted(self) -> bool:
        try:
            return not self._disk.is_named(self._fd)
        except OSError:
            return False  # then nothing can be read in it either

    def _written_since_seen(self) -> bytes:
        """The records that were written since the file was last seen, but for what is torn."""
        start = self._seen_size
        try:
            data = self._disk.read(self._fd, self.size - start, start)
        except OSError as error:
            self._say(f"the trail {self.path} was deleted, and can't be read: {error.strerror}")
            return b""
        return (data[: data.rfind(b"\n") + 1] if self.torn else data).lstrip(b"\n")

    def _written_again(self, lines: bytes, seq: int) -> int:
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
        self.size += written
        if written == len(data):
            self._mid_line = not lines.endswith(b"\n")
            self.torn = 0 if there else self.torn
        else:
            self._say(f"the trail {self.path} was deleted, and its last records went with it")
            self._begin(seq)
        return max(there + written - len(lead), 0)

    def _begun_of(self, lines: bytes) -> int:
        """How many bytes of lines are what stands torn at the end of the file."""
        try:
            torn = self._disk.read(self._fd, self.torn, self.size - self.torn)
        except OSError:
            return 0
        return len(torn) if lines.startswith(torn) else 0

    def _was_cut(self, size: int, seq: int) -> None:
        self._say(
            f"the trail {self.path} was cut from {self.size} to {size} bytes by another program; "
            "records may be lost, and verify will say so. copytruncate can't be followed: use "
            "audit.rotate_bytes, or logrotate's create"
        )
        self.size = size
        self._begin(seq)

    def _begin(self, seq: int) -> bool:
        """Take what stands in the file as it is; the next record is that after `seq`.

        Whether it begins as the one before did, and so is called as that is.
        """
        is_copy, self._mid_line = False, self.size > 0
        if self.size:
            with contextlib.suppress(OSError, NoTrail):  # then the next begins a line all the same
                end = end_of(self.path)
                self.torn, self._mid_line = end.torn, end.mid_line
                is_copy = first_seq_of(self.path) == self.first
        if not is_copy:
            self.first = seq + 1
        return is_copy

    # Closing it, with another in its place.

    def is_full(self, keeping: Keeping, length: int, now: float) -> bool:
        """Whether a record of this length has to go into another."""
        if not self.size or self.torn or self._mid_line:
            return False  # a torn line stays in one file with the record that tells of it
        if 0 <= now - self._unrotated_at < _ROTATE_AGAIN_SECONDS:
            return False
        most, longest = keeping.rotate_bytes, keeping.rotate_seconds
        return (most is not None and self.size + length > most) or (
            longest is not None and now - self._began >= longest
        )

    def rotate(self, seq: int, now: float) -> bool:
        """Begin a new one; there is one under the trail's name at every moment. Whether it worked.

        Where it did not, the old one goes on, and it is tried again in a minute; nothing is raised.
        """
        fd = -1
        try:
            fd = self._disk.open(fresh := f"{self._name}.next", os.O_TRUNC)
            self._disk.lock(fd)
            self._put_in_place(fresh, str(segment_name(self.path, self.first)))
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            self._unrotated_at = now
            self._say(f"the trail {self.path} can't be rotated, and goes on as it is: {error}")
            return False
        self._take(fd, seq)
        self.first = seq + 1
        return True

    def _put_in_place(self, fresh: str, segment: str) -> None:
        self._disk.link(self._name, segment)
        try:
            self._disk.rename(fresh, self._name)
        except OSError:
            self._disk.unlink(segment)
            raise

    def undo_half_a_rotation(self) -> None:
        """Take the name of a closed file away from it; raises OSError."""
        for segment in closed_segments_of(self.path):
            if segment.stat().st_ino == self._identity[1]:
                self._disk.unlink(str(segment))

    def unavailable(self, what: str, error: OSError) -> TrailUnavailable:
        """What to raise when `what` is so, for this reason."""
        return TrailUnavailable(f"the trail {self.path} {what}: {error.strerror}")


def _is_output(fd: int) -> bool:
    """Whether it is the file that standard output or standard error goes to."""
    for output in (1, 2):
        with contextlib.suppress(OSError):  # it is closed
            if os.path.sameopenfile(fd, output):
                return True
    return False
