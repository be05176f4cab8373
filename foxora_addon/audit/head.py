"""The small file beside the trail that says how far it had come, and what was open then.

It is written about once a second and when the trail is closed, after the trail itself, so it is
never ahead of it. With it the next start finds the exchanges that a crash left open by reading what
was written since, not the trail; and it notices when the trail has become shorter meanwhile.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from foxora_addon.audit.disk import Disk

_MAX_BYTES = 1 << 24


class Head(NamedTuple):
    """Where a trail stood: its last record, and the end of that in the file that `first` begins.

    `open` maps the exchanges without a response record to their accounts.
    """

    seq: int
    hash: str
    first: int
    offset: int
    open: Mapping[str, str | None]


def head_path(path: Path) -> Path:
    """Where the head of a trail is kept."""
    return path.with_name(f"{path.name}.head")


def write_head(path: Path, head: Head, disk: Disk) -> None:
    """Replace the head of a trail; raises OSError."""
    data = {
        "v": 1,
        "seq": head.seq,
        "hash": head.hash,
        "first": head.first,
        "offset": head.offset,
        "open": dict(head.open),
    }
    name = str(head_path(path))
    fd = disk.open(f"{name}.part")
    with open(fd, "wb") as stream:  # noqa: PTH123  # a descriptor has no Path
        stream.truncate(0)
        stream.write(json.dumps(data, separators=(",", ":")).encode())
    disk.rename(f"{name}.part", name)


def read_head(path: Path) -> Head | None:
    """The head of a trail; None where there is none, or none that can be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
        with head_path(path).open("rb") as stream:
            data = json.loads(stream.read(_MAX_BYTES))
        return _head_of(data)
    return None


def _head_of(data: Any) -> Head | None:
    numbers = (data["seq"], data["first"], data["offset"])
    if data["v"] != 1 or not all(isinstance(number, int) and number >= 0 for number in numbers):
        return None
    if not isinstance(data["hash"], str) or not isinstance(data["open"], dict):
        return None
    return Head(data["seq"], data["hash"], data["first"], data["offset"], data["open"])
