r"""One intercepted request and what becomes of it: the only mutable value of the program.

An exchange changes by named steps, and a step is legal only from the states that `STEPS` lists:

    arrived --record--> recorded --send--> sent --answer--> answering
                            \________________\_____________/ --close--> closed
                             \_______________\_____________/ --again--> recorded

Rule 1: nothing is sent that is not recorded, since `send` starts from `recorded` alone.
Rule 2: `close` is legal once. Who closes an exchange settles its reservation and writes its
response record, so both happen exactly once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from foxora_addon.api.errors import ApiError, Source

if TYPE_CHECKING:
    from decimal import Decimal

    from foxora_addon.audit.contents import SocketLog
    from foxora_addon.config import Account
    from foxora_addon.config.accounts import Level
    from foxora_addon.observation import Observation
    from foxora_addon.policy.allowances import Held
    from foxora_addon.policy.hosts import BaseUrl
    from foxora_addon.policy.line import Ticket
    from foxora_addon.policy.recognise import Recognised
    from foxora_addon.policy.scopes import Scope
    from foxora_addon.policy.spend import SpendReservation

type Outcome = Literal[
    "completed",
    "refused",
    "gateway_error",
    "gateway_unreachable",
    "timeout",
    "stream_broken",
    "client_disconnected",
    "aborted",
    "internal_error",
]
type Step = Literal["record", "send", "answer", "again", "close"]


class State(StrEnum):
    """Where an exchange stands."""

    ARRIVED = "arrived"
    RECORDED = "recorded"
    SENT = "sent"
    ANSWERING = "answering"
    CLOSED = "closed"


# Tuples and no sets: a set has each state hashed, in Python.
STEPS: Final[Mapping[Step, tuple[tuple[State, ...], State, bool | None]]] = {
    "record": ((State.ARRIVED,), State.RECORDED, None),
    "send": ((State.RECORDED,), State.SENT, True),
    "answer": ((State.SENT,), State.ANSWERING, None),
    "again": ((State.RECORDED, State.SENT, State.ANSWERING), State.RECORDED, False),
    "close": ((State.RECORDED, State.SENT, State.ANSWERING), State.CLOSED, None),
}
"""Whence a step may be taken, where it leads, and whether the gateway may have the try after it.

The last is None where the step has no say in that.
"""

_UNCHANGED: Final[Mapping[str, Any]] = MappingProxyType({})


class IllegalStep(RuntimeError):  # noqa: N818  # reads as what it says where it is raised
    """A step was taken from a state that does not allow it: a bug, met by the guard."""


class Client(NamedTuple):
    """Who calls. `key` is a keyed fingerprint, never the key; None where there was no key.

    `name` is the configuration's; None where no client entry claims the call.
    """

    address: str | None
    key: str | None
    user_agent: str | None
    retry: int | None
    name: str | None = None


class RequestLine(NamedTuple):
    """The request line as the app sent it, with its secrets already taken out of `url`."""

    method: str
    url: str
    version: str


class GivenHead(NamedTuple):
    """The head that took the place of a client's, with a placeholder for the key as its last field.

    `encoding` is the body's content encoding, `is_framed` whether it is said where the body ends,
    `framing` what `framing_of` says, `written` all but that last field as HTTP/1 has it: known of a
    message for as long as its fields are the very same.
    """

    fields: tuple[tuple[bytes, bytes], ...]
    encoding: str | None
    is_framed: bool
    framing: bool | None
    written: bytes


class AnsweredHead(NamedTuple):
    """The fields of an answer, and what they say of its body, each None if they do not.

    As in a `GivenHead`, it is known for as long as the fields are the very same.
    """

    fields: Sequence[tuple[bytes, bytes]]
    encoding: str | None
    content_type: str | None


class Try(NamedTuple):
    """A try that failed, after which there was another; `after_seconds` is from the arrival.

    `status` is the gateway's, None where it gave no answer. `retry_after_seconds` is how long it
    asked to wait. `sent_seconds` is from the arrival too, None where nothing was sent: then it was
    no request. `tokens` is what it was charged.
    """

    status: int | None
    code: str
    source: Source
    after_seconds: float
    retry_after_seconds: float | None = None
    sent_seconds: float | None = None
    tokens: int = 0


@dataclass(slots=True)
class Exchange:
    """From request to record. Times are seconds of the monotonic clock.

    `credential` is the Foxora key to put on, `secrets` the app's own credentials, which redaction
    must know; neither is shown. `client_port` tells one of the client's connections from another;
    None where it is not known. `origin` is that of the web page that calls, and may. `gateway` is
    where it may be sent, the one that was in force when it arrived. `level` is how
    much of it is kept on record. `refusal` is set as soon as the call is refused; `shadow` is what
    the limits would have said, where they only watch. `is_recorded`: its request record is in the
    trail, so a response record must follow. `was_sent`: the gateway may have it, of the try that
    goes on. `waiting_since`: when what is waited for now began, or went on. `sent_sha256` is the
    hash of `sent_body`, if it is known already. `own_fields` are those of the head when another
    body took the client's place. `payer` is who the call is charged to (policy.standing),
    `account_name` how records call it; None where nobody is. `scopes` are what it counts against,
    `ticket` is its place in line while it waits for them. `flaw` is why no client could take the
    answer, in words for it. `tries` are those before the one that goes on. `counts_at`: of how many
    bytes that a stream has said its tokens are counted again. `failed_as` is how the last try
    failed that was to be followed by another; `is_given_up`: it was not, for want of room, of which
    there is none for it since `wants_room_since`. A `credential` that no account has any more is
    one of the `secrets`, too.
    `passing` is how its answer passes, in the host's terms; None: it is not decided.
    """

    id: str
    arrived_at: float
    client: Client
    line: RequestLine
    call: "Recognised | None" = None
    account: "Account | None" = None
    account_name: str | None = None
    payer: str | None = None
    credential: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    level: "Level" = "full"
    tags: tuple[str, ...] = ()
    traceparent: str | None = None
    refusal: ApiError | None = None
    gateway_url: str | None = None
    client_port: int | None = None
    head: GivenHead | None = field(default=None, repr=False)
    origin: str | None = None
    gateway: "BaseUrl | None" = None
    shadow: ApiError | None = None
    model: str | None = None
    stream: bool = False
    scopes: "Sequence[Scope]" = ()
    ticket: "Ticket | None" = field(default=None, repr=False)
    reservation: "Held | None" = field(default=None, repr=False)
    input_tokens: int = 0
    output_cap: int | None = None
    estimated_tokens: int | None = None
    waited_seconds: float = 0.0
    tries: tuple[Try, ...] = ()
    sent_body: bytes = field(default=b"", repr=False)
    sent_sha256: str | None = None
    unasked_body: bytes | None = field(default=None, repr=False)
    own_fields: Sequence[tuple[bytes, bytes]] = field(default=(), repr=False)
    changes: Mapping[str, Any] = _UNCHANGED
    usage_refused: bool = False
    failed_as: "tuple[Outcome, ApiError] | None" = field(default=None, repr=False)
    is_given_up: bool = False
    wants_room_since: float | None = None
    is_recorded: bool = False
    was_sent: bool = False
    sent_at: float | None = None
    spending: "SpendReservation | None" = field(default=None, repr=False)
    cost_usd: "Decimal | None" = None
    counts_at: float = inf
    waiting_since: float = 0.0
    first_byte_at: float | None = None
    answered_status: int | None = None
    flaw: str | None = None
    gateway_request_id: str | None = None
    answered_head: AnsweredHead | None = field(default=None, repr=False)
    observation: "Observation | None" = field(default=None, repr=False)
    socket: "SocketLog | None" = field(default=None, repr=False)
    passing: object = field(default=None, repr=False)
    state: State = State.ARRIVED

    def step(self, step: Step) -> None:
        """Take a step; raises `IllegalStep` where the table does not allow it."""
        allowed, after, sends = STEPS[step]
        if self.state not in allowed:
            raise IllegalStep(f"exchange {self.id}: '{step}' is not legal when {self.state}")
        self.state = after
        if sends is not None:
            self.was_sent = sends

    @property
    def retries(self) -> int:
        """How often it was sent again after a failure; not the proxy's own mistake of asking."""
        return len(self.tries) - self.usage_refused - self.is_given_up

    def may(self, step: Step) -> bool:
        """Whether the step is legal now."""
        return self.state in STEPS[step][0]
