"""Writes assignments of environment variables for a shell to evaluate."""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Final


def _bash(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{escaped}'"


def _powershell(name: str, value: str) -> str:
    # PowerShell takes the typographic quotes for the plain one, inside quotes too.
    escaped = "".join(char * 2 if char in "'\u2018\u2019\u201a\u201b" else char for char in value)
    return f"$env:{name} = '{escaped}'"


SHELLS: Final[Mapping[str, Callable[[str, str], str]]] = {
    "bash": _bash,
    "zsh": _bash,
    "sh": _bash,
    "fish": _fish,
    "powershell": _powershell,
}
"""By name; sh stands for every shell of POSIX's kind (dash, ksh)."""

_HOW: Final[Mapping[str, str]] = {
    **dict.fromkeys(("bash", "zsh", "sh"), 'eval "$({command})"'),
    "fish": "{command} | source",
    "powershell": "{command} | Out-String | Invoke-Expression",
}


def shell_of(environ: Mapping[str, str] = os.environ) -> str:
    """The user's shell, as one of `SHELLS`; sh where it is another, or can't be told."""
    name = PurePath(environ.get("SHELL", "")).name
    return name if name in SHELLS else {"pwsh": "powershell"}.get(name, "sh")


def lines_for(shell: str, variables: Mapping[str, str]) -> Iterator[str]:
    """An assignment for each variable, quoted for the shell."""
    for name, value in variables.items():
        yield SHELLS[shell](name, value)


def how_to_evaluate(shell: str, command: str) -> str:
    """How the output of a command of ours is taken into a running shell."""
    return _HOW[shell].format(command=command)
