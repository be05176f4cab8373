"""Our own words, and the exit statuses that all commands share."""

from typing import Final

import typer

FINDING: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130  # as a shell says it of SIGINT


def say(words: str) -> None:
    """One line of ours, on standard error."""
    typer.echo(f"foxora-proxy: {words}", err=True)
