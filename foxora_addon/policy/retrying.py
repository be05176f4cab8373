"""Whether a call that failed is sent once more, and after how long: no clock, no dice of its own.

Only what can be other the next time is tried again, and only what may be repeated: where the
gateway itself said that it did not take the call, or where it can't have had it, any call is; where
it may have had it and nobody knows what it did, none but those that change nothing. Where it has
said on HTTP/2 that it has not begun a call, that is no failure of its own: such a call goes again
whether or not retries are configured, as a client of the gateway's would send it.
"""

from typing import Final, NamedTuple

from foxora_addon.api.errors import ApiError
from foxora_addon.exchange import Exchange
from foxora_addon.policy.waiting import Bounds

_STATUSES: Final = frozenset({429, 502, 503, 504})
_MOST_UNBEGUN: Final = 3
"""How often a call is sent again that the gateway has not begun, where no more are configured."""

_FIRST_SECONDS: Final = 0.5
_LONGEST_SECONDS: Final = 8.0
_SPREAD_SECONDS: Final = 0.05
"""Over how long those are spread that are told of room at one moment: not all of them find it."""
_ASK_AGAIN_SECONDS: Final = 1.0
_LONGEST_CALL_SECONDS: Final = 600.0
"""How long a call may take with all its tries, where it has no deadline of its own."""
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MAKERS: Final = frozenset({"fine_tuning", "assistants", "threads", "realtime"})
"""Operations that name a model and leave something at the gateway, which would be there twice."""


class Failed(NamedTuple):
    """A try that failed: `status` is the gateway's, None where it gave no answer.

    `is_late`: a deadline of ours has passed. `is_unbegun`: it has said that it has not begun it.
    """

    error: ApiError
    status: int | None
    is_late: bool = False
    is_unbegun: bool = False


def pause_before_retry(
    exchange: Exchange,
    failed: Failed,
    retries: int,
    deadline_seconds: float | None,
    now: float,
    jitter: float,
) -> float | None:
    """Seconds to wait before the call is sent again; None: it is not.

    `retries` is how many there may be. `deadline_seconds` is what the whole call may take, `jitter`
    is from 0 to 1, evenly spread: exponential backoff with full jitter, and never less than what
    the gateway asked for. What it has not begun goes again at once, the first time.
    """
    most = max(retries, _MOST_UNBEGUN) if failed.is_unbegun else retries
    if exchange.retries >= most or not _may_help(failed) or not _may_repeat(exchange, failed):
        return None
    backoff = jitter * min(_FIRST_SECONDS * 2**exchange.retries, _LONGEST_SECONDS)
    if failed.is_unbegun and not exchange.retries:
        backoff = 0.0
    asked = failed.error.retry_after_seconds or 0.0
    pause = asked + backoff if asked else backoff
    return pause if _is_in_time(exchange, deadline_seconds, now + pause) else None


def pause_for_room(
    exchange: Exchange,
    refusal: ApiError,
    deadline_seconds: float | None,
    bounds: Bounds | None,
    now: float,
    jitter: float,
) -> float | None:
    """Seconds until a try for which its account has no room is to ask again; None: it is given up.

    `deadline_seconds` and `jitter` are as for `pause_before_retry`. Where calls stand in line it
    waits no longer than they may by `bounds`, and asks each second, for they are called as soon as
    there is room.
    """
    wait = refusal.retry_after_seconds
    if wait is None:
        return None
    pause = wait + jitter * _SPREAD_SECONDS
    if bounds is not None:
        pause = min(pause, _ASK_AGAIN_SECONDS)
        since = now if exchange.wants_room_since is None else exchange.wants_room_since
        exchange.wants_room_since = since
        if now + pause > since + bounds.max_wait_seconds:
            return None
    return pause if _is_in_time(exchange, deadline_seconds, now + pause) else None


def _is_in_time(exchange: Exchange, deadline_seconds: float | None, at: float) -> bool:
    whole = _LONGEST_CALL_SECONDS if deadline_seconds is None else deadline_seconds
    return at < exchange.arrived_at + whole


def _may_help(failed: Failed) -> bool:
    if failed.error.should_retry is False:
        return False
    return failed.status is None or failed.status in _STATUSES


def _may_repeat(exchange: Exchange, failed: Failed) -> bool:
    if exchange.call is None or exchange.observation is not None:
        return False
    if not exchange.was_sent or failed.is_unbegun or failed.status in {429, 503}:
        return True
    if failed.is_late:
        return False  # it may still be at work, and would be asked to do the same twice
    operation = exchange.call.operation
    only_answers = operation.has_model and operation.name not in _MAKERS
    return exchange.line.method in _SAFE_METHODS or only_answers
