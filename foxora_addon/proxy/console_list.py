"""Has the list of mitmproxy's console show comments, for which it has no column.

A row has its comment at the right where the terminal is wide enough, or room for it: so the rows of
calls that are still open stand in line with the others. Narrow ones stay as they are. The console
makes a row once, and draws it anew in a terminal that has become wider or narrower.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

_log = logging.getLogger(__name__)

_ROW: Final = 100
"""What a row needs by itself: below it the console shows two lines a flow."""
_SHORTEST, _LONGEST = 20, 60


def show_comments() -> None:
    """Replace what draws a row; its imports are large, and only the console has them already."""
    import urwid  # noqa: PLC0415
    from mitmproxy.tools.console import common, flowlist  # noqa: PLC0415

    item: Any = getattr(flowlist, "FlowItem", None)
    if hasattr(item, "_foxora_original"):
        return
    if not hasattr(item, "get_text") or not hasattr(common, "TruncatedText"):
        _log.info("foxora: this console's list can't show comments; they are in a flow's detail")
        return
    original: Callable[[Any], Any] = item.get_text

    class Commented(urwid.Widget):
        """A row and its comment, side by side where there is room for both."""

        _sizing = frozenset([urwid.FLOW])

        def __init__(self, row: Any, text: str) -> None:
            super().__init__()
            self._row = row
            self._comment = common.TruncatedText(text, [("text", len(text.encode()))], "left")

        def rows(self, size: Any, focus: bool = False) -> Any:  # noqa: FBT001, FBT002  # urwid's
            return self._in(size).rows(size, focus)

        def render(self, size: Any, focus: bool = False) -> Any:  # noqa: FBT001, FBT002  # urwid's
            return urwid.CompositeCanvas(self._in(size).render(size, focus))

        def _in(self, size: Any) -> Any:
            width = min(size[0] - _ROW, _LONGEST)
            if width < _SHORTEST:
                return self._row
            pair: Any = [("weight", 1, self._row), (width, self._comment)]
            return urwid.Columns(pair, dividechars=1)

    item._foxora_original = original  # noqa: SLF001
    item.get_text = lambda row: Commented(original(row), row.flow.comment)
