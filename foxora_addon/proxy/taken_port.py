"""Says in a line of our own that a port is taken: mitmproxy advises one that may be as well."""

import errno
import logging
import re
import socket
from collections.abc import Iterable
from typing import Final

_log = logging.getLogger(__name__)

_FAILED: Final = re.compile(r"failed to listen on (\S+):(\d{1,5}) with \[Errno (\d+)\]")
_EVERY: Final = "*"
_LOOKED_AT: Final = 50


class TakenPort(logging.Handler):
    """Hears mitmproxy say that it can't listen, and says what to do, behind its words.

    As an error, as that is: so `-q` shows both of them.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record of mitmproxy's."""
        if (line := advice_on(record.getMessage())) is not None:
            _log.error("foxora: %s", line)


def advice_on(words: str) -> str | None:
    """What to do where mitmproxy's words are of a port that is taken; None: they are not."""
    found = _FAILED.search(words)
    if found is None or int(found[3]) != errno.EADDRINUSE:
        return None
    host, port = found[1], int(found[2])
    free = _free_one(host, range(port + 1, min(port + _LOOKED_AT, 65_536)))
    option = "-p " if "--mode" in words else ""  # mitmproxy says so where no mode has its own
    another = "another" if free is None else f"another, as {option}{free}, which is free"
    return (
        f"port {port} is taken by another program; give the proxy {another}, or use a proxy of "
        f"ours that runs there: foxora-proxy run --use {port} -- CMD"
    )


def _free_one(host: str, ports: Iterable[int]) -> int | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = "" if host == _EVERY else host.strip("[]")
    for port in ports:
        try:
            with socket.create_server((address, port), family=family):
                return port
        except OSError:
            continue
    return None
