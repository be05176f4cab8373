"""Has the list of mitmproxy's console show comments, for which it has no column.

A row has its comment at the right where the terminal is wide enough, or room for it: so the rows of
calls that are still open stand in line with the others. Narrow ones stay as they are.
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

    def get_text(row: Any) -> Any:
        drawn = original(row)
        columns, _ = row.master.ui.get_cols_rows()
        width = min(columns - _ROW, _LONGEST)
        if width < _SHORTEST:
            return drawn
        text = row.flow.comment
        comment = common.TruncatedText(text, [("text", len(text.encode()))], "left")
        return urwid.Columns([("weight", 1, drawn), (width, comment)], dividechars=1)

    item._foxora_original = original  # noqa: SLF001
    item.get_text = get_text
