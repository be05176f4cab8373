"""`foxora-proxy run -- CMD`: a proxy for one command, from its start to the summary.

Signals are held from the first moment to the last, so that at none of them a proxy is left behind;
one that ends us all the same (`kill -9`) cuts the tie, and the proxy ends by itself.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from foxora_addon.app.ca_bundle import NoBundle, bundle_of
from foxora_addon.app.client_environment import variables_of, warnings_of
from foxora_addon.app.command import CannotRun, found, held_signals, pending_end, run_command
from foxora_addon.app.local_proxy import NoProxy, ask, port_of
from foxora_addon.app.proxy_log import ProxyLog, kept_log, shown_log, terminal_log
from foxora_addon.app.proxy_process import NotServing, ProxyProcess
from foxora_addon.app.run_options import RunOptions
from foxora_addon.app.run_words import summary_of
from foxora_addon.app.say import FINDING, WRONG_USAGE
from foxora_addon.tally import since

_CLOSING_SECONDS: Final = 1.0
_CLOSING_PAUSE_SECONDS: Final = 0.05

type Say = Callable[[str], None]


def run_with_command(options: RunOptions, say: Say) -> int:
    """Run the command of `options` behind a proxy; the exit status that `run` ends with."""
    command = options.command or ()
    if options.tool == "mitmproxy" and (why := _why_no_console()):
        say(why)
        return WRONG_USAGE
    try:
        found(command[0])
        if options.use_port is not None:
            return _run_behind_another(options.use_port, options, say)
        with held_signals(), _log_of(options) as log:
            return _run_behind_own(options, log, say)
    except CannotRun as error:
        say(str(error))
        return error.status
    except (NoProxy, NoBundle) as error:
        say(str(error))
        return FINDING


def _run_behind_another(port: int, options: RunOptions, say: Say) -> int:
    """Run it behind a proxy that runs already, and is left running."""
    status = ask(port, "status")
    before = ask(port, "totals")
    with held_signals():
        code = run_command(options.command or (), _environment(status, say), lambda: None)
    try:
        _summarise(since(before, ask(port, "totals")), status["url"], say, is_shared=True)
    except NoProxy:
        say(f"the proxy at port {port} has ended; {status['trail']} has what was recorded")
    return code


def _run_behind_own(options: RunOptions, log: ProxyLog, say: Say) -> int:
    proxy = ProxyProcess.start(options.tool, _arguments_of(options), log.output)
    try:
        if not proxy.wait_until_it_serves(lambda: pending_end() is not None):
            return 128 + (pending_end() or signal.SIGINT)
        if page := proxy.status["web_url"]:
            say(f"mitmweb: {page}")
        return _run_behind(proxy, options, log, say)
    except NotServing as error:
        said = log.last_words()
        say(f"{error}{said}")
        if "address already in use" in said:
            say("if a proxy of ours runs there, use it: foxora-proxy run --use PORT -- CMD")
        return FINDING
    finally:
        proxy.stop()


def _run_behind(proxy: ProxyProcess, options: RunOptions, log: ProxyLog, say: Say) -> int:
    """Run the command, watch its proxy, and sum up."""
    told: list[int] = []

    def watch(within_seconds: float = 0.0) -> None:
        status = proxy.ended_with(within_seconds)
        if status is not None and not told:
            told.append(status)
            say(
                f"the proxy has ended (status {status}), CMD goes on without: its calls fail from "
                f"now on{log.last_words()}"
            )

    url = proxy.status["url"]
    code = run_command(options.command or (), _environment(proxy.status, say), watch)
    watch()
    try:
        totals = _settled_totals(port_of(url))
    except NoProxy:
        watch(_CLOSING_SECONDS)  # it answers no more, and may be about to end
        say(f"{proxy.status['trail']} has the calls up to the proxy's end")
        return code or FINDING
    _summarise(totals, url, say)
    _stay(proxy, options, say)
    return code


def _stay(proxy: ProxyProcess, options: RunOptions, say: Say) -> None:
    """Keep a window open until its user has seen enough; where there is no user, don't."""
    if options.tool == "mitmproxy":
        proxy.wait()
    elif options.tool == "mitmweb" and _is_terminal(0) and _is_terminal(2):
        say("CMD has ended; mitmweb stays until Ctrl-C")
        signal.sigwait({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})


def _settled_totals(port: int) -> dict[str, Any]:
    """The totals, once the calls that CMD has just dropped are over, if that does not take long."""
    deadline = time.monotonic() + _CLOSING_SECONDS
    totals = ask(port, "totals")
    while totals["open"] and time.monotonic() < deadline:
        time.sleep(_CLOSING_PAUSE_SECONDS)
        totals = ask(port, "totals")
    return totals


def _environment(status: Mapping[str, Any], say: Say) -> dict[str, str]:
    for warning in warnings_of(os.environ, status["url"]):
        say(warning)
    bundle = bundle_of(Path(status["ca"]), os.environ)
    variables = variables_of(
        status["url"], str(bundle), os.environ, keeps_key=status["heeds_client_keys"]
    )
    return {**os.environ, **variables}


def _summarise(totals: Mapping[str, Any], url: str, say: Say, *, is_shared: bool = False) -> None:
    for line in summary_of(totals, url, is_shared=is_shared):
        say(line)


def _log_of(options: RunOptions) -> AbstractContextManager[ProxyLog]:
    """Where the proxy's words go: they must not disturb CMD unless they are asked for."""
    if options.tool == "mitmproxy":
        return terminal_log()
    return shown_log() if options.is_verbose else kept_log()


def _arguments_of(options: RunOptions) -> tuple[str, ...]:
    """Without a line for each call where nobody would see it: the log stays small."""
    is_seen = options.is_verbose or options.tool != "mitmdump"
    return options.passed if is_seen else ("--flow-detail", "0", *options.passed)


def _why_no_console() -> str | None:
    """Why the console can't have the terminal, or None: it shares it with nobody."""
    if any(_is_terminal(stream) for stream in (0, 1, 2)):
        return (
            "--console needs the terminal, which CMD has: turn CMD's streams elsewhere "
            "(</dev/null >out.log 2>err.log), or use --web"
        )
    try:
        with terminal_log():
            return None
    except OSError:
        return "--console needs a terminal, and there is none; use --web"


def _is_terminal(stream: int) -> bool:
    try:
        return os.isatty(stream)
    except OSError:
        return False
