"""Keeps an account closed after the gateway's own 429, and opens it again without a stampede.

It refuses to know which exchange was refused, and how its answer said for how long.
"""

import math
from typing import Final

# A 429 says that somebody else spends of the same account, or that its ceilings are other than we
# think: how much room there is, is unknown. So the calls that pass after a hold double with each
# step (1, 2, 4, ...), as in TCP's slow start (RFC 5681). The first is the probe: if it gets a 429,
# that is back well within a step and closes the account again. By the last step 2,047 have passed,
# more than the largest plan's ceiling.
_STEP_SECONDS: Final = 0.5
_STEPS: Final = 11

UNTOLD_WAIT_SECONDS: Final = 1.0
"""How long a 429 that names no time closes an account."""

# A hold never lasts longer without asking the gateway again: a wrong date in one header must not
# lock an account out for ever, and one probe an hour is cheap.
LONGEST_HOLD_SECONDS: Final = 3_600.0


class Hold:
    """When calls may pass, after what the gateway said; nothing said: at any time.

    Moments are seconds of one monotonic clock. `was_told`: something was said, and may still hold.
    """

    __slots__ = ("_opens_at", "_passed", "was_told")

    def __init__(self) -> None:
        self.was_told = False
        self._opens_at = -math.inf
        self._passed = 0

    def extend(self, until: float, now: float) -> None:
        """Close until that moment, or longer if it is closed for longer already.

        The answers to calls in flight come in any order: the latest moment that any of them names
        counts, and the opening begins anew at it.
        """
        until = min(until, now + LONGEST_HOLD_SECONDS)
        if until > self._opens_at:
            self.was_told = True
            self._opens_at = until
            self._passed = 0

    def opens_at(self, calls: int = 1) -> float:
        """Return the moment from which so many more may pass; long ago if nothing is held."""
        return self._opens_at + _STEP_SECONDS * ((self._passed + calls).bit_length() - 1)

    @property
    def told(self) -> tuple[float, int]:
        """The latest moment that was named, and how many calls have passed since it."""
        return self._opens_at, self._passed

    def is_over(self, now: float) -> bool:
        """Say whether it is closed no longer and has opened all the way."""
        return now >= self._opens_at + _STEP_SECONDS * _STEPS

    def passes(self, now: float) -> None:
        """One call passes now. One that is let through a closed hold is no part of its opening."""
        if not self.was_told:
            return
        if self.is_over(now):
            self.was_told = False
            self._opens_at = -math.inf
            self._passed = 0
        elif now >= self._opens_at:
            self._passed += 1

    def absorb(self, other: "Hold") -> None:
        """Be as closed as both: the later moment counts, with what has passed since it."""
        self._opens_at, self._passed = max(self.told, other.told)
        self.was_told = self.was_told or other.was_told
