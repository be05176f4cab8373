"""What `foxora-proxy` begins with: it starts a proxy at once, and leaves all else to the grammar.

The grammar of the command line is typer's, whose import alone takes a twentieth of the time in
which a proxy starts.
"""

import sys
from collections.abc import Sequence

from foxora_addon.app.say import WRONG_USAGE, say, status_of
from foxora_addon.printable import print_everything


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the process's exit status; without arguments it is the help."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    print_everything()
    if given[:1] != ["run"] or asks_for_help(given):
        from foxora_addon.app import cli

        return cli.main(given)
    return status_of(lambda: run_given(given[1:]))


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether our own help is wanted, and not that of the command behind --."""
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--help" in before


def run_given(arguments: Sequence[str]) -> int:
    """`foxora-proxy run` with these arguments; its exit status.

    Each of the two ways of it imports what it needs, and not what the other does.
    """
    from foxora_addon.app.run_options import WrongUsage, parse_run

    try:
        options = parse_run(arguments)
    except WrongUsage as error:
        say(f"run: {error}")
        return WRONG_USAGE
    if options.command is None:
        from foxora_addon.app.start import start_proxy

        return start_proxy(options.tool, options.passed)
    from foxora_addon.app.run import run_with_command

    return run_with_command(options, say)
