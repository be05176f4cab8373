"""Counts what went by since the proxy began: calls, tokens, cost, errors, and what was not a call.

It refuses to know where the counts are shown. `since` makes the figures of a time out of those at
its two ends.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from foxora_addon.ending import Ending

_MOST_NAMES: Final = 200
"""Names that are counted apart; what comes after is counted as `_OTHERS`, so memory is bounded."""
_OTHERS: Final = "others"


class Tally:
    """The counts of one process."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._cost_usd = 0.0
        self._errors: Counter[str] = Counter()
        self._tunnels: Counter[str] = Counter()
        self._distrusted: Counter[str] = Counter()

    def take(self, ending: Ending) -> None:
        """Count a closed exchange."""
        sums = self._sums
        sums["calls"] += 1
        sums["input_tokens"] += ending.input_tokens or 0
        sums["output_tokens"] += ending.output_tokens or 0
        sums["total_tokens"] += ending.total_tokens or 0
        if ending.cost_usd is not None:
            sums["calls_with_cost"] += 1
            self._cost_usd += ending.cost_usd
        if ending.outcome != "completed":
            _count(self._errors, _failure_of(ending))
        elif ending.total_tokens is None and ending.model and ending.source == "gateway":
            sums["calls_without_usage"] += ending.cost_usd != 0

    def tunnelled(self, host: str) -> None:
        """A TLS connection to a host that is not ours passed through unopened."""
        _count(self._tunnels, host)

    def distrusted(self, host: str) -> None:
        """A client broke off TLS, or asked nothing after it: it does not trust mitmproxy's CA."""
        _count(self._distrusted, host)

    def totals(self, open_exchanges: int) -> dict[str, Any]:
        """All counts, as JSON has them. `cost_usd` is None where no call's cost was known."""
        figures = ("calls", "input_tokens", "output_tokens", "total_tokens", "calls_without_usage")
        return {
            **{name: self._sums[name] for name in figures},
            "calls_with_cost": self._sums["calls_with_cost"],
            "cost_usd": self._cost_usd if self._sums["calls_with_cost"] else None,
            "errors": dict(self._errors),
            "tunnels": dict(self._tunnels),
            "distrusted": dict(self._distrusted),
            "open": open_exchanges,
        }


def _failure_of(ending: Ending) -> str:
    """A status with its code, or with what became of the call: a 200 alone says no failure."""
    if ending.status is None:
        return f"{ending.outcome} {ending.error_code or ''}".rstrip()
    return f"{ending.status} {ending.error_code or ending.outcome}"


def since(start: Mapping[str, Any], end: Mapping[str, Any]) -> dict[str, Any]:
    """What happened between two totals of one process; `open` is the end's.

    What was unrecorded may be on record by then: that is nothing of this time.
    """
    return {name: _difference(name, start.get(name), value) for name, value in end.items()}


def _difference(name: str, before: Any, after: Any) -> Any:
    if isinstance(after, Mapping):
        earlier = before if isinstance(before, Mapping) else {}
        counts = {key: value - earlier.get(key, 0) for key, value in after.items()}
        return {key: count for key, count in counts.items() if count > 0}
    if name == "open" or after is None:
        return after
    return after - (before or 0)


def _count(counter: Counter[str], name: str) -> None:
    counter[name if name in counter or len(counter) < _MOST_NAMES else _OTHERS] += 1
