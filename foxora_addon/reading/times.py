"""Reads the moments that a person types, and writes those that a record holds. All of it is UTC."""

import re
from datetime import UTC, datetime
from typing import Final

_AGO: Final = re.compile(r"(\d{1,9})\s?([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def parse_moment(text: str, now: float) -> float:
    """The moment that "15m" (ago), "2026-11-23" or "2026-11-23T12:30" means, in Unix seconds.

    A time without a zone is UTC, as the trail's own. `now` is in Unix seconds. Raises ValueError
    with words that say what would be accepted.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return now - int(ago[1]) * _SECONDS[ago[2]]
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"'{text}' is no moment: give 90s, 15m, 2h, 7d or 1w (ago), 2026-11-23, "
            "or 2026-11-23T12:30 (UTC)"
        ) from None


def iso_of(unix_seconds: float) -> str:
    """A moment in the form of the trail, which sorts as text; raises ValueError outside of it."""
    try:
        moment = datetime.fromtimestamp(unix_seconds, UTC).replace(tzinfo=None)
    except (OverflowError, OSError, ValueError):
        raise ValueError("that moment is beyond the calendar: give one of this century") from None
    return f"{moment.isoformat(timespec='microseconds')}Z"  # %Y does not pad a year


def iso_or_none(unix_seconds: float | None) -> str | None:
    """The same; None for a moment that is not known, or that no calendar has."""
    try:
        return None if unix_seconds is None else iso_of(unix_seconds)
    except ValueError:
        return None
