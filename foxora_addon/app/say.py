"""Our own words, and the exit statuses that all commands share."""

import sys
from typing import Final

FINDING: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130  # as a shell says it of SIGINT


def say(words: str) -> None:
    """One line of ours, on standard error."""
    sys.stderr.write(f"foxora-proxy: {words}\n")
    sys.stderr.flush()
