"""`foxora-proxy run -- CMD` in a terminal of its own, as a person has one."""

import contextlib
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from foxora_addon.app.local_proxy import ask
from tests.end_to_end.programs import program
from tests.end_to_end.proxies import BIN, clean_environment, run_to_its_end, stop, wait_until
from tests.end_to_end.runs import (
    PYTHON_APP,
    SECONDS,
    run,
    run_line,
    started,
    wait_for_notice,
)

pytestmark = pytest.mark.real_server

ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
COUNTS_INTERRUPTS = """
import signal, sys, time
seen = []
signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
print("ready", sys.stdin.isatty(), flush=True)
while not seen:
    time.sleep(0.02)
time.sleep(0.5)
print("interrupts:", len(seen), flush=True)
sys.exit(3)
"""


class Terminal:
    """The other end of a process's terminal: what it shows, and the keys."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.shown = ""

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self._look(), lambda: f"no {text!r} in {self.shown!r}")

    def press(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def foreground(self) -> int:
        """The group of processes that the keys go to."""
        return os.tcgetpgrp(self._descriptor)

    def _look(self) -> str:
        with contextlib.suppress(BlockingIOError, OSError):  # nothing new, or nobody there
            self.shown += os.read(self._descriptor, 65_536).decode("utf-8", "replace")
        return self.shown


@contextlib.contextmanager
def on_terminal(
    line: Sequence[str], folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Terminal]]:
    ours, theirs = pty.openpty()
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_NONBLOCK)
    termios.tcsetwinsize(ours, (24, 80))
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *line],
            cwd=folder,
            env=clean_environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield process, Terminal(ours)
        finally:
            stop(process)
    finally:
        os.close(ours)


def test_ctrl_c_reaches_the_command_once_and_from_the_terminal(tmp_path: Path) -> None:
    line = run_line(tmp_path, command=[sys.executable, "-c", COUNTS_INTERRUPTS])
    with on_terminal(line, tmp_path) as (process, terminal):
        terminal.wait_for("ready True")
        terminal.press("\x03")
        terminal.wait_for("interrupts: 1")
        terminal.wait_for("0 calls seen")
        assert process.wait(SECONDS) == 3


def states(group: int) -> set[str]:
    """What the processes of a group do, in the letters of `ps`: T for those that are stopped."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            state, _, of_group = file.read_text("utf-8", "replace").rpartition(")")[2].split()[:3]
            if int(of_group) == group:
                found.add(state)
    return found


def test_ctrl_z_stops_the_command_and_fg_goes_on_with_it(tmp_path: Path) -> None:
    bash = program("bash")
    with on_terminal([bash, "--norc", "--noprofile", "-i"], tmp_path) as (process, terminal):
        terminal.press(" ".join(run_line(tmp_path, command=["cat"])) + "\n")
        wait_until((tmp_path / "trail.jsonl").exists)
        terminal.press("one\n")
        terminal.wait_for("one\r\none\r\n")
        command = terminal.foreground()
        terminal.press("\x1a")
        terminal.wait_for("Stopped")
        # A reader that is to stop, but has not got to it, would still take what is typed.
        wait_until(lambda: states(command) == {"T"})
        terminal.press("fg\n")
        # What is typed earlier goes to the shell, or waits for another line's end.
        wait_until(lambda: terminal.foreground() == command)
        terminal.press("two\n")
        terminal.wait_for("two\r\ntwo\r\n")
        terminal.press("\x04")
        terminal.wait_for("0 calls seen")
        terminal.press("exit 0\n")
        assert process.wait(SECONDS) == 0


def test_mitmweb_stays_for_a_person_until_ctrl_c(tmp_path: Path) -> None:
    line = run_line(tmp_path, "--web", "--no-web-open-browser", command=["sh", "-c", "exit 4"])
    with on_terminal(line, tmp_path) as (process, terminal):
        terminal.wait_for("mitmweb stays until Ctrl-C")
        terminal.press("\x03")
        assert process.wait(SECONDS) == 4


def test_nobody_waits_for_a_mitmweb_that_has_died(tmp_path: Path) -> None:
    line = run_line(tmp_path, "--web", "--no-web-open-browser", command=["sh", "-c", "exit 4"])
    with on_terminal(line, tmp_path) as (process, terminal):
        terminal.wait_for("mitmweb stays until Ctrl-C")
        notice = json.loads(wait_for_notice(tmp_path).read_text())
        os.kill(ask(notice["port"], "status")["pid"], signal.SIGKILL)
        terminal.wait_for("the proxy has ended (killed by SIGKILL)")
        assert process.wait(SECONDS) == 4


def test_the_console_is_refused_where_the_command_needs_its_terminal(tmp_path: Path) -> None:
    with on_terminal(run_line(tmp_path, "--console", command=["true"]), tmp_path) as (
        process,
        terminal,
    ):
        terminal.wait_for("--console needs the terminal, which CMD has")
        assert process.wait(SECONDS) == 2


@contextlib.contextmanager
def a_console(folder: Path, *command: str) -> Iterator[tuple[subprocess.Popen[bytes], Terminal]]:
    """A run with the console, which has the terminal, and a command that has none."""
    inner = " ".join(run_line(folder, "--console", command=list(command)))
    script = f"{inner} </dev/null >out.log 2>err.log; echo ended $?"
    with on_terminal(["/bin/sh", "-c", script], folder) as (process, terminal):
        terminal.wait_for("Flows")
        yield process, terminal


def leave(process: subprocess.Popen[bytes], terminal: Terminal) -> None:
    terminal.press("Q")
    terminal.wait_for("ended 0")
    assert process.wait(SECONDS) == 0


def test_a_console_without_a_terminal_is_refused_in_a_line(tmp_path: Path) -> None:
    line = [str(BIN / "foxora-proxy"), "run", "--console", "--mock"]
    done = run_to_its_end(line, tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "foxora-proxy run: --console needs a terminal, and there is none; use --web\n"
    )
    assert run_to_its_end([*line, "--version"], tmp_path).returncode == 0


def test_the_console_has_the_terminal_where_the_command_does_not_need_it(tmp_path: Path) -> None:
    with a_console(tmp_path, "echo", "from-cmd") as (process, terminal):
        wait_until(lambda: "calls seen" in (tmp_path / "err.log").read_text())
        assert (tmp_path / "out.log").read_text() == "from-cmd\n"
        leave(process, terminal)


def test_a_second_run_is_seen_in_the_console_of_the_first(tmp_path: Path) -> None:
    with a_console(tmp_path, "true") as (process, terminal):
        wait_for_notice(tmp_path)
        other = run(tmp_path, command=[sys.executable, "-c", PYTHON_APP])
        assert f"using the proxy that writes {tmp_path / 'trail.jsonl'}: " in other.stderr
        assert "2 calls, " in other.stderr
        assert other.returncode == 0
        terminal.wait_for("chat/completions")
        leave(process, terminal)


def test_a_console_ends_with_its_user_even_where_others_use_its_proxy(tmp_path: Path) -> None:
    with a_console(tmp_path, "true") as (process, terminal):
        wait_for_notice(tmp_path)
        line = run_line(tmp_path, command=["sh", "-c", "echo ready; read line"])
        with started(line, tmp_path, stdin=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stderr is not None
            assert other.stdin is not None
            assert other.stdout.readline() == "ready\n"
            leave(process, terminal)
            other.stdin.write("go on\n")
            other.stdin.close()
            assert other.wait(SECONDS) == 1
            assert "the proxy has ended" in other.stderr.read()
