"""What a field of a head says where it comes on several lines, or its line is broken.

Pure, and the one place with the rule. Who reads such a head otherwise than its next reader does
can be told one thing while that one hears another.

Several lines of a list are one list: the values in their order, with commas between (RFC 9110, 5.2
and 5.3). A field of one value (5.5) is not to come twice. Where it does, some servers take the
first, some the last, some the list. So lines that say the same are one, and others are a list, as
if somebody on the way had joined them: no number, name or date is one, so it says nothing. A wait
is the exception (`api.retry_after`); of keys, every line counts (`policy.rewrite`).
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from foxora_addon.framing import Fields

_CONTROLS: Final = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])
"""All but a tab, which a value may have (RFC 9110, 5.5)."""
_BREAK: Final = re.compile(rb"[%b][%b \t]*" % ((re.escape(_CONTROLS),) * 2))


def unbroken(fields: Fields) -> Fields:
    """The fields, each on a line of its own: a space takes the place of what would break one.

    That is a line that goes on in the next (RFC 9112, 5.2), and a CR, LF or NUL (RFC 9110, 5.5):
    to some readers another field begins behind it, with a key or a length in it. And it is any
    other control character, which a value is not to have either: many take no head with one.
    """
    if not any(_BREAK.search(value) for _, value in fields):
        return fields
    return tuple((name, on_one_line(value)) for name, value in fields)


def on_one_line(value: bytes) -> bytes:
    """A value, or what a status line says in words, likewise."""
    return _BREAK.sub(b" ", value).strip(b" \t")


def may_break(text: bytes) -> bool:
    """Whether any of a head's names, values and words, all in a row, would break a line."""
    return len(text.translate(None, _CONTROLS)) < len(text)  # a search takes four times as long


def lines_of(headers: Iterable[tuple[str, str]], name: str) -> list[str]:
    """The values of a field, one a line; `name` is in lower case."""
    return [value for known, value in headers if known.lower() == name]


def listed(lines: Sequence[str]) -> str | None:
    """The value of a field that is a list; None: it is not there."""
    return ", ".join(lines) if lines else None


def single(lines: Sequence[str]) -> str | None:
    """The value of a field that has one: a list where its lines differ, which none can be."""
    return lines[0] if len(set(lines)) == 1 else listed(lines)
