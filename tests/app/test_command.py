"""A command as if it ran alone. Its signals are tried end to end, with a process of our own."""

import os
import signal
import sys
from pathlib import Path

import pytest

from foxora_addon.app.command import CannotRun, found, held_signals, pending_end, run_command

ENVIRONMENT = dict(os.environ)


def status_of(*command: str) -> int:
    with held_signals():
        return run_command(command, ENVIRONMENT, lambda: None)


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
def test_the_exit_status_is_the_commands(script: str, status: int) -> None:
    assert status_of("sh", "-c", script) == status


def test_it_has_no_signal_held_or_ignored_because_of_us() -> None:
    script = (
        "import signal, sys;"
        "held = signal.pthread_sigmask(signal.SIG_BLOCK, ());"
        "sys.exit(len(held) + (signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL))"
    )
    assert status_of(sys.executable, "-c", script) == 0
    assert status_of("sh", "-c", "kill -PIPE $$") == 128 + signal.SIGPIPE


def test_the_end_of_another_child_is_told_and_does_not_end_it(tmp_path: Path) -> None:
    told: list[bool] = []
    gate = tmp_path / "gate"
    other = os.posix_spawnp("true", ["true"], ENVIRONMENT)

    def child_ended() -> None:
        told.append(True)
        gate.touch()

    script = f"while ! test -e {gate}; do sleep 0.02; done; exit 6"
    with held_signals():
        os.kill(os.getpid(), signal.SIGCHLD)  # as the other's end sends it, should that be over
        assert run_command(("sh", "-c", script), ENVIRONMENT, child_ended) == 6
    assert told
    os.waitpid(other, 0)


def test_a_signal_that_nobody_asked_for_is_dropped_and_one_that_waits_is_seen() -> None:
    with held_signals():
        assert pending_end() is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert pending_end() == signal.SIGTERM
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


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
