"""Tells an account about itself and its models, in the shapes of `/v1/me` and `/v1/models`."""

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from foxora_addon.mock.accounts import Account
from foxora_addon.mock.fields import Json
from foxora_addon.mock.settings import ModelSettings

_FEATURES = {"streaming": True, "tools": True, "json_mode": True, "realtime": True}


def me_json(account: Account, now: float) -> Json:
    """The account's plan, use and ceilings; a ceiling that it does not have is null."""
    month = account.month(now)
    limits = account.ceilings
    return {
        "id": f"usr_{hashlib.sha256(account.settings.name.encode()).hexdigest()[:20]}",
        "email": account.settings.email,
        "plan": {
            "id": account.settings.plan or "custom",
            "label": limits.label,
            "renews_at": _renewal(now),
        },
        "usage": {
            "requests_this_month": month.requests,
            "tokens_this_month": month.input_tokens + month.output_tokens,
            "spend_usd": money_json(month.spend_usd),
        },
        "limits": {
            "requests_per_minute": limits.requests_per_minute,
            "tokens_per_minute": limits.tokens_per_minute,
            "monthly_spend_cap_usd": money_json(limits.monthly_spend_cap_usd),
        },
        "features": _FEATURES,
    }


def days_json(account: Account, now: float, count: int) -> list[Json]:
    """One bucket a day, oldest first, unused days too. The fields' names are a choice."""
    return [
        {
            "date": day.isoformat(),
            "requests": use.requests,
            "input_tokens": use.input_tokens,
            "output_tokens": use.output_tokens,
            "spend_usd": money_json(use.spend_usd),
        }
        for day, use in account.days(now, count)
    ]


def model_json(model: ModelSettings) -> Json:
    """A row of the list of models, with the documented fields."""
    return {
        "id": model.id,
        "provider": model.provider,
        "context_window": model.context_window,
        "input_per_1k_usd": money_json(model.input_per_1k_usd),
        "output_per_1k_usd": money_json(model.output_per_1k_usd),
        "supports": list(model.supports),
    }


def money_json(amount: Decimal | None) -> Any:
    """An amount as a JSON number, whole if it is; None stays None."""
    if amount is None:
        return None
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def _renewal(now: float) -> str:
    """The first moment of the next month, UTC."""
    first = datetime.fromtimestamp(now, UTC).replace(day=1)
    return (first + timedelta(days=32)).strftime("%Y-%m-01T00:00:00Z")
