"""Has Python look for garbage but rarely while the program starts.

What is imported stays for good: to look for garbage in it, again and again, takes a tenth of the
start. Afterwards it is looked for as ever, though not in what was there by then.
"""

import gc
from typing import Final

_MANY: Final = 1_000_000
_usual: list[tuple[int, int, int]] = []
_is_over: list[bool] = []


def begins() -> None:
    """The program starts; once it has started, this does nothing."""
    if not _usual and not _is_over:
        _usual.append(gc.get_threshold())
        gc.set_threshold(_MANY, *_usual[0][1:])


def is_over() -> None:
    """All that is needed is imported."""
    if _usual:
        gc.freeze()
        gc.set_threshold(*_usual.pop())
        _is_over.append(True)
