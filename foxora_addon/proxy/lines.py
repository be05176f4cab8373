"""mitmdump's output for our exchanges: one readable line each, as it closes.

mitmdump's own lines stay for all other traffic. Whoever wants another `flow_detail` than the usual
1 (by -v, -q or by its name) gets mitmdump's own output for everything instead.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import IO, Any, Final

from mitmproxy import ctx, http

from foxora_addon.ending import Ending
from foxora_addon.proxy.flows import is_loaded, is_ours
from foxora_addon.proxy.option_reading import FromOptions
from foxora_addon.proxy.outlet import Outlet, Promptly, has_room
from foxora_addon.reading.columns import GAP, Column, cell_in, columns_of, fitted

_GREEN, _YELLOW, _RED, _DIM = "32", "33", "31", "2"
_COLOURS: Final[Mapping[str, str]] = {"completed": _GREEN, "refused": _YELLOW}
_USUAL_DETAIL: Final = 1  # mitmdump's default
_LONGEST_TEXT: Final = 64
_LAST_SECONDS: Final = 1.0
_HEAD_OF_ID: Final = 11
"""`ex_` and eight hexadecimal digits, by which an exchange can be found in the trail."""
_COLUMNS: Final = (
    Column("time", 8, 8),
    Column("account", 8, 16, rank=2),
    Column("model", 16, 32, rank=1),
    Column("what", 22, 39),
    Column("tokens", 14, 18, rank=3, is_figure=True),
    Column("first", 14, 14, rank=5, is_figure=True),
    Column("duration", 8, 8, rank=1, is_figure=True),
    Column("exchange", _HEAD_OF_ID, _HEAD_OF_ID, rank=4),
)
_WHOLE: Final = (" " * GAP).join(
    f"%{'' if column.is_figure else '-'}{column.width}s" for column in _COLUMNS
)
"""How a line is put together where all of each cell is shown; in half of the time of `format`."""


class Lines:
    """Prints on `out`, which may stand still: no call does. `wall_clock` gives Unix seconds."""

    def __init__(
        self, out: IO[str] | None = None, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._out = out
        self._wall_clock = wall_clock
        self._dumper: Any = None
        self._outlet: Outlet | None = None

    def take_over(self, dumper: Any, log: Any) -> None:
        """Keep mitmdump's dumper silent about our flows, and its log about mere steps of a call.

        `dumper` is None in the other programs: nothing is printed there.
        """
        if dumper is None or self._dumper is dumper:
            return
        if log is not None:
            log.logger.addFilter(_is_no_mere_step)
        self._dumper = dumper
        original: Callable[[Any], bool] = dumper.match

        def match(flow: Any) -> bool:
            has_our_line = is_ours(flow) and _is_ours_to_print() and not is_loaded(flow)
            return not has_our_line and original(flow)

        dumper.match = match
        if _is_ours_to_print():
            self._lead(dumper, log)

    def _lead(self, dumper: Any, log: Any) -> None:
        """Have mitmdump's own lines and its log go our way, too.

        Else they would stand still, or lie in a buffer while ours pass them by.
        """
        outlet = self._outlet_now()
        if has_room(outlet.out):
            with contextlib.suppress(OSError, ValueError):
                outlet.out.flush()
        if getattr(dumper, "outfp", None) is outlet.out:
            dumper.outfp = outlet
        if log is None:
            return
        if getattr(log.logger, "file", None) is outlet.out:
            log.logger.file = Promptly(outlet)
        uninstall: Callable[[], None] = log.uninstall

        def uninstalled() -> None:
            uninstall()
            self.flush()  # mitmproxy's last step: later, Python flushes its own stream, and waits

        log.uninstall = uninstalled

    def ended(self, ending: Ending, flow: http.HTTPFlow | None) -> None:
        """Print the line of an exchange, if mitmdump would have printed its flow."""
        dumper = self._dumper
        if dumper is None or not _is_ours_to_print():
            return
        if dumper.filter and (flow is None or not dumper.filter(flow)):
            return
        outlet = self._outlet_now()
        if outlet.is_gone:
            return
        if outlet.is_watched:
            coloured, room = is_coloured(outlet.out), _room_of(outlet.out)
            outlet.say(line_of(ending, self._wall_clock(), is_coloured=coloured, room=room))
        else:
            outlet.say(line_of(ending, self._wall_clock()))

    def _outlet_now(self) -> Outlet:
        """The way to what is standard output by now."""
        out = self._out or sys.stdout
        outlet = self._outlet
        if outlet is None or outlet.out is not out:
            if outlet is not None:
                outlet.drain(0)
            self._outlet = outlet = Outlet(out)
        return outlet

    def flush(self) -> None:
        """Print what waits, at the end of the program: what is not taken in a second is lost."""
        outlet = self._outlet
        if outlet is not None and not outlet.is_gone and not outlet.drain(_LAST_SECONDS):
            outlet.let_go()


_OF_EACH_CALL: Final = (
    "client connect",
    "client disconnect",
    "server connect ",
    "server disconnect",
    "Streaming response from ",
)


def _is_no_mere_step(record: logging.LogRecord) -> bool:
    """Whether a line of the log stays: five a call would bury the calls, unless they are wanted."""
    if record.name != "mitmproxy.proxy.server" or ctx.options.has_changed("termlog_verbosity"):
        return True
    return not record.getMessage().startswith(_OF_EACH_CALL)


def _is_ours_to_print() -> bool:
    return _IS_USUAL_DETAIL.of(ctx.options)


_IS_USUAL_DETAIL: Final = FromOptions(lambda options: bool(options.flow_detail == _USUAL_DETAIL))


def is_coloured(out: IO[str]) -> bool:
    """Whether colours are wanted: on a terminal that has them, and without NO_COLOR."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _room_of(out: IO[str]) -> int | None:
    """How many columns a terminal has; None where it is none, or can't tell."""
    if not out.isatty():
        return None
    try:
        return os.get_terminal_size(out.fileno()).columns or None
    except OSError:
        return None


def line_of(
    ending: Ending, wall_time: float, *, is_coloured: bool = False, room: int | None = None
) -> str:
    """Time, account, model, status, outcome, tokens, first byte, duration and the id's head.

    In a terminal of `room` columns they are clipped to it; nothing is where that is None.
    """
    cells = _cells_of(ending, wall_time)
    if room is None and not is_coloured:
        return _WHOLE % cells
    widths = fitted(_COLUMNS, room) if room else dict(enumerate(map(columns_of, cells)))
    shown = []
    for index, width in widths.items():
        column = _COLUMNS[index]
        cell = cell_in(cells[index], column, width if room else max(column.width, width))
        shown.append(_styled(cell, _style_of(column, ending), is_on=is_coloured))
    return (" " * GAP).join(shown)


def _cells_of(ending: Ending, wall_time: float) -> tuple[str, ...]:
    what = f"{ending.status or '---'} {ending.outcome}"
    if ending.error_code and ending.outcome not in {"completed", ending.error_code}:
        what = f"{what} {_shown(ending.error_code)}"
    return (
        _clock_time(int(wall_time)),
        _shown(ending.account or "-"),
        _shown(ending.model or ending.operation),
        what,
        _tokens(ending),
        _first_byte(ending),
        _duration(ending.duration_ms),
        ending.exchange[:_HEAD_OF_ID],
    )


@lru_cache(maxsize=2)
def _clock_time(unix_seconds: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(unix_seconds))


def _style_of(column: Column, ending: Ending) -> str:
    if column.name == "what":
        return _COLOURS.get(ending.outcome, _RED)
    return _DIM if column.name in {"time", "exchange"} else ""


def _tokens(ending: Ending) -> str:
    if ending.total_tokens is None:
        return "- tokens"
    if ending.input_tokens is None or ending.output_tokens is None:
        return f"{ending.total_tokens} tokens"
    return f"{ending.input_tokens}+{ending.output_tokens} tokens"


def _first_byte(ending: Ending) -> str:
    first = ending.first_byte_ms
    return "first -" if first is None else f"first {_duration(first)}"


def _duration(milliseconds: float) -> str:
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    return (
        f"{milliseconds / 1000:.2f} s" if milliseconds < 60_000 else f"{milliseconds / 1000:.0f} s"
    )


def _shown(text: str) -> str:
    """Foreign text as a terminal may have it: no control characters, and bounded."""
    if len(text) <= _LONGEST_TEXT and text.isprintable():
        return text
    safe = "".join(char if char.isprintable() else "?" for char in text[: _LONGEST_TEXT + 1])
    return safe if len(safe) <= _LONGEST_TEXT else safe[: _LONGEST_TEXT - 1] + "…"


def _styled(text: str, style: str, *, is_on: bool) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if is_on and style else text
