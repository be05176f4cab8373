"""Says what a call has used, where the gateway does not: of a stream so far, or of all of it.

It refuses to know what is done with a figure.
"""

import math
from typing import Any, Final

from foxora_addon.api.output_tokens import counted_output_tokens
from foxora_addon.api.token_text import TextCounter
from foxora_addon.api.usage import Usage
from foxora_addon.exchange import Exchange, Outcome

# Fewer bytes are hardly a token, in any language.
_FEWEST_BYTES_PER_TOKEN: Final = 3
_LEAST_OUTPUT: Final = 64
_GROWTH: Final = 1.25
_SWITCHING_PROTOCOLS: Final = 101
_NOT_WAITED_FOR: Final[frozenset[Outcome]] = frozenset({"client_disconnected", "aborted"})


def counted(
    exchange: Exchange,
    answer: dict[str, Any],
    counter: TextCounter | None,
    unkept_bytes: int = 0,
) -> Usage | None:
    """Count the usage of an answer that reports none; None where no model has answered.

    `unkept_bytes` is how much it said besides what is in `answer`.
    """
    if exchange.output_cap == 0 or not exchange.scopes:
        return None
    output = counted_output(exchange, answer, counter, unkept_bytes)
    return Usage(exchange.input_tokens, output, exchange.input_tokens + output, "counted")


def counted_output(
    exchange: Exchange, answer: dict[str, Any], counter: TextCounter | None, unkept_bytes: int = 0
) -> int:
    """How many tokens an answer has, with those of so many bytes of it that nobody has kept."""
    output = counted_output_tokens(answer, exchange.model, counter)
    return output + unkept_bytes // _FEWEST_BYTES_PER_TOKEN


def guessed(
    exchange: Exchange, status: int | None, outcome: Outcome, size: int | None = None
) -> Usage | None:
    """What a call is charged of which nothing is known; None: nothing.

    A gateway that refuses a call (foxora-api.md, Spend), or points elsewhere, has not had it
    answered; one that fails may have had its prompt read, and so may one whose answer is whole and
    empty (`size`, in bytes), as a 204 is. A client that left has ended the gateway's work at once.
    Where nobody answered, all that was reserved may have been used. What an error's head says holds
    as well where we or the client did not wait for its body.
    """
    if not exchange.was_sent or not exchange.estimated_tokens:
        return None
    answered = exchange.answered_status or 0
    status = answered if outcome in _NOT_WAITED_FOR and answered >= 300 else status or 0
    if 300 <= status < 500:
        return None
    is_empty = outcome == "completed" and size == 0 and status != _SWITCHING_PROTOCOLS
    if status >= 500 or is_empty or outcome == "client_disconnected":
        tokens = exchange.input_tokens
        return Usage(tokens, 0, tokens, "estimated")
    return Usage(exchange.input_tokens, None, exchange.estimated_tokens, "estimated")


def held_for(output: int, held: int, output_cap: int | None) -> int:
    """How much output to hold for a stream that holds so much and has put out more, or less.

    A quarter more than what it has, so that it is counted few times, however long it is.
    """
    if output <= held:
        return held
    more = math.ceil(output * _GROWTH)
    return more if output_cap is None else max(min(more, output_cap), output)


def bytes_before_look(left: int, output: int) -> float:
    """How many bytes more a stream says before its tokens are counted anew.

    As few as those that are left of its charge may have; and never so few that it is counted often.
    """
    least = max(output * (_GROWTH - 1), _LEAST_OUTPUT)
    return max(left, least) * _FEWEST_BYTES_PER_TOKEN
