"""Our own words, and the exit statuses that all commands share."""

import errno
import os
import sys
from collections.abc import Callable
from typing import Final

FINDING: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130  # as a shell says it of SIGINT
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def say(words: str) -> None:
    """One line of ours, on standard error; where that takes no more, nobody is left to be told.

    Such words are never the result: what is under way goes on, and its exit status is its own.
    """
    try:
        sys.stderr.write(f"foxora-proxy: {words}\n")
        sys.stderr.flush()
    except OSError:
        _lead_nowhere("stderr")


def number_of(count: int, noun: str) -> str:
    """`1 record`, `2 records`, as a person says it; only for nouns that take an s."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def status_of(command: Callable[[], int]) -> int:
    """Run a command to its end, which may be Ctrl-C or an output that takes no more."""
    _have_streams()
    if not _has_folder():
        say("the working directory is no more: change to one that is there")
        return FINDING
    try:
        return command()
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if not is_of_output(error):
            raise
        return say_no_output(error)


def _have_streams() -> None:
    """Let what a caller has closed lead nowhere: Python has None there."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            _lead_nowhere(name)


def _lead_nowhere(stream: str) -> None:
    """Drop what is printed there from now on; the descriptor stays as CMD is to have it."""
    setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115, PTH123  # until the end


def _has_folder() -> bool:
    """Whether there is a working directory; one can be removed under a shell."""
    try:
        os.getcwd()  # noqa: PTH109  # pathlib is not loaded yet where a proxy starts
    except OSError:
        return False
    return True


def is_of_output(error: OSError) -> bool:
    """Whether it is what is printed that could not be written."""
    return error.filename is None and error.errno in _NO_ROOM


def say_no_output(error: OSError) -> int:
    """Say that the output could not be written; the exit status."""
    say(f"the output can't be written: {error.strerror}")
    drop_output()
    return FINDING


def drop_output() -> None:
    """From now on standard output, and what of it is still buffered, goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
