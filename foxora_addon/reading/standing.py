"""Says in a line how an account stands with its ceilings, from the figures of `/_foxora/limits`."""

from collections.abc import Iterator, Mapping
from typing import Any

from foxora_addon.reading.texts import count_text, duration_text


def standing_line(account: Mapping[str, Any]) -> str:
    """The whole account on one line."""
    told = (f"{text} {label}" for label, text in standing_facts(account))
    return f"{account['account']}: {', '.join(told)}"


def standing_facts(account: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A label and a text for each ceiling."""
    yield "requests a minute", _minute(account["requests"])
    yield "tokens a minute", _minute(account["tokens"])
    yield "at once", _of(account["concurrent"])
    yield "waiting", count_text(account["waiting"])
    spend = account["spend"]
    used, ceiling = spend["used_usd"], spend["ceiling_usd"]
    spent = "?" if used is None else f"${float(used):,.4f}"
    yield "spent this month", spent if ceiling is None else f"{spent} of ${float(ceiling):,.2f}"


def _minute(figures: Mapping[str, Any]) -> str:
    seconds = figures["resets_in_seconds"]
    return _of(figures) + (f" (all back in {duration_text(seconds * 1000)})" if seconds else "")


def _of(figures: Mapping[str, Any]) -> str:
    used, ceiling = count_text(figures["used"]), figures["ceiling"]
    return used if ceiling is None else f"{used} of {count_text(ceiling)}"
