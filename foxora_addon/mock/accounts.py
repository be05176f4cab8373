"""What an account may still do, and what it has used: ceilings, the month's spend, days.

Every step takes its time as an argument. It does not know what a call is about: only that it is
one request, of so many tokens, at such a cost.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from foxora_addon.mock.answers import Pairs
from foxora_addon.mock.ceilings import WINDOW_SECONDS, Minute, minute_of
from foxora_addon.mock.settings import AccountSettings, ModelSettings


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call uses."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


NOTHING = Charge()


def charge_of(model: ModelSettings, input_tokens: int, output_tokens: int) -> Charge:
    """So many tokens at the model's price, exact."""
    input_price = input_tokens * model.input_per_1k_usd
    output_price = output_tokens * model.output_per_1k_usd
    return Charge(input_tokens, output_tokens, (input_price + output_price) / 1000)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an account may not make a call: 429 with the wait that would help, or 402."""

    status: Literal[402, 429]
    message: str
    retry_after_seconds: float | None = None


@dataclass(slots=True)
class Use:
    """What was used in some span of time."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    spend_usd: Decimal = Decimal(0)

    def enter(self, charge: Charge, sign: Literal[1, -1] = 1) -> None:
        """Add a charge, or take one out."""
        self.input_tokens += sign * charge.input_tokens
        self.output_tokens += sign * charge.output_tokens
        self.spend_usd += sign * charge.cost_usd


class Account:
    """One account's state over time. All its keys share it."""

    def __init__(
        self,
        settings: AccountSettings,
        *,
        window: Literal["fixed", "sliding"] = "fixed",
        tokens_counted: Literal["start", "end"] = "start",
    ) -> None:
        self.settings = settings
        self.ceilings = settings.ceilings()
        self._tokens_at_start = tokens_counted == "start"
        self._requests = minute_of(window)
        self._tokens = minute_of(window)
        self._days: dict[date, Use] = {}

    def admit(self, now: float, charge: Charge) -> Refusal | None:
        """Let a call in and charge it, or say why not.

        A call refused with 429 leaves no trace; one refused with 402 counts as a request. Where
        tokens are counted at the end, only the input must find room now: no more is known yet.
        """
        tokens = charge.total_tokens if self._tokens_at_start else charge.input_tokens
        refusal = self._over_ceiling(now, tokens)
        if refusal:
            return refusal
        if self.ceilings.requests_per_minute is not None:
            self._requests.add(now, 1)
        today = self._days.setdefault(_date(now), Use())
        today.requests += 1
        refusal = self._over_cap(now, charge.cost_usd)
        if refusal:
            return refusal
        today.enter(charge)
        if self._tokens_at_start:
            self._count_tokens(now, tokens)
        return None

    def settle(self, started: float, now: float, charge: Charge, used: Charge) -> None:
        """End an admitted call: of its charge, what it did not use is given back.

        A ceiling that counted tokens at the start keeps them counted.
        """
        day = self._days.setdefault(_date(started), Use())
        day.enter(charge, -1)
        day.enter(used)
        if not self._tokens_at_start:
            self._count_tokens(now, used.total_tokens)

    def month(self, now: float) -> Use:
        """What was used since the first of the month, UTC."""
        today = _date(now)
        return _sum(use for day, use in self._days.items() if today.replace(day=1) <= day <= today)

    def days(self, now: float, count: int) -> list[tuple[date, Use]]:
        """The last `count` days up to today, UTC, oldest first, unused ones included."""
        today = _date(now)
        dates = [today - timedelta(days=back) for back in reversed(range(count))]
        return [(day, self._days.get(day, Use())) for day in dates]

    def headers(self, now: float) -> Pairs:
        """`x-ratelimit-*` in OpenAI's forms, for those ceilings that there are."""
        requests, tokens = self.ceilings.requests_per_minute, self.ceilings.tokens_per_minute
        return (
            *_headers("requests", now, self._requests, requests),
            *_headers("tokens", now, self._tokens, tokens),
        )

    def _count_tokens(self, now: float, tokens: int) -> None:
        if self.ceilings.tokens_per_minute is not None:
            self._tokens.add(now, tokens)

    def _over_ceiling(self, now: float, tokens: int) -> Refusal | None:
        limits = self.ceilings
        return _over(now, self._requests, limits.requests_per_minute, 1, "requests") or _over(
            now, self._tokens, limits.tokens_per_minute, tokens, "tokens"
        )

    def _over_cap(self, now: float, cost_usd: Decimal) -> Refusal | None:
        cap = self.ceilings.monthly_spend_cap_usd
        if cap is None or not cost_usd:
            return None
        spent = self.month(now).spend_usd
        if spent + cost_usd <= cap:
            return None
        return Refusal(
            402,
            f"This request would cost ${cost_usd:f} and pass the account's monthly spend cap: "
            f"cap ${cap:f}, spent ${spent:f}.",
        )


def _over(now: float, minute: Minute, ceiling: int | None, asked: int, what: str) -> Refusal | None:
    if ceiling is None or not asked:
        return None
    used = minute.used(now)
    if used + asked <= ceiling:
        return None
    # Nothing helps a call that is larger than the ceiling; a whole minute is the honest least.
    fits = asked <= ceiling
    wait = minute.seconds_until(now, ceiling - asked) if fits else WINDOW_SECONDS
    return Refusal(
        429,
        f"Rate limit reached for {what} per minute: limit {ceiling}, used {used}, "
        f"requested {asked}. Please try again in {wait:.3f}s.",
        wait,
    )


def _headers(what: str, now: float, minute: Minute, ceiling: int | None) -> Pairs:
    if ceiling is None:
        return ()
    remaining = max(ceiling - minute.used(now), 0)
    return (
        (f"x-ratelimit-limit-{what}", str(ceiling)),
        (f"x-ratelimit-remaining-{what}", str(remaining)),
        (f"x-ratelimit-reset-{what}", _duration(minute.seconds_until(now, 0))),
    )


def _duration(seconds: float) -> str:
    """A time as OpenAI writes it in its headers: `0s`, `120ms`, `6.5s`, `1m0s`."""
    milliseconds = math.ceil(seconds * 1000)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"


def _date(now: float) -> date:
    return datetime.fromtimestamp(now, UTC).date()


def _sum(uses: Iterable[Use]) -> Use:
    total = Use()
    for use in uses:
        total.requests += use.requests
        total.enter(Charge(use.input_tokens, use.output_tokens, use.spend_usd))
    return total
