"""Reads off a trail how calls waited: how exactly each was sent, in which order, and how fairly."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from foxora_addon.policy.limits import DEFAULT_GUARD_SECONDS, WINDOW_SECONDS

SPAN = WINDOW_SECONDS + DEFAULT_GUARD_SECONDS
LARGE_TOKENS = 10_000
DOUBT_SECONDS = 0.05  # a call comes with its head, and stands in line with its body


@dataclass(frozen=True, slots=True)
class Sent:
    arrived_at: float
    admitted_at: float
    sent_at: float
    waited: float
    tokens: int


def sent_calls(trail: Path) -> list[Sent]:
    """The calls that were sent, in the order of sending; Unix seconds."""
    requests: dict[str, dict[str, Any]] = {}
    calls = []
    for line in trail.read_text().splitlines():
        record = json.loads(line)
        if record["event"] == "request":
            requests[record["exchange"]] = record
            continue
        request = requests.pop(record["exchange"])
        if record["sent_ms"] is None:
            continue
        arrived = moment_of(record) - record["duration_ms"] / 1000
        sent = arrived + record["sent_ms"] / 1000
        waited = request["decision"]["waited_ms"] / 1000
        tokens = request["decision"]["estimated_tokens"] or 0
        admitted = moment_of(request)
        calls.append(Sent(arrived, admitted, sent, waited, tokens))
    return sorted(calls, key=lambda call: call.sent_at)


def moment_of(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(record["time"]).timestamp()


def wake_errors(calls: Sequence[Sent], ceiling: int, own: Sequence[float]) -> list[float]:
    """How many seconds after the first moment that the ceiling allowed each waiting call went.

    It is told by the request that many places before it, which had to be a span old. `own` are the
    moments of the proxy's own questions, as the gateway has them; they count too.
    """
    questions = [Sent(moment, moment, moment, 0.0, -1) for moment in own]
    requests = sorted([*calls, *questions], key=lambda call: call.sent_at)
    errors = []
    for before, call in zip(requests, requests[ceiling:], strict=False):
        if call.waited and before.tokens >= 0:
            errors.append(call.sent_at - max(call.arrived_at, before.sent_at + SPAN))
    return errors


def overtaken(calls: Sequence[Sent]) -> int:
    """How many waiting calls were let go after one that had come later, beyond all doubt."""
    latest, count = float("-inf"), 0
    for call in sorted(calls, key=lambda call: call.admitted_at):
        if call.waited:
            count += call.arrived_at + DOUBT_SECONDS < latest
            latest = max(latest, call.arrived_at)
    return count


def told_of_waits(trail: Path, ceiling: int | None, own: Sequence[float]) -> str:
    calls = sent_calls(trail)
    waited = [call for call in calls if call.waited]
    if not waited:
        return "nothing waited"
    parts = [f"{len(waited)} waited, {overtaken(calls)} of them overtaken by a later one"]
    if ceiling is not None and (errors := wake_errors(calls, ceiling, own)):
        median, worst = statistics.median(errors) * 1000, max(errors) * 1000
        parts.append(
            f"sent after the first possible moment by {median:.1f} ms (median), {worst:.1f} ms "
            f"(worst), none sooner than {min(errors) * 1000:.1f} ms"
        )
    for name, group in (
        ("small", [call.waited for call in waited if call.tokens < LARGE_TOKENS]),
        ("large", [call.waited for call in waited if call.tokens >= LARGE_TOKENS]),
    ):
        if group:
            median, worst = statistics.median(group), max(group)
            parts.append(f"{name}: {len(group)}, waited {median:.1f} s (median), {worst:.1f} s")
    return "; ".join(parts)
