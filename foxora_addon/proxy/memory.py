"""What outlives a restart: the last minute's calls and the month's spend.

Both stand in the trail; the state file beside it spares reading all of it. It is written now and
then in a thread of its own, and at the end.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from foxora_addon.audit import state as states
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.recent import recent_records
from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.budgets import Budgets
from foxora_addon.policy.limits import WINDOW_SECONDS
from foxora_addon.policy.remembered import remembered_of
from foxora_addon.policy.spend_month import MonthSpend

_log = logging.getLogger(__name__)

_SAVE_SECONDS: Final = 5.0
# A call of the last minute may have been recorded before it waited for its turn to be sent.
_LONGEST_GUARD_SECONDS: Final = 31.0
_MOST_UNHELD_BYTES: Final = 1 << 26  # what is read of a trail that has no state file


class Memory:
    """The memory of one trail, for one accounting. Times are seconds of the accounting's clock."""

    def __init__(self, journal: Journal, accounting: Accounting) -> None:
        self._journal = journal
        self._accounting = accounting
        self._file = states.path_beside(journal.path)
        self._state = states.State()
        self._months: Mapping[str, MonthSpend] = {}
        self._saving: asyncio.Task[None] | None = None
        self._saved_at = 0.0

    def recall(self, now: float) -> None:
        """Count what the trail says of the last minute and the month, before anything else."""
        wall_now = time.time()
        self._accounting.wall_offset = wall_now - now
        state = states.load(self._file)
        try:
            records = _records_since(self._journal.path, state, wall_now)
        except OSError as error:
            _log.warning("foxora: the trail can't be read again: %s", error.strerror)
            records = []
        self._state = states.rebuilt(state, records)
        self._accounting.spending.budgets = Budgets(self._state.months(wall_now))
        self._accounting.remember(remembered_of(records, now, wall_now), now)

    def tend(self, now: float) -> None:
        """Follow the wall clock, and write the state if it has changed; cheap if not."""
        self._accounting.wall_offset = time.time() - now
        if now - self._saved_at < _SAVE_SECONDS or (self._saving and not self._saving.done()):
            return
        self._saved_at = now
        if (save := self._save_of_changes()) is not None:
            self._saving = asyncio.get_running_loop().create_task(asyncio.to_thread(save))

    def close(self) -> None:
        """Write the state a last time."""
        if (save := self._save_of_changes()) is not None:
            save()

    def _save_of_changes(self) -> Callable[[], None] | None:
        """What writes the state as it is at this moment; None where it is written already."""
        wall_now = time.time()
        months = self._accounting.spending.budgets.months(wall_now)
        if months == self._months:
            return None
        self._months = months
        self._state = self._state.with_months(months, wall_now, self._journal.seq)
        return lambda state=self._state: _save(self._file, state)  # type: ignore[misc]


def _save(file: Path, state: states.State) -> None:
    try:
        states.save(file, state)
    except states.StateNotSaved as error:
        _log.warning("foxora: %s; the month's spend is rebuilt from the trail", error)


def _records_since(path: Path, state: states.State, wall_now: float) -> list[dict[str, Any]]:
    """The records that the state does not hold, and those of the last minute's calls.

    A call that a crash has cut off counts however long ago it began: its request is looked for.
    """
    held = max((written.seq for written in state.accounts.values()), default=0)
    window = WINDOW_SECONDS + _LONGEST_GUARD_SECONDS
    cut_off: set[str] = set()

    def is_enough(record: Mapping[str, Any]) -> bool:
        exchange = str(record.get("exchange"))
        if record.get("outcome") == "aborted" and record.get("duration_ms") is None:
            cut_off.add(exchange)
        if record.get("event") == "request":
            cut_off.discard(exchange)
        moment = states.moment_of(record.get("time"))
        is_old = moment is not None and wall_now - moment > window
        return is_old and record.get("seq", 0) <= held and not cut_off

    if state.accounts:
        return recent_records(path, is_enough)
    return recent_records(path, is_enough, _MOST_UNHELD_BYTES)
