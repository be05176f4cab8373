"""A proxy tied to the program that started it: `python -m foxora_addon.proxy.tied FD TOOL ...`.

FD is one end of a socket pair. Once calls are taken, one line of JSON goes there (`Foxora.status`,
and `web_url` where there is one). When the other end is closed, however that program came to its
end, the proxy ends too: nothing is left running. Without a port in its arguments it takes a free
one.
"""

import asyncio
import json
import signal
import socket
import sys
from typing import Any, Final

from mitmproxy.master import Master

from foxora_addon.proxy.addon import the_addon
from foxora_addon.proxy.master import Tool, run_tool

_PAUSE_SECONDS: Final = 0.02


class Tie:
    """An addon that says when calls are taken, and ends the proxy when nobody holds the tie."""

    def __init__(self, line: socket.socket, master: Master) -> None:
        self._line = line
        self._master = master
        self._telling: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Begin to watch; what is ready is told as soon as it is."""
        loop = asyncio.get_running_loop()
        self._line.settimeout(0)
        loop.add_reader(self._line, self._end)
        self._telling = loop.create_task(self._tell())

    def _end(self) -> None:
        """Nothing is ever sent to us: what can be read is the end."""
        asyncio.get_running_loop().remove_reader(self._line)
        self._master.shutdown()

    async def _tell(self) -> None:
        while (status := self._status()) is None:  # noqa: ASYNC110  # the host has no such event
            await asyncio.sleep(_PAUSE_SECONDS)
        line = json.dumps(status).encode() + b"\n"
        await asyncio.get_running_loop().sock_sendall(self._line, line)

    def _status(self) -> dict[str, Any] | None:
        """What is told; None until calls are taken."""
        status = the_addon().status()
        if not status["takes_calls"] or status["url"] is None:
            return None
        return {**status, "web_url": getattr(self._master, "web_url", None)}


def run_tied(line: socket.socket, tool: Tool, arguments: list[str]) -> int:
    """Run one of mitmproxy's programs until it ends or the tie is cut; its exit status."""

    def prepare(master: Master) -> None:
        master.options.update(listen_port=0)
        if tool == "mitmweb":
            master.options.update(web_port=_free_port())
        master.addons.add(Tie(line, master))

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
