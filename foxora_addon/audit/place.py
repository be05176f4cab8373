"""Where a trail is kept, whose name may lead through links."""

import os
from pathlib import Path


def place_of(trail: Path) -> Path:
    """The file that a trail's name leads to, whether it is there or not; the name as it is if none.

    A trail has more files than one, and all of them stand beside each other. Beside the link, the
    first rotation would put the next file in the link's place, away from the disk that it leads
    to, and the old one would be out of reach of who knows that by its own name, and of retention.
    What can't be looked at is no link: whoever opens it says why it can't be. Nor is /dev/stdout,
    which leads to what is open, and to no name.
    """
    if not os.path.islink(trail):  # noqa: PTH114  # never raises
        return trail
    place = os.path.realpath(trail)
    leads_nowhere = os.path.exists(trail) and not os.path.exists(place)  # noqa: PTH110  # the same
    return trail if leads_nowhere else Path(place)


def is_same_place(one: Path, other: Path) -> bool:
    """Whether two names lead to one file, which need not be there: by links, by `..`, or as is."""
    return os.path.realpath(one) == os.path.realpath(other)
