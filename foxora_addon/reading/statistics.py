"""Adds exchanges up in bounded memory, by whatever they are grouped by."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from foxora_addon.reading.exchanges import Recorded

_GROWTH: Final = 1.02
_PER_STEP: Final = 1 / math.log(_GROWTH)
_LEAST: Final = 1e-6

type Key = tuple[str, ...]

KEYS: Final[Mapping[str, Callable[[Recorded], Sequence[str]]]] = {
    "account": lambda recorded: (recorded.account or "-",),
    "model": lambda recorded: (recorded.model or "-",),
    "client": lambda recorded: (recorded.client or "-",),
    "tag": lambda recorded: recorded.tags or ("-",),
    "hour": lambda recorded: (f"{recorded.time[:13]}:00Z",),
}
"""What `--by` can name, and the groups that an exchange is in: one of each, but several tags."""


class Histogram:
    """Quantiles of positive numbers to within 1 %, in at most a few thousand counters.

    Each counter stands for the numbers up to 2 % above the one before it (the idea of DDSketch).
    """

    __slots__ = ("_counts", "count")

    def __init__(self) -> None:
        self.count = 0
        self._counts: dict[int, int] = {}

    def add(self, value: float) -> None:
        """Count a number; one that is not positive counts as next to nothing."""
        self.add_step(step_of(value))

    def add_step(self, step: int) -> None:
        """Count a number of which the counter is known."""
        self._counts[step] = self._counts.get(step, 0) + 1
        self.count += 1

    def quantile(self, share: float) -> float | None:
        """The number that so large a share (0 to 1) is not above; None if nothing was counted."""
        if not self.count:
            return None
        rank, seen, step = max(math.ceil(share * self.count), 1), 0, 0
        for step, count in sorted(self._counts.items()):  # noqa: B007  # the last one is wanted
            seen += count
            if seen >= rank:
                break
        return 2 * _GROWTH**step / (_GROWTH + 1)


def step_of(value: float) -> int:
    """Which counter a number belongs to."""
    return math.ceil(math.log(max(value, _LEAST)) * _PER_STEP)


class Figures:
    """What an exchange adds to the totals: asked of its records once, however many it adds to.

    Latencies are those of what was sent: a refusal is quick, and would make the rest look so.
    """

    __slots__ = (
        *("cost_usd", "duration", "first_byte", "input_tokens", "is_failed", "is_open"),
        *("is_refused", "outcome", "output_tokens", "total_tokens", "waited"),
    )

    def __init__(self, recorded: Recorded) -> None:
        outcome = self.outcome = recorded.outcome
        self.is_open = recorded.response is None
        self.is_refused = outcome == "refused"
        self.is_failed = recorded.is_failed
        self.waited = bool(recorded.waited_ms)
        self.input_tokens = recorded.input_tokens or 0
        self.output_tokens = recorded.output_tokens or 0
        self.total_tokens = recorded.total_tokens or 0
        self.cost_usd = recorded.cost_usd
        duration = None if self.is_refused else recorded.duration_ms
        first_byte = None if self.is_refused else recorded.first_byte_ms
        self.duration = None if duration is None else step_of(duration)
        self.first_byte = None if first_byte is None else step_of(first_byte)


class Totals:
    """What a group of exchanges adds up to.

    `failed` ended otherwise than by an answer or a refusal; `open` have no end on record. `priced`
    are those whose cost is known, and `cost_usd` is theirs.
    """

    __slots__ = (
        *("cost_usd", "duration", "exchanges", "failed", "first_byte", "input_tokens", "open"),
        *("outcomes", "output_tokens", "priced", "refused", "total_tokens", "waited"),
    )

    def __init__(self) -> None:
        self.exchanges = self.failed = self.open = self.refused = self.priced = 0
        self.waited = self.input_tokens = self.output_tokens = self.total_tokens = 0
        self.cost_usd = 0.0
        self.outcomes: Counter[str] = Counter()
        self.duration, self.first_byte = Histogram(), Histogram()

    def add(self, figures: Figures) -> None:
        """Take one more exchange."""
        self.exchanges += 1
        self.outcomes[figures.outcome] += 1
        self.open += figures.is_open
        self.refused += figures.is_refused
        self.failed += figures.is_failed
        self.waited += figures.waited
        self.input_tokens += figures.input_tokens
        self.output_tokens += figures.output_tokens
        self.total_tokens += figures.total_tokens
        if figures.cost_usd is not None:
            self.priced += 1
            self.cost_usd += figures.cost_usd
        if figures.duration is not None:
            self.duration.add_step(figures.duration)
        if figures.first_byte is not None:
            self.first_byte.add_step(figures.first_byte)

    def as_json(self) -> dict[str, Any]:
        """The figures by name, times in milliseconds."""
        return {
            "exchanges": self.exchanges,
            "outcomes": dict(self.outcomes.most_common()),
            "failed": self.failed,
            "refused": self.refused,
            "open": self.open,
            "waited": self.waited,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
            "cost_usd": round(self.cost_usd, 9) if self.priced else None,
            "priced_exchanges": self.priced,
            "first_byte_ms": _quantiles(self.first_byte),
            "duration_ms": _quantiles(self.duration),
        }


def _quantiles(histogram: Histogram) -> dict[str, float | None]:
    shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
    found = {name: histogram.quantile(share) for name, share in shares.items()}
    return {name: None if value is None else round(value, 3) for name, value in found.items()}


class Statistics:
    """Totals of all exchanges, and of each group; `by` holds names of `KEYS`."""

    def __init__(self, by: Sequence[str]) -> None:
        self.by = tuple(by)
        self.total = Totals()
        self.groups: dict[Key, Totals] = {}

    def add(self, recorded: Recorded) -> None:
        """Take one more exchange; one with several tags is in the group of each."""
        figures = Figures(recorded)
        self.total.add(figures)
        if not self.by:
            return
        for key in self._keys_of(recorded):
            group = self.groups.get(key)
            if group is None:
                group = self.groups[key] = Totals()
            group.add(figures)

    def sorted_groups(self) -> list[tuple[Key, Totals]]:
        """Hours in their order where they come first; else the largest group first."""
        if self.by and self.by[0] == "hour":
            return sorted(self.groups.items())
        return sorted(self.groups.items(), key=lambda item: (-item[1].exchanges, item[0]))

    def _keys_of(self, recorded: Recorded) -> Iterator[Key]:
        keys: list[Key] = [()]
        for name in self.by:
            keys = [(*key, value) for key in keys for value in KEYS[name](recorded)]
        yield from keys


def parse_by(texts: Sequence[str]) -> list[str]:
    """The names that `--by account,model` lists. Raises ValueError with words."""
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    for name in names:
        if name not in KEYS:
            raise ValueError(f"'{name}' can't be grouped by: give {', '.join(KEYS)}")
    return list(dict.fromkeys(names))
