"""Random ids, of which many are made at once: to ask the system costs more than to make one."""

from collections.abc import Callable
from secrets import token_hex
from typing import Final

_AT_ONCE: Final = 64
_DIGITS: Final = 32


class Drawn:
    """Ids that nobody can guess: at each call another, as `form` writes 32 hexadecimal digits."""

    def __init__(self, form: Callable[[str], str]) -> None:
        self._form = form
        self._made: list[str] = []

    def __call__(self) -> str:
        """A new id."""
        if not self._made:
            digits = token_hex(_AT_ONCE * _DIGITS // 2)
            starts = range(0, len(digits), _DIGITS)
            self._made = [self._form(digits[at : at + _DIGITS]) for at in starts]
        return self._made.pop()


new_exchange_id: Final = Drawn("ex_{}".format)
