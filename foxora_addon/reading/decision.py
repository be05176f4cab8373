"""Says why a call was forwarded or refused: its account's balances at that moment.

They are rebuilt from the trail. What it can't tell is left open: ceilings are given, and what other
proxies, or records that are gone, counted for the account is not in these balances.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from foxora_addon.policy.plans import Ceilings
from foxora_addon.reading.demand import (
    Arrival,
    AsItWas,
    Ending,
    Used,
    arrival_of,
    ending_of,
    fitted,
)
from foxora_addon.reading.exchanges import Recorded, shadow_text
from foxora_addon.reading.records import Record, mapping_of, text_of
from foxora_addon.reading.texts import count_text, duration_text, one_line
from foxora_addon.reading.times import iso_or_none


class Below(NamedTuple):
    """Ceilings below an account's: those of a `kind`, model or client, by its name."""

    kind: str
    name: str
    ceilings: Ceilings


@dataclass(slots=True)
class Decision:
    """The decision about one call, and the figures behind it.

    `paused_until` is until when the gateway's own 429 had closed the account; None: it was open.
    `used` is what counted right before it, None where the limiter had no part. `limit`: the one of
    the ceilings that kept it out. `opens_at`: when it would have passed if no other call had come;
    `passes_at`: when it would have, as things went. Unix seconds; None: unknown, or never.
    `below` are further ceilings that it was held to, of which only the figures are known.
    """

    recorded: Recorded
    ceilings: Ceilings
    arrival: Arrival | None = None
    used: Used | None = None
    limit: str | None = None
    paused_until: float | None = None
    opens_at: float | None = None
    passes_at: float | None = None
    below: Sequence[Below] = ()


class Rebuilding:
    """Rebuilds one decision; fed the records in the trail's order, until `is_done`."""

    def __init__(self, recorded: Recorded, ceilings: Ceilings, below: Sequence[Below] = ()) -> None:
        self.decision = Decision(recorded, ceilings, below=below)
        self.is_done = False
        self._account = AsItWas()
        self._last = 0.0  # the last moment that was looked at

    def take(self, record: Record) -> None:
        """Take the next record; those of other accounts change nothing."""
        if self.is_done or record.get("account") != self.decision.recorded.account:
            return
        if record.get("event") == "request":
            arrival = arrival_of(record)
            if record["exchange"] == self.decision.recorded.id:
                self._decide(arrival)
            elif arrival is not None:
                self._look(arrival.decided_at)
                self._account.arrive(arrival)
        elif (ending := ending_of(record)) is not None:
            self._look(ending.at)
            self._account.end(ending)
            self._look(ending.at)

    def finish(self) -> None:
        """The trail is over: nothing else happened since."""
        if self.decision.arrival is not None and not self.is_done:
            self._look(float("inf"))

    def _decide(self, arrival: Arrival | None) -> None:
        decision = self.decision
        decision.arrival = arrival
        if arrival is None:
            self.is_done = True
            return
        now = arrival.decided_at
        decision.used = self._account.used(now)
        decision.limit = self._account.barrier(decision.ceilings, arrival.tokens, now)
        if (until := self._account.paused_until) is not None and until > now:
            decision.paused_until = until
        decision.opens_at = self._account.opens_at(decision.ceilings, arrival.tokens, now)
        is_open = decision.ceilings == Ceilings() and decision.limit is None
        self.is_done = arrival.was_sent or is_open
        self._last = now

    def _look(self, until: float) -> None:
        """Whether there is room before the next thing that happens."""
        arrival = self.decision.arrival
        if arrival is None or self.is_done:
            return
        opening = self._account.opens_at(self.decision.ceilings, arrival.tokens, self._last)
        if opening is not None and opening <= until:
            self.decision.passes_at = opening
            self.is_done = True
        self._last = max(self._last, min(until, 1e12))


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
    if arrival is None or decision.used is None:
        yield "limits", "had no part in it"
        return
    yield from _balance_lines(decision, arrival, decision.used)
    if decision.paused_until is not None:
        until = iso_or_none(decision.paused_until) or "a moment beyond the calendar"
        yield "paused", f"by the gateway's own 429, until {until} <- over"
    yield "estimate", f"{count_text(arrival.tokens)} tokens"
    yield "actual", _actual_text(recorded, arrival)
    if arrival.was_sent:
        if recorded.waited_ms:
            yield "waited", duration_text(recorded.waited_ms)
    else:
        yield "would pass", _opening_text(decision, arrival)


def _verdict_text(recorded: Recorded) -> str:
    decision = mapping_of((recorded.request or {}).get("decision"))
    verdict, reason = text_of(decision.get("verdict")), text_of(decision.get("reason"))
    if verdict is None:
        return "its request record is not in the trail"
    words = "forwarded" if verdict == "forward" else "refused"
    return f"{words}: {reason}" if reason else words


def _balance_lines(decision: Decision, arrival: Arrival, used: Used) -> Iterator[tuple[str, str]]:
    ceilings = decision.ceilings
    asked = fitted(arrival.tokens, ceilings)
    for name, count, more, ceiling in (
        ("requests", used.requests, 1, ceilings.requests_per_minute),
        ("tokens", used.tokens, asked, ceilings.tokens_per_minute),
        ("concurrent", used.concurrent, 1, ceilings.concurrent_requests),
    ):
        of = "" if ceiling is None else f" of {count_text(ceiling)}"
        over = " <- over" if ceiling is not None and more and count + more > ceiling else ""
        yield name, f"{count_text(count)}{of} used, {count_text(more)} more asked{over}"


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
    has_room = decision.limit is None and decision.ceilings != Ceilings()
    if has_room and decision.below:
        account = "unknown: the account has room"
    else:
        account = _opening_text_of_account(decision, arrival)
    return "; ".join((account, *map(_text_below, decision.below)))


def _text_below(below: Below) -> str:
    """That a call was held to more than its account's ceilings, with the figures."""
    figures = (
        (below.ceilings.requests_per_minute, "requests a minute"),
        (below.ceilings.tokens_per_minute, "tokens a minute"),
        (below.ceilings.concurrent_requests, "at once"),
    )
    told = ", ".join(f"{count_text(n)} {unit}" for n, unit in figures if n is not None)
    who = one_line(f"{below.kind} '{below.name}'")
    return f"{who} has ceilings of its own, which are not rebuilt here: {told}"


def _opening_text_of_account(decision: Decision, arrival: Arrival) -> str:
    if decision.ceilings == Ceilings() and decision.limit is None:
        return "unknown without ceilings: give --requests-per-minute or --tokens-per-minute"
    if decision.limit is None:
        return (
            "at once under these ceilings: others were in force, as those of a client or a model, "
            "or what is not on record counted: another proxy's calls, this one's own questions to "
            "the gateway, or earlier tries of calls that were open"
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
    arrival, used, ceilings = decision.arrival, decision.used, decision.ceilings
    told = mapping_of((decision.recorded.request or {}).get("decision"))
    ending = _ending_of(decision.recorded)
    return {
        "exchange": decision.recorded.id,
        "time": decision.recorded.time,
        "account": decision.recorded.account,
        "verdict": told.get("verdict"),
        "reason": told.get("reason"),
        "error": (decision.recorded.response or {}).get("error"),
        "used": used
        and {"requests": used.requests, "tokens": used.tokens, "concurrent": used.concurrent},
        "ceilings": _json_of(ceilings),
        "below": [
            {"kind": each.kind, "name": each.name, **_json_of(each.ceilings)}
            for each in decision.below
        ],
        "estimated_tokens": arrival.tokens if arrival else None,
        "actual_tokens": ending.tokens if ending is not None and ending.was_sent else None,
        "limit": decision.limit,
        "paused_until": iso_or_none(decision.paused_until),
        "shadow": told.get("shadow"),
        "would_pass_at": iso_or_none(decision.opens_at) if decision.limit else None,
        "passes_at": iso_or_none(decision.passes_at) if decision.limit else None,
    }


def _json_of(ceilings: Ceilings) -> dict[str, int | None]:
    return {
        "requests_per_minute": ceilings.requests_per_minute,
        "tokens_per_minute": ceilings.tokens_per_minute,
        "concurrent_requests": ceilings.concurrent_requests,
    }
