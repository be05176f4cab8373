"""Python's collector of cyclic garbage, which has next to nothing to do here and looks often.

Now and then it looks through all of the program: for 80 ms, in which all streams stand still. What
was there at the start is not looked at any more. And where mitmproxy is sped up an exchange leaves
no cycle behind (see `hold_stream.let_go_if_over`), so that what is young may be looked through less
often; where it isn't, its own checks leave some, which hold bodies: it is looked for as ever.
"""

import gc
from typing import Final

_YOUNG: Final = 10_000
_usual: list[tuple[int, int, int]] = []


def relax(*, rarely: bool) -> None:
    """Look no more at what is there by now, and `rarely` at what is young."""
    if not _usual:
        _usual.append(gc.get_threshold())
        gc.freeze()
    young, *older = _usual[0]
    gc.set_threshold(max(_YOUNG, young) if rarely else young, *older)


def restore() -> None:
    """Look as before."""
    if _usual:
        gc.set_threshold(*_usual.pop())
        gc.unfreeze()
