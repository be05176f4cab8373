"""`foxora-proxy run -- CMD`: a proxy for one command, from its start to the summary.

Signals are held from the first moment to the last, so that at none of them a proxy is left behind;
one that ends us all the same (`kill -9`) cuts the tie, and the proxy ends by itself.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from foxora_addon.app.ca_bundle import NoBundle, bundle_of
from foxora_addon.app.client_environment import variables_of, warnings_of
from foxora_addon.app.command import CannotRun, found, held_signals, pending_end, run_command
from foxora_addon.app.local_proxy import NoProxy, ask, port_of
from foxora_addon.app.proxy_process import NotServing, ProxyProcess
from foxora_addon.app.run_options import RunOptions
from foxora_addon.app.run_words import summary_of
from foxora_addon.tally import since

FINDING: Final = 1
WRONG_USAGE: Final = 2

_LAST_LINES: Final = 5
_CLOSING_SECONDS: Final = 1.0
_CLOSING_PAUSE_SECONDS: Final = 0.05

type Say = Callable[[str], None]


def run_with_command(options: RunOptions, say: Say) -> int:
    """Run the command of `options` behind a proxy; the exit status that `run` ends with."""
    command = options.command or ()
    if options.tool == "mitmproxy" and any(_is_terminal(stream) for stream in (0, 1, 2)):
        say(
            "--console needs the terminal, which CMD has: turn CMD's streams elsewhere "
            "(</dev/null >out.log 2>&1), or use --web"
        )
        return WRONG_USAGE
    try:
        found(command[0])
        if options.use_port is not None:
            return _run_behind_another(options.use_port, options, say)
        with held_signals(), _place_of_log(options) as (log, path):
            return _run_behind_own(options, log, path, say)
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


def _run_behind_own(options: RunOptions, log: IO[bytes] | int, path: Path | None, say: Say) -> int:
    proxy = ProxyProcess.start(options.tool, options.passed, log)
    try:
        if not proxy.wait_until_it_serves(lambda: pending_end() is not None):
            return 128 + (pending_end() or signal.SIGINT)
        if page := proxy.status["web_url"]:
            say(f"mitmweb: {page}")
        return _run_behind(proxy, options, path, say)
    except NotServing as error:
        said = _last_words(path)
        say(f"{error}{said}")
        if "address already in use" in said:
            say("if a proxy of ours runs there, use it: foxora-proxy run --use PORT -- CMD")
        return FINDING
    finally:
        proxy.stop()


def _run_behind(proxy: ProxyProcess, options: RunOptions, path: Path | None, say: Say) -> int:
    """Run the command, watch its proxy, and sum up."""
    told: list[int] = []

    def watch() -> None:
        status = proxy.ended_with()
        if status is not None and not told:
            told.append(status)
            say(
                f"the proxy has ended (status {status}), CMD goes on without: its calls fail from "
                f"now on{_last_words(path)}"
            )

    code = run_command(options.command or (), _environment(proxy.status, say), watch)
    watch()
    if told:
        say(f"{proxy.status['trail']} has the calls up to then")
        return code or FINDING
    _summarise(_settled_totals(port_of(proxy.status["url"])), proxy.status["url"], say)
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


@contextmanager
def _place_of_log(options: RunOptions) -> Iterator[tuple[IO[bytes] | int, Path | None]]:
    """Where the proxy's words go: a file for the time being, so that they disturb nobody."""
    if options.tool == "mitmproxy":
        try:
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            raise NoProxy("--console needs a terminal, and there is none") from None
        try:
            yield terminal, None
        finally:
            os.close(terminal)
    elif options.is_verbose:
        yield sys.stderr.fileno(), None
    else:
        with tempfile.NamedTemporaryFile(prefix="foxora-run-", suffix=".log") as file:
            yield file.file, Path(file.name)


def _last_words(log: Path | None) -> str:
    """The end of the proxy's log, for a message; "" where it was shown anyway."""
    if log is None:
        return ""
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return "; it said:" + "".join(f"\n  {line}" for line in lines[-_LAST_LINES:]) if lines else ""


def _is_terminal(stream: int) -> bool:
    try:
        return os.isatty(stream)
    except OSError:
        return False
