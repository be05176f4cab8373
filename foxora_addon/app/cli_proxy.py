"""The commands around a running proxy: start it, point programs at it, ask it, look for trouble.

Whatever a command needs is imported as it runs, so that each starts at once.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from foxora_addon.app.entry import asks_for_help, run_given
from foxora_addon.app.say import say


class PassedOn(TyperCommand):
    """A command whose arguments are another program's, `--` included; only --help is ours."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Leaves the arguments in `ctx.args` as they were typed."""
        if asks_for_help(args):
            return super().parse_args(ctx, ["--help"])
        super().parse_args(ctx, [])
        ctx.args = list(args)
        return list(args)


def run(context: typer.Context) -> int:
    """Start the proxy: by itself, or for a command and as long as that runs.

    With -- CMD the proxy takes a free port, and CMD gets the variables that turn OpenAI clients to
    it (`foxora-proxy env` prints them). CMD's streams, signals and exit status are its own; a
    summary goes to standard error.

    \b
    Ours are those below; all others are mitmdump's own, as -p PORT, --mode or --set NAME=VALUE;
    -h lists them, and --options each NAME that can be set (with our foxora_config, foxora_base_url,
    foxora_audit, foxora_store, foxora_fast, foxora_keep_flows, foxora_keep_bytes):
      --web       mitmweb in place of mitmdump, to look at the calls
      --console   mitmproxy's console in place of it; CMD must not need the terminal
      --mock      on a mock gateway: no account, no network
      --use PORT  for a CMD: a proxy that runs already
      -v          show the proxy's log, all of it, on standard error

    \b
    Examples:
      foxora-proxy run -- python app.py
      foxora-proxy run --mock --web -- npm test
      foxora-proxy run -p 9000 --set foxora_config=team.yaml
    """
    return run_given(context.args)


_Port = Annotated[
    int | None,
    typer.Option(
        "--port",
        "-p",
        metavar="PORT",
        min=1,
        max=65535,
        help="Where it listens; by default that of the proxy that writes this folder's trail, or "
        "8080.",
    ),
]


class Shell(StrEnum):
    """The shells that `env` can write for; sh stands for every POSIX shell."""

    BASH = "bash"
    ZSH = "zsh"
    SH = "sh"
    FISH = "fish"
    POWERSHELL = "powershell"


def env(
    port: _Port = None,
    shell: Annotated[Shell | None, typer.Option(help="By default, what $SHELL names.")] = None,
) -> int:
    """Print the variables that turn a shell's programs to a running proxy.

    \b
    Examples:
      eval "$(foxora-proxy env)"
      foxora-proxy env --shell fish | source
      foxora-proxy env --shell powershell | Out-String | Invoke-Expression
    """
    from foxora_addon.app.env import print_env
    from foxora_addon.app.nearby import port_or_nearby

    return print_env(port_or_nearby(port), shell, say)


def limits(
    *,
    port: _Port = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, a line each time.")] = False,
) -> int:
    """Show how the accounts of a running proxy stand with their ceilings.

    \b
    Examples:
      foxora-proxy limits
      foxora-proxy limits --watch --port 9000
      foxora-proxy limits --json | jq '.accounts[].requests.remaining'
    """
    from foxora_addon.app.limits import show_limits
    from foxora_addon.app.nearby import port_or_nearby

    return show_limits(port_or_nearby(port), say, is_json=as_json, watches=watch)


def doctor(
    *,
    port: _Port = None,
    file: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="By default, what `run` reads.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
) -> int:
    """Look for what would keep the proxy, or apps behind it, from working.

    Each finding is a line with a verdict, and a remedy where there is something to do. The exit
    status is 1 if one of them is `fail`. It asks the gateway for /v1/me with each account's key,
    and changes nothing.

    \b
    Examples:
      foxora-proxy doctor
      foxora-proxy doctor --port 9000 --config team.yaml
    """
    from foxora_addon.app.doctor import run_doctor
    from foxora_addon.app.nearby import port_or_nearby

    return run_doctor(port_or_nearby(port), file, is_json=as_json)
