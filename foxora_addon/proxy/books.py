"""Takes what the gateway tells of accounts into the books, and tells the operator what is missing.

The books of `gateway.inquiry`: an answer's meaning stands in the accounting, its words here.
"""

import logging
from typing import Final

from foxora_addon.api.retry_after import seconds_of
from foxora_addon.gateway.client import NoReply, Reply
from foxora_addon.pipeline import Pipeline
from foxora_addon.policy.plans import OF_ANOTHER_API
from foxora_addon.policy.questions import ME
from foxora_addon.policy.sharing import sharing_of

_log = logging.getLogger(__name__)

_PAST_PROXY: Final = " (questions go directly, and not through mode upstream's proxy)"
_CHECK_URL: Final = " (check gateway.base_url: as a rule it ends in /v1)"
_REMEDY: Final = "name its plan, or give it limits, in foxora.yaml"


class AccountBooks:
    """The pipeline's books, for questions of our own. Says a thing once, until it changes.

    `is_past_proxy`: they go past the upstream proxy, through which calls go.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.is_past_proxy = False
        self._pipeline = pipeline
        self._said: dict[str, str] = {}

    def ask(self, payer: str, path: str, now: float) -> float:
        """Count a question that is sent now and return 0; or how many seconds it has to wait."""
        return self._pipeline.accounting.ask(payer, path, now)

    def answered(self, payer: str, path: str, answer: Reply | NoReply, now: float) -> bool:
        """Take an answer; whether it told what was asked.

        A 429 closes the account, as one to a call does (foxora-api.md, Rate limits: per account).
        """
        if isinstance(answer, Reply) and answer.status == 429:
            self._pipeline.accounting.obey(payer, seconds_of(answer.headers), now)
        if path != ME:
            if not isinstance(answer, Reply) or answer.status != 200:
                return False
            return self._pipeline.accounting.spending.take_models(answer.body)
        why = self._why_not(payer, answer, now)
        if payer in self._pipeline.rules.limits.accounts:
            self._say(payer, self._words(payer, why), is_warning=why is not None)
            for each in {payer, *self._pipeline.accounting.payers.sharers(payer)[:1]}:
                self._say_shared(each)
        return why is None

    def unanswered(self, payer: str) -> None:
        """A call goes on that has waited for an account's ceilings; said if nothing else was."""
        if payer not in self._said:
            words = self._words(payer, "it has not answered GET /me yet")
            self._say(payer, words, is_warning=True)

    def say_shared(self) -> None:
        """Say which accounts are one, and what they are held to, if that has changed."""
        for payer in self._pipeline.rules.limits.accounts:
            self._say_shared(payer)

    def _why_not(self, payer: str, answer: Reply | NoReply, now: float) -> str | None:
        """Take an answer of /v1/me; None, or why it could not be taken."""
        if isinstance(answer, NoReply):
            return f"{answer.why}{_PAST_PROXY}" if self.is_past_proxy else answer.why
        if answer.status == 401:
            return "it does not accept the account's key (status 401)"
        if answer.status in OF_ANOTHER_API:
            return f"it answered with status {answer.status}{_CHECK_URL}"
        if answer.status != 200:
            return f"it answered with status {answer.status}"
        taken = self._pipeline.accounting.take_me(payer, answer.body, now)
        return None if taken else "its answer names no account, plan or limit"

    def _say(self, about: str, words: str, *, is_warning: bool) -> None:
        if words != self._said.get(about, ""):
            self._said[about] = words
            _log.log(logging.WARNING if is_warning else logging.INFO, "foxora: %s", words)

    def _say_shared(self, payer: str) -> None:
        """Say it of accounts that are one; a warning if they were given different figures."""
        sharing, about = sharing_of(self._pipeline.accounting.payers, payer), f"{payer} shares"
        if sharing is None:
            self._said.pop(about, None)
        else:
            self._say(about, sharing.words, is_warning=sharing.differs)

    def _words(self, payer: str, why: str | None) -> str:
        ceilings = self._pipeline.accounting.payers.ceilings(payer)
        figures = {
            "requests per minute": ceilings.requests_per_minute,
            "tokens per minute": ceilings.tokens_per_minute,
        }
        known = ", ".join(f"{figure} {name}" for name, figure in figures.items() if figure)
        asks = self._pipeline.accounting.payers.rules_of(payer).asks
        unknown = " and ".join(name for name, figure in figures.items() if asks and not figure)
        parts = [f"account '{payer}': {known}" if known else f"account '{payer}'"]
        if why is not None:
            parts.append(f"the gateway was asked for its ceilings in vain: {why}")
        if unknown:
            parts.append(f"no ceiling of {unknown} is known, so none is enforced; {_REMEDY}")
        return "; ".join(parts)
