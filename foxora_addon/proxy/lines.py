"""mitmdump's output for our exchanges: one readable line each, as it closes.

mitmdump's own lines stay for all other traffic. Whoever wants another `flow_detail` than the usual
1 (by -v, -q or by its name) gets mitmdump's own output for everything instead.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, Final

from mitmproxy import ctx, http

from foxora_addon.ending import Ending
from foxora_addon.proxy.flows import is_ours

_GREEN, _YELLOW, _RED, _DIM = "32", "33", "31", "2"
_COLOURS: Final[Mapping[str, str]] = {"completed": _GREEN, "refused": _YELLOW}
_LONGEST_TEXT: Final = 40
_HEAD_OF_ID: Final = 11
"""`ex_` and eight hexadecimal digits, by which an exchange can be found in the trail."""


class Lines:
    """Prints on `out`; `wall_clock` gives Unix seconds."""

    def __init__(
        self, out: IO[str] | None = None, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._out = out
        self._wall_clock = wall_clock
        self._dumper: Any = None

    def take_over(self, dumper: Any, log: Any) -> None:
        """Keep mitmdump's dumper silent about our flows, and its log about mere connections.

        `dumper` is None in the other programs: nothing is printed there.
        """
        if dumper is None or self._dumper is dumper:
            return
        if log is not None:
            log.logger.addFilter(_is_more_than_a_connection)
        self._dumper = dumper
        original: Callable[[Any], bool] = dumper.match

        def match(flow: Any) -> bool:
            return not (is_ours(flow) and _is_ours_to_print()) and original(flow)

        dumper.match = match

    def ended(self, ending: Ending, flow: http.HTTPFlow | None) -> None:
        """Print the line of an exchange, if mitmdump would have printed its flow."""
        dumper = self._dumper
        if dumper is None or not _is_ours_to_print():
            return
        if dumper.filter and (flow is None or not dumper.filter(flow)):
            return
        out = self._out or sys.stdout
        try:
            print(line_of(ending, self._wall_clock(), is_coloured=is_coloured(out)), file=out)
            out.flush()
        except BrokenPipeError:  # nobody reads any more; the trail has it all the same
            self._dumper = None


_CONNECTIONS: Final = (
    "client connect",
    "client disconnect",
    "server connect ",
    "server disconnect",
)


def _is_more_than_a_connection(record: logging.LogRecord) -> bool:
    """Whether a line of the log stays: four a call would bury the calls, unless they are wanted."""
    if record.name != "mitmproxy.proxy.server" or ctx.options.has_changed("termlog_verbosity"):
        return True
    return not record.getMessage().startswith(_CONNECTIONS)


def _is_ours_to_print() -> bool:
    return not ctx.options.has_changed("flow_detail")


def is_coloured(out: IO[str]) -> bool:
    """Whether colours are wanted: on a terminal that has them, and without NO_COLOR."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def line_of(ending: Ending, wall_time: float, *, is_coloured: bool = False) -> str:
    """Time, account, model, status, outcome, tokens, first byte, duration and the id's head."""
    what = f"{ending.status or '---'} {ending.outcome}"
    if ending.error_code and ending.outcome != "completed":
        what = f"{what} {_shown(ending.error_code)}"
    parts = (
        _styled(time.strftime("%H:%M:%S", time.localtime(wall_time)), _DIM, is_on=is_coloured),
        f"{_shown(ending.account or '-'):10}",
        f"{_shown(ending.model or ending.operation):20}",
        _styled(f"{what:15}", _COLOURS.get(ending.outcome, _RED), is_on=is_coloured),
        f"{_tokens(ending):>14}",
        f"{_first_byte(ending):>14}",
        f"{_duration(ending.duration_ms):>8}",
        _styled(ending.exchange[:_HEAD_OF_ID], _DIM, is_on=is_coloured),
    )
    return "  ".join(parts)


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
    safe = "".join(char if char.isprintable() else "?" for char in text[: _LONGEST_TEXT + 1])
    return safe if len(safe) <= _LONGEST_TEXT else safe[: _LONGEST_TEXT - 1] + "…"


def _styled(text: str, style: str, *, is_on: bool) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if is_on else text
