"""The commands of `foxora-proxy audit`: one function each, listed in `COMMANDS`.

Results go to standard output, our own words to standard error, as in `cli`. Whatever a command
needs is imported as it runs, so that each starts at once.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from foxora_addon.app import reading_cli
from foxora_addon.app.words import FINDING, say


def verify(
    path: Annotated[
        Path | None, typer.Argument(metavar="TRAIL", help="By default, the configured trail.")
    ] = None,
) -> int:
    """Verify a trail: no record changed, left out, put in or moved.

    The exit status is 1 if something is wrong, and the line says where.

    \b
    Examples:
      foxora-proxy audit verify
      foxora-proxy audit verify foxora-audit.jsonl
    """
    from foxora_addon.audit.reader import verify as verified

    trail = path or configured_trail()
    try:
        report = verified(trail)
    except OSError as error:
        say(f"{trail}: can't be read: {error.strerror}")
        return FINDING
    if report.problem is not None:
        typer.echo(f"{trail}: {report.problem}")
        return FINDING
    typer.echo(f"{trail}: fine, {report.records} records of {report.exchanges} exchanges")
    if report.torn_tail_bytes:
        typer.echo(f"  the last line is torn ({report.torn_tail_bytes} bytes), as by a crash")
    for exchange in report.open:
        typer.echo(f"  open: {exchange}")
    typer.echo(f"  head {report.head}")
    return 0


def configured_trail() -> Path:
    """The trail that `run` would write; its default where the configuration can't be read."""
    from foxora_addon.config import ConfigError, load

    try:
        return load({}, os.environ, Path.cwd()).audit.path
    except ConfigError:
        return Path(os.environ.get("FOXORA_AUDIT") or "foxora-audit.jsonl")


COMMANDS: Final[tuple[Callable[..., Any], ...]] = (verify, *reading_cli.COMMANDS)
"""In the order of the help."""
