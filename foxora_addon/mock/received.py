"""What the mock received, and what became of it: a log bounded in entries and in octets."""

import base64
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from foxora_addon.mock.answers import Pairs

Fate = Literal["open", "answered", "cut", "client_left", "upload_broken"]


def is_to_websocket(upgrade: str | None) -> bool:
    """Whether an Upgrade header asks for a WebSocket; None: there is none."""
    return (upgrade or "").lower() == "websocket"


@dataclass(slots=True)
class Received:
    """One request. Its last four fields are filled in as it goes on.

    `time` is Unix seconds. `account` None: no valid token. `status` None: no head was sent.
    `cut` is the mock's own doing; in `client_left` and `upload_broken` the other side went.
    Headers and body may hold keys, so they stand in no repr.
    """

    time: float
    method: str
    target: str
    headers: Pairs = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    account: str | None = None
    status: int | None = None
    fate: Fate = "open"

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the question mark; empty without one."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case; None if there is none."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def json(self) -> dict[str, Any]:
        """The entry as `/_mock/log` shows it: a body that is not UTF-8 as base64."""
        try:
            body = {"body": self.body.decode()}
        except UnicodeDecodeError:
            body = {"body_base64": base64.b64encode(self.body).decode()}
        return {
            "time": self.time,
            "method": self.method,
            "path": self.target,
            "headers": [list(pair) for pair in self.headers],
            **body,
            "account": self.account,
            "status": self.status,
            "fate": self.fate,
        }


class Log:
    """The last requests, oldest first. The newest one is always kept, however large."""

    def __init__(self, most_entries: int, most_octets: int) -> None:
        self._entries: deque[Received] = deque()
        self._octets = 0
        self._most_entries = most_entries
        self._most_octets = most_octets

    def __iter__(self) -> Iterator[Received]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, received: Received) -> None:
        """Append one, with the body that it has by now, and drop the oldest past the bounds."""
        self._entries.append(received)
        self._octets += len(received.body)
        while len(self._entries) > self._most_entries or self._is_too_large():
            self._octets -= len(self._entries.popleft().body)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._octets = 0

    def _is_too_large(self) -> bool:
        return self._octets > self._most_octets and len(self._entries) > 1
