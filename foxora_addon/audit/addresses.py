"""Finds e-mail addresses, by the sign that each has in it: texts have few of those.

What a pattern of addresses costs, 20 ns a character, is for the sake of its beginning, which may be
anywhere. So it is asked only where the characters before an `@` can be one.
"""

import re
from typing import Final

_LABEL: Final = r"(?:[^\W_]|-|\\{1,4}u[0-9a-fA-F]{4}){1,63}"
"""A part of a domain, in any script, be it escaped as in JSON; the last one is all ASCII."""

_ADDRESS: Final = re.compile(
    r"(?:(?<=\\[nrt])|(?<![A-Za-z0-9._%+\\-]))"
    rf"[A-Za-z0-9._%+-]{{1,64}}@{_LABEL}(?:\.{_LABEL}){{0,7}}\.[A-Za-z][A-Za-z0-9-]{{0,62}}"
)
_SIGN: Final = re.compile(rf"@(?<=[A-Za-z0-9._%+-]@){_LABEL}\.")
_BACKWARDS: Final = re.compile(r"[A-Za-z0-9._%+-]{1,66}")
_LONGEST: Final = 66  # of a name, with the letter of an escape before it, and one more
_FEW: Final = 64
"""So many characters for each sign, or more, and it pays to look at signs one by one."""


class Addresses:
    """A pattern of e-mail addresses."""

    def sub(self, replacement: str, text: str) -> str:
        """The text with another in place of all addresses, as it is if there is none."""
        if text.count("@") * _FEW > len(text):
            return _ADDRESS.sub(lambda _: replacement, text)
        kept: list[str] = []
        done = 0
        for sign in _SIGN.finditer(text):
            if (found := _around(text, sign.start(), done)) is not None:
                kept += (text[done : found.start()], replacement)
                done = found.end()
        return "".join((*kept, text[done:])) if kept else text


def _around(text: str, at: int, done: int) -> re.Match[str] | None:
    """The address whose sign stands at a place, if it begins no earlier than at `done`.

    It begins where the characters of a name do or, where those are behind a backslash, one later.
    """
    before = _BACKWARDS.match(text[max(at - _LONGEST, 0) : at][::-1])
    start = at if before is None else at - before.end()
    for place in (start, start + 1):
        if done <= place < at and (found := _ADDRESS.match(text, place)) is not None:
            return found
    return None
