"""A proxy that another started, and that this `run` uses too: it stays as long as we need it."""

import contextlib
import json
import select
import socket
from collections.abc import Mapping
from typing import Any, Final, Self

from foxora_addon.app.local_proxy import NoProxy, ask, port_of

_ANSWER_SECONDS: Final = 5.0
_MOST_BYTES: Final = 1 << 20


class JoinedProxy:
    """A running proxy of another's.

    `status` is what it said of itself (`Foxora.status`), `before` its totals when we joined it.
    """

    is_shared = True

    def __init__(self, status: dict[str, Any], tie: socket.socket | None) -> None:
        self.status = {"web_url": None, **status}
        self._tie = tie
        self.before = ask(port_of(self.status["url"]), "totals")

    @classmethod
    def at(cls, port: int) -> Self:
        """The one at a port, which its user keeps running; raises `NoProxy`."""
        return cls(ask(port, "status"), None)

    @classmethod
    def noticed(cls, notice: Mapping[str, Any]) -> Self:
        """The one of a notice, which is held from now on if its owner is a command.

        Raises `NoProxy` where it does not write that trail, or is about to end.
        """
        if notice["tie_port"] is None:
            status, tie = ask(notice["port"], "status"), None
        else:
            status, tie = _held(notice)
        with contextlib.ExitStack() as undo:
            if tie is not None:
                undo.callback(tie.close)
            proxy = cls(status, tie)
            if status["trail"] == notice["trail"]:
                undo.pop_all()
                return proxy
        raise NoProxy(f"the proxy at port {notice['port']} has another trail")

    def how_it_ended(self, within_seconds: float = 0.0) -> str | None:
        """Words for a proxy that has ended, or does so in that time; None: it runs, or untold."""
        if self._tie is None or not select.select([self._tie], [], [], within_seconds)[0]:
            return None
        with contextlib.suppress(OSError):
            if self._tie.recv(1):
                return None
        return "the proxy has ended"

    def wait(self) -> None:
        """Nothing: whoever started it waits for it."""

    def stop(self) -> None:
        """Let go of it."""
        if self._tie is not None:
            self._tie.close()


def _held(notice: Mapping[str, Any]) -> tuple[dict[str, Any], socket.socket]:
    """What a proxy says of itself, and the tie that holds it."""
    tie: socket.socket | None = None
    try:
        tie = socket.create_connection(("127.0.0.1", notice["tie_port"]), _ANSWER_SECONDS)
        tie.sendall(f"{notice['token']}\n".encode())
        with tie.makefile("rb") as file:
            line = file.readline(_MOST_BYTES)
        return json.loads(line), tie
    except (OSError, ValueError) as error:
        if tie is not None:
            tie.close()
        raise NoProxy(f"the proxy at port {notice['port']} is no more") from error
