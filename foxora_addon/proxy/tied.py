"""A proxy tied to the program that started it: `python -m foxora_addon.proxy.tied FD TOOL ...`.

FD is one end of a socket pair. Once calls are taken, one line of JSON goes there (`Foxora.status`,
and `web_url` where there is one), or a line that begins with TAKEN where another proxy has the
trail. When the other end is closed, however that program came to its end, the proxy ends too:
nothing is left running. Without a port in its arguments it takes a free one.

Others may hold it as well, through a door of its own: they are told to the owner by JOINED, and if
the owner leaves before them, STAYS is said in place of an end, but by a console.
"""

import asyncio
import contextlib
import hmac
import json
import os
import secrets
import signal
import socket
import sys
from typing import Any, Final

from mitmproxy.master import Master

from foxora_addon.proxy.addon import the_addon
from foxora_addon.proxy.master import Tool, run_tool
from foxora_addon.proxy.notices import Door, told_once_found
from foxora_addon.tie import JOINED, STAYS, TAKEN

_PAUSE_SECONDS: Final = 0.02
_TOKEN_SECONDS: Final = 5.0


class Tie:
    """An addon that says when calls are taken, and ends the proxy when nobody holds the tie.

    A console, which has its owner's terminal, ends with its owner whoever else holds it.
    """

    def __init__(self, line: socket.socket, master: Master, *, can_stay: bool) -> None:
        self._line = line
        self._master = master
        self._can_stay = can_stay
        self._is_owned = True
        self._joined: set[asyncio.StreamWriter] = set()
        self._telling: asyncio.Task[None] | None = None
        self._door: asyncio.Server | None = None
        self._token = secrets.token_hex(16)

    def running(self) -> None:
        """Begin to watch; what is ready is told as soon as it is."""
        loop = asyncio.get_running_loop()
        self._line.settimeout(0)
        if (taken := the_addon().taken) is not None:
            self._say(TAKEN + json.dumps(told_once_found(taken, self._line)).encode() + b"\n")
            return
        loop.add_reader(self._line, self._owner_left)
        self._telling = loop.create_task(self._tell())

    def _owner_left(self) -> None:
        """Nothing is ever sent to us: what can be read is the end."""
        asyncio.get_running_loop().remove_reader(self._line)
        self._is_owned = False
        if self._joined and self._can_stay:
            _be_silent()  # what we write on is the owner's
            self._say(STAYS)
        self._end_unless_held()

    def _end_unless_held(self) -> None:
        if not self._is_owned and not (self._joined and self._can_stay):
            if self._door is not None:
                self._door.close()
            self._master.shutdown()

    def _say(self, words: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody is there any more
            self._line.send(words)

    async def _tell(self) -> None:
        while (status := self._status()) is None:  # noqa: ASYNC110  # the host has no such event
            await asyncio.sleep(_PAUSE_SECONDS)
        line = json.dumps(status).encode() + b"\n"
        await asyncio.get_running_loop().sock_sendall(self._line, line)
        self._door = await asyncio.start_server(self._let_in, "127.0.0.1", 0)
        the_addon().door = Door(self._door.sockets[0].getsockname()[1], self._token)
        the_addon().be_found()

    def _status(self) -> dict[str, Any] | None:
        """What is told; None until calls are taken."""
        status = the_addon().status()
        is_ending = bool(self._master.addons.get("errorcheck").logger.has_errored)
        if is_ending or not status["takes_calls"] or status["url"] is None:
            return None
        return {**status, "web_url": getattr(self._master, "web_url", None)}

    async def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let who knows the token hold the tie, until it lets go."""
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            said = await asyncio.wait_for(reader.readline(), _TOKEN_SECONDS)
            if (
                hmac.compare_digest(said.strip(), self._token.encode())
                and (status := self._status()) is not None
                and (self._is_owned or self._joined)
            ):
                self._joined.add(writer)
                self._say(JOINED)
                writer.write(json.dumps(status).encode() + b"\n")
                await reader.read()
        writer.close()
        if writer in self._joined:
            self._joined.remove(writer)
            self._end_unless_held()


def _be_silent() -> None:
    """Write nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def run_tied(line: socket.socket, tool: Tool, arguments: list[str]) -> int:
    """Run one of mitmproxy's programs until it ends or the tie is cut; its exit status."""

    def prepare(master: Master) -> None:
        master.options.update(listen_port=0)
        if tool == "mitmweb":
            master.options.update(web_port=_free_port())
        the_addon().is_tied = True
        master.addons.add(Tie(line, master, can_stay=tool != "mitmproxy"))

    return run_tool(tool, arguments, prepare)


def _free_port() -> int:
    """A port for mitmweb's page, which can't say which one it got if it is asked for any."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _main(descriptor: str, tool: Tool, *arguments: str) -> int:
    with socket.socket(fileno=int(descriptor)) as line:
        line.set_inheritable(False)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # who started us holds signals back
        return run_tied(line, tool, list(arguments))


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))  # type: ignore[arg-type]  # our own program wrote them
