"""`foxora-proxy run -- CMD` with programs that know nothing of us: it is as if they ran alone."""

import contextlib
import fcntl
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from foxora_addon.app.client_environment import PLACEHOLDER_KEY
from tests.end_to_end.proxies import (
    APP_KEY,
    BIN,
    Proxy,
    clean_environment,
    free_port,
    running_proxy,
    stop,
    wait_until,
)

pytestmark = pytest.mark.real_server

FOXORA_KEY = "foxora_sk_live_obviously-fake-0123"
SECONDS = 60

PYTHON_APP = """
import os
from openai import OpenAI
hello = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Who is it?"}]}
for base_url in (None, "https://api.openai.com/v1"):
    with OpenAI(base_url=base_url, max_retries=0) as client:
        print(len(client.chat.completions.create(**hello).choices))
print(os.environ["OPENAI_API_KEY"], os.environ.get("FOXORA_API_KEY"))
"""
NODE_APP = """
const OpenAI = require('openai');
new OpenAI({maxRetries: 0}).chat.completions
  .create({model: 'gpt-4o-mini', messages: [{role: 'user', content: 'Who is it?'}]})
  .then(answer => console.log(answer.choices.length));
"""


def run_line(folder: Path, *options: str, command: Sequence[str]) -> list[str]:
    """A command line whose proxy is on the mock gateway and keeps what it writes in `folder`."""
    return [
        *(str(BIN / "foxora-proxy"), "run", "--mock"),
        *("--set", f"confdir={folder / 'confdir'}"),
        *("--set", f"foxora_audit={folder / 'trail.jsonl'}"),
        *(*options, "--", *command),
    ]


def run(
    folder: Path, *options: str, command: Sequence[str], stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        run_line(folder, *options, command=command),
        cwd=folder,
        env=clean_environment(**environment),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@contextlib.contextmanager
def started(line: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with pipes, which has ended when this does."""
    process = subprocess.Popen(
        line,
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=SECONDS)


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def records(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "trail.jsonl").read_text().splitlines()]


def test_an_unmodified_python_app_is_turned_here_by_base_url_and_by_proxy(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        command=[sys.executable, "-c", PYTHON_APP],
        FOXORA_API_KEY=FOXORA_KEY,
        OPENAI_API_KEY=APP_KEY,
    )
    assert done.stdout.splitlines() == ["1", "1", f"{PLACEHOLDER_KEY} {PLACEHOLDER_KEY}"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("foxora-proxy: 2 calls, ")
    assert "tokens (" in line
    assert done.returncode == 0
    assert [record["event"] for record in records(tmp_path)] == ["request", "response"] * 2


def test_an_unmodified_node_app_is_turned_here(tmp_path: Path, node_modules: Path) -> None:
    node = shutil.which("node")
    assert node is not None, "the packages for Node are here, Node is not"
    app = tmp_path / "app.cjs"
    app.write_text(NODE_APP)
    done = run(tmp_path, command=[node, str(app)], NODE_PATH=str(node_modules))
    assert (done.stdout, done.returncode) == ("1\n", 0)
    assert "1 call, " in done.stderr


def test_curl_is_turned_here_and_its_failed_call_is_told(tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not here")
    words = [
        "-sS",
        "-w",
        "%{http_code}",
        "-o",
        os.devnull,
        "-H",
        f"Authorization: Bearer {APP_KEY}",
    ]
    target = "https://api.openai.com/v1/chat/completions"
    done = run(tmp_path, command=[curl, *words, "-d", "{}", target])
    assert (done.stdout, done.returncode) == ("400", 0)
    assert "1 error: 400 invalid_request" in done.stderr


def test_a_command_that_does_not_trust_the_authority_is_told_so(tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not here")
    bare = ["env", "-u", "SSL_CERT_FILE", "-u", "CURL_CA_BUNDLE", curl]
    done = run(tmp_path, command=[*bare, "-sS", "https://api.openai.com/v1/models"])
    assert done.returncode == 60
    assert "0 calls seen: CMD broke off TLS with api.openai.com" in done.stderr


SHELL = (
    # what it does, its input, its output, the exit status of `run`
    ("cat; exit 7", "as it was typed", "as it was typed", 7),
    ("kill -TERM $$", "", "", 128 + signal.SIGTERM),
    ("kill -PIPE $$", "", "", 128 + signal.SIGPIPE),  # Python ignores it, CMD must not
)


@pytest.mark.parametrize(("script", "stdin", "stdout", "status"), SHELL)
def test_streams_and_exit_status_are_the_commands_own(
    tmp_path: Path, script: str, stdin: str, stdout: str, status: int
) -> None:
    done = run(tmp_path, command=["sh", "-c", script], stdin=stdin)
    assert (done.stdout, done.returncode) == (stdout, status)
    (line,) = done.stderr.splitlines()
    assert line.startswith("foxora-proxy: 0 calls seen: ")


@pytest.mark.parametrize(
    ("command", "words", "status"),
    [
        ("no-such-command", "no-such-command: command not found", 127),
        ("/etc/passwd", "/etc/passwd: ", 126),
        ("./broken", "the interpreter", 127),
    ],
)
def test_a_command_that_can_not_run_is_said_in_one_line(
    tmp_path: Path, command: str, words: str, status: int
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/nowhere/interpreter\n")
    broken.chmod(0o755)
    done = run(tmp_path, command=[command])
    assert done.returncode == status
    (line,) = done.stderr.splitlines()
    assert words in line


def test_a_proxy_that_can_not_start_says_why_and_the_command_is_not_run(tmp_path: Path) -> None:
    done = run(tmp_path, "--set", "stream_large_bodies=1m", command=["echo", "ran"])
    assert (done.stdout, done.returncode) == ("", 1)
    assert "stream_large_bodies would send requests before they are checked" in done.stderr
    assert "Traceback" not in done.stderr


def test_options_that_mitmdump_does_not_know_are_wrong_usage(tmp_path: Path) -> None:
    done = run(tmp_path, "--nonsense", command=["echo", "ran"])
    assert (done.stdout, done.returncode) == ("", 2)
    assert "unrecognized arguments: --nonsense" in done.stderr


def test_a_command_without_its_dashes_is_not_taken_for_a_filter(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(BIN / "foxora-proxy"), "run", "--mock", "sh"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert "sh is no filter; for a command: foxora-proxy run -- sh" in done.stderr


TRAPS = """
import os, signal, sys
def end(number, frame):
    print(number, flush=True)
    sys.exit(9)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, end)
print(os.environ["OPENAI_BASE_URL"], flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_run_is_one_to_the_command_and_nothing_is_left(
    tmp_path: Path, number: signal.Signals
) -> None:
    with started(run_line(tmp_path, command=[sys.executable, "-c", TRAPS]), tmp_path) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2].partition("/")[0])
        process.send_signal(number)
        assert process.stdout.readline() == f"{number}\n"
        assert process.wait(SECONDS) == 9
        assert not is_open(port)


def test_a_run_that_is_killed_takes_its_proxy_with_it(tmp_path: Path) -> None:
    script = 'echo "$$ $OPENAI_BASE_URL"; exec sleep 600'
    with started(run_line(tmp_path, command=["sh", "-c", script]), tmp_path) as process:
        assert process.stdout is not None
        pid, _, url = process.stdout.readline().partition(" ")
        try:
            process.kill()
            port = int(url.rpartition(":")[2].partition("/")[0])
            wait_until(lambda: not is_open(port), lambda: "the proxy is left behind")
        finally:
            os.kill(int(pid), signal.SIGKILL)  # nobody can pass our own kill -9 on


def test_a_signal_while_the_proxy_starts_ends_all(tmp_path: Path) -> None:
    port = free_port()
    line = run_line(tmp_path, "-p", str(port), command=["echo", "ran"])
    with started(line, tmp_path) as process:
        wait_until((tmp_path / "confdir").exists)  # it is on its way
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) in {128 + signal.SIGTERM, 0}
        assert not is_open(port)


KILLS_ITS_PROXY = """
import json, os, signal, urllib.request
url = os.environ["OPENAI_BASE_URL"].removesuffix("v1") + "_foxora/status"
os.kill(json.load(urllib.request.urlopen(url))["pid"], signal.SIGKILL)
"""


def test_a_proxy_that_dies_under_its_command_is_told_and_not_passed_over(tmp_path: Path) -> None:
    done = run(tmp_path, command=[sys.executable, "-c", KILLS_ITS_PROXY])
    assert "the proxy has ended (status -9), CMD goes on without" in done.stderr
    assert "trail.jsonl has the calls up to the proxy's end" in done.stderr
    assert done.returncode == 1


def test_a_running_proxy_can_be_used_and_goes_on_running(proxy: Proxy, tmp_path: Path) -> None:
    line = [str(BIN / "foxora-proxy"), "run", "--use", str(proxy.port), "--"]
    done = subprocess.run(
        [*line, sys.executable, "-c", PYTHON_APP],
        cwd=tmp_path,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0
    assert "2 calls, " in done.stderr
    assert "of all clients of this proxy" in done.stderr
    assert is_open(proxy.port)


# Two at once in one folder: a trail has one writer, so the second uses the first one's proxy.

CALLS_WHEN_TOLD = """
import os, pathlib, sys, time
from openai import OpenAI
go = pathlib.Path(sys.argv[1])
print(os.environ["OPENAI_BASE_URL"], flush=True)
while not go.exists():
    time.sleep(0.02)
with OpenAI(max_retries=0) as client:
    hello = [{"role": "user", "content": "Who is it?"}]
    client.chat.completions.create(model="gpt-4o-mini", messages=hello)
print("answered", flush=True)
"""


def waiting_app(folder: Path, name: str, *options: str) -> list[str]:
    """A run whose app makes its call once there is a file of this name."""
    command = [sys.executable, "-c", CALLS_WHEN_TOLD, str(folder / name)]
    return run_line(folder, *options, command=command)


def told_by(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_second_run_joins_the_firsts_proxy_which_stays_until_both_are_done(
    tmp_path: Path, *, is_killed: bool
) -> None:
    with started(waiting_app(tmp_path, "first"), tmp_path) as first:
        url = told_by(first)
        port = int(url.rpartition(":")[2].partition("/")[0])
        with started(waiting_app(tmp_path, "second"), tmp_path) as second:
            assert told_by(second) == url
            if is_killed:
                first.kill()
            (tmp_path / "first").touch()
            assert told_by(first) == "answered"  # killed or not: its app has the proxy still
            assert first.wait(SECONDS) == (-signal.SIGKILL if is_killed else 0)
            assert is_open(port)
            (tmp_path / "second").touch()
            assert told_by(second) == "answered"
            assert second.wait(SECONDS) == 0
            assert second.stderr is not None
            using, calls = second.stderr.read().splitlines()
    assert f"using the proxy that writes {tmp_path / 'trail.jsonl'}: " in using
    assert calls.endswith("(of all clients of this proxy in that time)")
    wait_until(lambda: not is_open(port), lambda: "the proxy is left behind")
    assert [record["event"] for record in records(tmp_path)] == ["request", "response"] * 2
    assert not list((tmp_path / "confdir").glob("foxora-proxy-*"))


def test_two_that_start_at_once_have_one_proxy(tmp_path: Path) -> None:
    with (
        started(waiting_app(tmp_path, "go"), tmp_path) as first,
        started(waiting_app(tmp_path, "go"), tmp_path) as second,
    ):
        assert told_by(first) == told_by(second)
        (tmp_path / "go").touch()
        for process in (first, second):
            assert told_by(process) == "answered"
            assert process.wait(SECONDS) == 0
    assert [record["event"] for record in records(tmp_path)].count("response") == 2


def test_a_second_run_with_another_key_does_not_spend_the_firsts(tmp_path: Path) -> None:
    with started(waiting_app(tmp_path, "go"), tmp_path) as first:
        told_by(first)
        wait_until(lambda: bool(list((tmp_path / "confdir").glob("foxora-proxy-*"))))
        other = run(tmp_path, command=["echo", "ran"], FOXORA_API_KEY=FOXORA_KEY)
        asked = run(tmp_path, "-p", str(free_port()), command=["echo", "ran"])
        (tmp_path / "go").touch()
        assert told_by(first) == "answered"
        assert first.wait(SECONDS) == 0
    assert (other.stdout, other.returncode) == ("", 1)
    assert "runs with another configuration or key: http://127.0.0.1:" in other.stderr
    assert (asked.stdout, asked.returncode) == ("", 1)
    assert "runs without -p " in asked.stderr


def test_a_proxy_that_runs_in_the_folder_is_used_without_being_named(tmp_path: Path) -> None:
    with running_proxy(tmp_path) as proxy:
        wait_until(lambda: bool(list((tmp_path / "confdir").glob("foxora-proxy-*"))))
        done = run(tmp_path, command=[sys.executable, "-c", PYTHON_APP])
        assert f"using the proxy that writes {proxy.trail}: {proxy.url}" in done.stderr
        assert done.returncode == 0
        assert proxy.is_listening()


def test_the_notice_of_a_proxy_is_its_users_alone_and_has_no_key(tmp_path: Path) -> None:
    environment = {"FOXORA_API_KEY": FOXORA_KEY}
    with running_proxy(tmp_path, environment=environment):
        wait_until(lambda: bool(list((tmp_path / "confdir").glob("foxora-proxy-*.json"))))
        (notice,) = (tmp_path / "confdir").glob("foxora-proxy-*.json")
        assert notice.stat().st_mode & 0o077 == 0
        assert FOXORA_KEY not in notice.read_text()


def test_a_notice_that_a_kill_left_behind_leads_nobody_astray(tmp_path: Path) -> None:
    with running_proxy(tmp_path) as proxy:
        wait_until(lambda: bool(list((tmp_path / "confdir").glob("foxora-proxy-*.json"))))
        os.kill(proxy.pid, signal.SIGKILL)
        wait_until(lambda: not proxy.is_running())
        done = run(tmp_path, command=[sys.executable, "-c", PYTHON_APP])
        assert done.returncode == 0
        assert "using the proxy" not in done.stderr
        assert "2 calls" in done.stderr


def test_fish_takes_in_what_env_prints(proxy: Proxy, tmp_path: Path) -> None:
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("scripts/setup-fish has found no fish here")
    env = f"{BIN / 'foxora-proxy'} env --port {proxy.port} --shell fish | source"
    app = tmp_path / "it's an app.py"
    app.write_text(PYTHON_APP)
    done = subprocess.run(
        [fish, "-c", f"{env}; and {sys.executable} $argv", str(app)],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.stdout.splitlines() == ["1", "1", f"{PLACEHOLDER_KEY} None"], done.stderr


def test_mitmweb_shows_the_calls_and_ends_with_the_command_where_nobody_watches(
    tmp_path: Path,
) -> None:
    quiet = ("--web", "--no-web-open-browser")
    done = run(tmp_path, *quiet, command=[sys.executable, "-c", PYTHON_APP])
    page, calls = done.stderr.splitlines()
    assert page.startswith("foxora-proxy: mitmweb: http://127.0.0.1:")
    assert "2 calls" in calls
    assert done.returncode == 0


# A terminal of its own, as a person has one.

ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
COUNTS_INTERRUPTS = """
import signal, sys, time
seen = []
signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
print("ready", sys.stdin.isatty(), flush=True)
while not seen:
    time.sleep(0.02)
time.sleep(0.5)
print("interrupts:", len(seen), flush=True)
sys.exit(3)
"""


class Terminal:
    """The other end of a process's terminal: what it shows, and the keys."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.shown = ""

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self._look(), lambda: f"no {text!r} in {self.shown!r}")

    def press(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def _look(self) -> str:
        with contextlib.suppress(BlockingIOError, OSError):  # nothing new, or nobody there
            self.shown += os.read(self._descriptor, 65_536).decode("utf-8", "replace")
        return self.shown


@contextlib.contextmanager
def on_terminal(
    line: Sequence[str], folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Terminal]]:
    ours, theirs = pty.openpty()
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_NONBLOCK)
    termios.tcsetwinsize(ours, (24, 80))
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *line],
            cwd=folder,
            env=clean_environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield process, Terminal(ours)
        finally:
            stop(process)
    finally:
        os.close(ours)


def test_ctrl_c_reaches_the_command_once_and_from_the_terminal(tmp_path: Path) -> None:
    line = run_line(tmp_path, command=[sys.executable, "-c", COUNTS_INTERRUPTS])
    with on_terminal(line, tmp_path) as (process, terminal):
        terminal.wait_for("ready True")
        terminal.press("\x03")
        terminal.wait_for("interrupts: 1")
        terminal.wait_for("0 calls seen")
        assert process.wait(SECONDS) == 3


def test_ctrl_z_stops_the_command_and_fg_goes_on_with_it(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not here")
    with on_terminal([bash, "--norc", "--noprofile", "-i"], tmp_path) as (process, terminal):
        terminal.press(" ".join(run_line(tmp_path, command=["cat"])) + "\n")
        wait_until((tmp_path / "trail.jsonl").exists)
        terminal.press("one\n")
        terminal.wait_for("one\r\none\r\n")
        terminal.press("\x1a")
        terminal.wait_for("Stopped")
        terminal.press("fg\n")
        terminal.press("two\n")
        terminal.wait_for("two\r\n")
        terminal.press("\x04")
        terminal.wait_for("0 calls seen")
        terminal.press("exit 0\n")
        assert process.wait(SECONDS) == 0


def test_mitmweb_stays_for_a_person_until_ctrl_c(tmp_path: Path) -> None:
    line = run_line(tmp_path, "--web", "--no-web-open-browser", command=["sh", "-c", "exit 4"])
    with on_terminal(line, tmp_path) as (process, terminal):
        terminal.wait_for("mitmweb stays until Ctrl-C")
        terminal.press("\x03")
        assert process.wait(SECONDS) == 4


def test_the_console_is_refused_where_the_command_needs_its_terminal(tmp_path: Path) -> None:
    with on_terminal(run_line(tmp_path, "--console", command=["true"]), tmp_path) as (
        process,
        terminal,
    ):
        terminal.wait_for("--console needs the terminal, which CMD has")
        assert process.wait(SECONDS) == 2


def test_the_console_has_the_terminal_where_the_command_does_not_need_it(tmp_path: Path) -> None:
    inner = " ".join(run_line(tmp_path, "--console", command=["echo", "from-cmd"]))
    script = f"{inner} </dev/null >out.log 2>err.log; echo ended $?"
    with on_terminal(["/bin/sh", "-c", script], tmp_path) as (process, terminal):
        terminal.wait_for("Flows")
        wait_until(lambda: "calls seen" in (tmp_path / "err.log").read_text())
        assert (tmp_path / "out.log").read_text() == "from-cmd\n"
        terminal.press("Q")
        terminal.wait_for("ended 0")
        assert process.wait(SECONDS) == 0
