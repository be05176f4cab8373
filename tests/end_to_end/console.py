"""Runs programs in terminals of tmux, mitmproxy's console among them, and reads their screens."""

import contextlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.proxies import (
    ON_MOCK,
    Proxy,
    arguments,
    clean_environment,
    free_port,
    wait_until,
)

COLUMNS, ROWS = 140, 45


@dataclass(frozen=True, slots=True)
class Terminal:
    """A terminal in a tmux server of its own."""

    socket: Path

    @property
    def screen(self) -> str:
        """What a person reads."""
        return _tmux(self.socket, "capture-pane", "-p")

    @property
    def coloured_screen(self) -> str:
        """The same with the terminal's commands for colours, and what went out at the top."""
        return _tmux(self.socket, "capture-pane", "-p", "-e", "-S", "-")

    def wait_for_end(self) -> None:
        """Wait, with a bound, until the command has ended."""
        wait_until(
            lambda: _tmux(self.socket, "display-message", "-p", "#{pane_dead}").strip() == "1",
            lambda: f"it goes on:\n{self.screen}",
        )

    def press(self, *keys: str) -> None:
        _tmux(self.socket, "send-keys", *keys)

    def wait_for(self, pattern: str) -> str:
        """Wait, with a bound, until a pattern is on the screen; the whole screen."""
        found: list[str] = []

        def is_there() -> bool:
            found[:] = [self.screen]
            return re.search(pattern, found[0]) is not None

        wait_until(is_there, lambda: f"{pattern!r} is not on the screen:\n{found[0]}")
        return found[0]


@dataclass(frozen=True, slots=True)
class Console(Terminal):
    """A running console, and the proxy in it."""

    proxy: Proxy

    def command(self, line: str, pattern: str) -> str:
        """Run a command; the screen once a pattern stands on it, which is left again."""
        self.press(":")
        self.wait_for(r"\n:\s*\Z")
        self.press("-l", line)
        self.wait_for(re.escape(line))
        self.press("Enter")
        shown = self.wait_for(pattern)
        if "Data viewer" in shown:
            self.press("q")
        return shown


@contextlib.contextmanager
def running_terminal(
    folder: Path,
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    size: tuple[int, int] = (COLUMNS, ROWS),
) -> Iterator[Terminal]:
    """A command in a terminal; what it has written stays to be read when it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    given = clean_environment(TERM="xterm-256color", LC_ALL="C.UTF-8", **(environment or {}))
    settings = folder / "tmux.conf"
    settings.write_text("set -g remain-on-exit on\nset -g default-terminal xterm-256color\n")
    program = [*_program(folder / "tmux"), "-f", str(settings), "new-session", "-d"]
    columns, rows = size
    line = f"exec {shlex.join(command)} 2>&1"
    subprocess.run(
        [*program, "-x", str(columns), "-y", str(rows), line],
        cwd=folder,
        env=given,
        check=True,
        timeout=20,
    )
    try:
        yield Terminal(folder / "tmux")
    finally:
        _tmux(folder / "tmux", "kill-server")


@contextlib.contextmanager
def running_console(
    folder: Path,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    size: tuple[int, int] = (COLUMNS, ROWS),
) -> Iterator[Console]:
    """A console with the addon on its mock gateway, once it takes calls."""
    proxy = Proxy(free_port(), folder)
    command = [*arguments(folder, proxy.port, program="mitmproxy"), *ON_MOCK, *options]
    with running_terminal(folder, command, environment, size) as terminal:
        terminal.wait_for(r"\[regular@127\.0\.0\.1:")
        yield Console(terminal.socket, proxy)


def has_tmux() -> bool:
    return shutil.which("tmux") is not None


def _program(socket: Path) -> list[str]:
    return ["tmux", "-u", "-S", str(socket)]


def _tmux(socket: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*_program(socket), *arguments], capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout
