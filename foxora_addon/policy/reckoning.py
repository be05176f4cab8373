"""Reckons how long ago records were written, though the wall clock may have been set since.

A record's time is the wall clock's. Alone it can't be told from a pause: an hour may have passed,
or the clock was put forward by one. So it is laid beside a clock that nobody sets, the machine's
time since its boot, where there is one: what the wall clock was ahead of it, and when, stands in
the trail's state file. Pure; it refuses to know how clocks are read and where records are kept.

Where more than one reading is possible the youngest counts: a call of the last minute is never
forgotten. And a record is no younger than the one after it, so one that seems to come from the
future, after a clock was set back, is reckoned from there: nobody is locked out for longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

SLACK_SECONDS: Final = 0.05
"""What two readings of both clocks may differ by and mean the same: they are read in turn."""

# The clock is looked at once a second: so all are known of the last minute and its longest guard.
_MOST_SETTINGS: Final = 100


@dataclass(frozen=True, slots=True)
class Setting:
    """What the wall clock was ahead of the boot clock, `since` when and `until` when, at the most.

    Both are seconds of the boot clock. None: since before the boot; until now.
    """

    offset: float
    since: float | None = None
    until: float | None = None

    def reads(self, moment: float, now: float) -> float | None:
        """Return the boot clock's moment of a wall clock's; None: it did not show that then."""
        at = moment - self.offset
        if self.since is not None and at < self.since - 2 * SLACK_SECONDS:
            return None
        latest = now if self.until is None else self.until
        return min(at, now) if at <= latest + 2 * SLACK_SECONDS else None


def settings_now(
    settings: Sequence[Setting], offset: float, since: float | None, until: float | None
) -> tuple[Setting, ...]:
    """Return the settings as they are once the offset was read.

    Another than the last one's is in force since some moment after `since`, and the last one was
    until `until` at the most, None: for as long as can't be said.
    """
    if not settings:
        return (Setting(offset),)
    last = settings[-1]
    if abs(offset - last.offset) <= SLACK_SECONDS:
        return tuple(settings)
    kept = (*settings[:-1], replace(last, until=until), Setting(offset, since))
    return kept[-_MOST_SETTINGS:]


@dataclass(frozen=True, slots=True)
class Saved:
    """When the state was saved, by the clock of that boot, and the last record by then.

    Records after it can't be older, whatever the wall clock was set to when they were written: it
    may have been set back again before anybody saw it.
    """

    boot: str
    at: float
    seq: int


class Reckoning:
    """How old records are, asked for from the newest to the oldest. `now` is the boot clock's.

    `saved`: when the state was in this boot; None if it was not.
    """

    def __init__(self, settings: Sequence[Setting], now: float, saved: Saved | None = None) -> None:
        self._settings = settings
        self._now = now
        self._saved = saved
        # Of the record after the one that is asked for: its moment as written, and as read.
        self._last: tuple[float, float] | None = None

    def age(self, moment: float, seq: int = 0) -> float:
        """Return how many seconds ago a record was written that bears this wall clock's time.

        `seq` is its number, 0 where it has none.
        """
        readings = [setting.reads(moment, self._now) for setting in self._settings]
        at = max((reading for reading in readings if reading is not None), default=None)
        last_moment, last_at = self._last or (moment, self._now)
        if at is None:
            at = last_at - max(last_moment - moment, 0.0)
        if self._saved is not None and seq > self._saved.seq:
            at = max(at, self._saved.at)
        at = min(at, last_at)
        self._last = moment, at
        return self._now - at
