"""Where the proxy's words go while a command has the terminal, and what is told of them after."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LAST_LINES = 5
_LAST_BYTES = 16_384
_HOST_GIVES_UP = ("Error logged during startup", "Errors logged during startup")
_READY = "; trail: "
_OURS = re.compile(r"\[[\d:.]+\] foxora: (.+)")


@dataclass(frozen=True, slots=True)
class ProxyLog:
    """`output` is the descriptor that the proxy writes on; kept words can be looked up."""

    output: int
    is_kept: bool

    def last_words(self) -> str:
        """The end of it, for a message; "" where it was shown anyway."""
        last = "".join(f"\n  {line}" for line in self._lines()[-_LAST_LINES:])
        return f"; it said:{last}" if last else ""

    def why_not_started(self) -> str:
        """The addon's own reason alone, if that is why it has ended; else the last words.

        It was ready where it has said so: then it is mitmproxy that has given up.
        """
        lines = self._lines()
        is_ours = not any(_READY in line for line in lines)
        match lines:
            case [*_, said, end] if (
                is_ours and end.startswith(_HOST_GIVES_UP) and (ours := _OURS.match(said))
            ):
                return f": {ours[1]}"
            case _:
                return self.last_words()

    def _lines(self) -> list[str]:
        if not self.is_kept:
            return []
        size = os.fstat(self.output).st_size
        # By position: the proxy shares the descriptor's offset.
        data = os.pread(self.output, _LAST_BYTES, max(size - _LAST_BYTES, 0))
        return [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()]


@contextmanager
def kept_log() -> Iterator[ProxyLog]:
    """A file without a name, so that nothing of it is left behind, whatever happens."""
    with tempfile.TemporaryFile() as file:
        yield ProxyLog(file.fileno(), is_kept=True)


@contextmanager
def shown_log() -> Iterator[ProxyLog]:
    """Standard error."""
    yield ProxyLog(sys.stderr.fileno(), is_kept=False)


@contextmanager
def terminal_log() -> Iterator[ProxyLog]:
    """The terminal, for the console; raises OSError where there is none."""
    terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    try:
        yield ProxyLog(terminal, is_kept=False)
    finally:
        os.close(terminal)
