"""Reads the wall clock beside a clock that nobody sets: the machine's time since its boot."""

import time
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TRIES: Final = 5
_AT_ONCE_SECONDS: Final = 0.001


class Clocks(NamedTuple):
    """One moment on both: Unix seconds, and seconds since the boot of this id.

    `boot_id` None: the machine tells of no such clock (only Linux does), and `boot` means nothing
    to another process.
    """

    wall: float
    boot: float
    boot_id: str | None

    @property
    def offset(self) -> float:
        """What the wall clock is ahead."""
        return self.wall - self.boot


def clocks() -> Clocks:
    """Read both at once, as near as the machine lets us."""
    boot_id = _boot_id()
    best = _read(has_boot_clock=boot_id is not None)
    for _ in range(_TRIES):
        if best[0] < _AT_ONCE_SECONDS:
            break
        best = min(best, _read(has_boot_clock=boot_id is not None))
    return Clocks(best[1], best[2], boot_id)


def _read(*, has_boot_clock: bool) -> tuple[float, float, float]:
    """How long it took, the wall clock's seconds, and the other's."""
    before = _boot_seconds(has_boot_clock)
    wall = time.time()
    after = _boot_seconds(has_boot_clock)
    return after - before, wall, (before + after) / 2


def _boot_seconds(has_boot_clock: bool) -> float:  # noqa: FBT001
    return time.clock_gettime(time.CLOCK_BOOTTIME) if has_boot_clock else time.monotonic()


@cache
def _boot_id() -> str | None:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    try:
        return _BOOT_ID.read_text("ascii").strip() or None
    except OSError:
        return None
