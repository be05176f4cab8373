"""What a person is told of a body that holds no readable message, and how foreign text is cleaned.

Foreign bytes reach a client's message only through `one_line`: one bounded line, never a page.
"""

import html
import re
from typing import Final

_LONGEST_TITLE: Final = 100
# Enough for any error page's head; keeps the searches below cheap.
_EXAMINED: Final = 65_536

# Control characters, line and paragraph separators, and those that turn the writing direction.
_BREAKS: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u2028-\u202e\u2066-\u2069\ufeff]+")
_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")
_UNREADABLE: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufffd]")
_HTML: Final = re.compile(r"<(?:!doctype|html|head|body)\b", re.IGNORECASE)
# An object, or a list of what errors are listed as; "[WARN] overloaded" is neither.
_JSON: Final = re.compile(r"\{|\[ ?[\[{\"]")
_TITLE: Final = re.compile(r"<(?:title|message)\b[^<>]{0,200}>([^<>]{1,200})</", re.IGNORECASE)


def one_line(text: str, longest: int) -> str:
    """Return `text` on one line of at most `longest` characters, free of control characters.

    Applied to its own result it changes nothing. May return an empty string.
    """
    line = _SURROGATES.sub("\ufffd", _BREAKS.sub(" ", text)).strip()
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def is_page(text: str) -> bool:
    """Tell whether `text` holds an HTML page, from its start or further on."""
    return _HTML.search(text, 0, _EXAMINED) is not None


def described(status: int, what: str) -> str:
    """Return the sentence that stands in for a message that the gateway did not give."""
    return f"The gateway answered {status} with {what}."


def message_of_text(status: int, text: str, longest: int) -> str:
    """Return the message of a body that is `text` and no JSON: its own words, if they are words."""
    line = one_line(text[:_EXAMINED], longest)
    if not line:
        return described(status, "an empty body")
    if is_page(text):
        return described(status, f"an HTML page instead of JSON{_title_of(text)}")
    if line.startswith("<"):
        return described(status, f"an XML document instead of JSON{_title_of(text)}")
    if _JSON.match(line):
        return described(status, "JSON that is malformed or cut short")
    if len(_UNREADABLE.findall(text[:_EXAMINED])) * 8 > len(line):
        return described(status, "a body that is not text")
    return line


def _title_of(markup: str) -> str:
    """Return ": TITLE" if the page or document has one that is plain text, else nothing."""
    found = _TITLE.search(markup, 0, _EXAMINED)
    title = one_line(html.unescape(found[1]), _LONGEST_TITLE).rstrip(".") if found else ""
    return f": {title}" if title and not set(title) & set("<>") else ""
