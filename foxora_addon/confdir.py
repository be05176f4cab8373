"""The folder in which mitmproxy keeps its certificate authority: where it is, and if it will do."""

import os
from pathlib import Path
from typing import Final

from foxora_addon.presence import is_regular, is_there

USUAL: Final = "~/.mitmproxy"
AUTHORITY: Final = "mitmproxy-ca.pem"
"""The authority's key and certificate, by which mitmproxy tells whether it has one."""
CERTIFICATE: Final = "mitmproxy-ca-cert.pem"
"""The certificate alone. mitmproxy writes it for clients, and never reads it."""
OPTIONS: Final = ("config.yaml", "config.yml")
"""Options of mitmproxy's, of which the later file wins."""

REMEDY: Final = "set HOME to a folder of yours, or start the proxy with --set confdir=PATH"


class NoConfdir(Exception):  # noqa: N818  # reads as what it says where it is raised
    """There is no such folder, or it will not do; `str` is one line, `remedy` what to do."""

    def __init__(self, text: str, remedy: str = REMEDY) -> None:
        super().__init__(text)
        self.remedy = remedy


def confdir_of(text: str = USUAL) -> Path:
    """Where it is by mitmproxy's option; raises `NoConfdir` where it can't be.

    A user without a home is usual in containers: HOME is not set, and the number is in no list.
    mitmproxy hands a name in it to OpenSSL as UTF-8.
    """
    if "\0" in text:  # as a file can say it, but no command line
        raise NoConfdir("a folder's name can't have a NUL in it, as confdir does")
    try:
        folder = Path(text).expanduser()
    except RuntimeError:
        raise NoConfdir(f"{text} is nowhere, for this user has no home folder") from None
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(folder).decode(errors="backslashreplace")
        raise NoConfdir(f"{shown} is not in UTF-8, in which mitmproxy needs its name") from None
    return folder.absolute()


def require(folder: Path) -> None:
    """Make the folder, as mitmproxy would; raises `NoConfdir` where its files can't be in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NoConfdir(f"{folder} is no folder") from None
    except OSError as error:
        raise NoConfdir(f"{folder} can't be made: {error.strerror}") from None
    if why := why_not_writable(folder):
        raise NoConfdir(why)


def why_not_writable(folder: Path) -> str | None:
    """Why an authority can't be made there; None where it can, or is there already."""
    try:
        if is_there(folder / AUTHORITY):
            return None
    except OSError as error:
        return f"{folder} can't be entered: {error.strerror}"
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    if not nearest.is_dir():
        return f"mitmproxy's authority can't be made in {folder}: {nearest} is no folder"
    if os.access(nearest, os.W_OK | os.X_OK):
        return None
    return f"mitmproxy's authority can't be made in {folder}: this user may not write there"


def require_options(folder: Path) -> None:
    """Raise `NoConfdir` where mitmproxy, looking for its options there, would be refused."""
    for path in (folder / name for name in OPTIONS):
        try:
            is_file = is_regular(path)
        except OSError as error:
            raise NoConfdir(f"{folder} can't be entered: {error.strerror}") from None
        if is_file:
            try:
                path.open("rb").close()
            except OSError as error:
                raise NoConfdir(f"{path} can't be read: {error.strerror}") from None
