"""`foxora-proxy run -- CMD`: a proxy for one command, from its start to the summary.

Signals are held from the first moment to the last, so that at none of them a proxy is left behind;
one that ends us all the same (`kill -9`) cuts the tie, and the proxy ends by itself. A trail has
one writer: where a proxy has it already that does what ours would do, we join that one.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from math import inf
from pathlib import Path
from typing import Any, Final

from foxora_addon.app.ca_bundle import NoBundle, bundle_of
from foxora_addon.app.client_environment import variables_to, warnings_of
from foxora_addon.app.command import (
    ENDING,
    CannotRun,
    found,
    held_signals,
    pending_end,
    run_command,
)
from foxora_addon.app.joined_proxy import JoinedProxy
from foxora_addon.app.local_proxy import NoProxy, ask, port_of
from foxora_addon.app.proxy_log import ProxyLog, kept_log, shown_log, terminal_log
from foxora_addon.app.proxy_process import STOP_SECONDS, NotServing, ProxyProcess, TrailTaken
from foxora_addon.app.run_options import RunOptions
from foxora_addon.app.run_words import summary_of
from foxora_addon.app.say import FINDING, WRONG_USAGE
from foxora_addon.tally import since

_CLOSING_SECONDS: Final = 1.0
_CLOSING_PAUSE_SECONDS: Final = 0.05
_JOINING_SECONDS: Final = 10.0
_JOINING_PAUSE_SECONDS: Final = 0.2
_LOCKED: Final = (
    "written by another program, which lets nobody in. Stop that one, or give this one its own "
    "trail with --set foxora_audit=PATH"
)
_NOT_HTTP: Final = (
    "where CMD would send them: run needs --mode regular, upstream or reverse, and 127.0.0.1 as "
    "listen_host"
)

type Say = Callable[[str], None]


type Proxy = ProxyProcess | JoinedProxy


def run_with_command(options: RunOptions, say: Say) -> int:
    """Run the command of `options` behind a proxy; the exit status that `run` ends with."""
    command = options.command or ()
    if options.tool == "mitmproxy" and (why := _why_no_console()):
        say(why)
        return WRONG_USAGE
    try:
        found(command[0])
        if options.use_port is not None:
            proxy = JoinedProxy.at(options.use_port)
            with held_signals(), kept_log() as log:
                return _run_behind(proxy, options, log, say)
        with held_signals(), _log_of(options) as log:
            return _run_behind_any(options, log, say)
    except CannotRun as error:
        say(str(error))
        return error.status
    except (NoProxy, NoBundle) as error:
        say(str(error))
        return FINDING


def _run_behind_any(options: RunOptions, log: ProxyLog, say: Say) -> int:
    """Run it behind a proxy of its own, or behind the one that has the trail already."""
    deadline = inf
    told = False
    while True:
        proxy = ProxyProcess.start(options.tool, _arguments_of(options), log.output)
        try:
            if not proxy.wait_until_it_serves(lambda: pending_end() is not None):
                return 128 + (pending_end() or signal.SIGINT)
            _require_http(proxy.status["url"])
            return _run_behind(proxy, options, log, say)
        except TrailTaken as taken:
            if why := _why_not_joined(options, taken.told):
                say(why)
                return FINDING
            joined = _joined(taken.told)
            deadline = min(deadline, time.monotonic() + _JOINING_SECONDS)
            if joined is None and told and time.monotonic() > deadline:
                say(f"the trail {taken.told['trail']} is {_LOCKED}")
                return FINDING
        except NotServing as error:
            return _refused(error, proxy, log, say)
        finally:
            proxy.stop()
        if joined is not None:
            try:
                return _run_joined(joined, options, log, say)
            finally:
                joined.stop()
        if not told and time.monotonic() > deadline - _JOINING_SECONDS / 2:
            told = True
            say("another proxy has the trail: waiting for it to end, or to let others in")
        time.sleep(_JOINING_PAUSE_SECONDS)


def _require_http(url: str) -> None:
    """Raise `NoProxy` unless CMD's calls would come in where its variables lead them."""
    try:
        ask(port_of(url), "status")
    except NoProxy:
        raise NoProxy(f"the proxy takes no calls at {url}, {_NOT_HTTP}") from None


def _run_joined(joined: JoinedProxy, options: RunOptions, log: ProxyLog, say: Say) -> int:
    if options.tool == "mitmweb" and joined.status["web_url"] is None:
        say(_cannot_join(joined.status, ["--web"]))
        return FINDING
    say(f"using the proxy that writes {joined.status['trail']}: {joined.status['url']}")
    return _run_behind(joined, options, log, say)


def _why_not_joined(options: RunOptions, told: Mapping[str, Any]) -> str | None:
    """Why the proxy that has the trail will not do, or None: it does, or has ended."""
    notice = told["notice"]
    if notice is None or (told["is_like"] and not options.asked_of_own):
        return None
    with suppress(NoProxy):
        status = ask(notice["port"], "status")
        if status["trail"] == notice["trail"]:
            asked = options.asked_of_own if told["is_like"] else ()
            return _cannot_join(status, asked)
    return None


def _cannot_join(status: Mapping[str, Any], asked: Sequence[str]) -> str:
    """Words for a proxy that lacks what is asked for; without any, its configuration differs."""
    options = " ".join(asked)
    why = f"can't be given {options}" if asked else "has another configuration or key"
    return (
        f"the trail {status['trail']} is written by a proxy that runs already, and {why}: "
        f"{status['url']}. Stop that one, or give this one its own trail with "
        "--set foxora_audit=PATH" + (f", or leave {options} out" if asked else "")
    )


def _joined(told: Mapping[str, Any]) -> JoinedProxy | None:
    """The proxy that has the trail, if it takes us in."""
    if told["notice"] is not None and told["is_like"]:
        with suppress(NoProxy):
            return JoinedProxy.noticed(told["notice"])
    return None


def _refused(error: NotServing, proxy: ProxyProcess, log: ProxyLog, say: Say) -> int:
    """Say why there is no proxy: options that mitmdump does not know are wrong usage."""
    say(f"{error}{log.why_not_started()}")
    return WRONG_USAGE if proxy.exit_status(STOP_SECONDS) == WRONG_USAGE else FINDING


def _run_behind(proxy: Proxy, options: RunOptions, log: ProxyLog, say: Say) -> int:
    """Run the command, watch its proxy, and sum up."""
    told: list[str] = []

    def watch(within_seconds: float = 0.0) -> None:
        ended = proxy.how_it_ended(within_seconds)
        if ended is not None and not told:
            told.append(ended)
            say(f"{ended}, CMD goes on without: its calls fail from now on{log.last_words()}")

    url, trail = proxy.status["url"], proxy.status["trail"]
    if page := proxy.status.get("web_url"):
        say(f"mitmweb: {page}")
    code = run_command(options.command or (), _environment(proxy.status, say), watch)
    watch()
    try:
        totals = _settled_totals(port_of(url), proxy)
    except NoProxy:
        watch(_CLOSING_SECONDS)  # it answers no more, and may be about to end
        say(f"{trail} has the calls up to the proxy's end")
        return code or FINDING
    ours = totals if proxy.before is None else since(proxy.before, totals)
    _summarise(ours, proxy, say)
    _stay(proxy, options, say)
    return code


def _stay(proxy: Proxy, options: RunOptions, say: Say) -> None:
    """Keep a window open until its user has seen enough; where there is no user, don't."""
    if options.tool == "mitmproxy":
        proxy.wait()
    elif options.tool == "mitmweb" and _is_terminal(0) and _is_terminal(2):
        say("CMD has ended; mitmweb stays until Ctrl-C")
        while signal.sigwait(ENDING | {signal.SIGCHLD}) == signal.SIGCHLD:
            if (ended := proxy.how_it_ended()) is not None:
                say(ended)
                return


def _settled_totals(port: int, proxy: Proxy) -> dict[str, Any]:
    """The totals, once the calls that CMD has just dropped are over, if that does not take long."""
    deadline = time.monotonic() + _CLOSING_SECONDS
    totals = ask(port, "totals")
    while totals["open"] and not proxy.is_shared and time.monotonic() < deadline:
        time.sleep(_CLOSING_PAUSE_SECONDS)
        totals = ask(port, "totals")
    return totals


def _environment(status: Mapping[str, Any], say: Say) -> dict[str, str]:
    for warning in warnings_of(os.environ, status["url"]):
        say(warning)
    bundle = bundle_of(Path(status["ca"]), os.environ)
    variables = variables_to(status, str(bundle), os.environ)
    return {**os.environ, **variables}


def _summarise(totals: Mapping[str, Any], proxy: Proxy, say: Say) -> None:
    takes_tunnels = proxy.status.get("takes_tunnels", True)  # an older one does not tell
    for line in summary_of(
        totals, proxy.status["url"], is_shared=proxy.is_shared, takes_tunnels=takes_tunnels
    ):
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
