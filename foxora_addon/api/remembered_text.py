"""Remembers a figure of each text: of a conversation, all but the last message was there before.

Texts are known by Python's keyed hash of them, which is all that is kept: about 2 MB.
"""

from collections.abc import Callable
from typing import Final

_MOST_REMEMBERED: Final = 16_384


def remembering[Kind, Figure](
    figure_of: Callable[[str, Kind], Figure], shortest: int
) -> Callable[[str, Kind], Figure]:
    """Find the figure of each text and kind once; of texts of less than `shortest`, each time.

    Once there are too many, all are forgotten: it costs less than to know which came last. Large
    bodies are looked at in threads, to which each step here is one.
    """
    known: dict[tuple[int, int, Kind], Figure] = {}

    def remembered(text: str, kind: Kind) -> Figure:
        if len(text) < shortest:
            return figure_of(text, kind)
        key = hash(text), len(text), kind
        figure = known.get(key)
        if figure is None:
            figure = figure_of(text, kind)
            if len(known) >= _MOST_REMEMBERED:
                known.clear()
            known[key] = figure
        return figure

    return remembered
