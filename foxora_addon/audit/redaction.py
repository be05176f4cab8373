"""Takes secrets out of text: the one choke point that every record and log line passes.

Known secrets go wherever they stand. What merely looks like a credential goes as well. What is put
in their place needs no escape in JSON.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from foxora_addon.audit.beginnings import Beginnings
from foxora_addon.audit.escapes import (
    has_url_escapes,
    without_half_escape,
    without_json_escapes,
    without_url_escapes,
)
from foxora_addon.audit.looks import REDACTED, rules_of
from foxora_addon.audit.screen import Heads, Screen
from foxora_addon.policy.key_forms import SHORTEST, forms_of, forms_of_one

_LONGEST_WORD: Final = 64
"""The names of models and the codes of errors come again and again."""

_LONG: Final = 4_096
"""Characters from which on one look at all of a text, which mostly is enough, is worth it."""

_MOST_WRITTEN: Final = 8
"""How many characters stand for one where each is escaped, in JSON within JSON."""

_WIDE: Final = re.compile(r"\0(?<=[ -~]\0)\0{0,2}(?:[ -~]\0{1,3}){6}")

_MUST_BE_ESCAPED: Final = re.compile(r'["\\\x00-\x1f]')

_WORD: Final = re.compile(r"[!-~]*")


def derive_fingerprint_key(account_keys: Iterable[str]) -> bytes:
    """The key of the fingerprints, from the accounts' keys: nothing more has to be kept.

    Equal client keys match across restarts for as long as the accounts' keys stay the same, and
    nobody without those can try guesses against a fingerprint.
    """
    digest = hashlib.sha256(b"foxora-addon fingerprint 1")
    for key in sorted(account_keys):
        digest.update(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest())
    return digest.digest()


class Scrub:
    """Redaction for one exchange: `Redactor.scrub` with the secrets of its client's own."""

    def __init__(self, redactor: "Redactor", also: tuple[str, ...]) -> None:
        self._redactor = redactor
        self._also = also

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        return self._redactor.scrub(text, self._also)

    def spares(self, line: bytes) -> bool:
        """Whether surely no text of a JSON object, which is given as JSON, has to be changed."""
        return self._redactor.spares(line, self._also)

    def of_beginning(self, text: str) -> str:
        """The same of a text that was cut off, maybe in the midst of a secret."""
        return self._redactor.without_cut_off(self(text), self._also)


class Redactor:
    """Redaction for one configuration.

    `secrets` are the accounts' keys, which always go. `presets` and `patterns` take out what only
    looks like something that should: see `looks.rules_of`.
    """

    def __init__(
        self,
        secrets: Iterable[str],
        *,
        presets: Sequence[str] = ("secrets",),
        patterns: Sequence[tuple[str, str]] = (),
    ) -> None:
        known = tuple(secrets)
        self._fingerprint_key = derive_fingerprint_key(known)
        self._known = forms_of(known)
        self._beginnings = Beginnings(self._known)
        self._fingerprint_of = lru_cache(maxsize=256)(self._new_fingerprint)
        signs = _signs_of(known)
        self._heads = None if signs is None else Heads(signs)
        self._keys_by_sign = {sign.encode("utf-8"): keys for sign, keys in (signs or {}).items()}
        # What is escaped may be a secret.
        looked_for = ("\\u00", *(self._heads.texts if self._heads else ()))
        self._screen = Screen(rules_of(presets, patterns), looked_for)
        self._glance = None if self._heads is None else self._screen.glance
        self._signs_beside_screen = lru_cache(maxsize=256)(self._new_signs_beside_screen)
        self._finds_words_alone = (
            set(presets) <= {"secrets"} and not patterns and all(map(_is_word, known))
        )
        self._scrub_word = lru_cache(maxsize=256)(self._scrubbed)

    def __repr__(self) -> str:
        return "Redactor(...)"

    def finds_words_alone(self, also: tuple[str, ...] = ()) -> bool:
        """Whether nothing that it takes out has a space in it, or other than ASCII."""
        return self._finds_words_alone and all(map(_is_word, also))

    def fingerprint(self, key: str) -> str:
        """A keyed fingerprint (HMAC-SHA-256, 64 bits): equal keys have equal ones."""
        return self._fingerprint_of(key)

    def _new_fingerprint(self, key: str) -> str:
        data = key.encode("utf-8", "surrogateescape")
        return "key:" + hmac.digest(self._fingerprint_key, data, "sha256").hex()[:16]

    def scrub(self, text: str, also: tuple[str, ...] = ()) -> str:
        """The text without secrets; `also` are those of one exchange, its client's own."""
        if len(text) <= _LONGEST_WORD:
            return self._scrub_word(text, also)
        return self._scrubbed(text, also)

    def _scrubbed(self, text: str, also: tuple[str, ...]) -> str:
        if len(text) >= _LONG and self._spares_text(text, also):
            return text
        text = self._scrubbed_as_it_is(text, also)
        if not _is_wide(text):
            return text
        narrow = text.replace("\0", "")
        scrubbed = self._scrubbed_as_it_is(narrow, also)
        return text if scrubbed == narrow else scrubbed

    def _scrubbed_as_it_is(self, text: str, also: tuple[str, ...]) -> str:
        text = self._scrubbed_as_json(text, also)
        unescaped = without_json_escapes(text)
        plain = without_url_escapes(unescaped)
        if plain is unescaped:
            return text
        scrubbed = self._scrubbed_as_json(plain, also)
        return text if scrubbed == plain else scrubbed

    def _scrubbed_as_json(self, text: str, also: tuple[str, ...]) -> str:
        plain = without_json_escapes(text)
        if plain is not text and (found := self._scrubbed_plain(plain, also)) != plain:
            return found
        return self._scrubbed_plain(text, also)

    def _scrubbed_plain(self, text: str, also: tuple[str, ...]) -> str:
        text = self.without_known(text, also)
        if len(text) < SHORTEST:
            return text
        return self._screen.applied(text)

    def spares(self, line: bytes, also: tuple[str, ...] = ()) -> bool:
        """Whether surely nothing has to be taken out of any text in a JSON object.

        `line` is the object as compact JSON that leaves all but ASCII as it is, in UTF-8. No means
        maybe.
        """
        signs = self._signs_beside_screen(also)
        if self._glance is None or signs is None or _holds_one(line, signs):
            return False
        return not (self._glance.is_in(line) or has_url_escapes(line))

    def _spares_text(self, text: str, also: tuple[str, ...]) -> bool:
        if self._glance is None:
            return False
        data = text.encode("utf-8", "surrogatepass")
        if not self.spares(data, also):
            return False
        return not _is_wide(text) or self.spares(data.replace(b"\0", b""), also)

    def _new_signs_beside_screen(self, secrets: tuple[str, ...]) -> tuple[bytes, ...] | None:
        """The signs of secrets that the screen does not find by itself, as it does `sk-...`."""
        signs = _signs_of(secrets)
        if signs is None:
            return None
        return tuple(sign.encode("utf-8") for sign in signs if not self._screen.finds(sign))

    def knows_nothing_in(self, text: bytes, also: tuple[str, ...] = ()) -> bool:
        """Whether surely no known secret stands in a text, given as UTF-8. No means maybe."""
        signs = _encoded_signs_of(also)
        if self._heads is None or signs is None or _holds_one(text, signs):
            return False
        return not (self._heads.needles.is_in(text) or text.find(b"\\u00") >= 0)

    def without_known(self, text: str, also: tuple[str, ...] = ()) -> str:
        """The text without the secrets that are known, whatever else looks like one."""
        if len(text) < SHORTEST:
            return text
        text = self._replaced(text, also)
        return self._unescaped(text, also) if "\\u00" in text else text

    def without_cut_off(self, text: str, also: tuple[str, ...] = ()) -> str:
        """The text without the beginning of a known secret at its end, of 8 characters or more."""
        narrow = text.replace("\0", "")
        beginnings = (_beginnings_of(also), self._beginnings)
        start = max(len(narrow) - _MOST_WRITTEN * max(each.longest for each in beginnings), 0)
        end = narrow[start:]
        unescaped = without_json_escapes(without_half_escape(end))
        for written in (end, unescaped, without_url_escapes(unescaped)):
            if size := max(each.at_end_of(written) for each in beginnings):
                return narrow[:start] + written[:-size] + REDACTED
        return text

    def _unescaped(self, text: str, also: tuple[str, ...]) -> str:
        """The text without JSON's needless escapes, if they hide a secret in it."""
        plain = without_json_escapes(text)
        replaced = self._replaced(plain, also)
        return text if replaced == plain else replaced

    def _replaced(self, text: str, also: tuple[str, ...]) -> str:
        forms = self._known_to_look_for(text)
        if also:
            own = forms_of(also)  # one may begin with the other: the longest go first
            forms = tuple(sorted((*forms, *own), key=len, reverse=True)) if forms else own
        for secret in forms:
            if secret in text:
                text = text.replace(secret, REDACTED)
        return text

    def _known_to_look_for(self, text: str) -> tuple[str, ...]:
        """The forms of the accounts' keys that may be in the text; as a rule there are none."""
        if self._heads is None:
            return self._known
        data = text.encode("utf-8", "surrogatepass")
        if not self._heads.needles.is_in(data):
            return ()
        found = {key for sign in self._heads.signs_in(data) for key in self._keys_by_sign[sign]}
        return forms_of(tuple(sorted(found)))


def _holds_one(data: bytes, signs: Sequence[bytes]) -> bool:
    return max(map(data.find, signs), default=-1) >= 0


def _is_wide(text: str) -> bool:
    """Whether as much as a short secret in it may be UTF-16, or -32: ASCII with NULs in between."""
    return "\0" in text and _WIDE.search(text) is not None


def _signs_of(secrets: tuple[str, ...]) -> dict[str, list[str]] | None:
    """Without which none of the secrets can stand in a JSON text, in any form; None: can't be said.

    Each comes with the secrets that it is a sign of.

    Forms in which another of the same secret stands are not looked for. Of one that JSON has to
    escape, it is the longest part that stands there as it is.
    """
    signs: dict[str, list[str]] = {}
    for secret in secrets:
        parts = {_unescaped_part_of(form) for form in forms_of_one(secret)}
        if any(len(part) < SHORTEST or not _is_utf8(part) for part in parts):
            return None
        for part in parts:
            if not any(other in part for other in parts if other != part):
                signs.setdefault(part, []).append(secret)
    return signs


def _unescaped_part_of(form: str) -> str:
    if _MUST_BE_ESCAPED.search(form) is None:
        return form
    return max(_MUST_BE_ESCAPED.split(form), key=len)


def _is_word(secret: str) -> bool:
    return len(secret) < SHORTEST or _WORD.fullmatch(secret) is not None


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=256)
def _encoded_signs_of(secrets: tuple[str, ...]) -> tuple[bytes, ...] | None:
    signs = _signs_of(secrets)
    return None if signs is None else tuple(sign.encode("utf-8") for sign in signs)


@lru_cache(maxsize=256)
def _beginnings_of(secrets: tuple[str, ...]) -> Beginnings:
    return Beginnings(forms_of(secrets))
