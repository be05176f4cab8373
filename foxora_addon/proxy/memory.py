"""What outlives a restart: the last minute's calls and the month's spend.

Both stand in the trail; the state file beside it spares reading all of it. It is written now and
then in a thread of its own, and at the end.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from foxora_addon.api.json_values import moment_of
from foxora_addon.audit import state as states
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.recent import Unpaired, recent_records
from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.budgets import Budgets
from foxora_addon.policy.limits import WINDOW_SECONDS
from foxora_addon.policy.reckoning import Reckoning, Saved, Setting, settings_now
from foxora_addon.policy.remembered import Closing, Spoken, Told, remembered_of
from foxora_addon.policy.spend_month import MonthSpend
from foxora_addon.proxy.clocks import Clocks, clocks

_log = logging.getLogger(__name__)

_SAVE_SECONDS: Final = 5.0
# A call of the last minute may have been recorded before it waited for its turn to be sent.
_LONGEST_GUARD_SECONDS: Final = 31.0
_MOST_UNHELD_BYTES: Final = 1 << 26  # what is read of a trail that has no state file


class Memory:
    """The memory of one trail, for one accounting. Times are seconds of the accounting's clock."""

    def __init__(
        self, journal: Journal, accounting: Accounting, read_clocks: Callable[[], Clocks] = clocks
    ) -> None:
        self._read_clocks = read_clocks
        self._clock_read_at: float | None = None  # by the boot clock
        self._clock_written: states.Clock | None = None
        self._told: Mapping[str, Told] = {}  # in the accounting's moments
        self._told_written: Mapping[str, Told] = {}
        self._closed: Mapping[str, Closing] = {}  # in the accounting's moments
        self._closed_written: Mapping[str, Closing] = {}
        self._spoken: Mapping[str, Spoken] = {}  # in the accounting's moments
        self._spoken_written: Mapping[str, Spoken] = {}
        self._spoken_before: Mapping[str, Spoken] = {}  # before the restart
        self._months: Mapping[str, MonthSpend] = {}
        self._seq_written = 0
        self._journal = journal
        self._accounting = accounting
        self._file = states.path_beside(journal.path)
        self._state = states.State()
        self._saving: asyncio.Task[None] | None = None
        self._saved_at = 0.0
        self._is_saved = True  # what was last to be written is
        self._has_failed = False

    def recall(self, now: float) -> None:
        """Count what the trail says of the last minute and the month, before anything else."""
        told = self._read_clocks()
        wall_now = told.wall
        self._accounting.wall_offset = wall_now - now
        state = states.load(self._file)
        known = _settings_of(state.clock, told)
        # When it was set is not known, if it was: any time since what was last known of it.
        settings = settings_now(known, told.offset, known[-1].since if known else None, None)
        state = _with_clock(state, told, settings)
        saved = state.saved if state.saved and state.saved.boot == told.boot_id else None
        reckoning = partial(Reckoning, settings, told.boot, saved)
        try:
            records = _records_since(self._journal.path, state, reckoning())
        except OSError as error:
            _log.warning("foxora: the trail can't be read again: %s", error.strerror)
            records = []
        recollection = self._accounting.recollection
        recollection.know(state.told, state.accounts)
        self._state = states.rebuilt(state, records, recollection.account_of)
        self._accounting.spending.budgets = Budgets(self._state.months(wall_now))
        self._spoken_before = _spoken_at(state.spoken, now, reckoning())
        calls = remembered_of(records, now, reckoning(), self._spoken_before)
        calls += [call for each in self._spoken_before.values() for call in each.remembered()]
        asked = _told_at(state.told, now, reckoning())
        closed = _closed_at(state.closed, now, reckoning())
        recollection.count(calls, asked, closed, now)
        self._told, self._closed = recollection.told(now), recollection.closed(now)
        if self._told.keys() - state.told.keys():
            self._save_at_once()  # a name and its key are known before any call of it is on record

    def tend(self, now: float) -> None:
        """Follow the wall clock, and write the state if it has changed; cheap if not."""
        told = self._read_clocks()
        self._accounting.wall_offset = told.wall - now
        self._follow_clock(told)
        self._told = self._accounting.recollection.told(now)
        self._closed = self._accounting.recollection.closed(now)
        self._spoken_before = _since(self._spoken_before, now - WINDOW_SECONDS)
        self._spoken = self._spoken_by(now)
        is_time = (
            self._told != self._told_written
            or self._spoken != self._spoken_written
            or self._closed != self._closed_written
            or self._clock_written != self._state.clock
            or now - self._saved_at >= _SAVE_SECONDS
        )
        if not is_time or (self._saving and not self._saving.done()):
            return
        self._saved_at = now
        if (save := self._save_of_changes()) is not None:
            self._saving = asyncio.get_running_loop().create_task(asyncio.to_thread(save))

    def close(self) -> None:
        """Write the state a last time."""
        self._save_at_once()

    def _save_at_once(self) -> None:
        if (save := self._save_of_changes()) is not None:
            save()

    def _follow_clock(self, clocks: Clocks) -> None:
        """Note whether the wall clock was set since it was last read."""
        known = _settings_of(self._state.clock, clocks)
        settings = settings_now(known, clocks.offset, self._clock_read_at, clocks.boot)
        self._clock_read_at = clocks.boot
        if settings != known:
            self._state = _with_clock(self._state, clocks, settings)

    def _save_of_changes(self) -> Callable[[], None] | None:
        """What writes the state as it is at this moment; None where it is written already."""
        clocks = self._read_clocks()
        wall_now = clocks.wall
        self._spoken = self._spoken_by(wall_now - self._accounting.wall_offset)
        budgets = self._accounting.spending.budgets
        months = budgets.months(wall_now)
        seq = self._journal.seq  # also of records that were late: the months have had them before
        held = (months, self._state.clock, self._told, self._closed, self._spoken)
        written = (
            *(self._months, self._clock_written, self._told_written),
            *(self._closed_written, self._spoken_written),
        )
        if held == written and seq == self._seq_written and self._is_saved:
            return None
        self._months, self._clock_written, self._told_written, self._closed_written = held[:4]
        self._spoken_written = self._spoken
        self._seq_written, self._is_saved = seq, False
        offset = self._accounting.wall_offset
        told = {
            name: replace(each, asked=tuple(moment + offset for moment in each.asked))
            for name, each in self._told.items()
        }
        closed = {
            name: Closing(each.at + offset, each.until + offset)
            for name, each in self._closed.items()
        }
        spoken = {name: _moved(each, offset) for name, each in self._spoken.items()}
        self._state = replace(self._state, told={**self._state.told, **told}, closed=closed)
        self._state = replace(self._state, spoken=spoken)
        boot = clocks.boot_id
        saved = None if boot is None else Saved(boot, clocks.boot, seq)
        self._state = replace(self._state, saved=saved)
        self._state = self._state.with_months(months, wall_now, seq, budgets.merged)
        return partial(self._save, self._state)

    def _spoken_by(self, now: float) -> Mapping[str, Spoken]:
        """What the months have of WebSockets at this moment."""
        return {**self._spoken_before, **self._accounting.talks.spoken(now)}

    def _save(self, state: states.State) -> None:
        try:
            states.save(self._file, state)
        except states.StateNotSaved as error:
            if not self._has_failed:  # it is tried every five seconds
                _log.warning("foxora: %s; the month's spend is rebuilt from the trail", error)
            self._has_failed = True
        else:
            self._is_saved, self._has_failed = True, False


def _settings_of(clock: states.Clock | None, clocks: Clocks) -> tuple[Setting, ...]:
    """What is known of the wall clock since this boot."""
    return clock.settings if clock is not None and clock.boot == clocks.boot_id else ()


def _with_clock(state: states.State, clocks: Clocks, settings: tuple[Setting, ...]) -> states.State:
    """The state with these settings; with none where the machine has no clock to hold them to."""
    boot = clocks.boot_id
    return replace(state, clock=None if boot is None else states.Clock(boot, settings))


def _told_at(told: Mapping[str, Told], now: float, reckoning: Reckoning) -> dict[str, Told]:
    """What was told before the restart, in the accounting's moments."""
    asked = sorted({moment for each in told.values() for moment in each.asked}, reverse=True)
    moments = {moment: now - reckoning.age(moment) for moment in asked}
    return {
        name: replace(each, asked=tuple(sorted(moments[moment] for moment in each.asked)))
        for name, each in told.items()
    }


def _closed_at(
    closed: Mapping[str, Closing], now: float, reckoning: Reckoning
) -> dict[str, Closing]:
    """What the gateway's 429s closed before the restart, in the accounting's moments."""
    newest_first = sorted(closed.items(), key=lambda item: item[1].at, reverse=True)
    at = {name: now - reckoning.age(each.at) for name, each in newest_first}
    return {
        name: Closing(at[name], at[name] + each.until - each.at) for name, each in closed.items()
    }


def _spoken_at(spoken: Mapping[str, Spoken], now: float, reckoning: Reckoning) -> dict[str, Spoken]:
    """What was said over WebSockets before the restart, in the accounting's moments.

    How far their open answers came is not known: what they held is taken to be used at `now`.
    """
    moments = {moment for each in spoken.values() for moment, _ in each.lately}
    at = {moment: now - reckoning.age(moment) for moment in sorted(moments, reverse=True)}
    return {
        name: replace(
            each, lately=tuple((at[moment], tokens) for moment, tokens in each.lately)
        ).cut_off(now)
        for name, each in spoken.items()
    }


def _since(spoken: Mapping[str, Spoken], moment: float) -> Mapping[str, Spoken]:
    """Those of which anything was said since that moment."""
    if not spoken:
        return spoken
    return {
        name: each for name, each in spoken.items() if each.lately and each.lately[-1][0] > moment
    }


def _moved(spoken: Spoken, seconds: float) -> Spoken:
    """The same with all its moments moved on."""
    return replace(spoken, lately=tuple((at + seconds, tokens) for at, tokens in spoken.lately))


def _records_since(path: Path, state: states.State, reckoning: Reckoning) -> list[dict[str, Any]]:
    """The records that the state does not hold, and those of the last minute's calls.

    Of a call that is over since then, cut off by a crash too, the request is looked for however
    long ago it began: it alone names the client, and the model as it was asked for. One that lies
    before all that is read at most is not found: what the call used then counts for its account
    alone, and for nobody where it was cut off. Of a WebSocket the state has it.
    """
    held = max((written.seq for written in state.accounts.values()), default=0)
    window = WINDOW_SECONDS + _LONGEST_GUARD_SECONDS
    unpaired = Unpaired()

    def is_enough(record: Mapping[str, Any]) -> bool:
        moment = moment_of(record.get("time"))
        is_old = moment is not None and reckoning.age(moment, record.get("seq", 0)) > window
        is_held = str(record.get("exchange")) in state.spoken
        lacks_any = unpaired.take(record, counts=not (is_old or is_held))
        return is_old and record.get("seq", 0) <= held and not lacks_any

    if state.accounts:
        return recent_records(path, is_enough)
    return recent_records(path, is_enough, _MOST_UNHELD_BYTES)
