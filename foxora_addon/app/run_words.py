"""Words the summary of a run: what its calls came to, or why there were none."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from foxora_addon.api.money import dollars, usd_of

_MOST_NAMES: Final = 5


def summary_of(
    totals: Mapping[str, Any], url: str, *, is_shared: bool = False, takes_tunnels: bool = True
) -> Iterator[str]:
    """Lines for a person. `is_shared`: others may have used the proxy in that time, too.

    `takes_tunnels`: False where HTTPS_PROXY was not set, for the proxy is a reverse one.
    """
    if not totals["calls"] and not totals["open"]:
        yield _why_nothing_seen(totals, url, takes_tunnels=takes_tunnels)
    elif totals["calls"]:
        whose = " (of all clients of this proxy in that time)" if is_shared else ""
        yield f"{_counted(totals['calls'], 'call')}, {_tokens(totals)}{_cost(totals)}{whose}"
    if totals["errors"]:
        count = sum(totals["errors"].values())
        yield f"{_counted(count, 'error')}: {_listed(totals['errors'])}"
    for why, count in totals.get("unrecorded", {}).items():  # a proxy of before told of none
        yield f"{_counted(count, 'record')} missing: {why}"
    if totals["open"] and not is_shared:
        yield (
            f"{_counted(totals['open'], 'call')} still open: what CMD left behind loses its proxy "
            "now; for such programs start it by itself, with foxora-proxy run"
        )


def _tokens(totals: Mapping[str, Any]) -> str:
    total, given, made = (totals[f"{kind}_tokens"] for kind in ("total", "input", "output"))
    text = f"{total:,} tokens ({given:,} in, {made:,} out)" if total else "no tokens"
    silent = totals["calls_without_usage"]
    return text + (f", not counting {silent:,} whose answer told no usage" if silent else "")


def _cost(totals: Mapping[str, Any]) -> str:
    """Nothing where no call's price is known: zero would be a lie."""
    cost = usd_of(totals["cost_usd"], places=6)  # a small call costs a hundredth of a cent
    return "" if cost is None else f", {dollars(cost)}"


def _why_nothing_seen(totals: Mapping[str, Any], url: str, *, takes_tunnels: bool) -> str:
    if totals["distrusted"]:
        return (
            f"0 calls seen: CMD broke off TLS with {_listed(totals['distrusted'])}. It does not "
            "trust mitmproxy's certificate authority by SSL_CERT_FILE and its like (wget, Java, "
            "Electron and Go on macOS have stores of their own); by base URL it needs none: "
            f"{url}/v1"
        )
    if totals["tunnels"]:
        return (
            f"0 calls seen: CMD went through the proxy to {_listed(totals['tunnels'])}, which is "
            f"not OpenAI's. Set its base URL, in its own settings, to {url}/v1, or list that host "
            "under intercept.hosts in foxora.yaml"
        )
    own_settings = f"(settings of its own go before it: set the base URL there, to {url}/v1)"
    if not takes_tunnels:
        return (
            f"0 calls seen: CMD made none, or it does not heed OPENAI_BASE_URL {own_settings}. In "
            "reverse mode no HTTPS_PROXY is set"
        )
    return (
        f"0 calls seen: CMD made none, or it heeds neither OPENAI_BASE_URL {own_settings} nor "
        "HTTPS_PROXY (Node before 22.21 and 24.0 knows no NODE_USE_ENV_PROXY)"
    )


def _listed(counts: Mapping[str, int]) -> str:
    """The most frequent names with their counts, and how many names more there are."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = [name if count == 1 else f"{name} ({count} times)" for name, count in ordered]
    more = len(shown) - _MOST_NAMES
    return ", ".join(shown[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
