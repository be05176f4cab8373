"""Patterns that are matched in linear time, whatever they are and whatever is read: those of RE2.

The only importer of RE2. Python's own engine takes exponential time over some patterns.
"""

from typing import Final

AMPLE_BYTES: Final = 1 << 28
"""What RE2 may take for very many texts, of which it takes 25 MB for 2,000 keys."""


class Linear:
    """A pattern in RE2's syntax; raises ValueError with what is wrong in it.

    It takes up to `most_bytes` of memory, where that is more than RE2's own 8 MiB: with less than
    it needs it is a hundred times slower.
    """

    def __init__(self, pattern: str, most_bytes: int | None = None) -> None:
        import re2  # noqa: PLC0415  # a large import, and mostly nothing is to be matched

        options = re2.Options()
        if most_bytes is not None:
            options.max_mem = most_bytes
        options.log_errors = False
        try:
            self._pattern: Final = re2.compile(pattern.encode("utf-8"), options)
        except re2.error as error:
            why = error.args[0]
            text = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
            raise ValueError(text) from None
        except UnicodeEncodeError:
            raise ValueError("it is not UTF-8") from None

    def is_in(self, data: bytes) -> bool:
        """Whether it is found in a text, given as UTF-8."""
        return self._pattern.search(data) is not None

    def first_in(self, data: bytes, start: int) -> tuple[int, bytes] | None:
        """Where it is found first from a place on in a text, given as UTF-8, and what is there."""
        found = self._pattern.search(data, start)
        return None if found is None else (found.start(), found.group())

    def sub(self, replacement: str, text: str) -> str:
        """The text with another in place of all that is found, as it is if nothing is.

        Half a character, which UTF-8 can't say, is a question mark to it.
        """
        data, put = text.encode("utf-8", "replace"), replacement.encode()
        found: tuple[bytes, int] = self._pattern.subn(lambda _: put, data)
        return found[0].decode() if found[1] else text


def literal(text: str) -> str:
    """The pattern that means a text, and nothing else."""
    import re2  # noqa: PLC0415  # as above

    escaped: str = re2.escape(text)
    return escaped
