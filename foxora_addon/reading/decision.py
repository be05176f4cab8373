"""Says why a call was forwarded or refused: the balances at that moment of all it was held to.

They are rebuilt from the trail. What it can't tell is left open: ceilings are given, and what other
proxies, or records that are gone, counted for the account is not in these balances.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from foxora_addon.api.json_values import mapping_of
from foxora_addon.policy.limits import Used
from foxora_addon.policy.plans import UNLIMITED, Ceilings
from foxora_addon.policy.scopes import Refusal, Scope, lowest_tokens
from foxora_addon.reading.demand import (
    LIMIT_REASON,
    Arrival,
    AsItWas,
    Ending,
    arrival_of,
    ending_of,
    guard_of,
)
from foxora_addon.reading.exchanges import Recorded, shadow_text
from foxora_addon.reading.records import Record, text_of
from foxora_addon.reading.texts import count_text, duration_text, one_line
from foxora_addon.reading.times import iso_or_none

type ScopesOf = Callable[[str, str | None, str | None], Sequence[Scope]]
"""What a call of an account, a model and a client counts against; the account's scope is first."""


class Balance(NamedTuple):
    """How one thing that a call was held to stood right before it: `used` of its `ceilings`.

    `kind` is "account", "model" or "client". `used` is None where the limiter had no part.
    """

    kind: str
    name: str
    ceilings: Ceilings
    used: Used | None = None


@dataclass(slots=True)
class Decision:
    """The decision about one call, and the figures behind it.

    `balances` are its account's, then those of its model and its client that have ceilings below
    that; none if no account pays. `tokens` is what was asked of each. `paused_until` is until when
    the gateway's own 429 had closed the account; None: it was open. `limit`: the one of the
    ceilings that kept it out longest, and `limit_of` whose that is. `opens_at`: when it would have
    passed if no other call had come; `passes_at`: when it would have, as things went. Unix seconds;
    None: unknown, or never. `can_fit` is False for one that was told that no wait helps: then it
    asked for more than `tokens`, to which its estimate was cut.
    """

    recorded: Recorded
    balances: Sequence[Balance]
    arrival: Arrival | None = None
    tokens: int = 0
    limit: str | None = None
    limit_of: Balance | None = None
    paused_until: float | None = None
    opens_at: float | None = None
    passes_at: float | None = None
    can_fit: bool = True

    @property
    def is_unknown(self) -> bool:
        """Whether nothing kept it out, but its account's ceilings are not known."""
        return self.limit is None and self.balances[0].ceilings == UNLIMITED


class Rebuilding:
    """Rebuilds one decision; fed the records in the trail's order, until `is_done`."""

    def __init__(self, recorded: Recorded, scopes_of: ScopesOf) -> None:
        named = list(_named(recorded, scopes_of))
        balances = [Balance(kind, name, scope.ceilings) for kind, name, scope in named]
        self.decision = Decision(recorded, balances)
        self.is_done = not named
        self._scopes_of = scopes_of
        self._scopes = [scope for _, _, scope in named]
        self._names = frozenset(scope.name for scope in self._scopes)
        self._accounts: dict[str, bool] = {}  # whether a name in records means the call's own
        self._as_it_was = AsItWas(guard_of(recorded.request or {}))
        self._last = 0.0  # the last moment that was looked at

    def take(self, record: Record) -> None:
        """Take the next record; those of accounts that are not its own change nothing."""
        if self.is_done or not self._is_shared(text_of(record.get("account"))):
            return
        if record.get("event") == "request":
            arrival = arrival_of(record)
            if record["exchange"] == self.decision.recorded.id:
                self._decide(arrival)
            elif arrival is not None:
                self._look(arrival.decided_at)
                self._as_it_was.arrive(arrival, self._shared(arrival))
        elif (ending := ending_of(record)) is not None:
            self._end(ending)

    def finish(self) -> None:
        """The trail is over: nothing else happened since."""
        if self.decision.arrival is not None and not self.is_done:
            self._look(float("inf"))

    def _is_shared(self, account: str | None) -> bool:
        """Whether a name in records means the call's own account."""
        if account is None:
            return False
        known = self._accounts.get(account)
        if known is None:
            scope = self._scopes_of(account, None, None)[0]
            known = self._accounts[account] = scope.name == self._scopes[0].name
        return known

    def _shared(self, arrival: Arrival) -> list[Scope]:
        """What another call counts against of all that this one does."""
        scopes = self._scopes_of(arrival.account, arrival.model, arrival.client)
        return [scope for scope in scopes if scope.name in self._names]

    def _end(self, ending: Ending) -> None:
        self._look(ending.at)
        self._as_it_was.end(ending)
        self._as_it_was.pause(self._scopes[0], ending)
        self._look(ending.at)

    def _decide(self, arrival: Arrival | None) -> None:
        decision = self.decision
        decision.arrival = arrival
        if arrival is None:
            self.is_done = True
            return
        now, was = arrival.decided_at, self._as_it_was
        lowest = lowest_tokens(self._scopes)
        decision.tokens = arrival.tokens if lowest is None else min(arrival.tokens, lowest)
        decision.balances = [
            balance._replace(used=was.used(scope, now))
            for balance, scope in zip(decision.balances, self._scopes, strict=True)
        ]
        if (until := was.paused_until) is not None and until > now:
            decision.paused_until = until
        if not _could_fit(decision.recorded):
            decision.can_fit, self.is_done = False, True
            return
        refusal = was.refusal(self._scopes, decision.tokens, now)
        decision.opens_at = _opens_at(refusal, now)
        if refusal is not None:
            decision.limit = refusal.denied.limit
            decision.limit_of = decision.balances[self._scopes.index(refusal.scope)]
        self.is_done = arrival.was_sent or decision.is_unknown
        self._last = now

    def _look(self, until: float) -> None:
        """Whether there is room before the next thing that happens."""
        if self.decision.arrival is None or self.is_done:
            return
        refusal = self._as_it_was.refusal(self._scopes, self.decision.tokens, self._last)
        opening = _opens_at(refusal, self._last)
        if opening is not None and opening <= until:
            self.decision.passes_at = opening
            self.is_done = True
        self._last = max(self._last, min(until, 1e12))


def _named(recorded: Recorded, scopes_of: ScopesOf) -> Iterator[tuple[str, str, Scope]]:
    """What a call was held to: of what kind each is, its name, and its ceilings."""
    account, request = recorded.account, recorded.request or {}
    if account is None:
        return
    model = text_of(request.get("model"))
    client = text_of(mapping_of(request.get("client")).get("name"))
    yield "account", account, scopes_of(account, None, None)[0]
    for scope in scopes_of(account, model, None)[1:]:
        yield "model", model or "", scope
    for scope in scopes_of(account, None, client)[1:]:
        yield "client", client or "", scope


def _could_fit(recorded: Recorded) -> bool:
    """Whether a wait could have helped: the limiter tells one to all that are not too large."""
    reason = mapping_of((recorded.request or {}).get("decision")).get("reason")
    error = mapping_of((recorded.response or {}).get("error"))
    return reason != LIMIT_REASON or error.get("retry_after_ms", 0.0) is not None


def _opens_at(refusal: Refusal | None, now: float) -> float | None:
    """The first moment at which it would be admitted, if all stays so.

    None: there is none, or only the end of an open exchange can tell.
    """
    if refusal is None:
        return now
    return None if refusal.denied.awaits_end else refusal.denied.opens_at


def lines_of(decision: Decision) -> Iterator[tuple[str, str]]:
    """The decision in words: a label and a text for each line."""
    recorded, arrival = decision.recorded, decision.arrival
    yield "exchange", recorded.id
    yield "time", recorded.time
    yield "account", recorded.account or "none: no account pays for it"
    yield "decision", _verdict_text(recorded)
    if shadow := shadow_text(recorded):
        yield "shadow", shadow
    if error := text_of(mapping_of((recorded.response or {}).get("error")).get("message")):
        yield "told", one_line(error)
    if arrival is None:
        yield "limits", "had no part in it"
        return
    yield from _balance_lines(decision)
    if decision.paused_until is not None:
        until = iso_or_none(decision.paused_until) or "a moment beyond the calendar"
        yield "paused", f"by the gateway's own 429, until {until} <- over"
    more = "" if decision.can_fit else "more than "
    yield "estimate", f"{more}{count_text(arrival.tokens)} tokens"
    yield "actual", _actual_text(recorded, arrival)
    if recorded.waited_ms:
        yield "waited", duration_text(recorded.waited_ms)
    if not arrival.was_sent:
        yield "would pass", _opening_text(decision, arrival)


def _verdict_text(recorded: Recorded) -> str:
    decision = mapping_of((recorded.request or {}).get("decision"))
    verdict, reason = text_of(decision.get("verdict")), text_of(decision.get("reason"))
    if verdict is None:
        return "its request record is not in the trail"
    words = "forwarded" if verdict == "forward" else "refused"
    return f"{words}: {reason}" if reason else words


def _balance_lines(decision: Decision) -> Iterator[tuple[str, str]]:
    """A line for each of the account's ceilings, and one for each thing that has more below it."""
    for balance in decision.balances:
        if balance.used is None:
            continue
        figures = _figures_of(balance.used, balance.ceilings, decision)
        if balance.kind == "account":
            yield from ((name, text) for name, _, text in figures)
        else:
            told = "; ".join(f"{name} {text}" for name, ceiling, text in figures if ceiling)
            yield balance.kind, f"'{one_line(balance.name)}': {told}"


def _figures_of(
    used: Used, ceilings: Ceilings, decision: Decision
) -> Iterator[tuple[str, int | None, str]]:
    """The name of each figure, its ceiling, and how it stood with it."""
    tokens, beyond = decision.tokens, 0 if decision.can_fit else 1
    for name, count, more, unknown, ceiling in (
        ("requests", used.requests, 1, 0, ceilings.requests_per_minute),
        ("tokens", used.tokens, tokens, beyond, ceilings.tokens_per_minute),
        ("concurrent", used.open_exchanges, 1, 0, ceilings.concurrent_requests),
    ):
        of = "" if ceiling is None else f" of {count_text(ceiling)}"
        is_over = ceiling is not None and more and count + more + unknown > ceiling
        asked = f"more than {count_text(more)}" if unknown else f"{count_text(more)} more"
        over = " <- over" if is_over else ""
        yield name, ceiling, f"{count_text(count)}{of} used, {asked} asked{over}"


def _actual_text(recorded: Recorded, arrival: Arrival) -> str:
    if not arrival.was_sent:
        return "nothing was sent"
    ending = _ending_of(recorded)
    if ending is None:
        return "not known yet; the estimate stands"
    if not ending.was_sent:
        return "nothing reached the gateway; all was given back"
    if (total := ending.tokens) is None:
        return "not known; the estimate stands"
    beyond = total - arrival.tokens
    words = f"{count_text(abs(beyond))} {'more' if beyond > 0 else 'less'} than estimated"
    return f"{count_text(total)} tokens" + (f", {words}" if beyond else ", as estimated")


def _ending_of(recorded: Recorded) -> Ending | None:
    return None if recorded.response is None else ending_of(recorded.response)


def _opening_text(decision: Decision, arrival: Arrival) -> str:
    if not decision.can_fit:
        return "never under the ceilings that were in force: it asked for more than one of them has"
    if decision.is_unknown:
        return "unknown without ceilings: give --requests-per-minute or --tokens-per-minute"
    if decision.limit is None:
        return (
            "at once under these ceilings: it was the turn of calls that had come before, others "
            "were in force, as those of a client that is not on record, or what is not on record "
            "counted: another proxy's calls, this one's own questions to the gateway, or earlier "
            "tries of calls that were open"
        )
    opens, passes = decision.opens_at, iso_or_none(decision.passes_at)
    if opens is None:
        alone = "when an open exchange had ended"
    else:
        wait = duration_text((opens - arrival.decided_at) * 1000)
        alone = f"after {wait}, if no other call had come"
    if passes is None:
        return alone
    return f"{alone}; as things went, at {passes}"


def json_of(decision: Decision) -> dict[str, Any]:
    """The same by name, for programs."""
    arrival, held_to = decision.arrival, decision.limit_of
    told = mapping_of((decision.recorded.request or {}).get("decision"))
    ending = _ending_of(decision.recorded)
    account, *below = decision.balances or [Balance("account", "", UNLIMITED)]
    return {
        "exchange": decision.recorded.id,
        "time": decision.recorded.time,
        "account": decision.recorded.account,
        "verdict": told.get("verdict"),
        "reason": told.get("reason"),
        "error": (decision.recorded.response or {}).get("error"),
        "used": _json_of_used(account.used),
        "ceilings": _json_of_ceilings(account.ceilings),
        "below": [
            {
                "kind": each.kind,
                "name": each.name,
                "used": _json_of_used(each.used),
                **_json_of_ceilings(each.ceilings),
            }
            for each in below
        ],
        "estimated_tokens": arrival.tokens if arrival else None,
        "actual_tokens": ending.tokens if ending is not None and ending.was_sent else None,
        "limit": decision.limit,
        "can_fit": decision.can_fit,
        "limit_of": held_to and {"kind": held_to.kind, "name": held_to.name},
        "paused_until": iso_or_none(decision.paused_until),
        "shadow": told.get("shadow"),
        "would_pass_at": iso_or_none(decision.opens_at) if decision.limit else None,
        "passes_at": iso_or_none(decision.passes_at) if decision.limit else None,
    }


def _json_of_used(used: Used | None) -> dict[str, int] | None:
    if used is None:
        return None
    return {"requests": used.requests, "tokens": used.tokens, "concurrent": used.open_exchanges}


def _json_of_ceilings(ceilings: Ceilings) -> dict[str, int | None]:
    return {
        "requests_per_minute": ceilings.requests_per_minute,
        "tokens_per_minute": ceilings.tokens_per_minute,
        "concurrent_requests": ceilings.concurrent_requests,
    }
