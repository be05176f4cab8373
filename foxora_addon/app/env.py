"""`foxora-proxy env`: the variables that turn a shell's programs to a running proxy."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from foxora_addon.app.ca_bundle import NoBundle, bundle_of
from foxora_addon.app.client_environment import variables_to, warnings_of
from foxora_addon.app.local_proxy import NoProxy, ask
from foxora_addon.app.shells import how_to_evaluate, lines_for, shell_of
from foxora_addon.placeholder import PLACEHOLDER_KEY


def print_env(port: int, shell: str | None, say: Callable[[str], None]) -> int:
    """Print assignments for a shell, with hints as comments; 1 and nothing if no proxy is there."""
    chosen = shell or shell_of()
    try:
        status = ask(port, "status")
        variables = _variables(status)
    except (NoProxy, NoBundle) as error:
        say(str(error))
        return 1
    for warning in warnings_of(os.environ, status["url"]):
        say(warning)
    for line in (*_hints(status, chosen, port), *lines_for(chosen, variables)):
        typer.echo(line)
    return 0


def _variables(status: Mapping[str, Any]) -> dict[str, str]:
    """Those of `run`, but the shell keeps its Foxora key: the next proxy may be started from it."""
    bundle = bundle_of(Path(status["ca"]), os.environ)
    variables = variables_to(status, str(bundle), os.environ)
    return {name: value for name, value in variables.items() if name != "FOXORA_API_KEY"}


def _hints(status: Mapping[str, Any], shell: str, port: int) -> Iterator[str]:
    command = f"foxora-proxy env --port {port} --shell {shell}"
    yield f"# foxora-addon at {status['url']}, which leads to {status['gateway']}"
    yield f"# take it into this shell: {how_to_evaluate(shell, command)}"
    yield f"# the key {PLACEHOLDER_KEY[:14]}... is nobody's: the proxy puts the real one on"
