"""Reads the files that a configuration stands in or refers to."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def beginning_of(file: Path, most_bytes: int, *, is_live: bool) -> bytes:
    """Return no more than so many bytes of a file; raises OSError.

    A pipe may hand over a file's text, and is waited for. Not where it `is_live`: then calls would
    wait too, and what a pipe gave once is gone.
    """
    with open(file, "rb", opener=_not_waiting if is_live else None) as stream:
        if is_live and _gives_once(stream):
            raise OSError(errno.ESPIPE, "it is a pipe or a terminal, read at the start alone")
        return stream.read(most_bytes)


def _not_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _gives_once(stream: BinaryIO) -> bool:
    return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode) or stream.isatty()
