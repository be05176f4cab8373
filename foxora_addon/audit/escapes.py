"""Undoes the escapes that nobody needs, of JSON and of URLs: what is left means the very same.

A text that is all ASCII may have them anywhere, and a secret that has one in it is still that
secret.
"""

import re
from typing import Final

_IN_JSON: Final = re.compile(
    r"\\(?<!\\\\)\\*+(?:u00(2[013-9a-fA-F]|[346][0-9a-fA-F]|5[0-9abdefABDEF]|7[0-9a-eA-E])|/)"
)
"""ASCII that needs no escape in JSON, and yet may have one: all but controls, quote, backslash.

.NET has one for each plus, PHP for each slash. In JSON within JSON there are more backslashes: all
of them are taken in one go, and none a second time, since a text of backslashes is soon written.
What a pattern begins with is what Python can look for quickly, so it looks behind after that.
"""

_IN_URL: Final = (
    "%(?:25)*+(?:(2[bBdDeE]|3[0-9]|4[0-9a-fA-F]|6[1-9a-fA-F]|[57][0-9aA]|5[fF]|7[eE])"
    "|(?<=25)(?=[2-7][0-9a-fA-F]))"
)
"""What needs no escape in a URL (RFC 3986, 2.3): letters, digits, `-._~`. And an escaped escape.

So are `@` and `+`, which clients do escape: else no address and no telephone number is found.

In a URL within a URL, each escape has a 25 for the percent sign of its own: all are taken in one
go.
"""
_IN_URL_TEXT: Final = re.compile(_IN_URL)
_IN_URL_DATA: Final = re.compile(_IN_URL.encode())

_CUT: Final = re.compile(r"(?:(?<!\\)\\++(?:u[0-9a-fA-F]{0,3})?|%(?:25)*[0-9a-fA-F]?)\Z")


def without_json_escapes(text: str) -> str:
    """The same without JSON's needless escapes; that very text where it has none."""
    if "\\u00" not in text and "\\/" not in text:
        return text
    plain, count = _IN_JSON.subn(lambda match: _sign_of(match[1]) or "/", text)
    return plain if count else text


def without_url_escapes(text: str) -> str:
    """The same without a URL's needless escapes; that very text where it has none."""
    if "%" not in text:
        return text
    plain, count = _IN_URL_TEXT.subn(lambda match: _sign_of(match[1]) or "%", text)
    return plain if count else text


def has_url_escapes(data: bytes) -> bool:
    """Whether a text, given as UTF-8, has such."""
    return data.find(b"%") >= 0 and _IN_URL_DATA.search(data) is not None


def without_half_escape(text: str) -> str:
    """The same without the beginning of an escape at its end."""
    return _CUT.sub("", text)


def _sign_of(code: str | None) -> str:
    return chr(int(code, 16)) if code else ""
