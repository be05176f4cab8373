"""Has proxies that start at once make one authority."""

import asyncio
import atexit
import contextlib
import fcntl
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from foxora_addon.confdir import AUTHORITY, USUAL, NoConfdir, confdir_of

_MOST_SECONDS: Final = 10.0
"""How long another's start is waited for: it takes less than one, unless it hangs."""
_SILENT_SECONDS: Final = 1.0
"""How long nothing is said of it."""
_PAUSE_SECONDS: Final = 0.02
_CONFDIR: Final = re.compile(r"(?:--set=)?confdir=(.+)")
_NOTHING_STARTS: Final = frozenset({"--version", "--options", "--commands", "-h", "--help"})


@contextmanager
def alone_at_first_start(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Wait for whoever makes the authority there; with none there, let others wait for us.

    mitmproxy asks whether it is there, makes it and reads it: two that do so together would read
    half a file, or have each one of its own. `say` gets a line if the wait is long.
    """
    lock: int | None = None
    # Without locks (some NFS), or where the folder can't be read, it is as without us.
    with contextlib.suppress(OSError):
        lock = os.open(folder, os.O_RDONLY)
        _lock(lock, lambda: say(f"waiting for another start, which makes an authority in {folder}"))
    try:
        if lock is not None and (folder / AUTHORITY).exists():
            os.close(lock)
            lock = None
        yield
    finally:
        if lock is not None:
            os.close(lock)


_starts: Final = contextlib.ExitStack()
_begun: Final[list[Path]] = []


def begins(arguments: Sequence[str]) -> None:
    """One of mitmproxy's own programs starts with us, and no code of ours stands at its reading.

    So whoever makes an authority keeps others out until its start `is_over`, or it has ended. To
    say so twice is to say it once. What may be a wrong command line, mitmproxy tells only later:
    folders that were made for it go again if it ends before its start `is_over`.
    """
    if _begun or not _NOTHING_STARTS.isdisjoint(arguments):
        return
    try:
        folder = confdir_of(_folder_in(arguments))
        if not (folder / AUTHORITY).exists():
            missing = [each for each in (folder, *folder.parents) if not each.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            _begun.append(folder)
            atexit.register(_remove_empty, missing)
            _starts.enter_context(alone_at_first_start(folder, _say))
    except (NoConfdir, OSError):
        return  # mitmproxy will say what is wrong
    except KeyboardInterrupt:  # Python itself still starts, and would show all of its steps
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)


def is_over() -> None:
    """The authority is made and read."""
    _starts.close()
    _begun.clear()
    atexit.unregister(_remove_empty)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, up to one in which something is."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _say(words: str) -> None:
    sys.stderr.write(f"foxora: {words}\n")
    sys.stderr.flush()


def _folder_in(arguments: Sequence[str]) -> str:
    named = [_CONFDIR.fullmatch(argument) for argument in arguments]
    return next((match[1] for match in reversed(named) if match), USUAL)


def _lock(descriptor: int, is_waiting: Callable[[], None]) -> None:
    """Wait for a lock, and go on without it where its holder hangs; Ctrl-C ends the wait."""
    begins = time.monotonic()
    is_told = False
    while (waited := time.monotonic() - begins) < _MOST_SECONDS:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if _is_interrupted():
            raise KeyboardInterrupt
        if waited >= _SILENT_SECONDS and not is_told:
            is_told = True
            is_waiting()
        time.sleep(_PAUSE_SECONDS)


def _is_interrupted() -> bool:
    """Whether Ctrl-C was pressed while mitmproxy starts: asyncio only has its task end then."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # there is no loop
        return False
    return task is not None and task.cancelling() > 0
