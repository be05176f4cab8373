"""What GET /v1/me says of an account's money: what was spent, the cap, and when both are renewed.

It refuses to know what is done with it, and reads nothing else of the answer (`plans` does).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from foxora_addon.api.json_values import mapping_of
from foxora_addon.api.money import parse_exactly, usd_of

CAPS_OF_PLANS: Final[Mapping[str, Decimal]] = {"free": Decimal(1)}
"""foxora-api.md, Spend: caps that are built into a plan, by its id, in US dollars a month."""

# The year 3000: what is named beyond it is no renewal, and may be past what a calendar can count.
_LATEST: Final = 32_503_680_000.0


class SpendReport(NamedTuple):
    """A field is None where the answer does not give it. `renews_at` is in Unix seconds.

    `spent_usd` is by all callers of the account, since its last renewal.
    """

    spent_usd: Decimal | None = None
    cap_usd: Decimal | None = None
    renews_at: float | None = None


def parse_spend(body: bytes) -> SpendReport | None:
    """Read the body of GET /v1/me (foxora-api.md, Routes); None if it says nothing of money.

    A cap that is missing is the plan's built-in one; the other plans have none that is documented.
    """
    try:
        value = parse_exactly(body)
    except ValueError:
        return None
    me, plan = mapping_of(value), mapping_of(mapping_of(value).get("plan"))
    cap = usd_of(mapping_of(me.get("limits")).get("monthly_spend_cap_usd"))
    report = SpendReport(
        usd_of(mapping_of(me.get("usage")).get("spend_usd")),
        cap_of_plan(plan.get("id")) if cap is None else cap,
        _moment(plan.get("renews_at")),
    )
    return None if report == SpendReport() else report


def cap_of_plan(plan: object) -> Decimal | None:
    """Return the cap that is built into a plan, by its id; None: there is none that we know."""
    return CAPS_OF_PLANS.get(plan.lower()) if isinstance(plan, str) else None


def _moment(value: object) -> float | None:
    """An ISO 8601 time, in UTC where it names no zone (foxora-api.md, Base and conventions)."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return seconds if 0 <= seconds < _LATEST else None
