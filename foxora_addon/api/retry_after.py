"""What an answer's headers say about trying again: after how long, and whether at all.

Read as the OpenAI SDKs read them, with the answer's own `Date` for a clock.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import chain
from typing import Final

from foxora_addon.field_lines import lines_of, single

# A year: longer than any spend cycle. Bounds what a header of a thousand digits can do.
_LONGEST_SECONDS: Final = 366 * 86_400.0
# Not float(): it takes "1_0", "inf", "nan" and other scripts' digits.
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_PART: Final = re.compile(r"\s*(?:[A-Za-z]+,[^,]*|[^,]+)")
"""Of a list: a date may have a comma behind its day of the week."""


def seconds_of(headers: Sequence[tuple[str, str]]) -> float | None:
    """Return how many seconds to wait, 0 or more; None if nothing readable says so.

    `retry-after-ms` comes before `retry-after` (as in openai-python and openai-node), and that is a
    number of seconds or an HTTP date (RFC 9110, 10.2.3). A date counts from the answer's own
    `Date`, so that clocks need not agree; without one it says nothing. Of several, by lines or
    commas, it is the longest: whoever said it, it is not too soon then.
    """
    milliseconds = [*chain.from_iterable(map(_numbers_in, lines_of(headers, "retry-after-ms")))]
    if milliseconds:
        return _bounded(max(milliseconds) / 1000)
    lines = lines_of(headers, "retry-after")
    start = _value_of(headers, "date") if lines else ""
    waits = [*chain.from_iterable(_waits_in(line, start) for line in lines)]
    return _bounded(max(waits)) if waits else None


def should_retry_of(headers: Sequence[tuple[str, str]]) -> bool | None:
    """Return what `x-should-retry` says; None if it is absent or says anything else."""
    return {"true": True, "false": False}.get(_value_of(headers, "x-should-retry"))


def _value_of(headers: Sequence[tuple[str, str]], name: str) -> str:
    return (single(lines_of(headers, name)) or "").strip()


def _numbers_in(line: str) -> list[float]:
    """The numbers in a line that has nothing else but commas."""
    parts = _parts_of(line)
    return [float(part) for part in parts] if all(map(_NUMBER.fullmatch, parts)) else []


def _waits_in(line: str, start: str) -> list[float]:
    """The numbers, and seconds until a date, in a line that has nothing else but commas."""
    waits = [
        float(part) if _NUMBER.fullmatch(part) else _seconds_between(start, part)
        for part in _parts_of(line)
    ]
    known = [seconds for seconds in waits if seconds is not None]
    return known if len(known) == len(waits) else []


def _parts_of(line: str) -> list[str]:
    return [part for each in _PART.findall(line) if (part := each.strip())]


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _LONGEST_SECONDS)


def _seconds_between(start: str, end: str) -> float | None:
    try:
        return _bounded((_moment_of(end) - _moment_of(start)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _moment_of(date: str) -> datetime:
    """Parse an HTTP date in any of its three forms, all of them GMT (RFC 9110, 5.6.7).

    Raises ValueError for what is none, or several, of which Python's parser would take the first.
    """
    if len(_parts_of(date)) != 1:
        raise ValueError("not one date")
    moment = parsedate_to_datetime(date)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
