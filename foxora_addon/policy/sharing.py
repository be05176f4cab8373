"""Words what holds where several accounts of the configuration are one account at the gateway.

Pure. Which do is `payers`' business; who reads the words, and where, is not this module's.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from foxora_addon.api.money import dollars
from foxora_addon.policy.payers import InForce, Payers

_MOST_NAMED: Final = 9


class Sharing(NamedTuple):
    """What there is to say. `differs`: the configuration gives them different figures."""

    differs: bool
    words: str


def sharing_of(payers: Payers, payer: str) -> Sharing | None:
    """What to say of a payer that shares its account; None: it does not, or is not the first."""
    names = payers.sharers(payer)
    if len(names) < 2 or payer != names[0]:
        return None
    words = f"accounts {_listed(names)} are one account at the gateway, so they share its limits"
    if not payers.differs(names):
        return Sharing(differs=False, words=words)
    figures = ", ".join(_figures(payers.in_force(payer)))
    words = f"{words}; of figures that differ the tighter holds: {figures}"
    return Sharing(differs=True, words=words)


def _listed(names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names[:_MOST_NAMED]]
    if len(names) > _MOST_NAMED:
        quoted.append(f"{len(names) - _MOST_NAMED} more")
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _figures(held_to: InForce) -> Iterator[str]:
    ceilings = held_to.ceilings
    for figure, words in (
        (ceilings.requests_per_minute, "requests per minute"),
        (ceilings.tokens_per_minute, "tokens per minute"),
        (ceilings.concurrent_requests, "requests at once"),
    ):
        if figure is not None:
            yield f"{figure} {words}"
    if held_to.cap_usd is not None:
        beside = " or the gateway's own if lower" if held_to.is_told_cap_kept else ""
        yield f"a monthly spend cap of {dollars(held_to.cap_usd)}{beside}"
