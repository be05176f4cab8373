r"""One intercepted request and what becomes of it: the only mutable value of the program.

An exchange changes by named steps, and a step is legal only from the states that `STEPS` lists:

    arrived --record--> recorded --send--> sent --answer--> answering
                            \________________\_____________/ --close--> closed

Rule 1: nothing is sent that is not recorded, since `send` starts from `recorded` alone.
Rule 2: `close` is legal once. Who closes an exchange settles its reservation and writes its
response record, so both happen exactly once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from foxora_addon.api.errors import ApiError

if TYPE_CHECKING:
    from foxora_addon.audit.contents import SocketLog
    from foxora_addon.config import Account
    from foxora_addon.config.accounts import Level
    from foxora_addon.observation import Observation
    from foxora_addon.policy.limits import Reservation
    from foxora_addon.policy.recognise import Recognised

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
type Step = Literal["record", "send", "answer", "close"]


class State(StrEnum):
    """Where an exchange stands."""

    ARRIVED = "arrived"
    RECORDED = "recorded"
    SENT = "sent"
    ANSWERING = "answering"
    CLOSED = "closed"


STEPS: Final[Mapping[Step, tuple[frozenset[State], State]]] = {
    "record": (frozenset({State.ARRIVED}), State.RECORDED),
    "send": (frozenset({State.RECORDED}), State.SENT),
    "answer": (frozenset({State.SENT}), State.ANSWERING),
    "close": (frozenset({State.RECORDED, State.SENT, State.ANSWERING}), State.CLOSED),
}


class IllegalStep(RuntimeError):  # noqa: N818  # reads as what it says where it is raised
    """A step was taken from a state that does not allow it: a bug, met by the guard."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who calls. `key` is a keyed fingerprint, never the key; None where there was no key."""

    address: str | None
    key: str | None
    user_agent: str | None
    retry: int | None


@dataclass(frozen=True, slots=True)
class RequestLine:
    """The request line as the app sent it, with its secrets already taken out of `url`."""

    method: str
    url: str
    version: str


@dataclass(slots=True)
class Exchange:
    """From request to record. Times are seconds of the monotonic clock.

    `credential` is the Foxora key to put on, `secrets` the app's own credentials, which redaction
    must know; neither is shown. `level` is how much of it is kept on record. `refusal` is set as
    soon as the call is refused. `is_recorded`: its request record is in the trail, so a response
    record must follow. `waiting_since`: when what is waited for now began, or went on.
    """

    id: str
    arrived_at: float
    client: Client
    line: RequestLine
    call: "Recognised | None" = None
    account: "Account | None" = None
    credential: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    level: "Level" = "full"
    tags: tuple[str, ...] = ()
    traceparent: str | None = None
    refusal: ApiError | None = None
    gateway_url: str | None = None
    model: str | None = None
    stream: bool = False
    reservation: "Reservation | None" = field(default=None, repr=False)
    estimated_tokens: int | None = None
    sent_body: bytes = field(default=b"", repr=False)
    is_recorded: bool = False
    was_sent: bool = False
    waiting_since: float = 0.0
    first_byte_at: float | None = None
    answered_status: int | None = None
    gateway_request_id: str | None = None
    observation: "Observation | None" = field(default=None, repr=False)
    socket: "SocketLog | None" = field(default=None, repr=False)
    state: State = State.ARRIVED

    def step(self, step: Step) -> None:
        """Take a step; raises `IllegalStep` where the table does not allow it."""
        allowed, after = STEPS[step]
        if self.state not in allowed:
            raise IllegalStep(f"exchange {self.id}: '{step}' is not legal when {self.state}")
        self.state = after
        self.was_sent = self.was_sent or after is State.SENT

    def may(self, step: Step) -> bool:
        """Whether the step is legal now."""
        return self.state in STEPS[step][0]
