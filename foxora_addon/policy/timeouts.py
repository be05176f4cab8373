"""How long an exchange may take, and each of its phases; it refuses to know what time it is."""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from foxora_addon.exchange import Exchange, State


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The deadlines, in seconds; `exchange` None: the whole may take as long as its phases do."""

    connect: float
    tls: float
    response: float
    stream_idle: float
    exchange: float | None

    @property
    def longest_call(self) -> float:
        """How long a call may take in all: for ever, where nothing says it."""
        return inf if self.exchange is None else self.exchange


class Due(NamedTuple):
    """A deadline: when it is, how long was given, and what is waited for until then, in words."""

    at: float
    seconds: float
    phase: str


def due_of(exchange: Exchange, timeouts: Timeouts) -> Due | None:
    """The first deadline of an exchange as it stands; None: nothing is waited for.

    Connecting has its deadlines by itself, for several exchanges may wait for one connection. A
    WebSocket may be silent for as long as it likes.
    """
    if exchange.refusal is not None or exchange.answered_status == 101:
        return None
    phase = _phase_of(exchange, timeouts)
    if phase is None or timeouts.exchange is None:
        return phase
    whole = Due(exchange.arrived_at + timeouts.exchange, timeouts.exchange, "for the whole call")
    return min(phase, whole, key=lambda due: due.at)


def not_due_before(exchange: Exchange, timeouts: Timeouts) -> float:
    """A moment that no deadline of an exchange comes before, found sooner than the first itself."""
    shortest = min(timeouts.response, timeouts.stream_idle)
    if timeouts.exchange is None:
        return exchange.waiting_since + shortest
    return min(exchange.waiting_since + shortest, exchange.arrived_at + timeouts.exchange)


def _phase_of(exchange: Exchange, timeouts: Timeouts) -> Due | None:
    since = exchange.waiting_since
    if exchange.state is State.SENT:
        return Due(since + timeouts.response, timeouts.response, "to answer")
    if exchange.state is not State.ANSWERING:
        return None
    if exchange.observation is None:
        return Due(since + timeouts.response, timeouts.response, "to finish its answer")
    idle = timeouts.stream_idle
    return Due(since + idle, idle, "between two parts of its answer")
