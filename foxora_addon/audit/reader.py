"""Reads the records of a trail, from all of its files, in bounded memory."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foxora_addon.audit.chain import hash_of_line
from foxora_addon.audit.segments import lines_of


def records_of(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a trail in their order, torn lines left out; raises OSError."""
    for _, _, line in lines_of(path):
        sealed = hash_of_line(line.removesuffix(b"\n")) is not None
        if sealed and (record := _object_of(line)) is not None:
            yield record


def _object_of(line: bytes) -> dict[str, Any] | None:
    """The object on a line; None where somebody sealed something else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
