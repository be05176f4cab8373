"""Looks at this machine: mitmproxy and its options, the port, the environment, the trail."""

import errno
import fcntl
import os
import re
import resource
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from foxora_addon.app.client_environment import warnings_of
from foxora_addon.app.doctor.finding import Finding, fail, ok, warn
from foxora_addon.app.local_proxy import NoProxy, ask
from foxora_addon.audit.place import is_same_place
from foxora_addon.audit.recovery import NoTrail, end_of
from foxora_addon.confdir import OPTIONS
from foxora_addon.config import Config
from foxora_addon.host_options import BadOptions, options_in
from foxora_addon.presence import is_regular, is_there
from foxora_addon.proxy.files import USUALLY_HELD, limit_for, raised, shortage
from foxora_addon.reading.texts import size_text

SUPPORTED: Final = ((12, 2), (13,))
"""mitmproxy's versions that are supported: from the first on, and below the second."""

_NO_ROOM_BYTES: Final = 1_000_000
_LITTLE_ROOM_BYTES: Final = 100_000_000
_NAME_ANOTHER: Final = "name another with foxora_audit=PATH"

type Status = Mapping[str, Any]


def about_mitmproxy() -> Finding:
    """Whether mitmproxy is of a version that we can hold."""
    version = metadata.version("mitmproxy")
    lowest, above = SUPPORTED
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if lowest <= numbers < above:
        return ok("mitmproxy", version)
    remedy = "pip install 'mitmproxy>=12.2,<13' into this environment"
    return fail("mitmproxy", f"{version} is not supported", remedy)


def about_port(port: int) -> tuple[Finding, Status | None]:
    """Whether the port is free or ours; and how our proxy there stands, if one runs."""
    try:
        status = ask(port, "status")
    except NoProxy:
        return _without_proxy(port), None
    text = f"{port} is our proxy {status['version']}, which leads to {status['gateway']}"
    return ok("port", text), status


def _without_proxy(port: int) -> Finding:
    """Whether a port at which no proxy of ours answers is free."""
    try:
        if _is_free(port):
            return ok("port", f"{port} is free; no proxy runs there")
    except OSError as error:
        text = f"{port} can't be listened on: {error.strerror}"
        return fail("port", text, "give the proxy another, above 1023: foxora-proxy run")
    remedy = f"give the proxy another: foxora-proxy run -p {port + 1 if port < 65535 else 8081}"
    return fail("port", f"{port} is taken by another program", remedy)


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False


_CONFLICTS: Final[Mapping[str, str]] = {
    "stream_large_bodies": "would send requests before they are checked, so the start is refused",
    "ssl_insecure": "would send the key to whoever answers, so the start is refused",
    "proxy_debug": "would write all keys to the log, so the start is refused",
    "listen_host": "lets other machines in; the start is refused unless clients must have keys",
}


def about_options(confdir: Path) -> Iterator[Finding]:
    """Which options in mitmproxy's own file stand against ours."""
    try:
        options = options_in(confdir)
    except OSError:  # the folder can't be entered, which is told of its authority
        return
    except BadOptions as error:
        yield fail("options", str(error), error.remedy)
        return
    file = " and ".join(str(confdir / name) for name in OPTIONS if is_regular(confdir / name))
    found = [name for name in _CONFLICTS if options.get(name)]
    for name in found:
        yield fail("options", f"{name} in {file} {_CONFLICTS[name]}", "take it out there")
    if options.get("connection_strategy") == "eager":
        text = f"connection_strategy eager in {file} contacts the original host of each call"
        yield warn("options", text, "take it out there: the addon chooses lazy")
    elif not found:
        yield ok("options", "none of mitmproxy's own stands against the addon")


def about_environment(environ: Mapping[str, str], status: Status | None) -> Iterator[Finding]:
    """Variables of this shell that lead calls elsewhere."""
    url = str(status["url"]) if status else ""
    warnings = list(warnings_of(environ, url))
    for text in warnings:
        yield warn("environment", text, "unset it, unless it is meant")
    if not warnings:
        yield ok("environment", "no variable leads calls past the proxy")


def about_room(
    config: Config, usage_of: Callable[[Path], Any] = shutil.disk_usage
) -> Iterator[Finding]:
    """Whether there is room for the trail; nothing where there is, or where it can't be told."""
    path = config.audit.path
    try:
        free = int(usage_of(path if is_there(path) else path.parent).free)
    except OSError:
        return
    text = f"{size_text(free)} are left on the disk of {path}"
    remedy = "make room, or name another with foxora_audit=PATH; audit.rotate_bytes bounds a file"
    if free < _NO_ROOM_BYTES:
        yield fail("room", text, remedy)
    elif free < _LITTLE_ROOM_BYTES:
        yield warn("room", text, remedy)


def about_files(config: Config, limits: tuple[int, int] | None = None) -> Iterator[Finding]:
    """Whether as many files can be open as there may be calls; nothing where they can.

    `limits` are the soft and the hard one that a proxy begins with, this process's if None.
    """
    calls, is_mock = config.listen.max_exchanges, config.gateway.is_mock
    soft, hard = limits or resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = raised(soft, hard, limit_for(calls, USUALLY_HELD, 2 if is_mock else 1))
    if (short := shortage(limit, USUALLY_HELD, calls, is_mock=is_mock)) is not None:
        yield warn("files", *short)


def about_trail(config: Config, status: Status | None) -> Finding:
    """Whether a start could go on with the trail; nothing is created or changed."""
    path = config.audit.path
    try:
        is_present = is_there(path)
    except OSError as error:  # its name is too long, or its folder closed to this user
        text = f"{path} can't be there: {error.strerror}"
        return fail("trail", text, _NAME_ANOTHER)
    if not is_present:
        return _about_new_trail(path)
    if not is_regular(path):
        return fail("trail", f"{path} is no regular file", _NAME_ANOTHER)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        remedy = "give it back to this user, or name another with foxora_audit=PATH"
        return fail("trail", f"{path} can't be written: {error.strerror}", remedy)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return _about_locked_trail(path, status)
    finally:
        os.close(descriptor)
    return _about_free_trail(path)


def _about_free_trail(path: Path) -> Finding:
    """Whether what is there is a trail that a start could go on with."""
    try:
        end_of(path)
    except NoTrail:
        text = f"{path} is there, and no trail: it has no whole record"
        return fail("trail", text, _NAME_ANOTHER)
    except OSError as error:
        return fail("trail", f"the files of {path} can't be read: {error.strerror}", _NAME_ANOTHER)
    return ok("trail", f"{path} can be written")


def _about_new_trail(path: Path) -> Finding:
    if path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK):
        return ok("trail", f"{path} will be made")
    text = f"{path} can't be made: {path.parent} is no folder that this user may write in"
    return fail("trail", text, "make the folder, or name another trail with foxora_audit=PATH")


def _about_locked_trail(path: Path, status: Status | None) -> Finding:
    written = status["trail"] if status is not None else None
    if written is not None and is_same_place(Path(written), path):
        return ok("trail", f"{path} is written by the proxy that runs")
    remedy = "stop that one, give this one its own with foxora_audit=PATH, or use run --use PORT"
    return fail("trail", f"{path} is written by another proxy", remedy)
