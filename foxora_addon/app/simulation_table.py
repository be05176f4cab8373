"""Plays a trail for `audit simulate`, and shows what would have become of each account's calls."""

from pathlib import Path
from typing import Final

from foxora_addon.app.printing import json_text, print_table, write
from foxora_addon.app.say import say
from foxora_addon.app.trail_reading import TrailReading
from foxora_addon.policy.plans import Ceilings
from foxora_addon.reading.demand import LONGEST_WAIT_SECONDS, waited_seconds_in
from foxora_addon.reading.filters import Filters
from foxora_addon.reading.simulation import Played, Simulation
from foxora_addon.reading.texts import count_text, duration_text

_HEADERS: Final = (
    *("account", "calls", "refused then", "busiest minute", "tokens in it", "would be refused"),
    *("or wait", "wait p50", "p95", "max", "and be refused"),
)


def show_simulation(
    path: Path, filters: Filters, ceilings: Ceilings, longest_wait: float, *, as_json: bool
) -> int:
    """Play all wanted records in their order.

    The trail is read twice: how long calls had waited is known before the first is played, and
    whether an exchange is wanted may hang on its end.
    """
    wanted, waited_seconds = _looked_through(path, filters)
    simulation = Simulation(ceilings, longest_wait, waited_seconds)
    reading = TrailReading(path)
    for record in reading.records():
        if wanted is None or record["exchange"] in wanted:
            simulation.take(record)
    simulation.finish()
    reading.say_what_was_skipped()
    accounts = sorted(simulation.accounts.items())
    if as_json:
        write(
            json_text(
                {
                    "requests_per_minute": ceilings.requests_per_minute,
                    "tokens_per_minute": ceilings.tokens_per_minute,
                    "max_wait_seconds": longest_wait,
                    "accounts": {name: played.as_json() for name, played in accounts},
                }
            )
        )
        return 0
    if not accounts:
        say("no call in the trail came to an account's limits")
    print_table(_HEADERS, [_row_of(name, played) for name, played in accounts])
    return 0


def _looked_through(path: Path, filters: Filters) -> tuple[set[str] | None, float]:
    """The exchanges that are wanted, None for all, and how long any of them had waited."""
    reading = TrailReading(path)
    if filters.want_all:
        lines = (line for _, _, line in reading.lines())
        return None, max(map(waited_seconds_in, lines), default=0.0)
    wanted, waited_ms = set(), 0.0
    for recorded in reading.exchanges(filters):
        wanted.add(recorded.id)
        waited_ms = max(waited_ms, recorded.waited_ms or 0.0)
    return wanted, min(waited_ms / 1000, LONGEST_WAIT_SECONDS)


def _row_of(name: str, played: Played) -> list[str]:
    waiting = played.waiting
    return [
        name,
        count_text(played.calls),
        count_text(played.was_refused),
        count_text(played.most_requests),
        count_text(played.most_tokens),
        _share(played.at_once.refused.total(), played.calls),
        _share(waiting.waited, played.calls),
        *(
            duration_text(None if seconds is None else seconds * 1000)
            for seconds in waiting.wait_seconds.values()
        ),
        _share(waiting.refused.total(), played.calls),
    ]


def _share(part: int, whole: int) -> str:
    return f"{count_text(part)} ({100 * part / whole:.1f} %)" if whole else count_text(part)
