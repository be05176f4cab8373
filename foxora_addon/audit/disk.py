"""The system calls that the trail is kept with, as one thing that a test can put faults into."""

import fcntl
import os
import stat
from pathlib import Path
from typing import Final

_OWNER_ONLY: Final = stat.S_IRUSR | stat.S_IWUSR
_force: Final = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class Disk:
    """The real disk. Every method raises OSError, and does no more than its name says."""

    def open(self, path: str, flags: int = 0) -> int:
        """Open for appending and reading, made if it is not there, for its owner only."""
        return os.open(
            path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | flags, _OWNER_ONLY
        )

    def lock(self, fd: int) -> None:
        """Lock for the life of the descriptor; BlockingIOError if another has it."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, fd: int, data: bytes) -> int:
        """One write, and how much of it was taken."""
        return os.write(fd, data)

    def read(self, fd: int, length: int, start: int) -> bytes:
        """What stands in a file from a place on, as much as there is."""
        return os.pread(fd, length, start)

    def stat(self, path: str) -> os.stat_result:
        """What stands under a name."""
        return os.stat(path)  # noqa: PTH116  # asked for in the midst of a call: a Path costs as much again

    def is_named(self, fd: int) -> bool:
        """Whether a file stands under any name: not once it was deleted."""
        return os.fstat(fd).st_nlink > 0

    def force(self, fd: int) -> None:
        """Have the kernel put what was written on the disk."""
        _force(fd)

    def force_folder(self, path: Path) -> None:
        """Have the kernel put a folder's names on the disk."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def link(self, path: str, name: str) -> None:
        """Give a file a second name."""
        os.link(path, name)

    def rename(self, path: str, name: str) -> None:
        """Give a file another name, in place of what has it."""
        os.replace(path, name)  # noqa: PTH105  # as `stat`

    def unlink(self, path: str) -> None:
        """Take a name away."""
        os.unlink(path)  # noqa: PTH108  # as `stat`
