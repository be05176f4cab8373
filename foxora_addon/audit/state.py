"""Keeps beside the trail what must outlive its rotation: what each account has spent this month.

And what its records can't say: how the wall clock of their times stood to a clock that nobody sets.

The file is a shortcut into the trail, not a second truth: it says up to which record it holds, and
what the trail has after that is added by `rebuilt`. So it need not be written at each exchange, and
a `kill -9` at any moment forgets nothing that the trail has.
"""

import logging
import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveInt,
    ValidationError,
)

from foxora_addon.api.json_values import moment_of
from foxora_addon.api.money import usd_of
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.reckoning import Saved, Setting
from foxora_addon.policy.remembered import Closing, Spoken, Told
from foxora_addon.policy.spend_month import MonthSpend, calendar_month

VERSION: Final = 1

_MOST_BYTES: Final = 16 * 1024 * 1024
_log = logging.getLogger(__name__)


class StateNotSaved(Exception):  # noqa: N818  # reads as what it says where it is raised
    """The state file can't be written; `str` is one line for the operator."""


class Written(NamedTuple):
    """An account's month as it was when the trail had come to record `seq`, at Unix time `time`."""

    month: MonthSpend
    time: float
    seq: int

    def with_other(self, other: "Written") -> "Written":
        """Return what was written of two accounts that turned out to be one."""
        time = max(self.time, other.time)
        month = self.month.at(time).with_other(other.month.at(time))
        return Written(month, time, max(self.seq, other.seq))


@dataclass(frozen=True, slots=True)
class Clock:
    """How the wall clock stood to the machine's time since a boot, by the boot's id."""

    boot: str
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class State:
    """What the file holds: each account's month, the clock, and what the gateway told and closed.

    `clock` None: none was known, nor is `saved` then. Moments in `told`, `closed` and `spoken` are
    Unix seconds. `spoken` is what WebSockets were charged, by their exchanges: the months have it.
    """

    accounts: Mapping[str, Written] = field(default_factory=dict)
    clock: Clock | None = None
    told: Mapping[str, Told] = field(default_factory=dict)
    closed: Mapping[str, Closing] = field(default_factory=dict)
    saved: Saved | None = None
    spoken: Mapping[str, Spoken] = field(default_factory=dict)

    def with_months(
        self,
        months: Mapping[str, MonthSpend],
        time: float,
        seq: int,
        merged: Collection[str] = (),
    ) -> "State":
        """Return the state in which these accounts are as they are now; others stay as they were.

        `seq` is the last record's, and `time` not before it was written. What was spent under a
        `merged` name is in another's month.
        """
        written = {name: Written(month, time, seq) for name, month in months.items()}
        others = {name: each for name, each in self.accounts.items() if name not in merged}
        return replace(self, accounts={**others, **written})

    def under(self, account_of: Callable[[str], str]) -> "State":
        """Return the state with each account's month under the name that it is counted under now.

        Those that come under one name turned out to be one account.
        """
        accounts: dict[str, Written] = {}
        for name, written in self.accounts.items():
            now = account_of(name)
            accounts[now] = accounts[now].with_other(written) if now in accounts else written
        return replace(self, accounts=accounts)

    def months(self, now: float) -> dict[str, MonthSpend]:
        """Return each account's latest month at `now`, as `Budgets` begin with."""
        return {name: written.month.at(now) for name, written in self.accounts.items()}


class StateNotRead(Exception):  # noqa: N818  # as above
    """The state file can't be read, or is broken; `str` is one line that says why."""


def path_beside(trail: Path) -> Path:
    """Return where the state of a trail is: foxora-audit.jsonl.state.json."""
    return trail.with_name(f"{trail.name}.state.json")


# The file. Money is text in it, for a JSON number would be a float to most who read it.

_Usd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=40)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)  # what a later version adds is passed over


class _Month(_Model):
    renews_at: AwareDatetime
    spent_usd: _Usd  # for whoever looks into the file; it follows from the three figures below it
    told_usd: _Usd
    since_usd: _Usd
    certain_usd: _Usd
    told_cap_usd: _Usd | None
    anchor: AwareDatetime | None = None


class _Account(_Month):
    time: AwareDatetime
    seq: int = Field(ge=0)
    before: _Month | None = None


class _Setting(_Model):
    offset: FiniteFloat
    since: FiniteFloat | None
    until: FiniteFloat | None


class _Clock(_Model):
    boot: str
    settings: list[_Setting]


class _Told(_Model):
    requests_per_minute: PositiveInt | None
    tokens_per_minute: PositiveInt | None
    concurrent_requests: PositiveInt | None
    asked: list[FiniteFloat]
    account_id: str | None = None
    key: str = ""


class _Closing(_Model):
    at: FiniteFloat
    until: FiniteFloat


class _Saved(_Model):
    boot: str
    at: FiniteFloat
    seq: int = Field(ge=0)


class _Spoken(_Model):
    account: str
    model: str | None
    client: str | None
    tokens: int = Field(ge=0)
    cost_usd: _Usd
    lately: list[tuple[FiniteFloat, int]]
    held: int = Field(default=0, ge=0)


class _File(_Model):
    v: Literal[1]
    accounts: dict[str, _Account]
    clock: _Clock | None = None
    told: dict[str, _Told] = {}
    closed: dict[str, _Closing] = {}
    saved: _Saved | None = None
    spoken: dict[str, _Spoken] = {}


def load(path: Path) -> State:
    """Read a state file. One that is not there is empty; so is a broken one, with a warning."""
    try:
        return read(path)
    except FileNotFoundError:
        return State()
    except StateNotRead as error:
        _log.warning(
            "foxora: the state file %s is ignored: %s; the month's spend is rebuilt from the trail "
            "and the gateway's own figure",
            path,
            error,
        )
        return State()


def read(path: Path) -> State:
    """Read a state file; raises FileNotFoundError where there is none, and else `StateNotRead`."""
    try:
        return _state_of(_File.model_validate_json(_content_of(path)))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise StateNotRead(_why(error)) from error


def _content_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        raw = stream.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise ValueError("it is too large")
    return raw


def save(path: Path, state: State) -> None:
    """Write a state file whole, or leave the old one as it is; raises `StateNotSaved`.

    It is readable by its owner only, and on the disk when this returns, which may take a while: a
    process that serves others calls it from a thread of its own.
    """
    data = _file_of(state).model_dump_json(indent=1).encode() + b"\n"
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # a crash left it
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(temporary, flags, stat.S_IRUSR | stat.S_IWUSR)
        with os.fdopen(fd, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StateNotSaved(f"the state file {path} can't be written: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk, without which a power loss brings the old file back."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rebuilt(
    state: State,
    records: Iterable[Mapping[str, Any]],
    account_of: Callable[[str], str] = lambda name: name,
) -> State:
    """Return the state with the cost of all response records added that it does not hold yet.

    Pure. `records` are of one trail, in their order. A record is new if its `seq` or its time is
    beyond what the state holds: a trail that was moved away and begun anew counts from 1 again.
    A cost of reported usage alone is certain. An account that the state has not is taken to begin
    with the calendar's month of its first record. `account_of` says under which name an account is
    counted that has another in records, or had before.
    """
    state = state.under(account_of)
    accounts = dict(state.accounts)
    # What was held under a name that the file has no more is in another's month.
    last_held = max(accounts.values(), key=lambda written: written.seq, default=None)
    for record in records:
        name, time, seq = record.get("account"), moment_of(record.get("time")), record.get("seq")
        cost = usd_of(record.get("cost_usd")) if record.get("event") == "response" else None
        if not cost or time is None or not isinstance(name, str) or not isinstance(seq, int):
            continue
        name = account_of(name)
        said = state.spoken.get(str(record.get("exchange")))
        cost = cost if said is None else max(cost - said.cost_usd, Decimal(0))
        held = state.accounts.get(name, last_held)
        if held is None or seq > held.seq or time > held.time:
            last = accounts.get(name) or Written(calendar_month(time), time, seq)
            accounts[name] = _with_cost(last, cost, time, seq, is_certain=_is_certain(record))
    return replace(state, accounts=accounts)


def _with_cost(
    written: Written, cost: Decimal, time: float, seq: int, *, is_certain: bool
) -> Written:
    month = written.month.at(time).plus(cost, is_certain=is_certain)
    return Written(month, max(written.time, time), seq)


def _is_certain(record: Mapping[str, Any]) -> bool:
    """Whether a record's cost is; one of an earlier version does not say so.

    Then it is by the usage of its only try: of tries before that it is not known who counted them.
    """
    if "cost_source" in record:
        return bool(record["cost_source"] == "reported")
    usage = None if record.get("tries") else record.get("usage")
    return isinstance(usage, Mapping) and usage.get("source") == "reported"


def _state_of(file: _File) -> State:
    accounts = {name: _written_of(account) for name, account in file.accounts.items()}
    told = {name: _told_of(each) for name, each in file.told.items()}
    closed = {name: Closing(each.at, each.until) for name, each in file.closed.items()}
    clock = None if file.clock is None else _clock_of(file.clock)
    saved = None if file.saved is None else Saved(**file.saved.model_dump())
    spoken = {name: _spoken_of(each) for name, each in file.spoken.items()}
    return State(accounts, clock, told, closed, saved, spoken)


def _spoken_of(spoken: _Spoken) -> Spoken:
    return Spoken(**{**dict(spoken), "lately": tuple(spoken.lately)})


def _told_of(told: _Told) -> Told:
    ceilings = Ceilings(told.requests_per_minute, told.tokens_per_minute, told.concurrent_requests)
    return Told(ceilings, tuple(told.asked), told.account_id, told.key)


def _clock_of(clock: _Clock) -> Clock:
    settings = (Setting(each.offset, each.since, each.until) for each in clock.settings)
    return Clock(clock.boot, tuple(settings))


def _written_of(account: _Account) -> Written:
    before = None if account.before is None else _month_of(account.before)
    month = replace(_month_of(account), before=before)
    return Written(month, account.time.timestamp(), account.seq)


def _month_of(month: _Month) -> MonthSpend:
    return MonthSpend(
        month.renews_at.timestamp(),
        month.told_usd,
        month.since_usd,
        month.certain_usd,
        month.told_cap_usd,
        None if month.anchor is None else month.anchor.timestamp(),
    )


def _file_of(state: State) -> _File:
    return _File(
        v=VERSION,
        accounts={name: _account_of(each) for name, each in state.accounts.items()},
        clock=None if state.clock is None else _Clock.model_validate(asdict(state.clock)),
        told={
            name: _Told(
                **asdict(each.ceilings),
                asked=list(each.asked),
                account_id=each.account_id,
                key=each.key,
            )
            for name, each in state.told.items()
        },
        closed={name: _Closing(**asdict(each)) for name, each in state.closed.items()},
        saved=None if state.saved is None else _Saved(**asdict(state.saved)),
        spoken={name: _Spoken(**asdict(each)) for name, each in state.spoken.items()},
    )


def _account_of(written: Written) -> _Account:
    before = written.month.before
    return _Account(
        time=datetime.fromtimestamp(written.time, UTC),
        seq=written.seq,
        before=None if before is None else _written_month_of(before),
        **dict(_written_month_of(written.month)),
    )


def _written_month_of(month: MonthSpend) -> _Month:
    return _Month(
        renews_at=datetime.fromtimestamp(month.renews_at, UTC),
        spent_usd=month.spent_usd,
        told_usd=month.told_usd,
        since_usd=month.since_usd,
        certain_usd=month.certain_usd,
        told_cap_usd=month.told_cap_usd,
        anchor=None if month.anchor is None else datetime.fromtimestamp(month.anchor, UTC),
    )


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else first["msg"]
    return str(error.strerror if isinstance(error, OSError) else error)
