"""The trail as the pipeline sees it: what happens when it can't be written stands here.

`audit.on_failure`: `refuse` lets no call out that is not on record, `allow` lets it pass and counts
it. Either way the log says so, at most once a minute. Response records that could not be written
wait, and are written once the trail can be written again: before the next record, or when it is
tended or closed.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from foxora_addon.api import quick_json
from foxora_addon.audit.checkpoint import CheckpointRules, Checkpoints
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.keeping import Keeping
from foxora_addon.audit.record import aborted_fields
from foxora_addon.audit.running_file import TrailUnavailable
from foxora_addon.config import Audit
from foxora_addon.pipeline import Kept

_log = logging.getLogger(__name__)

_MOST_WAITING: Final = 10_000
_MOST_WAITING_BYTES: Final = 1 << 26  # of memory, and of what is written at once when it works
_SAY_SECONDS: Final = 60.0

type Scrub = Callable[[str], str]


class JournalTrail:
    """A `Trail` over a journal. `now` gives seconds of the monotonic clock."""

    def __init__(
        self,
        journal: Journal,
        on_failure: Literal["refuse", "allow"],
        now: Callable[[], float],
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.journal = journal
        self._checkpoints = checkpoints
        self.on_failure = on_failure
        self._now = now
        self._waiting: deque[tuple[Mapping[str, Any], Scrub, int]] = deque()
        self._waiting_bytes = 0
        self._lost: Counter[str] = Counter()  # by why
        self._why_failing = ""
        self._is_failing = False
        self._said_at = self._said_of_checkpoints_at = -_SAY_SECONDS

    @property
    def unrecorded(self) -> dict[str, int]:
        """How many records are not in the trail, by why they could not be written."""
        return dict(self._lost + Counter({self._why_failing: len(self._waiting)}))

    def end_left_open(self) -> int:
        """Write the response records of exchanges that a crash left open; returns how many."""
        exchanges = list(self.journal.left_open.items())
        for exchange, account in exchanges:
            self.write(aborted_fields(exchange, account), str)
        return len(exchanges)

    def take(self, audit: Audit) -> None:
        """Work by this section of the configuration from now on; raises `CheckpointUnusable`."""
        rules = checkpoint_rules_of(audit)
        if rules != (self._checkpoints.rules if self._checkpoints else None):
            changed = checkpoints_of(audit)
            compare(changed, self.journal)
            self._close_checkpoints()
            self._checkpoints = changed
        self.on_failure = audit.on_failure
        self.journal.sync_policy = audit.sync
        if self.journal.keeping != (keeping := keeping_of(audit)):
            self.journal.keep(keeping)

    def write(self, fields: Mapping[str, Any], scrub: Scrub) -> Kept:
        """Append a record; a response that can't be written waits until it can."""
        journal = self.journal
        try:
            if self._waiting:
                self._catch_up()
            journal.append(fields, scrub)
        except TrailUnavailable as error:
            self._is_failing, self._why_failing = True, str(error)
            if not self._lets_wait(fields, scrub):
                self._lost[self._why_failing] += 1
            self._say(self._why_failing)
            return "lost"
        if self._is_failing:
            self._works_again()
        if journal.sync_failure is not None and journal.sync_policy != "each":
            return "unsafe"
        return "safe"

    def _lets_wait(self, fields: Mapping[str, Any], scrub: Scrub) -> bool:
        """Whether a record waits: a response does, where there is room for it."""
        if fields["event"] != "response" or len(self._waiting) >= _MOST_WAITING:
            return False
        size = len(quick_json.text_of(fields))
        if self._waiting_bytes + size > _MOST_WAITING_BYTES:
            return False
        self._waiting.append((fields, scrub, size))
        self._waiting_bytes += size
        return True

    def _catch_up(self) -> None:
        while self._waiting:
            fields, scrub, size = self._waiting[0]
            self.journal.append(fields, scrub)
            self._waiting.popleft()
            self._waiting_bytes -= size

    def _write_what_waits(self) -> None:
        if self._waiting:
            try:
                self._catch_up()
            except TrailUnavailable as error:
                self._say(str(error))
            else:
                self._works_again()

    def _works_again(self) -> None:
        self._is_failing = False
        _log.warning("foxora: the trail can be written again (%d records lost)", self._lost.total())

    async def safely_kept(self) -> bool:
        """Whether all that was written by now is kept as configured: on the disk, where that is so.

        It returns at once unless `audit.sync` is `each`; then it waits for the sync that every
        record written meanwhile shares.
        """
        asked = self.journal.synced()
        if self.journal.sync_policy != "each" or asked is None:
            return True
        if await asyncio.wrap_future(asked):
            return True
        self._say(self.journal.sync_failure or f"the trail {self.journal.path} was not synced")
        return False

    def reopen(self) -> None:
        """Look at once at what stands under the trail's name, and let go of what was moved away."""
        try:
            self.journal.follow_the_path()
        except TrailUnavailable as error:
            self._say(str(error))
        else:
            _log.info("foxora: the trail %s is open", self.journal.path)

    def tend(self) -> None:
        """What is due now and then: see `Journal.tend`."""
        self._write_what_waits()
        try:
            self.journal.see_to_the_last_records()
        except TrailUnavailable as error:
            self._say(str(error))
        self.journal.tend(self._now())
        if (failure := self.journal.sync_failure) is not None:
            self._say(failure)
        if self._checkpoints is not None:
            self._checkpoints.look(self.journal.seq, self.journal.head, self._now())
            if self._checkpoints.failure is not None:
                self._say_of_checkpoints(self._checkpoints.failure)

    def close(self) -> None:
        """Close the trail, and sign how far it has come."""
        self._write_what_waits()
        if self._waiting:
            _log.error("foxora: %d response records could not be written", len(self._waiting))
        self.journal.close()
        self._close_checkpoints()

    def _close_checkpoints(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.close(self.journal.seq, self.journal.head)
            if self._checkpoints.failure is not None:
                _log.error("foxora: %s", self._checkpoints.failure)

    def _say_of_checkpoints(self, what: str) -> None:
        now = self._now()
        if now - self._said_of_checkpoints_at >= _SAY_SECONDS:
            self._said_of_checkpoints_at = now
            _log.error("foxora: %s; calls pass all the same", what)

    def _say(self, what: str) -> None:
        now = self._now()
        if now - self._said_at >= _SAY_SECONDS:
            self._said_at = now
            so = "calls are refused" if self.on_failure == "refuse" else "calls pass all the same"
            _log.error("foxora: %s; %s (%d records lost so far)", what, so, self._lost.total())


def keeping_of(audit: Audit) -> Keeping:
    """How the configuration has the trail rotated and kept."""
    return Keeping(
        audit.rotate_bytes,
        audit.rotate_seconds,
        audit.compress,
        audit.keep_segments,
        audit.keep_days,
    )


def checkpoint_rules_of(audit: Audit) -> CheckpointRules | None:
    """How the configuration has checkpoints signed; None where it has none signed."""
    if audit.checkpoint_key is None:
        return None
    return CheckpointRules(
        audit.checkpoint_file,
        audit.checkpoint_key,
        audit.checkpoint_seconds,
        audit.checkpoint_records,
    )


def checkpoints_of(audit: Audit) -> Checkpoints | None:
    """The checkpoints of a trail, ready to go on; raises `CheckpointUnusable`."""
    rules = checkpoint_rules_of(audit)
    return None if rules is None else Checkpoints.open(rules, time.time)


def compare(checkpoints: Checkpoints | None, journal: Journal) -> None:
    """Say so if the trail is not the one that was signed; raises `CheckpointUnusable`.

    To be done before its first checkpoint is signed, or that covers it up.
    """
    if checkpoints is None:
        return
    if (wrong := checkpoints.compare(journal.path, journal.seq)) is not None:
        _log.warning("foxora: %s", wrong)
