"""How far mitmproxy is to be sped up, as the operator says."""

import enum
from typing import Final

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


class Speed(enum.Enum):
    """How far mitmproxy is sped up: not at all, where nobody can see it, or wherever we can."""

    NONE = enum.auto()
    UNSEEN = enum.auto()
    ALL = enum.auto()


def wanted(option: str, variable: str, *, default: Speed) -> Speed:
    """How far it is wanted: the option over the environment variable over the default.

    Raises ValueError, with one line for the operator.
    """
    for value, what in ((option, "option foxora_fast"), (variable, "FOXORA_FAST")):
        word = value.strip().lower()
        if word in _TRUE:
            return Speed.ALL
        if word in _FALSE:
            return Speed.NONE
        if word:
            raise ValueError(f"{what}: '{value}' is neither true nor false")
    return default
