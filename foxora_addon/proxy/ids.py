"""Random ids, for which the system is asked for many at once: to be asked costs more than an id."""

from collections.abc import Callable
from secrets import token_hex
from typing import Final

_AT_ONCE: Final = 64
_DIGITS: Final = 32


class Drawn:
    """Ids that nobody can guess: at each call another, as `form` writes 32 hexadecimal digits."""

    def __init__(self, form: Callable[[str], str]) -> None:
        self._form = form
        self._drawn: list[str] = []

    def __call__(self) -> str:
        """A new id."""
        if not self._drawn:
            digits = token_hex(_AT_ONCE * _DIGITS // 2)
            self._drawn = [digits[at : at + _DIGITS] for at in range(0, len(digits), _DIGITS)]
        return self._form(self._drawn.pop())


new_exchange_id: Final = Drawn("ex_{}".format)
