"""What every command of ours says in the same way: its exit statuses, and its lines on stderr."""

import typer

FINDING = 1
WRONG_USAGE = 2


def say(words: str) -> None:
    """One line of ours, on standard error."""
    typer.echo(f"foxora-proxy: {words}", err=True)
