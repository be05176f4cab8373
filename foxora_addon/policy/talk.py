"""What is known of one WebSocket: which of its answers are open, and what all have used.

Pure; time is an argument. It refuses to know what there is room for, and what anything costs.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from foxora_addon.api.socket_messages import Told
from foxora_addon.api.usage import Usage
from foxora_addon.policy.allowances import Reserved
from foxora_addon.policy.learned import Charge
from foxora_addon.policy.limits import WINDOW_SECONDS
from foxora_addon.policy.scopes import Scope
from foxora_addon.policy.spend import SpendReservation

# For how long it is known when tokens were used, and how close together that is one moment.
_LATELY_SECONDS: Final = WINDOW_SECONDS + 31.0
_SAME_SECONDS: Final = 1.0


class Pending(NamedTuple):
    """An answer that is not over. What it holds is charged if nothing is ever reported of it."""

    scopes: Sequence[Scope]
    held: Reserved
    spending: SpendReservation | None
    model: str | None
    charged: Charge


@dataclass(slots=True)
class Talk:
    """What is known of one WebSocket.

    `model` is the last that was asked for, and the gateway's where none was; `told_model` is the
    last that the gateway named. `transcription_model` writes down what is heard. `pending` are the
    answers that were asked for, or have begun, in their order; of them so many have `begun`.
    `last_over` is the id of the answer that was the last to end.
    `usage` and `cost_usd` add up what was charged; None: nothing was. `is_cost_certain`: that of
    each answer is, and of each transcript. `context_tokens` are those that the next answer may
    begin with. `is_warned`: that no sound passes for now was said. `lately` has when which tokens
    were used, of the last minute.
    """

    model: str | None = None
    told_model: str | None = None
    transcription_model: str | None = None
    pending: deque[Pending] = field(default_factory=deque)
    begun: int = 0
    last_over: str | None = None
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    is_cost_certain: bool = True
    context_tokens: int = 0
    errors: int = 0
    is_warned: bool = False
    is_over: bool = False
    lately: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def main_model(self) -> str | None:
        """The model of its answers; where it has none, and only writes down, the one that does."""
        return self.model or self.transcription_model

    def begins(self, most: int) -> bool:
        """An answer begins; whether nobody has asked for it, below so many that are open."""
        self.begun = min(self.begun + 1, most)
        return len(self.pending) < self.begun

    def is_over_already(self, told: Told) -> bool:
        """Whether that was told before, as by a gateway that ends an answer in two protocols."""
        is_same = told.response is not None and told.response == self.last_over
        return is_same and told.news == "over" and not self.pending

    def ended(self, told: Told) -> Pending | None:
        """The oldest answer is over, or what was asked for is not given; None: it was not known.

        Which one is not always told. Of those that have begun only "over" and "broken" end one.
        """
        if told.news != "over" and len(self.pending) > self.begun:
            pending = self.pending[self.begun]
            del self.pending[self.begun]
            return pending
        if told.news == "failed":
            return None
        self.begun = max(self.begun - 1, 0)
        self.last_over = told.response
        return self.pending.popleft() if self.pending else None

    def oldest(self) -> tuple[Pending, Usage]:
        """Give up the oldest open answer: it, and what it is charged."""
        self.begun = max(self.begun - 1, 0)
        pending = self.pending.popleft()
        return pending, guessed(pending)

    def add(self, usage: Usage, cost_usd: Decimal | None, now: float, *, is_certain: bool) -> None:
        """That was used, and charged, now. `is_certain`: the cost is."""
        if self.lately and now - self.lately[-1][0] < _SAME_SECONDS:
            self.lately[-1] = now, self.lately[-1][1] + usage.tokens
        else:
            self.lately.append((now, usage.tokens))
        if cost_usd is not None:
            self.cost_usd = cost_usd if self.cost_usd is None else self.cost_usd + cost_usd
        self.is_cost_certain = self.is_cost_certain and is_certain
        self.usage = usage if self.usage is None else _sum(self.usage, usage)

    def forget_old(self, now: float) -> None:
        """Forget the moments that count no more."""
        while self.lately and now - self.lately[0][0] > _LATELY_SECONDS:
            self.lately.popleft()


def guessed(pending: Pending) -> Usage:
    """What an answer is charged of which nothing was reported: what it holds."""
    return Usage(pending.charged.input_tokens, None, pending.held.tokens, "estimated")


def _sum(one: Usage, other: Usage) -> Usage:
    """Both together; a figure that one of them lacks is the other's. A guess makes all one."""
    figures = [
        None if not known else sum(known)
        for known in (
            [figure for figure in pair if figure is not None]
            for pair in zip(one[:3], other[:3], strict=True)
        )
    ]
    is_guess = "estimated" in {one.source, other.source}
    return Usage(figures[0], figures[1], figures[2], "estimated" if is_guess else "reported")
