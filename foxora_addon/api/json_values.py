"""Takes a value out of JSON for what it should be: an object, a text, a moment.

Nobody has checked what a client, a gateway or a file of long ago wrote: what is something else is
read as nothing, and never raises.
"""

from datetime import datetime
from typing import Any


def mapping_of(value: Any) -> dict[str, Any]:
    """An object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def member_of(value: Any, name: str) -> Any:
    """A member of an object; None for one that is absent, and of anything else."""
    return value.get(name) if isinstance(value, dict) else None


def string_of(value: Any) -> str | None:
    """A text, which may be empty; None for anything else."""
    return value if isinstance(value, str) else None


def moment_of(value: Any) -> float | None:
    """The Unix seconds of a record's time, which is ISO 8601 with its zone; None if it is none."""
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except ValueError:
        return None
