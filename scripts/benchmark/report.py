"""Turns what was measured into tables: medians, spreads, and ratios within a slice.

Only what was measured in the same slice is compared, since a machine is not the same a minute
later.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

type Row = tuple[str, str]
"""A measured thing, and its unit."""

PER_SECOND = "requests a second"
CPU = "CPU seconds per 1,000 requests"
FIRST_BYTE = "stream: first event"
PER_CHUNK = "stream: delay of an event"
CPU_OF_CHUNKS = "CPU seconds per 1,000 events"
FIRST_ANSWER = "start to first answer, seconds"
DIRECT = "direct"
"""What is measured without any proxy has this name."""


@dataclass
class Measured:
    """What one peer came to in one slice, by the name of the figure; times are in seconds."""

    figures: dict[str, float] = field(default_factory=dict)
    _sums: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, name: str, seconds: float, count: int) -> None:
        """Processor time of so many more; the figure is that of a thousand of all of them."""
        before, so_many = self._sums.get(name, (0.0, 0))
        self._sums[name] = before + seconds, so_many + count
        self.figures[name] = (before + seconds) / (so_many + count) * 1000


type Slice = Mapping[str, Measured]
"""What was measured within seconds, by the name of the peer."""


def at(what: str, count: int) -> str:
    """The name of a figure that was taken with so many clients at once."""
    return f"{what}, c={count}"


def figures_of(slices: Sequence[Slice], peer: str, name: str) -> list[float]:
    return [a for each in slices if (a := _figure(each, peer, name)) is not None]


def ratios_of(slices: Sequence[Slice], peer: str, to: str, name: str) -> list[float]:
    """A figure over that of another peer of the same slice."""
    return [a / b for a, b in _pairs(slices, peer, to, name) if b]


def added_of(slices: Sequence[Slice], peer: str, name: str) -> list[float]:
    """A time beyond that without any proxy, in the same slice, in milliseconds."""
    return [(a - b) * 1000 for a, b in _pairs(slices, peer, DIRECT, name)]


def _pairs(
    slices: Sequence[Slice], peer: str, other: str, name: str
) -> Iterator[tuple[float, float]]:
    """The figures of both, of each slice that has both."""
    for each in slices:
        a, b = _figure(each, peer, name), _figure(each, other, name)
        if a is not None and b is not None:
            yield a, b


def _figure(of: Slice, peer: str, name: str) -> float | None:
    return of[peer].figures.get(name) if peer in of else None


def spread(values: Sequence[float], digits: int) -> str:
    """Median, then between what the middle half lies: `642 (610-655)`."""
    if not values:
        return "-"
    several = [*values, *values]  # quantiles want two
    low, middle, high = statistics.quantiles(several, n=4, method="inclusive")
    return f"{middle:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def requests_table(slices: Sequence[Slice], peers: Mapping[str, str], counts: Sequence[int]) -> str:
    """Requests a second and processor time, and both beside bare mitmdump's."""
    head = ["", *(f"c={count}" for count in counts)]
    head += [*(f"x bare, c={count}" for count in counts), "CPU s per 1,000", "x bare"]
    rows = []
    for peer, what in peers.items():
        row = [what]
        row += [spread(figures_of(slices, peer, at(PER_SECOND, c)), 0) for c in counts]
        row += [spread(ratios_of(slices, peer, "bare", at(PER_SECOND, c)), 2) for c in counts]
        row += [spread(figures_of(slices, peer, CPU), 2)]
        row += [spread(ratios_of(slices, peer, "bare", CPU), 2)]
        rows.append(row)
    return table(head, rows)


def streams_table(slices: Sequence[Slice], peers: Mapping[str, str], counts: Sequence[int]) -> str:
    """What is added to a stream, in milliseconds, beyond what it takes without a proxy."""
    head = ["", *(f"first event, {count} at once" for count in counts)]
    head += ["an event", "CPU s per 1,000 events", "x naive", "start to first answer", "x bare"]
    rows = []
    for peer, what in peers.items():
        row = [what]
        row += [spread(added_of(slices, peer, at(FIRST_BYTE, c)), 2) for c in counts]
        row += [spread(added_of(slices, peer, PER_CHUNK), 2)]
        row += [spread(figures_of(slices, peer, CPU_OF_CHUNKS), 2)]
        row += [spread(ratios_of(slices, peer, "naive", CPU_OF_CHUNKS), 2)]
        row += [spread(figures_of(slices, peer, FIRST_ANSWER), 2)]
        row += [spread(ratios_of(slices, peer, "bare", FIRST_ANSWER), 2)]
        rows.append(row)
    return table(head, rows)
