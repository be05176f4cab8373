"""How new clients are taken in while open files are scarce.

asyncio takes up to 100 waiting clients in one go, before anybody can turn one away, and where there
is no file for one goes on trying all the same: each failure is told with a traceback and sets a
timer of its own, which begins anew, and fails where the listener is closed by then. Seen in 3.12
and 3.13. So no more are taken in one go than there is room for; if files run out even so, for other
programs may take them as well, clients that wait are closed with a file that is kept for it, and
asyncio tries once for each of its timers.
"""

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from foxora_addon.proxy.capacity import widen_files
from foxora_addon.proxy.files import USUALLY_HELD, FileBook, limit_for, shares_of, shortage

_SCARCE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_AT_ONCE: Final = 100
_CAREFUL_SECONDS: Final = 2.0
_MOST_CLOSED: Final = 1_000
_NAME: Final = "_accept_connection"
_AGAIN: Final = "_start_serving"
_PLACE_OF_BACKLOG: Final = 4

type Heard = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]


class Accepting:
    """The loop's way of taking clients in, and what it says where it can't."""

    def __init__(self, book: FileBook) -> None:
        self._book = book
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: Heard | None = None
        self._spare: int | None = None
        self._scarce_until = 0.0
        self._held = USUALLY_HELD
        self._short: tuple[str, str] | None = None

    def bound(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have this loop's listeners, from the next one on, take in what there is room for."""
        original = getattr(loop, _NAME, None)
        if original is None or _NAME in vars(loop):
            return  # another loop, which has other ways; or it is done already

        def accept(*given: Any) -> None:
            most = self._at_once(loop.time())
            original(*given[:_PLACE_OF_BACKLOG], most, *given[_PLACE_OF_BACKLOG + 1 :])

        serve: Callable[..., None] = getattr(loop, _AGAIN)

        def serve_while_open(protocol_of: Any, listener: socket.socket, *given: Any) -> None:
            if listener.fileno() >= 0:
                serve(protocol_of, listener, *given)

        setattr(loop, _NAME, accept)
        setattr(loop, _AGAIN, serve_while_open)

    def begin(self, calls: int, *, is_mock: bool) -> str | None:
        """Share out the open files, as `share` does, before the first client comes.

        From now on what asyncio says of clients that it can't take is heard here.
        """
        self._listen()
        self._held = _open_files() - self._book.held
        return self.share(calls, is_mock=is_mock)

    def share(self, calls: int, *, is_mock: bool) -> str | None:
        """Share out the open files; what is wrong with their limit, in a line.

        None if it will do, so that so many calls can go on at once, or if it was said before.
        `is_mock`: the gateway is in this process too.
        """
        each = 2 if is_mock else 1
        widen_files(limit_for(calls, self._held, each))
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY:
            return None
        self._book.share(limit, shares_of(limit, self._held, each))
        before, self._short = self._short, shortage(limit, self._held, calls, is_mock=is_mock)
        return None if self._short in {None, before} else "; ".join(self._short)

    def tend(self) -> None:
        """What is due about once a second."""
        self._book.sweep()
        self._take_spare()

    def end(self) -> None:
        """Hear no more of it, unless somebody has come in between: it is passed on then."""
        loop, before = self._loop, self._before
        self._loop = None
        if loop is not None and loop.get_exception_handler() == self._heard:
            loop.set_exception_handler(before)
        self._let_spare_go()

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        if loop.get_exception_handler() != self._heard:
            self._before = loop.get_exception_handler()
            loop.set_exception_handler(self._heard)
        self._take_spare()

    def _at_once(self, now: float) -> int:
        """How many clients to take in one go: one at least, for only then it can be closed."""
        room = 1 if now < self._scarce_until else self._book.room_for_clients
        return min(max(room, 1), _AT_ONCE)

    def _heard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what asyncio says of clients that it can't take; the rest is others' business."""
        error, listener = context.get("exception"), context.get("socket")
        is_active = self._loop is not None and listener is not None
        if is_active and isinstance(error, OSError) and error.errno in _SCARCE:
            self._scarce_until = loop.time() + _CAREFUL_SECONDS
            self._book.ran_out(error.strerror or str(error), self._close_waiting(listener))
        elif self._before is not None:
            self._before(loop, context)
        else:
            loop.default_exception_handler(context)

    def _close_waiting(self, listener: Any) -> int:
        """Close the clients that wait, with the spare file; how many there were."""
        self._let_spare_go()
        closed = 0
        found = socket.socket(fileno=listener.fileno())
        try:
            found.settimeout(0)
            while closed < _MOST_CLOSED:
                found.accept()[0].close()
                closed += 1
        except OSError:
            pass  # nobody waits any more; or the file is gone to another, and they have to wait
        finally:
            found.detach()
            self._take_spare()
        return closed

    def _take_spare(self) -> None:
        if self._spare is None and self._loop is not None:
            try:
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                self._spare = None  # there is none just now

    def _let_spare_go(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None


def _open_files() -> int:
    """How many files this process has open, as far as the system tells."""
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())  # and one for looking
    except OSError:
        return USUALLY_HELD
