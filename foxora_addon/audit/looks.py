r"""What credentials and personal data look like: the presets of redaction, and own patterns.

Each rule names a text without which its pattern can't match, so that a text of a few kilobytes
costs microseconds where nothing is to be found. Every repetition is bounded, or of one class that
what follows is not in; and what a long one has read for nothing is passed over, for it may be full
of beginnings: linear time. Own patterns run on RE2, of which each search is linear by construction;
one that reads on far beyond what it matches is searched for anew behind each match.

A match begins at a word's beginning, and that is also behind an escape of JSON: in `"a\nsk-..."`
the n belongs to the line break, not to the key.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from foxora_addon.audit.addresses import Addresses
from foxora_addon.audit.pattern import Linear

REDACTED: Final = "[redacted]"


class Rule(NamedTuple):
    """Replaces what `pattern` finds, in texts that have one of `needles`, or in all without any.

    Where it `folds`, needles are in lower case and looked for in any. A pattern that is a text is
    compiled when it is first run. `shape` is one of RE2's, which finds something in every ASCII
    text in which `pattern` does: it takes a tenth of the time.
    """

    needles: tuple[str, ...]
    pattern: Any
    replacement: str | Callable[[re.Match[str]], str]
    folds: bool = False
    shape: str | None = None

    def applied(self, text: str) -> str:
        """The text without what the rule finds; that very text where it finds nothing."""
        pattern = _regex(self.pattern) if isinstance(self.pattern, str) else self.pattern
        found: str = pattern.sub(self.replacement, text)
        return text if found == text else found

    def may_find_in(self, data: bytes) -> bool:
        """Whether it may find something in a text that is ASCII; no means surely not."""
        return self.shape is None or _linear(self.shape).is_in(data)


_linear: Final = cache(Linear)
_regex: Final = cache(re.compile)


def _begins_a_word(literal: str) -> str:
    """That a literal that was just matched stands at the beginning of a word."""
    escapes = (r"\\[nrtbf]", r"\\u[0-9A-Fa-f]{4}")
    behind = "|".join(f"(?<={escape}{literal})" for escape in escapes)
    return rf"{literal}(?:{behind}|(?<![A-Za-z0-9_]{literal}))"


def _credential(
    literal: str, rest: str, replacement: str | Callable[[re.Match[str]], str] = REDACTED
) -> Rule:
    return Rule((literal,), _begins_a_word(re.escape(literal)) + rest, replacement)


_NO_SLUG: Final = re.compile(r"[A-Z0-9]")
_NO_WORD: Final = re.compile(r"[0-9=+_]|[a-z][A-Z]|.{20}")
_NAME_OF_KEY: Final = re.compile("(?i)api[-_]?key|access_token")
_PRODUCT: Final = re.compile(r"[A-Z]?[a-z]+[A-Z](?:[a-z]+|[A-Z]{1,2})")  # JavaScript, PostgreSQL


def _unless_slug(match: re.Match[str]) -> str:
    """Spares names of styles and tables that begin as keys do, such as `sk-fading-circle`."""
    return REDACTED if _NO_SLUG.search(match[0]) else match[0]


def _if_whole(match: re.Match[str]) -> str:
    """Spares the first part of a JWT that has no other; what begins within it would have none."""
    return match[0] if match["rest"] is None else REDACTED


def _unless_word(match: re.Match[str]) -> str:
    """Spares a word behind what is one too.

    What is quoted is none, nor what stands behind a scheme that a header's name is before, or
    behind a name that only a key has.
    """
    value = match["value"]
    is_word = _NO_WORD.search(value) is None or _PRODUCT.fullmatch(value) is not None
    is_sure = match["sure"] is not None or _NAME_OF_KEY.search(match["name"]) is not None
    return match[0] if is_word and not is_sure else match["name"] + REDACTED


_FIRST_OF_WORD: Final = r"(?:(?<=\\[nrt].)|(?<=\\u[0-9A-Fa-f]{4}.)|(?<![A-Za-z0-9_].))"
_VALUE: Final = r"(?P<value>[A-Za-z0-9._~+/=%-]{8,4096})"
_KEY: Final = r"[A-Za-z0-9_-]{16,512}"
_SECRETS: Final = (
    *(  # OpenAI, Anthropic, ...
        _credential(literal, _KEY, _unless_slug) for literal in ("sk-", "rk-", "pk-", "ek_")
    ),
    _credential("foxora_", r"[sp]k_[A-Za-z0-9_-]{4,512}"),
    _credential(  # a JWT, or else as much as no JWT can begin in
        "eyJ",
        r"[A-Za-z0-9_-]{8,}+(?P<rest>\.[A-Za-z0-9_-]{8,8192}+\.[A-Za-z0-9_-]{0,4096})?",
        _if_whole,
    ),
    *(_credential(literal, r"[A-Z0-9]{16}(?![A-Z0-9])") for literal in ("AKIA", "ASIA")),
    *(_credential(f"gh{kind}_", r"[A-Za-z0-9]{30,255}") for kind in "pousr"),
    _credential("github_pat_", r"[A-Za-z0-9_]{30,255}"),
    _credential("AIza", r"[A-Za-z0-9_-]{30,60}"),
    _credential("xox", r"[abeoprs]-[A-Za-z0-9-]{10,255}"),
    _credential("gsk_", r"[A-Za-z0-9]{20,255}"),
    _credential("hf_", r"[A-Za-z0-9]{20,255}"),
    Rule(
        ("PRIVATE KEY-----",),
        (
            r'-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[^"\\-]|-(?!----)|\\{1,8}[nrt]){0,16384}'
            r"(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
        ),
        REDACTED,
    ),
    Rule(
        ("bearer ", "basic ", "key=", "api-key", "authorization"),
        (
            rf"""(?xi)
            (?P<name> (?-i:[abxABX?&])
              (?: (?<=[?&]) (?:api[-_]?key|key)=
              | {_FIRST_OF_WORD}
                (?: (?<=b)(?:earer|asic)\ {{1,4}}
                | (?:(?<=a)|(?<=x)-a)(?:pi-key|uthorization)[\\"']{{0,9}}:\ ?
                  (?P<sure> [\\"']{{0,9}}(?:bearer|basic)\ {{1,4}} | [\\"']{{1,9}} )?
                )
              )
            )
            {_VALUE}
            """
        ),
        _unless_word,
        folds=True,
    ),
    Rule(  # in any case, each of its needles would be many hints for the screen
        ("access_token=", "Access_Token=", "api_key", "apiKey", "apikey"),
        (
            rf"""(?x)
            (?P<name> [ax?&]
              (?: (?<=[?&]) [aA]ccess_[tT]oken=
              | {_FIRST_OF_WORD}
                (?:(?<=a)|(?<=x)[-_]a)pi(?:_k|[kK])ey[\\"']{{0,9}}:\ ?
                (?P<sure> [\\"']{{1,9}}(?:[Bb]earer\ {{1,4}})? )
              )
            )
            {_VALUE}
            """
        ),
        _unless_word,
    ),
)


_GAP: Final = r"(?:[ \u00a0-]|\\{1,4}u00[aA]0)"
"""Between the digits of a number: a no-break space too, as it is, or as JSON escapes it."""
_ASCII_GAP: Final = _GAP.replace(r"\u00a0", "")


def _checked(what: str, is_one: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
    """Replaces a match if its digits and letters are what they look like."""

    def replacement(match: re.Match[str]) -> str:
        plain = re.sub(_GAP, "", match[0])
        return f"[redacted:{what}]" if is_one(plain) else match[0]

    return replacement


def is_card_number(digits: str) -> bool:
    """Whether digits add up as those of payment cards do (Luhn, ISO/IEC 7812-1)."""
    values = [int(digit) for digit in reversed(digits)]
    doubled = [sum(divmod(2 * value, 10)) for value in values[1::2]]
    return 13 <= len(values) <= 19 and (sum(values[::2]) + sum(doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether a text adds up as an IBAN does (mod 97, ISO 13616)."""
    moved = text[4:] + text[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def _begins(*first: str) -> str:
    """That what was just matched, a pattern for each character of it, begins a word of an address.

    Python's engine looks quickly for a class of characters that a pattern begins with, and slowly
    for one that begins with a look behind.
    """
    literal = "".join(first)
    return rf"{literal}(?:(?<=\\[nrt]{literal})|(?<![A-Za-z0-9._%+\\-]{literal}))"


_PII: Final = (
    Rule(
        ("@",),
        Addresses(),
        "[redacted:email]",
    ),
    Rule(
        (),
        _begins("[A-Z]", "[A-Z]", r"\d", r"\d") + rf"(?:{_GAP}?[A-Z0-9]){{11,30}}(?![A-Za-z0-9])",
        _checked("iban", is_iban),
        shape=rf"[A-Z]{{2}}[0-9]{{2}}(?:{_ASCII_GAP}?[A-Z0-9]){{11}}",
    ),
    Rule(
        (),
        rf"[2-6](?<![0-9.][2-6])(?:{_GAP}?\d){{12,18}}(?![0-9])",
        _checked("card", is_card_number),
        shape=rf"(?:^|[^0-9.])[2-6](?:{_ASCII_GAP}?[0-9]){{12}}",
    ),
    Rule(("+",), r"\+[1-9](?:[ ./-]{0,2}\(?\d\)?){7,14}(?!\d)", "[redacted:phone]"),
    Rule(
        ("-", ".", " "),
        (
            r"[(\d](?<![\d.-][(\d])"
            r"(?:(?<=1)[ .-](?:\(\d{3}\) ?|\d{3}[ .-])|(?<=\()\d{3}\) ?|(?<=\d)\d{2}[ .-])"
            r"\d{3}[ .-]\d{4}(?![\d.-])"
        ),
        "[redacted:phone]",
        shape=r"(?:^|[^0-9.-])(?:1[ .-])?(?:\([0-9]{3}\) ?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}",
    ),
)

LOOKS: Final[Mapping[str, tuple[Rule, ...]]] = {"secrets": _SECRETS, "pii": _PII}
"""The rules of each preset."""


def rules_of(presets: Sequence[str], patterns: Sequence[tuple[str, str]] = ()) -> tuple[Rule, ...]:
    """The rules of presets, then those of own patterns, each given as its name and its pattern."""
    own = (Rule((), compiled(pattern), f"[redacted:{name}]") for name, pattern in patterns)
    return (*(rule for preset in presets for rule in LOOKS[preset]), *own)


def compiled(pattern: str) -> Linear:
    """An own pattern, each search of which is linear; raises ValueError with what is wrong.

    In RE2's syntax: without backreferences and lookarounds, which can't be matched in linear time.
    """
    try:
        found = Linear(pattern)
    except ValueError as error:
        raise ValueError(f"is no pattern of RE2: {error}") from None
    if found.is_in(b""):
        raise ValueError("matches the empty text, and so everywhere; have it match something")
    return found
