"""Keeps every account within its ceilings: one limiter each, and the words of a refusal.

It refuses to know which account pays for a call, and where its ceilings come from.
"""

from collections.abc import Mapping
from typing import Any, Final

from foxora_addon.api.errors import ApiError, rate_limit_exceeded
from foxora_addon.api.ratelimit_headers import Allowance, Balance
from foxora_addon.policy.limit_refusal import Denied, LimitName
from foxora_addon.policy.limits import AccountLimiter, Reservation, Used
from foxora_addon.policy.plans import Ceilings


class Allowances:
    """The limiters of all accounts, by name. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._limiters: dict[str, AccountLimiter] = {}

    def reserve(
        self, account: str, ceilings: Ceilings, tokens: int, now: float, *, is_shadow: bool
    ) -> Reservation | ApiError:
        """Take a request and so many tokens of an account, or say why there is no room.

        In shadow mode all is counted and nothing refused.
        """
        limiter = self._limiters.setdefault(account, AccountLimiter(ceilings))
        limiter.change_ceilings(ceilings, now)
        denied = limiter.refusal(tokens, now)
        if denied is not None and not is_shadow:
            return _refusal_of(denied, account)
        return limiter.admit(tokens, now)

    def mark_sent(self, account: str, reservation: Reservation, now: float) -> None:
        """The call is sent at this moment, which is the one that it belongs to."""
        self._limiters[account].mark_sent(reservation, now)

    def settle(self, account: str, reservation: Reservation, tokens: int, now: float) -> None:
        """The exchange is over and used so many tokens."""
        self._limiters[account].settle(reservation, tokens, now)

    def release(self, account: str, reservation: Reservation, now: float) -> None:
        """The call never reached the gateway: all is given back."""
        self._limiters[account].release(reservation, now)

    def obey(self, account: str, retry_after_seconds: float, now: float) -> None:
        """The gateway's own 429 closes the account, for all its clients, for so long."""
        self._limiters[account].hold_until(now + retry_after_seconds, now)

    def standings(self, ceilings: Mapping[str, Ceilings], now: float) -> list[dict[str, Any]]:
        """How every account stands with its ceilings: JSON values, for whoever shows them."""
        return [self._standing(name, each, now) for name, each in ceilings.items()]

    def _standing(self, name: str, ceilings: Ceilings, now: float) -> dict[str, Any]:
        limiter = self._limiters.get(name)
        used = Used(0, 0, 0) if limiter is None else limiter.used(now)
        balance = Balance() if limiter is None else limiter.balance(now)
        return {
            "account": name,
            "requests": _counted(used.requests, ceilings.requests_per_minute, balance.requests),
            "tokens": _counted(used.tokens, ceilings.tokens_per_minute, balance.tokens),
            "concurrent": {"used": used.open_exchanges, "ceiling": ceilings.concurrent_requests},
            "waiting": 0,
            "spend": {"used_usd": None, "ceiling_usd": None},
        }


def _counted(used: int, ceiling: int | None, allowance: Allowance | None) -> dict[str, Any]:
    return {
        "used": used,
        "ceiling": ceiling,
        "remaining": None if ceiling is None else ceiling - used,
        "resets_in_seconds": allowance.reset_seconds if allowance else None,
    }


def estimated_tokens(body: bytes, ceiling: int | None) -> int:
    """A charge before the figure is known: four bytes a token, and never more than can fit."""
    estimate = -(-len(body) // 4)
    return estimate if ceiling is None else min(estimate, ceiling)


_LIMITS: Final[dict[LimitName, str]] = {
    "requests": "limit of requests per minute",
    "tokens": "limit of tokens per minute",
    "concurrent": "limit of concurrent requests",
    "gateway": "limit, as the gateway said",
}


def _refusal_of(denied: Denied, account: str) -> ApiError:
    """Word a refusal, with OpenAI's own "Please try again in", which some clients read."""
    wait = denied.wait_seconds
    figures = (
        ""
        if denied.ceiling is None
        else f": limit {denied.ceiling}, used {denied.used}, requested {denied.requested}"
    )
    advice = "It can never fit." if wait is None else f"Please try again in {wait:.3f}s."
    limit = _LIMITS[denied.limit]
    return rate_limit_exceeded(f"Account '{account}' is at its {limit}{figures}. {advice}", wait)
