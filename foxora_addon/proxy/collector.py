"""Python's collector of cyclic garbage, which has next to nothing to do here and looks often.

As it is set, it looks through what is young after every two thousand objects, and now and then
through all of the program: for 80 ms, in which all streams stand still. What was made by the start
is not looked at any more, and what comes later less often: 50,000 objects are about 10 MB.
"""

import gc
from typing import Final

_YOUNG: Final = 50_000
_before: list[tuple[int, int, int]] = []


def relax() -> None:
    """Look less often, and no more at what is there by now."""
    if not _before:
        _before.append(gc.get_threshold())
        gc.freeze()
        gc.set_threshold(max(_YOUNG, _before[0][0]), *_before[0][1:])


def restore() -> None:
    """Look as before."""
    if _before:
        gc.set_threshold(*_before.pop())
        gc.unfreeze()
