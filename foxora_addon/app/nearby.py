"""Finds the proxy that writes the trail of this folder, for commands that were told no port."""

import os
from pathlib import Path

from foxora_addon.app.local_proxy import DEFAULT_PORT, NoProxy, ask


def port_or_nearby(port: int | None) -> int:
    """The port that was given, else that of this folder's proxy, else the usual one."""
    return port or _nearby() or DEFAULT_PORT


def _nearby() -> int | None:
    """The port of the proxy whose trail is the one that the configuration here names."""
    from foxora_addon.audit.place import is_same_place  # noqa: PLC0415  # as below
    from foxora_addon.confdir import NoConfdir  # noqa: PLC0415  # as below
    from foxora_addon.config import ConfigError, load_audit  # noqa: PLC0415  # large
    from foxora_addon.host_options import settled_confdir  # noqa: PLC0415
    from foxora_addon.notice import place_of, read_notice  # noqa: PLC0415

    try:  # this shell need not have the keys that the proxy was started with
        # It is asked for a hint alone, and waits for no pipe.
        trail = load_audit(os.environ, Path.cwd(), is_live=True).path.absolute()
        confdir = settled_confdir()
    except (ConfigError, NoConfdir, OSError):
        return None
    notice = read_notice(place_of(confdir, trail))
    if notice is None:
        return None
    try:
        status = ask(notice.port, "status")
    except NoProxy:
        return None
    written = status["trail"]
    return notice.port if written is not None and is_same_place(Path(written), trail) else None
