"""The notice of this proxy: kept true as long as it runs, and what is told of another's."""

import contextlib
import logging
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from foxora_addon.audit.place import is_same_place
from foxora_addon.config import Config
from foxora_addon.notice import Notice, notice_of, place_of, read_notice, write_notice

_log = logging.getLogger(__name__)

_FOUND_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 0.02


class Door(NamedTuple):
    """Where those are let in who want this proxy to stay; `token` proves that they may."""

    port: int
    token: str


class Notices:
    """Writes the notice once it can, and anew when the configuration has changed."""

    def __init__(self) -> None:
        self._place: Path | None = None
        self._told: tuple[Config, int, Door | None] | None = None

    def keep(
        self, config: Config, trail: Path, confdir: Path, port: int, door: Door | None
    ) -> None:
        """Have the notice say this; `door` is None where nobody's command owns the proxy."""
        told = (config, port, door)
        if self._told is not None and self._told[0] is config and self._told[1:] == told[1:]:
            return
        self._told, self._place = told, place_of(confdir, trail)
        tie_port, token = door or (None, "")
        try:
            write_notice(self._place, notice_of(config, trail, port, tie_port, token))
        except OSError as error:
            _log.warning("foxora: other runs can't join this proxy: %s", error)

    def withdraw(self) -> None:
        """The proxy ends: nobody is to look for it."""
        if self._place is not None:
            with contextlib.suppress(OSError):
                self._place.unlink()


def told_of(config: Config, confdir: Path) -> dict[str, Any]:
    """What is known of the proxy that writes the trail of a configuration, for who wants to join.

    `trail` is its path. `notice` is None if it has none (yet), `is_like` says whether it does what
    ours would do.
    """
    trail = config.audit.path.absolute()
    notice: Notice | None = read_notice(place_of(confdir, trail))
    if notice is None or not is_same_place(Path(notice.trail), trail):
        return {"trail": str(trail), "notice": None, "is_like": False}
    where = {"trail": notice.trail, "port": notice.port, "tie_port": notice.tie_port}
    return {
        "trail": str(trail),
        "notice": {**where, "token": notice.token},
        "is_like": notice.is_like(config),
    }


def told_once_found(
    taken: Callable[[], dict[str, Any]], owner: socket.socket, seconds: float = _FOUND_SECONDS
) -> dict[str, Any]:
    """What `taken` tells of the proxy that has the trail, once that one can be found.

    It may just be starting; to wait for it costs less than to start anew and look again. What can
    be read from `owner` is that nobody wants to know any more.
    """
    deadline = time.monotonic() + seconds
    while (told := taken())["notice"] is None and time.monotonic() < deadline:
        if select.select([owner], [], [], _PAUSE_SECONDS)[0]:
            break
    return told
