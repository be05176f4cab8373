"""Decides which questions of our own an account has room for: they are requests of it too.

It refuses to know how the gateway is asked, and what becomes of the answers.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from cachetools import LRUCache

from foxora_addon.policy.allowances import Allowances
from foxora_addon.policy.limits import WINDOW_SECONDS
from foxora_addon.policy.payers import Payers
from foxora_addon.policy.scopes import Refusal

ME: Final = "/me"
MODELS: Final = "/models"
"""What the gateway is asked for (foxora-api.md, Routes)."""

# What part of a ceiling of requests questions may take that nothing waits for: one in so many.
_ONE_IN: Final = 20
_MOST_ASKED: Final = 100
_LOOK_AGAIN_SECONDS: Final = 60.0
_MOST_PAYERS: Final = 10_000
_LONGEST_GUARD_SECONDS: Final = 31.0
_USUAL_QUESTIONS: Final = 2  # of a proxy that has just started


class Questions:
    """The questions of all payers, over what counts their requests."""

    def __init__(self, payers: Payers, allowances: Allowances) -> None:
        self._payers = payers
        self._allowances = allowances
        self._sent: LRUCache[str, deque[float]] = LRUCache(_MOST_PAYERS)

    def ask(self, payer: str, path: str, now: float) -> float:
        """Count a question of our own that is sent now; 0, or the seconds that it has to wait.

        It is a request of the account, as any HTTP call is (foxora-api.md, Rate limits). So what
        can be done without takes a small share of a ceiling only, and nothing of a tiny one; but
        ceilings that are the gateway's to tell are asked for again however small they are, and so
        is, until it is known, which of several accounts are one. Who an account is whose ceilings
        are configured is asked for once a minute in any case.
        """
        asks = self._payers.rules_of(payer).asks
        is_needed = path == ME and self._payers.lacks(payer)
        is_needed = is_needed and (asks or not self._asked_lately(payer, now))
        is_due = asks or self._payers.may_be_another(payer)
        least = 1 if path == ME and is_due else 0
        if not is_needed and not self._may_ask(payer, least, now):
            return _LOOK_AGAIN_SECONDS
        taken = self._allowances.reserve([self._payers.account_scope(payer)], 0, now)
        if isinstance(taken, Refusal):
            return taken.wait_seconds or _LOOK_AGAIN_SECONDS
        self._allowances.settle(taken, 0, now)
        self._sent.setdefault(payer, deque(maxlen=_MOST_ASKED)).append(now)
        return 0.0

    def _may_ask(self, payer: str, least: int, now: float) -> bool:
        """Whether a question fits our share of a minute; `least` is what it is in any case."""
        ceiling = self._payers.ceilings(payer).requests_per_minute
        if ceiling is None:
            return True
        lately = self._asked_lately(payer, now)
        return lately < min(max(ceiling // _ONE_IN, least), _MOST_ASKED)

    def _asked_lately(self, payer: str, now: float) -> int:
        return sum(now - moment < WINDOW_SECONDS for moment in self._sent.get(payer, ()))

    def lately(self, payer: str, now: float) -> tuple[float, ...]:
        """When questions were sent that may still count."""
        span = WINDOW_SECONDS + _LONGEST_GUARD_SECONDS
        return tuple(moment for moment in self._sent.get(payer, ()) if now - moment < span)

    def recall(self, payer: str, moments: Sequence[float]) -> None:
        """Questions were sent at these moments, before the proxy was started."""
        self._sent[payer] = deque(moments, maxlen=_MOST_ASKED)

    def remember_usual(self, payer: str, now: float) -> None:
        """Count as many questions as are usual of a proxy that has just started, as sent now.

        Those of the proxy before us, the last of which may not have been written down.
        """
        ceiling = self._payers.ceilings(payer).requests_per_minute
        share = _USUAL_QUESTIONS if ceiling is None else ceiling // _ONE_IN
        least = 1 if self._payers.rules_of(payer).asks else 0
        for _ in range(min(max(share, least), _USUAL_QUESTIONS)):
            taken = self._allowances.admit([self._payers.account_scope(payer)], 0, now)
            self._allowances.settle(taken, 0, now)
