"""Keeps the key that was put on a call from coming back in what the gateway answers.

Promise 2 goes before promise 6: where an answer repeats the key, asterisks take its place, as many
as it has bytes, so that lengths and framing stay as they were. All else passes as it came.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from foxora_addon.policy.key_forms import SHORTEST

_WIDE: Final = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")


@lru_cache(maxsize=256)
def mask_forms_of(key: str | None) -> tuple[bytes, ...]:
    """The ways in which a body may have a key: as it is, or as JSON writes it. Mostly one.

    Fewer than redaction knows (`key_forms`): each is looked for in all that a gateway answers.
    """
    if key is None or len(key) < SHORTEST:
        return ()
    escaped = json.dumps(key)[1:-1]
    texts = (key, escaped, json.dumps(key, ensure_ascii=False)[1:-1], escaped.replace("/", "\\/"))
    encoded = dict.fromkeys(text.encode("utf-8", "surrogateescape") for text in texts)
    return tuple(sorted(encoded, key=len, reverse=True))


def masked(data: bytes, forms: Sequence[bytes]) -> bytes:
    """The same bytes, and the very same object, unless a key stands in them.

    It may also stand there in UTF-16 or UTF-32, which have NULs between ASCII.
    """
    for form in forms:
        if data.find(form) >= 0:  # `in` takes four times as long: it looks for a number first
            data = data.replace(form, b"*" * len(form))
    if data.find(b"\0") >= 0:
        for form, asterisks in _wide_of(tuple(forms)).items():
            if data.find(form) >= 0:
                data = data.replace(form, asterisks)
    return data


@lru_cache(maxsize=256)
def _wide_of(forms: tuple[bytes, ...]) -> Mapping[bytes, bytes]:
    """The forms in UTF-32 and UTF-16, the longest first, with asterisks that are as long.

    They begin and end with what is no NUL, so that a key is whole with its last letter: the NULs
    after that one may come later, or never.
    """
    texts = [form.decode("utf-8", "surrogateescape") for form in forms]
    wide: dict[bytes, bytes] = {}
    for codec in _WIDE:
        for text in texts:
            form, asterisk = text.encode(codec, "surrogatepass"), "*".encode(codec)
            first, end = len(form) - len(form.lstrip(b"\0")), len(form.rstrip(b"\0"))
            wide[form[first:end]] = (asterisk * (len(form) // len(asterisk)))[first:end]
    return dict(sorted(wide.items(), key=lambda each: len(each[0]), reverse=True))


@lru_cache(maxsize=256)
def _inside_of(forms: tuple[bytes, ...]) -> frozenset[int]:
    """The bytes at which the beginning of a key may end."""
    return frozenset(b"".join(form[:-1] for form in (*forms, *_wide_of(forms))))


class Mask:
    """Masks a key in a body that passes in pieces, cut anywhere.

    It holds back the end of a piece only where that may be the beginning of the key: never more
    than that is long, and nothing where a piece ends as events do.
    """

    def __init__(self, forms: Sequence[bytes]) -> None:
        self._forms = tuple(forms)
        self._inside = _inside_of(self._forms)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those that may pass by now."""
        if self._held:
            data = self._held + data
            self._held = b""
        data = masked(data, self._forms)
        if data and data[-1] in self._inside and (size := self._beginning_at_the_end_of(data)):
            self._held = data[-size:]
            return data[:-size]
        return data

    def end(self) -> bytes:
        """The body is over: what was held back is no key."""
        held, self._held = self._held, b""
        return held

    def _beginning_at_the_end_of(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of a key; 0: none."""
        forms: Sequence[bytes] = self._forms
        longest = max(map(len, forms), default=0)
        if data.find(b"\0", -longest) >= 0:
            forms = (*_wide_of(self._forms), *forms)
            longest = max(map(len, forms))
        for size in range(min(longest - 1, len(data)), 0, -1):
            end = data[-size:]
            if any(len(form) > size and form.startswith(end) for form in forms):
                return size
        return 0
