"""Drives mitmproxy's console in tmux, and reads what stands on its screen."""

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
class Console:
    """A running console: the proxy in it, and the tmux server of its own that shows it."""

    proxy: Proxy
    socket: Path

    @property
    def screen(self) -> str:
        """What a person reads."""
        return _tmux(self.socket, "capture-pane", "-p")

    @property
    def coloured_screen(self) -> str:
        """The same, with the terminal's commands for colours."""
        return _tmux(self.socket, "capture-pane", "-p", "-e")

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
def running_console(
    folder: Path, options: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[Console]:
    """A console with the addon on its mock gateway, once it takes calls."""
    folder.mkdir(parents=True, exist_ok=True)
    proxy = Proxy(free_port(), folder)
    command = [*arguments(folder, proxy.port, program="mitmproxy"), *ON_MOCK, *options]
    given = clean_environment(TERM="xterm-256color", LC_ALL="C.UTF-8", **(environment or {}))
    socket = folder / "tmux"
    size = ("-x", str(COLUMNS), "-y", str(ROWS))
    line = f"exec {shlex.join(command)} 2>{shlex.quote(str(folder / 'output.log'))}"
    subprocess.run(
        [*_program(socket), "-f", "/dev/null", "new-session", "-d", *size, line],
        cwd=folder,
        env=given,
        check=True,
        timeout=20,
    )
    console = Console(proxy, socket)
    try:
        console.wait_for(r"\[regular@127\.0\.0\.1:")
        yield console
    finally:
        _tmux(socket, "kill-server")


def has_tmux() -> bool:
    return shutil.which("tmux") is not None


def _program(socket: Path) -> list[str]:
    return ["tmux", "-u", "-S", str(socket)]


def _tmux(socket: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*_program(socket), *arguments], capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout
