"""Says what of a usage is to be charged, where it may be that of an earlier call.

A background response, or a run, is asked for by one call and read by others; what it used is known
only once it is complete, and every call that reads it is told of it. Until then it reports nothing,
or zeros; a run that goes on tells again what its parts have used. So it is charged once: what is
known of it to the call that asked for it, and the rest to the first that is told of more.
Answers that nobody here has seen begin, before a restart or of a batch, are not charged at all.
"""

from typing import Final

from cachetools import LRUCache

from foxora_addon.api.usage import Usage
from foxora_addon.exchange import Exchange

_MOST_ANSWERS: Final = 10_000


class Unreported:
    """What was charged for answers that may report more usage yet; the oldest are forgotten.

    By the hash of the account and the answer's id, which may be of any length.
    """

    def __init__(self, most_answers: int = _MOST_ANSWERS) -> None:
        self._charged: LRUCache[int, Usage] = LRUCache(most_answers)

    def new_usage(self, exchange: Exchange, usage: Usage, answer_id: str | None) -> Usage | None:
        """What of the usage of an answer is to be charged to this call; None: nothing."""
        if exchange.call is None or not exchange.scopes or exchange.socket is not None:
            return usage
        answer = hash((exchange.scopes[0].name, answer_id))
        generates = exchange.line.method == "POST" and exchange.call.operation.generates
        charged = self._charged.get(answer)
        if generates and (charged is None or usage.source != "reported"):
            if answer_id is not None:
                self._charged[answer] = usage
            return usage
        if charged is None or usage.tokens <= charged.tokens:
            return None
        self._charged[answer] = usage
        return usage.beyond(charged)
