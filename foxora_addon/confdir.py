"""The folder in which mitmproxy keeps its certificate authority: where it is, and if it will do."""

import os
from pathlib import Path
from typing import Final

USUAL: Final = "~/.mitmproxy"
AUTHORITY: Final = "mitmproxy-ca.pem"
"""The authority's key and certificate, by which mitmproxy tells whether it has one."""

REMEDY: Final = "set HOME to a folder of yours, or start the proxy with --set confdir=PATH"


class NoConfdir(Exception):  # noqa: N818  # reads as what it says where it is raised
    """There is no such folder; `str` is one line. What to do is `REMEDY`."""


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
    if (folder / AUTHORITY).exists():
        return None
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return None
    return f"mitmproxy's authority can't be made in {folder}: this user may not write there"
