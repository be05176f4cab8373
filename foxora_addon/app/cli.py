"""`foxora-proxy`: the grammar of the command line, its words, and its exit statuses.

Results go to standard output, our own words to standard error. Exit status: 0 fine, 1 a finding,
2 wrong usage. Whatever a command needs is imported as it runs, so that each starts at once.
"""

import os
import sys
from collections.abc import Callable, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any

import typer

from foxora_addon.app import audit_cli
from foxora_addon.app.cli_proxy import PassedOn, doctor, env, limits, run
from foxora_addon.app.say import FINDING, INTERRUPTED, WRONG_USAGE, say, status_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the process's exit status; without arguments it is the help."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    return status_of(lambda: _run(given))


def _run(given: Sequence[str]) -> int:
    command = command_line(is_rich=sys.stdout.isatty())
    try:
        status = int(command(given, prog_name="foxora-proxy", standalone_mode=False) or 0)
        sys.stdout.flush()
    except typer.TyperException as error:
        words = " ".join(error.format_message().replace("Value error, ", "").split())
        say(words + _command_meant(given[0]))
        return WRONG_USAGE
    except typer.Abort:
        return INTERRUPTED
    return status


def _command_meant(first: str) -> str:
    """What to type instead, where a command of `audit` was given without that word."""
    names = {command.__name__ for command in audit_cli.COMMANDS}
    return f" Did you mean 'audit {first}'?" if first in names else ""


def command_line(*, is_rich: bool) -> typer.Typer:
    """All commands; `is_rich` draws the help for a terminal, else it is plain text."""
    look: dict[str, Any] = {
        "rich_markup_mode": "rich" if is_rich else None,
        "add_completion": False,
        "pretty_exceptions_enable": False,
    }

    def help_of(command: Callable[..., Any]) -> str:
        # \b keeps the lines that follow as they are in plain help; rich help always does.
        text = cleandoc(command.__doc__ or "")
        return text.replace("\b\n", "") if is_rich else text

    def helps_of(command: Callable[..., Any]) -> dict[str, Any]:
        # Without a short one, the list of commands would cut each after a few words.
        text = help_of(command)
        return {"help": text, "short_help": text.partition("\n")[0]}

    app = typer.Typer(**look)
    app.callback(help=help_of(foxora_proxy))(foxora_proxy)
    app.command(**helps_of(run), cls=PassedOn, options_metavar="[OPTIONS] [-- CMD ...]")(run)
    for command in (env, limits, doctor, mock, check, script):
        app.command(**helps_of(command))(command)
    audit = typer.Typer(**look, help="Read the trail, the file with the records of all exchanges.")
    audit.callback()(lambda: None)  # without one, typer would take the only command for the group
    for command in audit_cli.COMMANDS:
        audit.command(**helps_of(command))(command)
    app.add_typer(audit, name="audit")
    return app


def _print_version(wanted: bool) -> None:  # noqa: FBT001  # typer calls it by position
    if wanted:
        from foxora_addon import __version__

        typer.echo(f"foxora-proxy {__version__}")
        raise typer.Exit


def foxora_proxy(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Unmodified OpenAI apps on Foxora, by way of mitmproxy.

    \b
    Examples:
      export FOXORA_API_KEY=foxora_sk_...
      foxora-proxy run -- python app.py            any OpenAI app, as it is
      foxora-proxy run                             just the proxy, on port 8080
      OPENAI_BASE_URL=http://127.0.0.1:8080/v1 python app.py
                                                   from another terminal

    \b
    Without an account or a network, on a mock gateway:
      foxora-proxy run --mock -- python app.py
    """


def mock(
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Where to listen; 0: a free one.")
    ] = 8090,
    address: Annotated[str, typer.Option(metavar="ADDRESS", help="Who can reach it.")] = (
        "127.0.0.1"
    ),
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Accounts, models and habits, in YAML.")
    ] = None,
) -> int:
    """Start a mock of the Foxora gateway, to try things with.

    It prints its base URL. Every key is accepted, unless FILE says accept_any_key: false.

    \b
    Examples:
      foxora-proxy mock
      FOXORA_BASE_URL=http://127.0.0.1:8090/v1 FOXORA_API_KEY=any foxora-proxy run
    """
    from foxora_addon.app.mock_gateway import run_mock

    return run_mock(config, address, port)


def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="By default, what `run` would read.")
    ] = None,
) -> int:
    """Check a configuration, and tell in short what it means.

    The keys that it refers to must be there, in the environment or in files. If it can't be used,
    or FOXORA_FAST says neither yes nor no, or the trail's path is that of a folder or a device, one
    line says where, why and what instead, and the exit status is 1.

    \b
    Examples:
      foxora-proxy check
      foxora-proxy check configs/foxora.example.yaml
    """
    from foxora_addon.app.startable import why_not_startable
    from foxora_addon.app.summary import summary_of
    from foxora_addon.config import ConfigError, load

    options = {"foxora_config": None if file is None else str(file)}
    try:
        config = load(options, os.environ, Path.cwd())
    except ConfigError as error:
        say(str(error))
        return FINDING
    if (why := why_not_startable(config, os.environ)) is not None:
        say(why)
        return FINDING
    for warning in config.warnings:
        say(warning)
    typer.echo(f"{config.file or 'options and environment alone'}: fine")
    typer.echo("\n".join(f"  {line}" for line in summary_of(config)))
    return 0


def script() -> int:
    """Print the path of the addon's script, for the -s of mitmdump, mitmweb and mitmproxy.

    \b
    Examples:
      mitmweb -s "$(foxora-proxy script)"
      mitmweb -s foxora_addon             the same, where this package is installed
    """
    from foxora_addon.app.script_argv import SCRIPT

    typer.echo(SCRIPT)
    return 0
