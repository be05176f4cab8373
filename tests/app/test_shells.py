"""Assignments for a shell: whatever the value is, the shell has it as it was."""

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxora_addon.app.shells import SHELLS, how_to_evaluate, lines_for, shell_of

NASTY = 'it\'s $HOME `id` "quoted" \\ back; \u2018typographic\u2019 \n second line'


@pytest.mark.parametrize("shell", ["bash", "sh", "zsh"])
@settings(max_examples=20)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_posix_shell_has_any_value_as_it_was(shell: str, value: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    (line,) = lines_for(shell, {"VALUE": value})
    script = f'{line}\nprintf %s "$VALUE"'.encode()
    shown = subprocess.run([shell, "-c", script], capture_output=True, check=True, timeout=10)
    assert shown.stdout == value.encode()


def shown_by(command: list[str]) -> str:
    shown = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return shown.stdout.decode()


@pytest.mark.real_server  # so that CI can't pass it over: scripts/setup-programs has installed it
def test_fish_has_a_nasty_value_as_it_was() -> None:
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("scripts/setup-programs has found no fish here")
    for value in (NASTY, "\\'", "a b\ttab", "$(id) (id) {a,b} *", "", "ü\n"):
        (line,) = lines_for("fish", {"VALUE": value})
        assert shown_by([fish, "-c", f"{line}\nprintf %s $VALUE"]) == value


@pytest.mark.skipif(shutil.which("pwsh") is None, reason="PowerShell is in no distribution")
def test_powershell_has_a_nasty_value_as_it_was() -> None:
    (line,) = lines_for("powershell", {"VALUE": NASTY})
    assert shown_by(["pwsh", "-c", f"{line}\n[Console]::Out.Write($env:VALUE)"]) == NASTY


def test_quotes_are_doubled_or_escaped_as_each_shell_wants_it() -> None:
    assert list(lines_for("bash", {"A": "it's"})) == ["export A='it'\"'\"'s'"]
    assert list(lines_for("fish", {"A": "it's \\"})) == ["set -gx A 'it\\'s \\\\'"]
    assert list(lines_for("powershell", {"A": "it's \u2019"})) == ["$env:A = 'it''s \u2019\u2019'"]


@pytest.mark.parametrize(
    ("path", "shell"),
    [
        *(("/usr/bin/fish", "fish"), ("/bin/zsh", "zsh"), ("/bin/bash", "bash")),
        *(("/bin/dash", "sh"), ("/opt/pwsh", "powershell"), ("", "sh")),
    ],
)
def test_the_users_shell_is_told_by_its_name(path: str, shell: str) -> None:
    assert shell_of({"SHELL": path}) == shell


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_is_told_how_to_take_it_in(shell: str) -> None:
    assert "foxora-proxy env" in how_to_evaluate(shell, "foxora-proxy env")
