"""Says in a line of our own that a port is taken: mitmproxy advises one that may be as well.

Where it is the port of mitmweb's page, mitmproxy says so by a traceback.
"""

import errno
import logging
import os
import re
import socket
from collections.abc import Iterable
from typing import Final

_log = logging.getLogger(__name__)

_FAILED: Final = re.compile(r"failed to listen on (\S+):(\d{1,5}) with \[Errno (\d+)\]")
_OF_THE_PAGE: Final = re.compile(r"Web server failed to listen on (\S+):(\d{1,5}) with ")
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


def why_no_page(error: OSError) -> str | None:
    """Why mitmweb's page can't be served, in a line, where that ended it; None: it was not that."""
    found = _OF_THE_PAGE.search(str(error))
    if found is None:
        return None
    host, port = found[1], int(found[2])
    if error.errno != errno.EADDRINUSE:
        return f"mitmweb's page can't be served at {host}:{port}: {os.strerror(error.errno or 0)}"
    free = _free_one(host, range(port + 1, min(port + _LOOKED_AT, 65_536)))
    another = "another" if free is None else f"another, as --set web_port={free}, which is free"
    return f"port {port} is taken by another program; give mitmweb's page {another}"


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
