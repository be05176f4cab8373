"""Whether something is at a path, or why that can't be told.

`Path.exists` and `Path.is_file` raise what the system says up to Python 3.13. Since 3.14 they take
a name that is too long, or a folder that may not be entered, for nothing there. Links that go in a
circle lead to nothing in any of them, as here.
"""

import errno
import stat
from pathlib import Path


def is_there(path: Path) -> bool:
    """Whether something is there; raises OSError where that can't be told."""
    return _mode_of(path) is not None


def is_regular(path: Path) -> bool:
    """Whether a regular file is there, or a link to one; raises OSError as `is_there`."""
    mode = _mode_of(path)
    return mode is not None and stat.S_ISREG(mode)


def _mode_of(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a name with a NUL
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise
