"""The small file beside the trail that says how far it had come, and what was open then.

It is written about once a second and when the trail is closed, after the trail itself, so it is
never ahead of it. With it the next start finds the exchanges that a crash left open by reading what
was written since, not the trail; and it notices when the trail has become shorter meanwhile.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from foxora_addon.audit.disk import Disk

_MAX_BYTES = 1 << 24
_MOST: Final = 10**18  # a longer number is read as no `seq` of a line, nor of a file's name
_HASH: Final = re.compile(r"[0-9a-f]{64}")


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
    seq, digest, first, offset = (data[name] for name in ("seq", "hash", "first", "offset"))
    numbers = (seq, first, offset)
    if data["v"] != 1 or not all(type(each) is int and 0 <= each < _MOST for each in numbers):
        return None
    if not isinstance(digest, str) or _HASH.fullmatch(digest) is None:
        return None
    accounts = data["open"]
    if not isinstance(accounts, dict) or not all(
        account is None or isinstance(account, str) for account in accounts.values()
    ):
        return None
    return Head(seq, digest, first, offset, accounts)
