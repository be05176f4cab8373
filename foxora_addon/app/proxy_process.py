"""The proxy as a process that `run` starts, waits for and ends.

How it is tied to us, so that it never outlives us and those who joined it, is told in
`foxora_addon.proxy.tied`, and what it says there.
"""

import contextlib
import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

from foxora_addon.tie import JOINED, STAYS, TAKEN

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.1


class NotServing(Exception):  # noqa: N818  # reads as what it says where it is raised
    """The proxy did not come up; `str` is one line for the user."""


class TrailTaken(NotServing):
    """Another proxy writes the trail; `told` is what is known of it (`notices.told_of`)."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__("the proxy could not start")
        self.told = told


class ProxyProcess:
    """A running proxy. `status` is what it said of itself (`Foxora.status`)."""

    before: Mapping[str, Any] | None = None  # it has no calls from before our time

    def __init__(self, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self._process = process
        self._line = line
        self._said = b""
        self.status: dict[str, Any] = {}

    @classmethod
    def start(cls, tool: str, arguments: Sequence[str], output: int) -> Self:
        """Start one of mitmproxy's programs; `output` is the descriptor for its words.

        All but the console, whose place is the terminal, get a session of their own: so Ctrl-C and
        Ctrl-Z reach CMD alone.
        """
        is_console = tool == "mitmproxy"
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-m", "foxora_addon.proxy.tied", str(theirs.fileno())]
            process = subprocess.Popen(  # noqa: S603  # our own program, the user's own options
                [*command, tool, *arguments],
                stdin=output if is_console else subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                start_new_session=not is_console,
            )
        return cls(process, ours)

    def wait_until_it_serves(self, interrupted: Callable[[], bool]) -> bool:
        """Wait until calls are taken; False if `interrupted` before.

        Raises `NotServing`, and `TrailTaken` where another proxy is why.
        """
        deadline = time.monotonic() + START_SECONDS
        told = b""
        while b"\n" not in told:
            if interrupted():
                return False
            if time.monotonic() > deadline:
                raise NotServing(f"the proxy does not serve after {START_SECONDS:.0f} s")
            if select.select([self._line], [], [], _POLL_SECONDS)[0]:
                piece = self._line.recv(65_536)
                if not piece:
                    raise NotServing(_why_not_started(self.exit_status(STOP_SECONDS)))
                told += piece
        line, _, self._said = told.partition(b"\n")
        if line.startswith(TAKEN):
            raise TrailTaken(json.loads(line.removeprefix(TAKEN)))
        self.status = json.loads(line)
        return True

    def exit_status(self, within_seconds: float) -> int | None:
        """The status of a proxy that has ended, or does so in that time; None: it runs."""
        try:
            return self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            return None

    def how_it_ended(self, within_seconds: float = 0.0) -> str | None:
        """Words for a proxy that has ended, or does so in that time; None: it runs."""
        status = self.exit_status(within_seconds)
        return None if status is None else f"the proxy has ended ({_ended_by(status)})"

    @property
    def is_shared(self) -> bool:
        """Whether others have joined it by now."""
        while select.select([self._line], [], [], 0)[0] and (piece := self._line.recv(65_536)):
            self._said += piece
        return JOINED in self._said

    def wait(self) -> None:
        """Wait until it ends by itself, as a console does when its user leaves it."""
        self._process.wait()

    def stop(self) -> None:
        """Let go of it, and wait until it has ended, unless others hold it still.

        It ends at once as a rule, by force after `STOP_SECONDS`.
        """
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)
        stays = self._stays()
        self._line.close()
        if stays:
            return
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _stays(self) -> bool:
        """Whether it says that it goes on; if it says nothing, it ends."""
        deadline = time.monotonic() + STOP_SECONDS
        while not self._said.endswith(STAYS) and (left := deadline - time.monotonic()) > 0:
            if not select.select([self._line], [], [], left)[0]:
                break
            try:
                piece = self._line.recv(65_536)
            except OSError:
                break
            if not piece:
                break
            self._said += piece
        return self._said.endswith(STAYS)


def _why_not_started(status: int | None) -> str:
    """Words for a proxy that takes no calls and never will; None: it has not ended yet."""
    if status is None or status >= 0:
        return "the proxy could not start"
    return f"the proxy was {_ended_by(status)} before it took calls"


def _ended_by(status: int) -> str:
    """Words for an exit status, which is below zero where a signal was the end."""
    if status >= 0:
        return f"status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
