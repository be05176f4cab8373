"""Makes values fit to be seen: short, with units, and unable to command a terminal."""

import re
from math import floor, inf, log10
from typing import Final

_UNSEEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


_LEAST_USD: Final = 5e-7  # less would be written as nothing


def visible(text: str) -> str:
    r"""The text with control and direction characters written out, so that none acts: \x1b.

    What a model or a client wrote must not move the cursor or change a title. Tabs and line breaks
    stay; lone surrogates, which no output can encode, are written out too.
    """
    plain = _UNSEEN.sub(_written_out, text.replace("\r\n", "\n"))
    return plain.encode("utf-8", "backslashreplace").decode("utf-8")


def visible_json(text: str) -> str:
    """The same JSON with the same characters escaped: they can stand in its texts alone."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def one_line(text: str | None, longest: int | None = None) -> str:
    """A text for a cell: on one line, cut with an ellipsis; "-" for none."""
    if text and text.isascii() and text.isprintable() and " " not in text:
        flat = text  # as names and codes are: nothing to be written out, or put on one line
    else:
        flat = " ".join(visible(text or "").split())
    if longest is not None and len(flat) > longest:
        flat = flat[: longest - 1] + "…"
    return flat or "-"


def duration_text(milliseconds: float | None) -> str:
    """0.4ms, 12ms, 1.24s, 2m03s; "-" for none."""
    if milliseconds is None:
        return "-"
    if milliseconds < 999.5:
        return f"{milliseconds:.1f}ms" if 0 < milliseconds < 9.95 else f"{milliseconds:.0f}ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.2f}s"
    return f"{int(seconds // 60)}m{int(seconds % 60):02}s"


def count_text(count: float | None) -> str:
    """A whole number with its thousands set apart; "-" for none."""
    return "-" if count is None else f"{count:,.0f}"


def cost_text(usd: float | None) -> str:
    """US dollars, with as many digits as say something; "-" for none."""
    if usd is None:
        return "-"
    if 0 < usd < _LEAST_USD:
        return "<$0.000001"
    return f"${usd:,.2f}" if usd == 0 or abs(usd) >= 100 else f"${usd:,.6f}"


def brief_count(count: int) -> str:
    """A count in a few letters: 999, 12k, 1.2M."""
    if count < 1_000:
        return str(count)
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if count >= 10 * unit:
            return f"{count // unit}{name}"
        if count >= unit > 1_000:
            return f"{count / unit:.1f}{name}"
    return str(count)


def brief_cost(usd: float) -> str:
    """US dollars in two digits that say something, or in cents: $0.00025, $12.40.

    Every call is told so, and floats are written in a quarter of the time that decimals take.
    """
    if not 1e-12 < usd < inf:
        return "$0.00"
    whole, _, fraction = f"{usd:.{max(2, 1 - floor(log10(usd)))}f}".partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def size_text(size: int) -> str:
    """A size in bytes, kB or MB."""
    if size < 1_000:
        return f"{size} bytes"
    return f"{size / 1_000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"
