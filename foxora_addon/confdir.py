"""The folder in which mitmproxy keeps its certificate authority: where it is, and if it will do."""

import asyncio
import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Final

USUAL: Final = "~/.mitmproxy"
AUTHORITY: Final = "mitmproxy-ca.pem"
"""The authority's key and certificate, by which mitmproxy tells whether it has one."""
_PARTS: Final = (b"PRIVATE KEY-----", b"-----END CERTIFICATE-----")

REMEDY: Final = "set HOME to a folder of yours, or start the proxy with --set confdir=PATH"
BROKEN_REMEDY: Final = (
    "move mitmproxy-ca* of that folder elsewhere: new ones are made at the next start"
)

_MOST_SECONDS: Final = 10.0
"""How long another's start is waited for: it takes one or two, unless it hangs."""
_PAUSE_SECONDS: Final = 0.02


class NoConfdir(Exception):  # noqa: N818  # reads as what it says where it is raised
    """There is no such folder, or it will not do; `str` is one line, `remedy` what to do."""

    def __init__(self, text: str, remedy: str = REMEDY) -> None:
        super().__init__(text)
        self.remedy = remedy


def confdir_of(text: str = USUAL) -> Path:
    """Where it is by mitmproxy's option; raises `NoConfdir` where that needs a home, and none is.

    A user without one is usual in containers: HOME is not set, and the number is in no list.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise NoConfdir(f"{text} is nowhere, for this user has no home folder") from None


def require(folder: Path) -> None:
    """Make the folder, as mitmproxy would; raises `NoConfdir` where its files can't be in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NoConfdir(f"{folder} can't be made: {error.strerror}") from None
    if why := why_not_writable(folder):
        raise NoConfdir(why)


def why_not_writable(folder: Path) -> str | None:
    """Why an authority can't be made there; None where it can, or is there already."""
    try:
        if (folder / AUTHORITY).exists():
            return None
    except OSError as error:
        return f"{folder} can't be entered: {error.strerror}"
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return None
    return f"mitmproxy's authority can't be made in {folder}: this user may not write there"


class FirstStart:
    """Has those that start at once make one authority.

    mitmproxy asks whether it is there, makes it and reads it: two that do so together would read
    half a file, or have each one of its own. This is an addon: by `running` it has been read.
    """

    def __init__(self) -> None:
        self._lock: int | None = None

    def begin(self, folder: Path) -> None:
        """Wait for whoever makes the authority there; with none there, let others wait for us.

        Raises `NoConfdir` for one that is broken.
        """
        # Without locks (some NFS), or where the folder can't be read, it is as without us.
        with contextlib.suppress(OSError):
            self._lock = os.open(folder, os.O_RDONLY)
            _lock(self._lock)
        if (folder / AUTHORITY).exists():
            self.running()
            _require_whole(folder)

    def running(self) -> None:
        """Let others in; so does our end, whatever it is."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock(descriptor: int) -> None:
    """Wait for a lock, and go on without it where its holder hangs; Ctrl-C ends the wait."""
    ends = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < ends:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if _is_interrupted():
            raise KeyboardInterrupt
        time.sleep(_PAUSE_SECONDS)


def _is_interrupted() -> bool:
    """Whether Ctrl-C was pressed while mitmproxy starts: asyncio only has its task end then."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # there is no loop
        return False
    return task is not None and task.cancelling() > 0


def _require_whole(folder: Path) -> None:
    """Raise `NoConfdir` for an authority of which mitmproxy, reading it, would make a traceback."""
    path = folder / AUTHORITY
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise NoConfdir(f"{path} can't be read: {error.strerror}") from None
    if not all(part in text for part in _PARTS):
        why = f"{path} is broken: it must have a private key and a certificate, in PEM"
        raise NoConfdir(why, BROKEN_REMEDY)
