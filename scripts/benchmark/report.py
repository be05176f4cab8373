"""Turns what the rounds measured into a table: medians, spreads, and ratios within a round.

Only what was measured in the same round is compared, since a machine is not the same a minute
later.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

type Row = tuple[str, str]
"""A measured thing, and its unit."""

PER_SECOND = "requests a second"
CPU = "CPU seconds per 1,000 requests"
FIRST_BYTE = "stream: first event"
PER_CHUNK = "stream: delay of an event"
CPU_OF_CHUNKS = "CPU seconds per 1,000 events"
FIRST_ANSWER = "start to first answer, seconds"


@dataclass
class Measured:
    """What one peer came to in one round, by the name of the figure; times are in seconds."""

    figures: dict[str, float] = field(default_factory=dict)


type Round = Mapping[str, Measured]
"""By the name of the peer."""


def at(what: str, count: int) -> str:
    """The name of a figure that was taken with so many clients at once."""
    return f"{what}, c={count}"


def figures_of(rounds: Sequence[Round], peer: str, name: str) -> list[float]:
    return [r[peer].figures[name] for r in rounds if peer in r and name in r[peer].figures]


def ratios_of(rounds: Sequence[Round], peer: str, to: str, name: str) -> list[float]:
    """A figure over that of another peer of the same round."""
    both = [r for r in rounds if peer in r and to in r]
    pairs = [(r[peer].figures.get(name), r[to].figures.get(name)) for r in both]
    return [a / b for a, b in pairs if a is not None and b]


def added_of(rounds: Sequence[Round], peer: str, name: str) -> list[float]:
    """A time beyond that without any proxy, in the same round, in milliseconds."""
    both = [r for r in rounds if peer in r and "direct" in r]
    pairs = [(r[peer].figures.get(name), r["direct"].figures.get(name)) for r in both]
    return [(a - b) * 1000 for a, b in pairs if a is not None and b is not None]


def spread(values: Sequence[float], digits: int) -> str:
    """Median, then the least and the most: `642 (610-655)`."""
    if not values:
        return "-"
    low, high, middle = min(values), max(values), statistics.median(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def requests_table(rounds: Sequence[Round], peers: Mapping[str, str], counts: Sequence[int]) -> str:
    """Requests a second and processor time, and both beside bare mitmdump's."""
    head = ["", *(f"c={count}" for count in counts)]
    head += [*(f"x bare, c={count}" for count in counts), "CPU s per 1,000", "x bare"]
    rows = []
    for peer, what in peers.items():
        row = [what]
        row += [spread(figures_of(rounds, peer, at(PER_SECOND, c)), 0) for c in counts]
        row += [spread(ratios_of(rounds, peer, "bare", at(PER_SECOND, c)), 2) for c in counts]
        row += [spread(figures_of(rounds, peer, CPU), 2)]
        row += [spread(ratios_of(rounds, peer, "bare", CPU), 2)]
        rows.append(row)
    return table(head, rows)


def streams_table(rounds: Sequence[Round], peers: Mapping[str, str], counts: Sequence[int]) -> str:
    """What is added to a stream, in milliseconds, beyond what it takes without a proxy."""
    head = ["", *(f"first event, {count} at once" for count in counts)]
    head += ["an event", "CPU s per 1,000 events", "x naive", "start to first answer", "x bare"]
    rows = []
    for peer, what in peers.items():
        row = [what]
        row += [spread(added_of(rounds, peer, at(FIRST_BYTE, c)), 2) for c in counts]
        row += [spread(added_of(rounds, peer, PER_CHUNK), 2)]
        row += [spread(figures_of(rounds, peer, CPU_OF_CHUNKS), 2)]
        row += [spread(ratios_of(rounds, peer, "naive", CPU_OF_CHUNKS), 2)]
        row += [spread(figures_of(rounds, peer, FIRST_ANSWER), 2)]
        row += [spread(ratios_of(rounds, peer, "bare", FIRST_ANSWER), 2)]
        rows.append(row)
    return table(head, rows)
