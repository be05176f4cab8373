"""Writes the trail: one record, one write, one line; one writer at a time.

A record is with the kernel when `append` returns. What `kill -9` can leave behind is a torn last
line: the next start closes it off, never removing a byte, and the next record says in `recovered`
how many bytes stand there. What other programs do to the file is the `RunningFile`'s business, when
records reach the disk itself the `Syncer`'s, and what becomes of closed segments the `Keeper`'s.
"""

import contextlib
import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Literal, Self
from weakref import WeakSet

from foxora_addon.audit.chain import GENESIS
from foxora_addon.audit.disk import Disk
from foxora_addon.audit.head import Head, read_head, write_head
from foxora_addon.audit.keeping import FOREVER, Keeper, Keeping
from foxora_addon.audit.line import line_of
from foxora_addon.audit.recovery import NoTrail, beginning_of, end_of, left_open
from foxora_addon.audit.running_file import RunningFile, TrailUnavailable
from foxora_addon.audit.syncer import Syncer

type Sync = Literal["none", "interval", "each"]

_TEND_SECONDS: Final = 1.0
FOLLOW_SECONDS: Final = 0.05
"""How long a proxy goes on in a file that was moved away, or deleted: to ask always costs 5 us.

What was written into a deleted one is written again into the next.
"""


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
        self._wall_clock = wall_clock
        self._say = say
        self._disk = disk or Disk()
        self._syncer = Syncer(self._disk, path.parent)
        self._keeper = Keeper(path, self._disk, say)
        self._file = RunningFile(path, self._disk, wall_clock, say, self._use)
        self._prev = GENESIS
        self._asked: Future[bool] | None = None
        self._is_dirty = False
        self._tended_at = 0.0
        self._headed_seq = -1
        self._follow_seconds = follow_seconds
        self._followed_at = -math.inf
        _journals.add(self)

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
        journal._file.open(journal.seq)
        try:
            journal._continue(known)
            journal.keep(keeping)
        except BaseException:
            journal._abandon()
            raise
        return journal

    def _abandon(self) -> None:
        self._keeper.close()
        self._file.let_go()
        self._syncer.close(syncs=False)

    def leave_to_parent(self) -> None:
        """Write no more in a forked process.

        The lock is the open file's: it would be kept for as long as the child lives, be it longer
        than the one that writes (flock(2)).
        """
        self._file.let_go()
        self._syncer.let_go_in_child()

    @property
    def head(self) -> str:
        """The hash of the last record; zeros before the first."""
        return self._prev

    def close(self) -> None:
        """Sync and close; twice is once."""
        if self._file.is_open:
            self._keeper.close()
            try:
                self.see_to_the_last_records()
            except TrailUnavailable as error:
                self._say(str(error))
            self._write_head()
            self._file.let_go()
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
        if now - self._tended_at < _TEND_SECONDS or not self._file.is_open:
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
        seq, file = self.seq + 1, self._file
        line, digest = line_of(
            fields, scrub, seq=seq, unix_seconds=now, recovered=file.torn, prev=self._prev
        )
        if self._rotates and file.is_full(self.keeping, len(line), now):
            self.follow_the_path()  # what is closed must be the file that we write
            if file.is_full(self.keeping, len(line), now) and file.rotate(self.seq, now):
                self._keeper.tidy(self.keeping, now)
        file.write(line, seq, now)
        self.seq = seq
        self._prev = digest
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

    def follow_the_path(self) -> None:
        """Go on in what stands under the trail's name, with seq and chain going on.

        As `RunningFile.follow`. Raises `TrailUnavailable`.
        """
        if self._file.follow(self.seq):
            self._is_dirty = True
            if self.sync_policy == "each":
                self._ask_for_sync()

    def see_to_the_last_records(self) -> None:
        """Follow the path if there are records since it was last looked at, as `append` does."""
        if self._file.is_open and self._file.has_unseen(self.seq):
            self.follow_the_path()

    def _use(self, fd: int) -> None:
        self._syncer.use(fd)
        if self.sync_policy == "none":
            self._syncer.let_go()

    def _continue(self, known: tuple[int, str]) -> None:
        """Go on where the trail ends, or where it is known that it had come to."""
        try:
            self._file.undo_half_a_rotation()
            end, head = end_of(self.path), read_head(self.path)
            self.left_open = left_open(self.path, head)
            first, began = beginning_of(self.path)
        except NoTrail as error:
            raise TrailUnavailable(
                f"{self.path} is no trail: it has no whole record; give another path with "
                "foxora_audit=PATH"
            ) from error
        except OSError as error:
            raise self._file.unavailable("can't be read", error) from error
        self.seq, self._prev = end.seq, end.hash
        if head is not None and head.seq > end.seq:
            self.seq, self._prev, self.left_open = head.seq, head.hash, dict(head.open)
        if known[0] > self.seq:
            self.seq, self._prev = known
        if self.seq > end.seq:
            self._say(
                f"the trail {self.path} ends with record {end.seq}, but had come to {self.seq}: "
                "what is missing was removed, or lost in a power failure; verify will say so"
            )
        self._file.go_on_behind(end, first or self.seq + 1, began)

    def _write_head(self) -> None:
        if self._headed_seq == self.seq:
            return
        head = Head(self.seq, self._prev, self._file.first, self._file.size, self.left_open)
        with contextlib.suppress(OSError):  # the next start then looks for what is open by itself
            write_head(self.path, head, self._disk)
            self._headed_seq = self.seq


_journals: Final[WeakSet[Journal]] = WeakSet()


def _leave_all_to_parent() -> None:
    for journal in list(_journals):
        journal.leave_to_parent()


os.register_at_fork(after_in_child=_leave_all_to_parent)  # an addon may fork, for a pool of its own
