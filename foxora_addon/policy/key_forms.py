"""The ways in which a secret may be written: as it is, in JSON, in a URL, in base64."""

import base64
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import quote

SHORTEST: Final = 8
"""Shorter secrets are not looked for: 'test' as a key would black out half a conversation."""

_QUOTED: Final = re.compile(r"%[0-9A-F]{2}")
_FOR_URLS: Final = str.maketrans("+/", "-_")


@lru_cache(maxsize=256)  # asked for at every text of a record, with the same few keys
def forms_of(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """The ways in which secrets may be written, the longest first."""
    forms = {form for secret in secrets for form in forms_of_one(secret)}
    return tuple(sorted(forms, key=len, reverse=True))


def forms_of_one(secret: str) -> set[str]:
    """The ways in which a secret may be written; none of one that is too short to be looked for."""
    if len(secret) < SHORTEST:
        return set()
    data = secret.encode("utf-8", "surrogateescape")
    in_base64 = (
        base64.b64encode(data).decode("ascii"),
        base64.b64encode(b":" + data).decode("ascii"),
        base64.b64encode(data + b":").decode("ascii"),
        *_inside_base64(data),
    )
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(secret)[1:-1].replace("/", "\\/"),  # as PHP writes it
        *_quoted(data),
        *in_base64,
        *(text.translate(_FOR_URLS) for text in in_base64),
    }


def _quoted(data: bytes) -> Iterable[str]:
    """The ways in which bytes stand in a URL: that of RFC 3986, of browsers, and of a path.

    The first two also with `@` and `+` as they are, which redaction has undone.
    """
    for safe in ("", "!'()*", "/", "@+", "@+!'()*"):
        text = quote(data, safe=safe)
        yield text
        yield _QUOTED.sub(lambda match: match[0].lower(), text)


def _inside_base64(data: bytes) -> Iterable[str]:
    """What every base64 text has in it that holds these bytes, at each of the three alignments."""
    for lead, first in ((0, 0), (1, 2), (2, 3)):
        text = base64.b64encode(bytes(lead) + data).decode("ascii")
        yield text[first : (lead + len(data)) * 8 // 6]
