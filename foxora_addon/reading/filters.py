"""Decides which exchanges are wanted: the filters that all commands share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final, get_args

from foxora_addon.exchange import Outcome
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.grep import Pattern

OUTCOMES: Final[tuple[str, ...]] = (*get_args(Outcome.__value__), "open")
_STATUS: Final = re.compile(r"(\d)xx|(\d{3})(?:-(\d{3}))?|(none)")


@dataclass(frozen=True, slots=True)
class Filters:
    """What is wanted; of several values of one kind, any. An empty kind wants everything.

    `since` (included) and `until` (excluded) are times in the trail's form.
    """

    accounts: Sequence[str] = ()
    models: Sequence[str] = ()
    statuses: Sequence[range | None] = ()
    outcomes: Sequence[str] = ()
    since: str | None = None
    until: str | None = None
    grep: Pattern | None = None

    def want(self, recorded: Recorded) -> bool:
        """Whether an exchange is wanted; of the grep, what was `found` decides."""
        return (
            recorded.found
            and (not self.accounts or recorded.account in self.accounts)
            and (not self.models or self._wants_model(recorded))
            and (not self.statuses or self._wants_status(recorded.status))
            and (not self.outcomes or recorded.outcome in self.outcomes)
            and (self.since is None or recorded.time >= self.since)
            and (self.until is None or recorded.time < self.until)
        )

    @property
    def want_all(self) -> bool:
        """Whether nothing is filtered out."""
        return self == Filters()

    def _wants_model(self, recorded: Recorded) -> bool:
        models = (recorded.model, (recorded.response or {}).get("model"))
        return any(
            fnmatchcase(model, pattern)
            for model in models
            if isinstance(model, str)
            for pattern in self.models
        )

    def _wants_status(self, status: int | None) -> bool:
        return any(
            status is None if wanted is None else status is not None and status in wanted
            for wanted in self.statuses
        )


def parse_status(text: str) -> range | None:
    """What "429", "4xx", "400-499" mean; None for "none". Raises ValueError with words."""
    match = _STATUS.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"'{text}' is no status: give 429, 4xx, 400-499, or none")
    if match[4]:
        return None
    if match[1]:
        return range(int(match[1]) * 100, int(match[1]) * 100 + 100)
    return range(int(match[2]), int(match[3] or match[2]) + 1)


def parse_outcome(text: str) -> str:
    """The outcome of that name. Raises ValueError with words."""
    if text in OUTCOMES:
        return text
    near = get_close_matches(text, OUTCOMES, 1)
    hint = f"did you mean {near[0]}?" if near else f"give one of {', '.join(OUTCOMES)}"
    raise ValueError(f"'{text}' is no outcome: {hint}")
