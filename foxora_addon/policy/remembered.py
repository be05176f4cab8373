"""Reads off the end of a trail what still counts against ceilings after a restart.

Pure: records come in, moments of the monotonic clock go out. It refuses to know where records are
kept, and how calls are counted.

A call counts from when it was sent, and its tokens from when it ended (see `limits`). A call that a
crash has cut off counts from the start after it, when that was found, with all that it had
reserved: how far it came is not known.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

from foxora_addon.api.json_values import mapping_of, moment_of, string_of
from foxora_addon.api.usage import usage_of
from foxora_addon.policy.limit_hold import UNTOLD_WAIT_SECONDS
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.reckoning import Reckoning


@dataclass(frozen=True, slots=True)
class Remembered:
    """A call that was sent, by its account's name in records; moments may lie in the past.

    `is_request` is False for what was said over a WebSocket, and where the last try of a call was
    never sent: tokens alone, used at `ended_at`.
    """

    account: str
    model: str | None
    client: str | None
    sent_at: float
    ended_at: float
    tokens: int
    output_tokens: int | None
    closes_for: float | None = None
    """For how many seconds from its end the gateway's own 429 closed the account; None: no 429."""
    is_request: bool = True


@dataclass(frozen=True, slots=True)
class Told:
    """What outlives a restart of our own questions, which are no exchanges and on no record.

    The ceilings that the gateway last told of an account, and when it was asked in the last minute.
    `account_id` is the gateway's, None: not known; `key` is what tells the key that was asked with
    from another, "" where that is not known.
    """

    ceilings: Ceilings
    asked: tuple[float, ...]
    account_id: str | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Closing:
    """The gateway's own 429 closed an account: when it was told, and until when."""

    at: float
    until: float


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a WebSocket was charged while it was open, of which its record has no moments.

    By the account's name in records; `model` is None where it has no ceilings. `lately` has the
    moments of the last minute, and the tokens of each; `tokens` and `cost_usd` are of all. `held`
    is what its open answers may use beside that.
    """

    account: str
    model: str | None
    client: str | None
    tokens: int
    cost_usd: Decimal
    lately: tuple[tuple[float, int], ...]
    held: int = 0

    def cut_off(self, now: float) -> "Spoken":
        """What is taken to have been used where a crash has cut it off: what it held, now."""
        if not self.held:
            return self
        lately = (*self.lately, (now, self.held))
        return replace(self, tokens=self.tokens + self.held, lately=lately, held=0)

    def remembered(self) -> Iterator[Remembered]:
        """What still counts of it."""
        about = self.account, self.model, self.client
        for moment, tokens in self.lately:
            yield Remembered(*about, moment, moment, tokens, None, is_request=False)


class Tried(NamedTuple):
    """A try of a call, which was a request of the account's own."""

    sent_at: float
    ended_at: float
    tokens: int


def remembered_of(
    records: Sequence[Mapping[str, Any]],
    now: float,
    reckoning: Reckoning,
    spoken: Mapping[str, Spoken] = MappingProxyType({}),
) -> list[Remembered]:
    """The calls that records tell of, in the order in which they were sent.

    `reckoning` says how old they are at `now`, of the monotonic clock. What was `spoken` in an
    exchange is not counted again with its end.
    """
    ages = [_age_of(record, reckoning) for record in reversed(records)][::-1]
    requests: dict[str, Mapping[str, Any]] = {}
    found: list[Remembered] = []
    for record, age in zip(records, ages, strict=True):
        exchange, account = record.get("exchange"), record.get("account")
        if age is None or not isinstance(exchange, str) or not isinstance(account, str):
            continue
        at = now - age
        if record.get("event") == "request":
            requests[exchange] = record
        elif (call := _ended(account, record, requests.pop(exchange, {}), at)) is not None:
            said = spoken.get(exchange)
            left = call.tokens if said is None else max(call.tokens - said.tokens, 0)
            found += [replace(call, tokens=left), *_tries_before(call, record)]
    found += [call for record in requests.values() if (call := _cut_off(record, now)) is not None]
    return sorted(found, key=lambda call: call.sent_at)


def _ended(
    account: str, record: Mapping[str, Any], request: Mapping[str, Any], at: float
) -> Remembered | None:
    duration, sent = record.get("duration_ms"), record.get("sent_ms")
    if duration is None and record.get("outcome") == "aborted":
        return _cut_off(request, at)
    if not isinstance(duration, int | float) or not isinstance(sent, int | float):
        return None
    usage = mapping_of(record.get("usage"))
    return Remembered(
        account,
        string_of((request or record).get("model")),
        string_of(mapping_of(request.get("client")).get("name")),
        at - (duration - sent) / 1000,
        at,
        charged_tokens(record),
        None if record.get("websocket") else _count(usage.get("output_tokens")),
        _closes_for(record),
        is_request=not is_given_up(record),
    )


def _tries_before(last: Remembered, record: Mapping[str, Any]) -> Iterator[Remembered]:
    about = last.account, last.model, last.client
    for tried in tries_before(record, last.ended_at):
        yield Remembered(*about, *tried, None)


def tries_before(record: Mapping[str, Any], ended_at: float) -> Iterator[Tried]:
    """The tries before the last one, which ended at that moment, as far as they were sent."""
    began = ended_at - (_seconds(record.get("duration_ms")) or 0.0)
    for each in _tries_in(record):
        sent, after = _seconds(each.get("sent_ms")), _seconds(each.get("after_ms"))
        if sent is not None and after is not None:
            yield Tried(began + sent, began + after, _count(each.get("tokens")) or 0)


def _tries_in(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    tries = record.get("tries")
    yield from map(mapping_of, tries if isinstance(tries, list) else ())


def charged_tokens(response: Mapping[str, Any]) -> int:
    """What an exchange that was sent, and ended, was charged by its record; 0 without usage."""
    usage = usage_of(response.get("usage"))
    return 0 if usage is None else usage.tokens


def _closes_for(record: Mapping[str, Any]) -> float | None:
    """For how long the gateway's 429s close the account, from the record's own moment.

    One that was tried again closed it from the end of that try.
    """
    duration = _seconds(record.get("duration_ms")) or 0.0
    ends = [
        (_seconds(each.get("after_ms")) or 0.0) - duration + _wait_of(each)
        for each in _tries_in(record)
        if _is_closing(each)
    ]
    if _is_closing(record) and not is_given_up(record):
        ends.append(_wait_of(mapping_of(record.get("error"))))
    return max(ends, default=None)


def is_given_up(record: Mapping[str, Any]) -> bool:
    """Whether it ends as its last try did, since no further one was sent."""
    sent = _seconds(record.get("sent_ms"))
    return any(_seconds(each.get("sent_ms")) == sent for each in _tries_in(record))


def _is_closing(answer: Mapping[str, Any]) -> bool:
    return answer.get("status") == 429 and answer.get("source") == "gateway"


def _wait_of(error: Mapping[str, Any]) -> float:
    wait = _seconds(error.get("retry_after_ms"))
    return UNTOLD_WAIT_SECONDS if wait is None else wait


def _cut_off(request: Mapping[str, Any], at: float) -> Remembered | None:
    decision = mapping_of(request.get("decision"))
    account = string_of(request.get("account"))
    if decision.get("verdict") != "forward" or account is None:
        return None
    return Remembered(
        account,
        string_of(request.get("model")),
        string_of(mapping_of(request.get("client")).get("name")),
        at,
        at,
        _count(decision.get("estimated_tokens")) or 0,
        None,
    )


def _age_of(record: Mapping[str, Any], reckoning: Reckoning) -> float | None:
    moment = moment_of(record.get("time"))
    return None if moment is None else reckoning.age(moment, _count(record.get("seq")) or 0)


def _seconds(milliseconds: object) -> float | None:
    is_number = isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool)
    return milliseconds / 1000 if is_number else None  # type: ignore[operator]  # just looked


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
