"""The trail as the pipeline sees it: what happens when it can't be written stands here.

`audit.on_failure`: `refuse` lets no call out that is not on record, `allow` lets it pass and counts
it. Either way the log says so, at most once a minute. Response records that could not be written
wait, and are written before the next record once the trail can be written again.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal

from foxora_addon.audit.journal import Journal, NotSynced, TrailUnavailable
from foxora_addon.pipeline import Kept

_log = logging.getLogger(__name__)

_MOST_WAITING = 10_000
_SAY_SECONDS = 60.0

type Scrub = Callable[[str], str]


class JournalTrail:
    """A `Trail` over a journal. `now` gives seconds of the monotonic clock."""

    def __init__(
        self, journal: Journal, on_failure: Literal["refuse", "allow"], now: Callable[[], float]
    ) -> None:
        self.journal = journal
        self.on_failure = on_failure
        self._now = now
        self._waiting: deque[tuple[Mapping[str, Any], Scrub]] = deque(maxlen=_MOST_WAITING)
        self._unrecorded = 0
        self._said_at = -_SAY_SECONDS

    def write(self, fields: Mapping[str, Any], scrub: Scrub) -> Kept:
        """Append a record; a response that can't be written waits until it can."""
        try:
            self._catch_up()
            return self._append(fields, scrub)
        except TrailUnavailable as error:
            self._say(error)
            if fields["event"] == "response":
                self._waiting.append((fields, scrub))
            return "lost"

    def _catch_up(self) -> None:
        while self._waiting:
            self._append(*self._waiting[0])
            self._waiting.popleft()

    def _append(self, fields: Mapping[str, Any], scrub: Scrub) -> Kept:
        try:
            self.journal.append(fields, scrub)
        except NotSynced as error:
            self._say(error)
            return "unsafe"
        return "safe"

    def _say(self, error: TrailUnavailable) -> None:
        self._unrecorded += 1
        now = self._now()
        if now - self._said_at >= _SAY_SECONDS:
            self._said_at = now
            what = "calls are refused" if self.on_failure == "refuse" else "calls pass unrecorded"
            _log.error("foxora: %s; %s (%d so far)", error, what, self._unrecorded)
