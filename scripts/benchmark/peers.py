"""The proxies that are measured: how each is started in front of an upstream, and what it costs.

Each starts in an empty folder, pinned to a core of its own where there are several, and ends with
the round. What is not installed here is left out.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.end_to_end.proxies import clean_environment, free_port

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BIN = Path(sys.executable).parent
TOOLS = ROOT / ".tools" / "bench"
STOP_SECONDS = 10.0

FOXORA = """
gateway: {{base_url: "http://127.0.0.1:{upstream}/v1"}}
accounts:
  - name: acme
    default: true
    key: {{env: FOXORA_API_KEY}}
    plan: team
    limits: {{requests_per_minute: 10000000, tokens_per_minute: 100000000000}}
audit: {{path: trail.jsonl}}
"""
NGINX = """
daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f;
  uwsgi_temp_path u; scgi_temp_path s; client_body_buffer_size 1m; keepalive_requests 1000000000;
  upstream gateway {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://gateway; proxy_http_version 1.1; proxy_buffering off;
      proxy_set_header Connection ""; proxy_set_header Authorization "Bearer foxora_sk_fake_nginx";
    }}
  }}
}}
"""
LITELLM = """
model_list:
  - model_name: gpt-4o-mini
    litellm_params:
      {{model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-fake}}
"""

type Command = Callable[[int, int], Sequence[str]]
"""The command line for the port to listen on and that of the upstream; run in the folder."""


@dataclass(frozen=True)
class Peer:
    """A proxy. `needs` must be there; `files` are written with both ports put in."""

    name: str
    what: str
    command: Command
    needs: Path
    files: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Callable[[int], bytes] = lambda _: b""

    @property
    def is_here(self) -> bool:
        return self.needs.exists()


@dataclass
class Running:
    """A peer that runs. Processor seconds are those of the whole process, kernel and user."""

    peer: Peer
    port: int
    process: subprocess.Popen[bytes]
    folder: Path
    began: float

    def cpu_seconds(self) -> float:
        text = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(text[11]) + int(text[12])) / os.sysconf("SC_CLK_TCK")

    def resident_kib(self) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    @property
    def output(self) -> str:
        return (self.folder / "output.log").read_text("utf-8", "replace")


def _reverse(port: int, upstream: int) -> list[str]:
    mode = f"reverse:http://127.0.0.1:{upstream}"
    return [str(BIN / "mitmdump"), "--mode", mode, "-p", str(port), "--set", "confdir=conf"]


def _ours(*words: str) -> Command:
    return lambda port, _: [*words, "-p", str(port), "--set", "confdir=conf"]


_OURS_FILES = {"foxora.yaml": FOXORA}
_KEY = {"FOXORA_API_KEY": "foxora_sk_fake_benchmark"}
_NGINX_PATH = Path(shutil.which("nginx") or "/usr/sbin/nginx")
_SCRIPT = (str(BIN / "mitmdump"), "-s", "foxora_addon")

PEERS: Sequence[Peer] = (
    Peer("bare", "mitmdump, reverse mode, no script", _reverse, BIN / "mitmdump"),
    Peer(
        "run",
        "`foxora-proxy run`",
        _ours(str(BIN / "foxora-proxy"), "run"),
        BIN / "foxora-proxy",
        _OURS_FILES,
        _KEY,
    ),
    Peer(
        "script",
        "`mitmdump -s foxora_addon`",
        _ours(*_SCRIPT),
        BIN / "mitmdump",
        _OURS_FILES,
        _KEY,
    ),
    Peer(
        "fast-script",
        "the same, `foxora_fast=true`",
        _ours(*_SCRIPT, "--set", "foxora_fast=true"),
        BIN / "mitmdump",
        _OURS_FILES,
        _KEY,
    ),
    Peer(
        "unsped-script",
        "the same, `foxora_fast=false`",
        _ours(*_SCRIPT, "--set", "foxora_fast=false"),
        BIN / "mitmdump",
        _OURS_FILES,
        _KEY,
    ),
    Peer(
        "naive",
        "mitmdump, a naive logging script",
        lambda port, upstream: [*_reverse(port, upstream), "-s", str(HERE / "naive_addon.py")],
        BIN / "mitmdump",
        environment={"NAIVE_LOG": "naive.jsonl"},
    ),
    Peer(
        "aiohttp",
        "a proxy by hand over aiohttp: no limits, no trail",
        lambda port, upstream: [
            str(TOOLS / "common/bin/python"),
            str(HERE / "aiohttp_proxy.py"),
            str(port),
            f"http://127.0.0.1:{upstream}",
        ],
        TOOLS / "common/ready",
    ),
    Peer(
        "nginx",
        "nginx, one worker: no limits, no trail",
        lambda _port, _upstream: [str(_NGINX_PATH), "-p", ".", "-c", "nginx.conf"],
        _NGINX_PATH,
        {"nginx.conf": NGINX},
    ),
    Peer(
        "litellm",
        "LiteLLM's proxy",
        lambda port, _: [
            str(TOOLS / "litellm/bin/litellm"),
            *("--config", "litellm.yaml", "--host", "127.0.0.1", "--port", str(port)),
        ],
        TOOLS / "litellm/ready",
        {"litellm.yaml": LITELLM},
        {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # loopback alone
        },
    ),
    Peer(
        "portkey",
        "Portkey's gateway",
        lambda port, _: [
            "node",
            str(TOOLS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"),
            *(f"--port={port}", "--headless"),
        ],
        TOOLS / "portkey/ready",
        headers=lambda upstream: (
            b"x-portkey-provider: openai\r\nx-portkey-custom-host: http://127.0.0.1:%d/v1\r\n"
            % upstream
        ),
    ),
)
ON_DEMAND = {"litellm", "portkey"}


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """A command that runs on one core alone, where there are several."""
    return list(command) if core is None else ["taskset", "-c", str(core), *command]


def cores() -> tuple[int, int] | None:
    """The proxy's core, and that of load and upstream; None where there is no choice."""
    if not hasattr(os, "sched_getaffinity") or shutil.which("taskset") is None:
        return None
    free = sorted(os.sched_getaffinity(0))
    return (free[0], free[-1]) if len(free) > 1 else None


@contextlib.contextmanager
def running(peer: Peer, folder: Path, upstream: int, core: int | None) -> Iterator[Running]:
    """A peer that was just started; whether it answers yet is the caller's to find out."""
    folder.mkdir(parents=True)
    port = free_port()
    for name, text in peer.files.items():
        (folder / name).write_text(text.format(port=port, upstream=upstream))
    command = pinned(peer.command(port, upstream), core)
    with process_of(command, folder, peer.environment) as process:
        yield Running(peer, port, process, folder, time.monotonic())


@contextlib.contextmanager
def process_of(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, with its output in a file; it is told to stop in the end."""
    given = clean_environment(**environment)
    given.pop("PYTHONUNBUFFERED", None)  # as a user would start it
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
