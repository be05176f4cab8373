"""Has proxies that start at once make one authority."""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from foxora_addon.confdir import AUTHORITY

_MOST_SECONDS: Final = 10.0
"""How long another's start is waited for: it takes less than one, unless it hangs."""
_SILENT_SECONDS: Final = 1.0
"""How long nothing is said of it."""
_PAUSE_SECONDS: Final = 0.02


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
