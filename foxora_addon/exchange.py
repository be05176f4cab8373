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
    from foxora_addon.policy.allowances import Reserved
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

_OF_AN_ANSWER: Final[Mapping[str, Any]] = {
    "answered_status": None,
    "answered_head": None,
    "gateway_request_id": None,
    "flaw": None,
    "passing": None,
    "observation": None,
    "first_byte_at": None,
    "counts_at": inf,
}
"""What an exchange knows of one try's answer, as it is before there is any."""


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
    """From request to record. Times are seconds of the monotonic clock; None: not known, or none.

    The fields stand in the order in which they come to be known.
    """

    # As it arrived; up to `gateway` they are given by place.
    id: str
    arrived_at: float
    client: Client
    line: RequestLine
    call: "Recognised | None" = None
    account: "Account | None" = None
    account_name: str | None = None  # how records call it
    payer: str | None = None  # who is charged (policy.standing)
    credential: str | None = field(default=None, repr=False)  # the Foxora key to put on
    # The app's own credentials, and a key that no account has any more: redaction must know them.
    secrets: tuple[str, ...] = field(default=(), repr=False)
    level: "Level" = "full"  # how much of it is kept on record
    tags: tuple[str, ...] = ()
    traceparent: str | None = None
    refusal: ApiError | None = None  # set as soon as it is refused, at whatever stage
    gateway_url: str | None = None
    client_port: int | None = None  # tells one of the client's connections from another
    head: GivenHead | None = field(default=None, repr=False)
    origin: str | None = None  # of the web page that calls, and may
    gateway: "BaseUrl | None" = None  # where it may be sent: the one in force when it arrived
    turned: Mapping[str, object] | None = field(default=None, repr=False)  # see `flows.rewrite`

    # As it was read.
    model: str | None = None
    stream: bool = False
    input_tokens: int = 0
    output_cap: int | None = None
    sent_body: bytes = field(default=b"", repr=False)  # what the gateway is to get
    sent_sha256: str | None = None  # of that, if it is known already
    unasked_body: bytes | None = field(default=None, repr=False)  # before usage was asked for
    # Those of the head when another body took the client's place.
    own_fields: Sequence[tuple[bytes, bytes]] = field(default=(), repr=False)
    changes: Mapping[str, Any] = _UNCHANGED  # what rules have changed, for the record

    # As it was decided on.
    scopes: "Sequence[Scope]" = ()  # what it counts against
    ticket: "Ticket | None" = field(default=None, repr=False)  # its place in line
    estimated_tokens: int | None = None
    waited_seconds: float = 0.0
    shadow: ApiError | None = None  # what the limits would have said, where they only watch
    spending: "SpendReservation | None" = field(default=None, repr=False)
    is_recorded: bool = False  # its request record is in the trail: a response record must follow

    # Over its tries.
    tries: tuple[Try, ...] = ()  # those before the one that goes on
    failed_as: "tuple[Outcome, ApiError] | None" = field(default=None, repr=False)  # the last did
    usage_refused: bool = False  # a try failed for what the proxy had asked for itself
    is_given_up: bool = False  # no try follows the last, for want of room
    wants_room_since: float | None = None
    waiting_since: float = 0.0  # what is waited for now began then, or went on
    sent_at: float | None = None
    was_sent: bool = False  # the gateway may have it, of the try that goes on
    reservation: "Reserved | None" = field(default=None, repr=False)  # the try's; settled with it

    # What the try that goes on is answered: all of `_OF_AN_ANSWER`.
    answered_status: int | None = None
    answered_head: AnsweredHead | None = field(default=None, repr=False)
    gateway_request_id: str | None = None
    flaw: str | None = None  # why no client could take it, in words for it
    passing: object = field(default=None, repr=False)  # how it passes, in the host's terms
    observation: "Observation | None" = field(default=None, repr=False)
    first_byte_at: float | None = None
    counts_at: float = inf  # of how many bytes a stream has said its tokens are counted again
    socket: "SocketLog | None" = field(default=None, repr=False)
    cost_usd: "Decimal | None" = None  # of all tries
    is_cost_certain: bool = True  # that of each of them, by what the gateway says

    state: State = State.ARRIVED

    def step(self, step: Step) -> None:
        """Take a step; raises `IllegalStep` where the table does not allow it."""
        allowed, after, sends = STEPS[step]
        if self.state not in allowed:
            raise IllegalStep(f"exchange {self.id}: '{step}' is not legal when {self.state}")
        self.state = after
        if sends is not None:
            self.was_sent = sends

    def begin_again(self) -> None:
        """Take the step `again`, and forget what the try before it was answered."""
        self.step("again")
        for name, unknown in _OF_AN_ANSWER.items():
            setattr(self, name, unknown)

    @property
    def retries(self) -> int:
        """How often it was sent again after a failure; not the proxy's own mistake of asking."""
        return len(self.tries) - self.usage_refused - self.is_given_up

    def may(self, step: Step) -> bool:
        """Whether the step is legal now."""
        return self.state in STEPS[step][0]
