"""A text stream that never holds up who writes to it, before one that may.

A pipe that nobody reads and a terminal after Ctrl-S take nothing for as long as they please. So a
thread does the writing, past the buffers of Python's own stream: whoever stands still in there
holds their lock, at which the interpreter hangs or aborts as it ends. And it waits in earnest:
O_NONBLOCK would hold for all that share the file behind a descriptor, a shell among them.
"""

import contextlib
import io
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

MOST_LINES: Final = 10_000
MOST_CHARACTERS: Final = 1_048_576
"""How much waits, at most, for an output that takes nothing. Beyond it the oldest are left out:
the first of such a time are in its pipe already, and what an operator looks for, once it goes on or
the program ends, is what happened last.
"""

_PIECE: Final = 4_096
"""What Linux's pipes take whole or not at all: no line is torn, nor has another's words in it."""
_LONGEST_WORDS: Final = 100
_TOGETHER_SECONDS: Final = 0.05
_AT_ONCE_SECONDS: Final = 0.01
_AGAIN_SECONDS: Final = 0.05
_SETTLE_SECONDS: Final = 0.05


class Outlet(io.TextIOBase):
    """Hands lines on to `out`, in their order; any thread may write.

    Nothing is raised for an output that fails: one that is full is tried again with the next line,
    one that nobody reads any more (`is_gone`) gets none. Where nobody looks on, at a pipe or a
    file, lines wait for a moment and leave together: each costs as much as all of them.
    """

    def __init__(self, out: IO[str]) -> None:
        super().__init__()
        self.out = out
        self.is_watched, self.is_gone = False, False
        try:
            self.is_watched, self._put = out.isatty(), _put_of(out)
        except ValueError:
            self.is_gone = True  # closed
        self._encoding: str = getattr(out, "encoding", None) or "utf-8"
        # Reentrant: a collected object may have something to log, in the midst of a step of ours.
        self._lock = threading.RLock()
        self._waiting: deque[str] = deque()
        self._came, self._left = 0, 0  # characters, ever
        self._left_out = 0
        self._begun = ""
        self._thread: threading.Thread | None = None
        self._is_roused = False
        self._is_writing = False
        self._is_late = False
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._settled = threading.Event()
        self._is_ending = False

    def isatty(self) -> bool:
        """Whether it is a terminal, as `is_watched` says."""
        return self.is_watched

    def writable(self) -> bool:
        """Always, as a stream says it."""
        return True

    def flush(self) -> None:
        """Nothing: lines leave by themselves, and nobody is to wait for them."""

    def write(self, text: str, /) -> int:
        """Take a part of a line; lines leave whole."""
        with self._lock:
            self._begun += text
            if self._begun.endswith("\n"):
                line, self._begun = self._begun[:-1], ""
                self.say(line)
        return len(text)

    def say(self, line: str) -> None:
        """Have a line written, which comes without its end."""
        # A lock is too dear here, and not needed: the one who takes from the other end of the queue
        # looks for what came after `_is_roused` went out, and Python switches threads in no sum.
        waiting, size = self._waiting, len(line)
        waiting.append(line)
        self._came += size
        if len(waiting) > MOST_LINES or self._came - self._left > MOST_CHARACTERS:
            self._leave_out()
        if not self._is_roused:
            self._rouse()

    def settle(self) -> None:
        """Wait until all is written, for a moment, and not again while the output stands still."""
        with self._lock:
            if self._is_late or not (self._waiting or self._is_writing):
                return
            self._settled.clear()
            self._hurry.set()
        if not self._settled.wait(_SETTLE_SECONDS):
            self._is_late = True

    def drain(self, seconds: float) -> bool:
        """Write what waits; False if it was not taken in that time."""
        with self._lock:
            thread = self._thread
            self._is_ending = True
            self._hurry.set()
            self._wake.set()
        if thread is not None:
            thread.join(seconds)
            return not thread.is_alive()
        while self._waiting and has_room(self.out):  # there was no thread to be had any more
            self._write_some()
        return not self._waiting

    def let_go(self) -> None:
        """Take nothing more, and have our descriptor lead nowhere: there all is taken.

        For the end of the program: what others have left in the buffer of Python's own stream would
        have it wait there.
        """
        self.is_gone = True
        with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self.out.fileno())

    def _leave_out(self) -> None:
        with self._lock:
            while len(self._waiting) > 1 and (
                len(self._waiting) > MOST_LINES or self._came - self._left > MOST_CHARACTERS
            ):
                self._left_out += 1 + self._next().count("\n")

    def _next(self) -> str:
        oldest = self._waiting.popleft()
        self._left += len(oldest)
        return oldest

    def _rouse(self) -> None:
        """Have the thread look: the first line starts it, and the first one in a forked process."""
        with self._lock:
            if self.is_gone:
                self._waiting.clear()
                return
            self._is_roused = True
            if self._thread is None or not self._thread.is_alive():
                self._is_ending = False
                thread = threading.Thread(target=self._run, name="foxora-lines", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter ends: `drain` writes what it can
                    return
                self._thread = thread
            self._wake.set()

    def _run(self) -> None:
        pause = _AT_ONCE_SECONDS if self.is_watched else _TOGETHER_SECONDS
        while self._has_more():
            self._wake.wait()
            self._hurry.wait(pause)
            with self._lock:
                self._wake.clear()
                self._hurry.clear()
                self._is_roused = False
            while self._waiting:
                self._write_some()
            with self._lock:
                self._is_writing = self._is_late = False
                if not self._waiting:
                    self._settled.set()

    def _has_more(self) -> bool:
        """Whether the thread goes on; if not, the next line starts another."""
        with self._lock:
            if not self.is_gone and (self._waiting or not self._is_ending):
                return True
            self._thread = None
            self._is_roused = False
            return False

    def _write_some(self) -> None:
        """Write a few whole lines, behind a word about those that are left out."""
        left_out, text = self._taken()
        data = f"{_words_for(left_out)}{text}".encode(self._encoding, "replace")
        written = 0
        try:
            while written < len(data):
                taken = self._put(data[written:])
                if taken is None:  # somebody has made it one that does not wait
                    time.sleep(_AGAIN_SECONDS)
                else:
                    written += taken
        except (BrokenPipeError, ValueError):  # nobody reads any more, or it was closed
            with self._lock:
                self.is_gone = True
                self._waiting.clear()
        except OSError:  # a full disk may have room again
            with self._lock:
                self._left_out += left_out + text.count("\n")

    def _taken(self) -> tuple[int, str]:
        """How many lines were left out until now, and those that are written next."""
        with self._lock:
            self._is_writing = True
            left_out, self._left_out = self._left_out, 0
            lines: list[str] = []
            waiting, room = self._waiting, _PIECE if not left_out else _PIECE - _LONGEST_WORDS
            while waiting and (room > len(waiting[0]) or not lines):
                line = waiting.popleft()
                room -= len(line) + 1
                lines.append(line)
            text = "\n".join(lines)
            self._left += len(text) + 1 - len(lines)
        return left_out, f"{text}\n"


class Promptly(io.TextIOBase):
    """Writes to an outlet, and goes on when it is written: for a log, which may tell of an end."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__()
        self._outlet = outlet

    def writable(self) -> bool:
        """Always, as a stream says it."""
        return True

    def write(self, text: str, /) -> int:
        """Take a part of a line; wait, for a moment at most, where it is the last."""
        self._outlet.write(text)
        if text.endswith("\n"):
            self._outlet.settle()
        return len(text)


def has_room(out: IO[str]) -> bool:
    """Whether it takes something now. True where the system can't tell, as for a file."""
    try:
        return bool(select.select([], [out], [], 0)[1])
    except (OSError, ValueError):  # io.UnsupportedOperation is both
        return True


def _put_of(out: IO[str]) -> Callable[[bytes], int | None]:
    """What writes bytes, and tells how many, past the stream's buffers if it has any."""
    buffer = getattr(out, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # PYTHONUNBUFFERED: there is no buffer in between
    if isinstance(raw, io.RawIOBase):
        return raw.write
    encoding: str = getattr(out, "encoding", None) or "utf-8"

    def put(data: bytes) -> int:
        out.write(data.decode(encoding))
        out.flush()
        return len(data)

    return put


def _words_for(left_out: int) -> str:
    if not left_out:
        return ""
    many = "1 line is" if left_out == 1 else f"{left_out:,} lines are"
    return f"foxora: {many} left out here, for this output took none\n"
