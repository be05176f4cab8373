"""Counts after a restart what was sent before it, and says what else must outlive one.

It refuses to know where any of it is kept (`remembered` reads it off the trail).
"""

from collections.abc import Collection, Mapping

from foxora_addon.policy.allowances import Allowances, Held
from foxora_addon.policy.learned import Learned
from foxora_addon.policy.limits import WINDOW_SECONDS
from foxora_addon.policy.payers import Payers
from foxora_addon.policy.plans import UNLIMITED
from foxora_addon.policy.questions import Questions
from foxora_addon.policy.remembered import Remembered, Told


class Recollection:
    """The memory of the books that it is given. Times are seconds of their clock."""

    def __init__(
        self, payers: Payers, allowances: Allowances, questions: Questions, learned: Learned
    ) -> None:
        self._payers = payers
        self._allowances = allowances
        self._questions = questions
        self._learned = learned

    def told(self, now: float) -> dict[str, Told]:
        """What the gateway was asked and told of the configured accounts, for a restart."""
        found: dict[str, Told] = {}
        for payer, rules in self._payers.rules.accounts.items():
            known = self._payers.standings.known(payer)
            ceilings = known.me.ceilings if known and rules.asks else UNLIMITED
            asked = self._questions.lately(payer, now)
            if asked or ceilings != UNLIMITED:
                found[payer] = Told(ceilings, asked)
        return found

    def remember(
        self, calls: Collection[Remembered], now: float, told: Mapping[str, Told] | None = None
    ) -> None:
        """Count what was sent before the proxy was started, at the moments at which it was.

        To be called before anything else is counted. The last questions of the proxy before us may
        not have been written down: as many as are usual are taken to have been sent just now.
        Ceilings that were told hold until they are told anew.
        """
        events: list[tuple[float, int, Remembered]] = []
        for payer, last in (told or {}).items():
            if not self._payers.is_configured(payer):
                continue
            if self._payers.rules_of(payer).asks and last.ceilings != UNLIMITED:
                self._payers.standings.recall(payer, last.ceilings)
            self._questions.recall(payer, last.asked)
            questions = [Remembered(payer, None, None, at, at, 0, None) for at in last.asked]
            calls = [*calls, *questions]
        for call in calls:
            events += [(call.sent_at, 0, call), (call.ended_at, 1, call)]
        held: dict[int, Held] = {}
        for moment, kind, call in sorted(events, key=lambda event: event[:2]):
            if kind == 0:
                payer = self._payer_of(call)
                scopes = tuple(self._payers.scopes_of(payer, call.model, call.client))
                taken = held[id(call)] = self._allowances.admit(scopes, call.tokens, moment)
                self._allowances.mark_sent(taken, moment)
            else:
                self._allowances.settle(held[id(call)], call.tokens, moment)
                if call.output_tokens is not None:
                    account = self._payers.standings.canonical(self._payer_of(call))
                    self._learned.observe(account, call.model, call.output_tokens)
        for payer in {
            self._payer_of(call) for call in calls if now - call.sent_at < WINDOW_SECONDS
        }:
            self._questions.remember_usual(payer, now)

    def _payer_of(self, call: Remembered) -> str:
        return call.account if self._payers.is_configured(call.account) else f"id {call.account}"
