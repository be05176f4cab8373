"""What the text of a key tells: its digest, whether a header can hold it, whose it may be.

Nothing is verified here: a signature is the gateway's to check. Every function is total, since the
texts come from whoever calls.
"""

import base64
import hashlib
import json
import re
from collections.abc import Collection
from typing import Final

_SENDABLE: Final = re.compile(r"[\x21-\x7e]{1,8192}")
_JWT: Final = re.compile(r"[A-Za-z0-9_-]{1,2048}\.([A-Za-z0-9_-]{1,8192})\.[A-Za-z0-9_-]{1,2048}")

_SHORTEST_LOOK: Final = 16
_MIXED: Final = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{8}")


def key_digest(key: str) -> str:
    """Return the SHA-256 of a key's bytes, in lower-case hex."""
    try:
        raw = key.encode("utf-8", "surrogateescape")  # as the bytes stood in the header
    except UnicodeEncodeError:
        raw = key.encode("utf-8", "surrogatepass")
    return hashlib.sha256(raw).hexdigest()


def is_sendable(key: str) -> bool:
    """Say whether a key can stand in a header as it is: visible ASCII, of a bounded length.

    A key from a query string may hold a line break, which in a header would begin another one.
    """
    return _SENDABLE.fullmatch(key) is not None


def looks_like_key(text: str) -> bool:
    """Say whether a text that may be anything looks like a secret: letters and digits at random.

    Names of models, dates and versions have digits too, but in short words.
    """
    return len(text) >= _SHORTEST_LOOK and _MIXED.search(text) is not None


def is_foxora_key(key: str, jwt_issuers: Collection[str]) -> bool:
    """Say whether a key is Foxora's own: a system key, or a JWT of a listed issuer.

    foxora-api.md, Base and conventions. The JWT of any other issuer is somebody else's secret.
    """
    if not is_sendable(key):
        return False
    return key.startswith("foxora_sk_") or issuer_of(key) in jwt_issuers


def issuer_of(token: str) -> str | None:
    """Return the unverified `iss` of a JWT (RFC 7519, 4.1.1); None where there is none."""
    match = _JWT.fullmatch(token)
    if match is None:
        return None
    try:
        payload = json.loads(base64.urlsafe_b64decode(match[1] + "===").decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    issuer = payload.get("iss") if isinstance(payload, dict) else None
    return issuer if isinstance(issuer, str) else None
