"""What the commands of mitmweb and mitmproxy show: read of the trail, and laid out.

It stands apart since only a person at a console asks for it, and a proxy starts sooner without.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mitmproxy.exceptions import CommandError

from foxora_addon.api.json_values import moment_of
from foxora_addon.audit.recent import Unpaired, recent_lines, recent_records
from foxora_addon.reading.decision import Rebuilding, ScopesOf, lines_of
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.filters import Filters
from foxora_addon.reading.flow_page import window_lines
from foxora_addon.reading.ids import Search, Unknown
from foxora_addon.reading.page import page_of
from foxora_addon.reading.standing import standing_facts, standing_line

_MOST_BYTES: Final = 1 << 25
_WINDOW_SECONDS: Final = 120.0
"""What may still count at a moment: a minute, and what a call may have waited.

Of what ended since then, the request is looked for however long ago it began.
"""

type Standing = Mapping[str, Any]


def limits_lines(accounts: Sequence[Standing]) -> Sequence[str]:
    """How each account stands with its ceilings."""
    return [standing_line(account) for account in accounts] or ["no account"]


def account_lines(account: Standing) -> Sequence[str]:
    """How one account stands with its ceilings, a line for each."""
    return [f"{label}: {text}" for label, text in standing_facts(account)]


def why_lines(exchange: str, path: Path, scopes_of: ScopesOf) -> Sequence[str]:
    """Why a call was forwarded or refused; raises CommandError where the trail does not say."""
    recorded = _found(path, exchange)
    begin = (moment_of(recorded.time) or 0.0) - _WINDOW_SECONDS
    unpaired = Unpaired()

    def is_enough(record: Mapping[str, Any]) -> bool:
        is_before = _is_before(record, begin)
        return not unpaired.take(record, counts=not is_before) and is_before

    rebuilding = Rebuilding(recorded, scopes_of)
    for record in _read(recent_records, path, is_enough, _MOST_BYTES):
        rebuilding.take(record)
    rebuilding.finish()
    return [f"{label}: {text}" for label, text in lines_of(rebuilding.decision)]


def trail_lines(exchange: str, path: Path) -> Sequence[str]:
    """What the trail has of a call; raises CommandError where it has nothing."""
    elsewhere = f"foxora-proxy audit show {exchange} has all of it"
    return window_lines(page_of(_found(path, exchange)), elsewhere)


def _found(path: Path, exchange: str) -> Recorded:
    """The records of an exchange, at the end of the trail."""
    search = Search(exchange, Filters())
    for line in reversed(list(_read(_lines_until, path, exchange))):
        search.take(line)
    try:
        return search.found(str(path))
    except Unknown:
        raise CommandError(
            f"{exchange} is not at the end of the trail: a call that waits is there once its wait "
            f"is over; for an old one, foxora-proxy audit show {exchange} looks through all of it"
        ) from None


def _lines_until(path: Path, exchange: str) -> Iterable[bytes]:
    """The lines that name an exchange, back to its request."""
    needle = f'"exchange":"{exchange}"'.encode()
    for line in recent_lines(path, _MOST_BYTES):
        if needle in line:
            yield line
            if b'"event":"request"' in line:
                return


def _is_before(record: Any, moment: float) -> bool:
    return (moment_of(record.get("time")) or moment) < moment


def _read[T, **P](read: Callable[P, Iterable[T]], *args: P.args, **kwargs: P.kwargs) -> Sequence[T]:
    """What is read of the trail; raises CommandError where it can't be."""
    try:
        return list(read(*args, **kwargs))
    except OSError as error:
        raise CommandError(f"the trail can't be read: {error.strerror}") from error
