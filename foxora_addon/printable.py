"""Has standard output take every text, also where its encoding lacks letters, as in a C locale."""

import codecs
import contextlib
import io
import json
import sys
from typing import Final

AS_IT_CAME: Final = "foxora-as-it-came"
"""Bytes of a file's name that are no text go out as the bytes that they are."""
ESCAPED: Final = "foxora-escaped"
"""They are escaped, as what strict readers are to read."""


def print_everything(errors: str = AS_IT_CAME) -> None:
    """From now on a letter that standard output lacks is written as JSON would escape it."""
    codecs.register_error(AS_IT_CAME, _as_it_came)
    codecs.register_error(ESCAPED, _escaped)
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(OSError):  # it writes what is buffered: the disk may be full
            sys.stdout.reconfigure(errors=errors)


def _as_it_came(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError):
        first = error.object[error.start]
        if "\udc80" <= first <= "\udcff":
            return first.encode("ascii", "surrogateescape"), error.start + 1
    return _escaped(error)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start])[1:-1], error.start + 1
