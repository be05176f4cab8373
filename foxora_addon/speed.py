"""Whether mitmproxy is to be sped up, as the operator says."""

from typing import Final

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


def wanted(option: str, variable: str, *, default: bool) -> bool:
    """Whether speed-ups are wanted: the option over the environment variable over the default.

    Raises ValueError, with one line for the operator.
    """
    for value, what in ((option, "option foxora_fast"), (variable, "FOXORA_FAST")):
        word = value.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        if word:
            raise ValueError(f"{what}: '{value}' is neither true nor false")
    return default
