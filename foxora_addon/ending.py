"""What is known of an exchange, closed or open: the facts for lines, counts and summaries.

Values only, and none of them secret: texts that a client or the gateway chose are scrubbed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from foxora_addon.api.errors import Source
from foxora_addon.audit.record import milliseconds
from foxora_addon.exchange import Exchange, Outcome
from foxora_addon.shown import NOTHING, Shown, shown_of

_NO_USAGE: Final = {"input_tokens": None, "output_tokens": None, "total_tokens": None}


@dataclass(slots=True)  # frozen, one of so many fields would take 2 us more to make
class Ending:
    """A closed exchange. Figures are None where they are not known.

    `status` is what the client got, None if it got nothing. `error_code` is that of the error that
    it was told, `model` the one that the gateway was asked for. `shown` makes what mitmproxy's
    windows show of it, which nobody may ever ask for.
    """

    exchange: str
    account: str | None
    operation: str
    model: str | None
    status: int | None
    outcome: Outcome
    source: Source
    error_code: str | None
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    cost_usd: float | None
    first_byte_ms: float | None
    duration_ms: float
    waited_ms: float = 0.0
    shown: Callable[[], Shown] = field(default=lambda: NOTHING, repr=False, compare=False)


class Open(NamedTuple):
    """An exchange that is not closed yet.

    `waiting_seconds` is since it came, where it waits for its limits; else None. `tries` are those
    that have failed.
    """

    account: str | None
    operation: str
    model: str | None
    waiting_seconds: float | None = None
    tries: int = 0


def open_of(exchange: Exchange, scrub: Callable[[str], str], now: float) -> Open:
    """Read off an exchange what is known of it by now. `now` is of the clock of its times."""
    return Open(
        account=exchange.account_name,
        operation=exchange.call.operation.name if exchange.call else "other",
        model=None if exchange.model is None else scrub(exchange.model),
        waiting_seconds=None if exchange.ticket is None else now - exchange.arrived_at,
        tries=exchange.retries,
    )


def ending_of(exchange: Exchange, record: Mapping[str, Any], scrub: Callable[[str], str]) -> Ending:
    """Read the facts off an exchange and the members of its response record."""
    usage, error, cost = record["usage"] or _NO_USAGE, record["error"], record["cost_usd"]
    return Ending(  # by place, as an `Exchange` is made
        exchange.id,
        exchange.account_name,
        exchange.call.operation.name if exchange.call else "other",
        None if exchange.model is None else scrub(exchange.model),
        record["status"],
        record["outcome"],
        record["source"],
        scrub(error["code"]) if error else None,
        usage["input_tokens"],
        usage["output_tokens"],
        usage["total_tokens"],
        None if cost is None else float(cost),
        record["first_byte_ms"],
        record["duration_ms"],
        milliseconds(exchange.waited_seconds),
        partial(shown_of, exchange, record, scrub),
    )
