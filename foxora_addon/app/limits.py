"""`foxora-proxy limits`: asks a running proxy how its accounts stand, once or again and again."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from foxora_addon.app.limits_view import notes_of, view_of
from foxora_addon.app.local_proxy import NoProxy, ask
from foxora_addon.app.printing import Output, is_terminal
from foxora_addon.app.say import drop_output

_WATCH_SECONDS = 1.0
_WIDTH = 200
"""Columns where there is no terminal: nothing of a line is to be lost in a file."""

type Accounts = Sequence[Mapping[str, Any]]


def show_limits(
    port: int,
    say: Callable[[str], None],
    *,
    is_json: bool,
    watches: bool,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Print the accounts of the proxy at a port. 1: it is not there.

    If it `watches`, until Ctrl-C, or until nobody reads on. `pause` waits so many seconds between
    two looks.
    """
    try:
        with _shower(is_json=is_json, watches=watches) as show:
            show(ask(port, "limits")["accounts"])
            while watches:
                pause(_WATCH_SECONDS)
                show(ask(port, "limits")["accounts"])
    except BrokenPipeError:
        drop_output()
        return 0
    except KeyboardInterrupt:
        return 0
    except NoProxy as error:
        say(str(error))
        return 1
    return 0


@contextmanager
def _shower(*, is_json: bool, watches: bool) -> Iterator[Callable[[Accounts], None]]:
    """What shows the accounts: as JSON, a line each time; as a table, which a terminal redraws.

    One that moves no cursor (TERM=dumb) has each table below the last, as a file has.
    """
    console = Output(highlight=False, force_terminal=None if is_terminal() else False)
    if not is_terminal():
        console.width = _WIDTH
    if is_json:
        yield lambda accounts: print(json.dumps({"accounts": accounts}), flush=True)  # noqa: T201  # the result
    elif watches and is_terminal() and not console.is_dumb_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda accounts: live.update(_drawn(accounts, console), refresh=True)
    else:
        yield lambda accounts: console.print(_drawn(accounts, console))


def _drawn(accounts: Accounts, console: Console) -> Group:
    notes = (Text(note, style="dim") for note in notes_of(accounts))
    return Group(view_of(accounts, console), *notes)
