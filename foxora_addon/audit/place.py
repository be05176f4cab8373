"""Where a trail is kept whose name is a link."""

import os
from pathlib import Path


def place_of(trail: Path) -> Path:
    """The file that a trail's name leads to, whether it is there or not; the name as it is if none.

    A trail has more files than one, and all of them stand beside each other. Beside the link, the
    first rotation would put the next file in the link's place, away from the disk that it leads
    to, and the old one would be out of reach of who knows that by its own name, and of retention.
    What can't be looked at is no link: whoever opens it says why it can't be.
    """
    return Path(os.path.realpath(trail)) if os.path.islink(trail) else trail  # noqa: PTH114  # never raises
