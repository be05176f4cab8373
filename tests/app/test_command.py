"""A command as if it ran alone. Its signals are tried end to end, with a process of our own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from foxora_addon.app.command import CannotRun, found, held_signals, run_command

ENVIRONMENT = dict(os.environ)
BEGINNING = """
import os, signal, sys
from pathlib import Path
from foxora_addon.app.command import held_signals, pending_end, run_command

def status_of(*command, child_ended=lambda: None):
    with held_signals():
        return run_command(command, dict(os.environ), child_ended)
"""


def run_alone(script: str) -> int:
    """The exit status of a script in a process of its own.

    A test runner may have threads, and one that does not hold a signal back gets it.
    """
    command = [sys.executable, "-c", BEGINNING + script]
    return subprocess.run(command, env=ENVIRONMENT, timeout=60, check=False).returncode


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
def test_the_exit_status_is_the_commands(script: str, status: int) -> None:
    assert run_alone(f"sys.exit(status_of('sh', '-c', {script!r}))") == status


def test_it_has_no_signal_held_or_ignored_because_of_us() -> None:
    script = (
        "import signal, sys;"
        "held = signal.pthread_sigmask(signal.SIG_BLOCK, ());"
        "sys.exit(len(held) + (signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL))"
    )
    assert run_alone(f"sys.exit(status_of(sys.executable, '-c', {script!r}))") == 0
    broken_pipe = run_alone("sys.exit(status_of('sh', '-c', 'kill -PIPE $$'))")
    assert broken_pipe == 128 + signal.SIGPIPE


def test_the_end_of_another_child_is_told_and_does_not_end_it(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waiting = f"while ! test -e {gate}; do sleep 0.02; done; exit 6"
    script = f"""
other = os.posix_spawnp("true", ["true"], dict(os.environ))
with held_signals():
    os.kill(os.getpid(), signal.SIGCHLD)  # as the other's end sends it, should that be over
    status = run_command(("sh", "-c", {waiting!r}), dict(os.environ), Path({str(gate)!r}).touch)
os.waitpid(other, 0)
sys.exit(status)
"""
    assert run_alone(script) == 6


def test_a_signal_that_nobody_asked_for_is_dropped_and_one_that_waits_is_seen() -> None:
    script = """
with held_signals():
    before = pending_end()
    os.kill(os.getpid(), signal.SIGTERM)
    seen = pending_end()
held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
sys.exit(0 if (before, seen) == (None, signal.SIGTERM) and signal.SIGTERM not in held else 1)
"""
    assert run_alone(script) == 0


@pytest.mark.parametrize(
    ("command", "status"),
    [("no-such-command", 127), ("./not-executable", 126), ("/nowhere/x", 127)],
)
def test_what_can_not_run_is_told_before_anything_starts(
    command: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("not-executable").write_text("echo")
    with pytest.raises(CannotRun, match=command) as caught:
        found(command)
    assert caught.value.status == status
    found("sh")


def test_a_file_without_an_interpreter_is_no_program(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo")
    script.chmod(0o755)
    with held_signals(), pytest.raises(CannotRun, match="no #! line") as caught:
        run_command([str(script)], ENVIRONMENT, lambda: None)
    assert caught.value.status == 126
