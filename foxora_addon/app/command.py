"""Runs a command as if there were nothing around it: its streams, its signals, its exit status.

The command shares our process group. So what a terminal sends (Ctrl-C, Ctrl-Z, a change of its
size) reaches it from the terminal itself, pipelines and job control work as ever, and only what
another program sends to us alone is passed on.
"""

import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127

_PASSED_ON: Final = frozenset(
    {
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGWINCH,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)
ENDING: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
"""Signals that would end us, were they not held."""
_FROM_TERMINAL: Final = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH})
_USUALLY_IGNORED: Final = (signal.SIGCHLD, signal.SIGWINCH)
_HELD: Final = _PASSED_ON | {signal.SIGCHLD}
# Python ignores these, and a command must not inherit that.
_RESTORED: Final = tuple(
    getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)
)
_BY_THE_KERNEL: Final = 0x80  # SI_KERNEL of Linux: a terminal's key, not a program's kill()


class CannotRun(Exception):  # noqa: N818  # reads as what it says where it is raised
    """The command can't be started. `status` is what a shell would exit with."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


@contextmanager
def held_signals() -> Iterator[None]:
    """Let signals wait until they are asked for, and drop those that nobody asked for.

    Those that are ignored by default get a handler: some systems would not let them wait, and one
    that was told to ignore SIGCHLD would take the exit status from us.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    handlers = {number: signal.signal(number, _nothing) for number in _USUALLY_IGNORED}
    try:
        yield
    finally:
        while signal.sigpending() & _HELD:
            signal.sigwait(_HELD)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _nothing(number: int, frame: object) -> None:
    """What a held signal does by itself."""


def pending_end() -> int | None:
    """The signal that asks us to end, if one waits."""
    return next(iter(signal.sigpending() & ENDING), None)


def found(command: str) -> None:
    """Raise `CannotRun` at once for a command that is not there, or may not be executed."""
    if shutil.which(command) is not None:
        return
    if os.path.exists(command) and os.sep in command:  # noqa: PTH110  # as it was typed
        raise CannotRun(f"{command}: is no program that may be executed", NOT_EXECUTABLE)
    raise CannotRun(f"{command}: command not found", NOT_FOUND)


def run_command(
    command: Sequence[str], environ: Mapping[str, str], child_ended: Callable[[], None]
) -> int:
    """Run a command to its end; its exit status, or 128 and the signal that ended it.

    Signals must be held. `child_ended` is called when any child process may have ended. Raises
    `CannotRun`.
    """
    pid = _spawned(command, environ)
    while True:
        number = _next_signal()
        if number == signal.SIGCHLD:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            child_ended()
        elif number is not None:
            os.kill(pid, number)


def _spawned(command: Sequence[str], environ: Mapping[str, str]) -> int:
    try:
        return os.posix_spawnp(
            command[0], list(command), dict(environ), setsigmask=(), setsigdef=_RESTORED
        )
    except FileNotFoundError:
        words = f"{command[0]}: not found, or the interpreter that its first line names is not"
        raise CannotRun(words, NOT_FOUND) from None
    except OSError as error:
        is_no_program = error.errno == errno.ENOEXEC
        why = "is no program, and has no #! line" if is_no_program else f"{error.strerror}"
        raise CannotRun(f"{command[0]}: {why}", NOT_EXECUTABLE) from None


def _next_signal() -> int | None:
    """Wait for a signal; None if the command has it already, from the terminal."""
    if not hasattr(signal, "sigwaitinfo"):  # macOS: who sent it is not told
        number = signal.sigwait(_HELD)
        return None if number in _FROM_TERMINAL and _is_in_foreground() else number
    info = signal.sigwaitinfo(_HELD)
    is_keyed = info.si_signo in _FROM_TERMINAL and info.si_code == _BY_THE_KERNEL
    return None if is_keyed else info.si_signo


def _is_in_foreground() -> bool:
    """Whether the terminal, if there is one, sends its signals to our process group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
