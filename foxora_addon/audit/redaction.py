"""Takes secrets out of text: the one choke point that every record and log line passes.

Known secrets go wherever they stand. What merely looks like a credential goes as well. What is put
in their place needs no escape in JSON.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote

REDACTED: Final = "[redacted]"

_SHORTEST: Final = 8
"""Shorter secrets are not looked for: 'test' as a key would black out half a conversation."""

# Every repetition is bounded or of one class that what follows is not in: linear time.
_CREDENTIALS: Final = re.compile(
    r"""(?x)
    \b(?:sk|rk|pk)-[A-Za-z0-9_-]{16,512}                   # OpenAI, Anthropic, OpenRouter, ...
    | \bfoxora_(?:sk|pk)_[A-Za-z0-9_-]{4,512}
    | \beyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{0,4096}    # JWT
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | \bgh[pousr]_[A-Za-z0-9]{30,255}
    | \bgithub_pat_[A-Za-z0-9_]{30,255}
    | \bAIza[A-Za-z0-9_-]{30,60}
    | \bxox[abeoprs]-[A-Za-z0-9-]{10,255}
    | \bgsk_[A-Za-z0-9]{20,255}
    | \bhf_[A-Za-z0-9]{20,255}
    | -----BEGIN\ [A-Z ]{0,40}PRIVATE\ KEY-----(?:[^"\\-]|-(?!----)|\\{1,8}[nrt]){0,16384}
      (?:-----END\ [A-Z ]{0,40}PRIVATE\ KEY-----)?
    """
)
_AFTER_A_NAME: Final = re.compile(
    r"""(?xi)
    ( \b(?:bearer|basic)\ {1,4}
    | [?&](?:api[-_]?key|key|access_token)=
    | \b(?:api-key|x-api-key|authorization)"?:\ ?"?(?:bearer\ {1,4}|basic\ {1,4})?
    )
    ( [A-Za-z0-9._~+/=%-]{8,4096} )
    """
)
_PREFILTER: Final = re.compile(
    r"(?i)sk-|rk-|pk-|_sk_|_pk_|eyJ|AKIA|ASIA|gh[pousr]_|github_pat|AIza|xox|gsk_|hf_|-----BEGIN"
    r"|bearer|basic|key|authorization|access_token"
)


def derive_fingerprint_key(account_keys: Iterable[str]) -> bytes:
    """The key of the fingerprints, from the accounts' keys: nothing more has to be kept.

    Equal client keys match across restarts for as long as the accounts' keys stay the same, and
    nobody without those can try guesses against a fingerprint.
    """
    digest = hashlib.sha256(b"foxora-addon fingerprint 1")
    for key in sorted(account_keys):
        digest.update(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest())
    return digest.digest()


class Redactor:
    """Redaction for one configuration.

    `secrets` are the accounts' keys, which always go; `by_looks` takes out what looks like one too.
    """

    def __init__(self, secrets: Iterable[str], *, by_looks: bool = True) -> None:
        known = tuple(secrets)
        self._fingerprint_key = derive_fingerprint_key(known)
        self._known = _forms_of(known)
        self._by_looks = by_looks

    def __repr__(self) -> str:
        return "Redactor(...)"

    def fingerprint(self, key: str) -> str:
        """A keyed fingerprint (HMAC-SHA-256, 64 bits): equal keys have equal ones."""
        data = key.encode("utf-8", "surrogateescape")
        return "key:" + hmac.new(self._fingerprint_key, data, "sha256").hexdigest()[:16]

    def scrub(self, text: str, also: Sequence[str] = ()) -> str:
        """The text without secrets; `also` are those of one exchange, its client's own."""
        text = self.without_known(text, also)
        if not self._by_looks or _PREFILTER.search(text) is None:
            return text
        text = _CREDENTIALS.sub(REDACTED, text)
        return _AFTER_A_NAME.sub(_keep_name, text)

    def without_known(self, text: str, also: Sequence[str] = ()) -> str:
        """The text without the secrets that are known, whatever else looks like one."""
        for secret in (*self._known, *(_forms_of(tuple(also)) if also else ())):
            if secret in text:
                text = text.replace(secret, REDACTED)
        return text


def _keep_name(match: re.Match[str]) -> str:
    return match[1] + REDACTED


@lru_cache(maxsize=256)  # asked for at every text of a record, with the same few keys
def _forms_of(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """The ways in which secrets may be written, the longest first."""
    forms: set[str] = set()
    for secret in secrets:
        if len(secret) < _SHORTEST:
            continue
        data = secret.encode("utf-8", "surrogateescape")
        forms |= {
            secret,
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            quote(data, safe=""),
            base64.b64encode(data).decode("ascii"),
            base64.b64encode(b":" + data).decode("ascii"),
            base64.b64encode(data + b":").decode("ascii"),
            *_inside_base64(data),
        }
    return tuple(sorted(forms, key=len, reverse=True))


def _inside_base64(data: bytes) -> Iterable[str]:
    """What every base64 text has in it that holds these bytes, at each of the three alignments."""
    for lead, first in ((0, 0), (1, 2), (2, 3)):
        text = base64.b64encode(bytes(lead) + data).decode("ascii")
        yield text[first : (lead + len(data)) * 8 // 6]
