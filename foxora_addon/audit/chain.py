"""Seals records into a chain: each names the hash of the one before it, and its own.

The byte rule: a line is a JSON object whose last member is `"hash"`. Its hash is the SHA-256, in
hex, of the line's bytes with `,"hash":"<64 hex digits>"` taken out, without the line break. So any
language can verify a line without writing JSON the same way.
"""

import hashlib
import json
import re
from typing import Any, Final

GENESIS: Final = "0" * 64
"""What the first record of a trail names as the one before it."""

_MARK: Final = b',"hash":"'
_TAIL_LENGTH: Final = len(_MARK) + 64 + len(b'"}')
_CUT_TAIL: Final = re.compile(rb'(,"prev":"[0-9a-f]{64}"),"hash":"([0-9a-f]{1,64})"?\Z')
_LONGEST_CUT_TAIL: Final = len(b',"prev":""') + len(_MARK) + 2 * 64 + 1


def seal(record: bytes) -> tuple[bytes, str]:
    """The line of a record, ending in a line break, and its hash.

    `record` is a compact JSON object with at least one member and no `hash`.
    """
    digest = hashlib.sha256(record).hexdigest()
    return b'%b%b%b"}\n' % (record[:-1], _MARK, digest.encode()), digest


def hash_of_line(line: bytes) -> str | None:
    """The hash that a line carries, if it is the right one; None if the line was changed or torn.

    `line` is without its line break.
    """
    tail = line[-_TAIL_LENGTH:]
    if not (tail.startswith(_MARK) and tail.endswith(b'"}')):
        return None
    carried = tail[len(_MARK) : -2].decode("ascii", "replace")
    record = line[:-_TAIL_LENGTH] + b"}"
    return carried if hashlib.sha256(record).hexdigest() == carried else None


def object_of(line: bytes) -> dict[str, Any] | None:
    """The JSON object on a line; None if that holds something else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def sealed_record_of(line: bytes) -> dict[str, Any] | None:
    """The record on a line; None if that was changed or torn, or somebody sealed something else.

    `line` is without its line break.
    """
    return None if hash_of_line(line) is None else object_of(line)


def may_be_torn(line: bytes) -> bool:
    """Whether a line without the right hash may be a record that was not written to its end.

    That is a strict beginning of one, as a crash leaves it: no whole JSON object, and as much of
    its hash as there is belongs to what stands before that. Of a line that ends before its hash,
    nobody can tell whether it was changed.
    """
    if line.rstrip().endswith(b"}") and object_of(line) is not None:
        return False
    cut = _CUT_TAIL.search(line, max(len(line) - _LONGEST_CUT_TAIL, 0))
    if cut is None:
        return True
    record = line[: cut.end(1)] + b"}"
    return hashlib.sha256(record).hexdigest().startswith(cut[2].decode())
