"""`foxora-proxy run -- CMD` with programs that know nothing of us: it is as if they ran alone."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from foxora_addon.placeholder import PLACEHOLDER_KEY
from tests.end_to_end.programs import program
from tests.end_to_end.proxies import (
    APP_KEY,
    BIN,
    Proxy,
    clean_environment,
    free_port,
    run_to_its_end,
    wait_until,
)
from tests.end_to_end.runs import (
    PYTHON_APP,
    SECONDS,
    is_open,
    port_in,
    records,
    run,
    run_line,
    started,
)

pytestmark = pytest.mark.real_server

FOXORA_KEY = "foxora_sk_live_obviously-fake-0123"
LEAVES_AFTER_THE_HANDSHAKE = """
import os, socket, ssl
host, _, port = os.environ["HTTPS_PROXY"].removeprefix("http://").partition(":")
with socket.create_connection((host, int(port))) as raw:
    raw.sendall(b"CONNECT api.openai.com:443 HTTP/1.1\\r\\nHost: api.openai.com:443\\r\\n\\r\\n")
    raw.recv(4096)
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    trust.wrap_socket(raw, server_hostname="api.openai.com").close()
"""
NODE_APP = """
const OpenAI = require('openai');
new OpenAI({maxRetries: 0}).chat.completions
  .create({model: 'gpt-4o-mini', messages: [{role: 'user', content: 'Who is it?'}]})
  .then(answer => console.log(answer.choices.length));
"""


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
    curl = program("curl")
    words = ["-sS", "-w", "%{http_code}", "-o", os.devnull]
    words += ["-H", f"Authorization: Bearer {APP_KEY}"]
    target = "https://api.openai.com/v1/chat/completions"
    done = run(tmp_path, command=[curl, *words, "-d", "{}", target])
    assert (done.stdout, done.returncode) == ("400", 0)
    assert "1 error: 400 invalid_request" in done.stderr


def test_a_trail_that_can_not_be_written_under_the_command_is_told(tmp_path: Path) -> None:
    breaks = "mv trail.jsonl old.jsonl && mkdir trail.jsonl && sleep 0.3"
    body = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi."}]}'
    asks = f"{program('curl')} -s -o {os.devnull} -w '%{{http_code}}' -d '{body}'"
    calls = f"{asks} -H 'Authorization: Bearer {APP_KEY}' $OPENAI_BASE_URL/chat/completions"
    done = run(tmp_path, command=["/bin/sh", "-c", f"{breaks} && {calls}"])
    assert (done.stdout, done.returncode) == ("503", 0)
    why = f"the trail {tmp_path / 'trail.jsonl'} can't be opened: Is a directory"
    assert f"foxora-proxy: 1 record missing: {why}" in done.stderr.splitlines()


def test_a_command_that_does_not_trust_the_authority_is_told_so(tmp_path: Path) -> None:
    curl = program("curl")
    bare = ["env", "-u", "SSL_CERT_FILE", "-u", "CURL_CA_BUNDLE", curl]
    done = run(tmp_path, command=[*bare, "-sS", "https://api.openai.com/v1/models"])
    assert done.returncode == 60
    assert "0 calls seen: CMD broke off TLS with api.openai.com" in done.stderr


def test_a_command_that_sees_the_certificate_only_after_the_handshake_is_told_so(
    tmp_path: Path,
) -> None:
    done = run(tmp_path, command=[sys.executable, "-c", LEAVES_AFTER_THE_HANDSHAKE])
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


def test_the_exit_status_is_the_commands_own_where_nobody_reads_our_words(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        run_line(tmp_path, command=["sh", "-c", "echo out; exit 3"]),
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=writer,
        timeout=SECONDS,
        check=False,
    )
    os.close(writer)
    assert (done.stdout, done.returncode) == (b"out\n", 3)


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
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "foxora-proxy: the proxy could not start: the option stream_large_bodies would send "
    )


@pytest.mark.parametrize("window", [(), ("--web",)])
def test_a_home_that_can_not_have_the_authority_is_said_and_what_to_do(
    tmp_path: Path, window: tuple[str, ...]
) -> None:
    (tmp_path / "no-folder").write_text("")
    line = [str(BIN / "foxora-proxy"), "run", "--mock", *window, "--", "echo", "ran"]
    done = run_to_its_end(line, tmp_path, {"HOME": str(tmp_path / "no-folder")})
    assert (done.stdout, done.returncode) == ("", 1)
    assert "can't be made: Not a directory; set HOME to a folder of yours, or" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("options", [(), ("-q",)])
def test_a_port_that_is_taken_is_said_in_one_line_that_advises_a_free_one(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(tmp_path, "-p", port, *options, command=["echo", "ran"])
    assert (done.stdout, done.returncode) == ("", 1)
    (line,) = done.stderr.splitlines()
    assert f"the proxy could not start: port {port} is taken by another program; " in line
    assert f"foxora-proxy run --use {port} -- CMD" in line


def test_without_a_command_the_words_of_mitmproxy_stand_before_ours(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = [str(BIN / "foxora-proxy"), "run", "--mock", "-p", port]
        done = run_to_its_end(line, tmp_path, {"HOME": str(tmp_path)})
    assert done.returncode == 1
    said = done.stdout + done.stderr
    before, _, after = said.partition(f"foxora: port {port} is taken by another program")
    assert "address already in use" in before
    assert "address already in use" not in after


@pytest.mark.parametrize("command", [(), ("--", "echo", "ran")])
def test_a_port_of_mitmwebs_page_that_is_taken_is_said_in_one_line(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = ["-p", str(free_port()), "--set", f"web_port={port}"]
        line = [str(BIN / "foxora-proxy"), "run", "--mock", "--web", *options, *command]
        done = run_to_its_end(line, tmp_path, {"HOME": str(tmp_path)})
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert said.count(f"port {port} is taken by another program; give mitmweb's page another") == 1
    assert "Traceback" not in said
    assert "ran" not in done.stdout


def test_a_proxy_that_takes_no_http_is_said_and_the_command_is_not_run(tmp_path: Path) -> None:
    done = run(tmp_path, "--mode", f"socks5@{free_port()}", command=["echo", "ran"])
    assert (done.stdout, done.returncode) == ("", 1)
    (line,) = done.stderr.splitlines()
    assert "run needs --mode regular" in line


def test_of_several_modes_the_command_is_led_to_one_that_takes_http(tmp_path: Path) -> None:
    curl = program("curl")
    low, high = sorted((free_port(), free_port()))
    modes = ("--mode", f"socks5@{low}", "--mode", f"regular@{high}")
    script = "echo $OPENAI_BASE_URL; $0 -s $OPENAI_BASE_URL/models -H 'Authorization: Bearer x'"
    done = run(tmp_path, *modes, command=["sh", "-c", script, curl])
    assert done.stdout.startswith(f"http://127.0.0.1:{high}/v1\n")
    assert "1 call" in done.stderr


def test_options_that_mitmdump_does_not_know_are_wrong_usage(tmp_path: Path) -> None:
    done = run(tmp_path, "--nonsense", command=["echo", "ran"])
    assert (done.stdout, done.returncode) == ("", 2)
    assert "unrecognized arguments: --nonsense" in done.stderr


def test_a_command_without_its_dashes_is_not_taken_for_a_filter(tmp_path: Path) -> None:
    done = run_to_its_end([str(BIN / "foxora-proxy"), "run", "--mock", "sh"], tmp_path)
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
        port = port_in(process.stdout.readline())
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
            port = port_in(url)
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
    assert "the proxy has ended (killed by SIGKILL), CMD goes on without" in done.stderr
    assert "trail.jsonl has the calls up to the proxy's end" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (signal.SIGKILL, "SIGKILL"),
        (signal.SIGSEGV, "SIGSEGV"),
        (signal.SIGRTMIN + 1, f"signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_a_proxy_that_is_killed_as_it_starts_is_said_to_be_that(
    tmp_path: Path, number: int, name: str
) -> None:
    killer = tmp_path / "killer.py"
    killer.write_text(f"import os\nos.kill(os.getpid(), {int(number)})\n")
    done = run(tmp_path, "-s", str(killer), command=["echo", "ran"])
    [line, *_] = done.stderr.splitlines()
    assert line.startswith(f"foxora-proxy: the proxy was killed by {name} before it took calls")
    assert (done.returncode, done.stdout) == (1, "")


def test_a_running_proxy_can_be_used_and_goes_on_running(proxy: Proxy, tmp_path: Path) -> None:
    line = [str(BIN / "foxora-proxy"), "run", "--use", str(proxy.port), "--"]
    done = run_to_its_end([*line, sys.executable, "-c", PYTHON_APP], tmp_path)
    assert done.returncode == 0
    assert "2 calls, " in done.stderr
    assert "of all clients of this proxy" in done.stderr
    assert is_open(proxy.port)


def test_fish_takes_in_what_env_prints(proxy: Proxy, tmp_path: Path) -> None:
    fish = program("fish")
    env = f"{BIN / 'foxora-proxy'} env --port {proxy.port} --shell fish | source"
    app = tmp_path / "it's an app.py"
    app.write_text(PYTHON_APP)
    done = run_to_its_end([fish, "-c", f"{env}; and {sys.executable} $argv", str(app)], tmp_path)
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
