"""Disks that fail, or on which the program dies, at a chosen call."""

import errno
import os
from pathlib import Path

from foxora_addon.audit.disk import Disk


class Killed(BaseException):
    """What `kill -9` is to a test: nothing of ours runs after it."""


class CountingDisk(Disk):
    """Counts its calls, and at the one chosen does `strike` in place of it."""

    def __init__(self, strikes_at: int = 0) -> None:
        self.calls = 0
        self.strikes_at = strikes_at

    def strike(self, what: str) -> None:
        raise Killed(what)

    def _count(self, what: str) -> None:
        self.calls += 1
        if self.calls == self.strikes_at:
            self.strike(what)

    def open(self, path: str, flags: int = 0) -> int:
        self._count("open")
        return super().open(path, flags)

    def write(self, fd: int, data: bytes) -> int:
        try:
            self._count("write")
        except Killed:  # a write that was cut short
            super().write(fd, data[: len(data) // 2])
            raise
        return super().write(fd, data)

    def force(self, fd: int) -> None:
        self._count("force")
        super().force(fd)

    def force_folder(self, path: Path) -> None:
        self._count("force_folder")
        super().force_folder(path)

    def link(self, path: str, name: str) -> None:
        self._count("link")
        super().link(path, name)

    def rename(self, path: str, name: str) -> None:
        self._count("rename")
        super().rename(path, name)

    def unlink(self, path: str) -> None:
        self._count("unlink")
        super().unlink(path)


class FailingDisk(Disk):
    """A disk that fails with one errno, in some of its calls, for as long as it is said to."""

    def __init__(self, number: int, *calls: str) -> None:
        self.number = number
        self.calls = set(calls)
        self.fails = True

    def _maybe(self, call: str) -> None:
        if self.fails and call in self.calls:
            raise OSError(self.number, os.strerror(self.number))

    def open(self, path: str, flags: int = 0) -> int:
        self._maybe("open")
        return super().open(path, flags)

    def write(self, fd: int, data: bytes) -> int:
        if self.fails and "short write" in self.calls:
            return super().write(fd, data[: len(data) // 3])
        self._maybe("write")
        return super().write(fd, data)

    def stat(self, path: str) -> os.stat_result:
        self._maybe("stat")
        return super().stat(path)

    def link(self, path: str, name: str) -> None:
        self._maybe("link")
        super().link(path, name)

    def rename(self, path: str, name: str) -> None:
        self._maybe("rename")
        super().rename(path, name)


class CuttingDisk(Disk):
    """A disk that takes no more than the first `most` bytes of a write; None: all of them."""

    def __init__(self) -> None:
        self.most: int | None = None

    def write(self, fd: int, data: bytes) -> int:
        return super().write(fd, data[: self.most])


FULL = errno.ENOSPC
READ_ONLY = errno.EROFS
NOT_ALLOWED = errno.EACCES
