"""Tries out which runtimes of this machine trust mitmproxy's certificate authority.

A server on loopback shows a certificate of that authority, and each runtime connects: once as in
this shell, once with the variables that `run` and `env` set. So the answer is what an app would
meet, not what a file suggests.
"""

import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

from foxora_addon.app.ca_bundle import NoBundle, bundle_of, is_of
from foxora_addon.app.client_environment import variables_of
from foxora_addon.app.doctor.finding import Finding, fail, ok, warn
from foxora_addon.authority import require_authority
from foxora_addon.confdir import AUTHORITY, REMEDY, NoConfdir, why_not_writable

_TIMEOUT_SECONDS: Final = 20.0
_NOT_HERE: Final = 77
_CERTIFICATES: Final = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR"})
_PYTHON: Final = (
    "import ssl, sys, urllib.request;"
    "urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=10)"
)
_REQUESTS: Final = f"""
import sys
try:
    import requests
except ImportError:
    sys.exit({_NOT_HERE})
requests.get(sys.argv[1], timeout=10)
"""
_NODE: Final = (
    "require('https').get(process.argv[1], () => process.exit(0))"
    ".on('error', () => process.exit(1))"
)


@dataclass(frozen=True, slots=True)
class Runtime:
    """A way to connect: the command gets the URL as its last argument, and exits 0 if it could."""

    name: str
    command: tuple[str, ...]


def runtimes() -> Iterator[Runtime]:
    """The runtimes that are here. requests may be missing where Python is there."""
    yield Runtime("Python", (sys.executable, "-c", _PYTHON))
    python = shutil.which("python3") or sys.executable
    yield Runtime("requests", (python, "-c", _REQUESTS))
    if node := shutil.which("node"):
        yield Runtime("Node", (node, "-e", _NODE))
    if curl := shutil.which("curl"):
        yield Runtime("curl", (curl, "-sS", "-o", os.devnull, "--max-time", "10"))


def look(
    ca: Path, environ: Mapping[str, str], passphrase: bytes | None = None, *, runs: bool = False
) -> Iterator[Finding]:
    """Findings about the authority: is it there, and who trusts it. Nothing is left behind.

    `ca` is its certificate as mitmproxy writes it, `passphrase` what opens its key if need be.
    `runs`: a proxy has read it already.
    """
    if why := why_not_writable(ca.parent):
        yield fail("CA", f"{why}; the proxy does not start", REMEDY)
        return
    authority = ca.with_name(AUTHORITY)
    if not authority.exists(follow_symlinks=False):
        text = f"{authority} is not there yet; it is made at the proxy's first start"
        yield warn(
            "CA", text, "start the proxy once, then ask again: foxora-proxy run --mock -- true"
        )
        return
    try:
        require_authority(ca.parent, passphrase)
    except NoConfdir as error:
        if runs:  # as another user, or with another passphrase
            yield warn("CA", f"{error}; so who trusts it can't be tried out", error.remedy)
        else:
            yield fail("CA", f"{error}; the proxy does not start", error.remedy)
    else:
        yield _about_copy(ca, authority)
        yield from _tried_out(ca, environ, passphrase)
    yield from about_node(_version_of_node())


def _about_copy(ca: Path, authority: Path) -> Finding:
    """Whether the certificate that clients are told of by hand is the one that is signed with."""
    if not ca.is_file():
        return ok("CA", f"{authority}")
    if is_of(ca, authority):
        return ok("CA", f"{ca}")
    text = f"{ca} is not the certificate in {AUTHORITY}, which the proxy signs as"
    remedy = "`run` and `env` take the right one; for others, put it there, or remove that file"
    return warn("CA", text, remedy)


def _tried_out(ca: Path, environ: Mapping[str, str], passphrase: bytes | None) -> Iterator[Finding]:
    try:
        with tempfile.TemporaryDirectory() as folder:
            bundle = bundle_of(ca, environ, Path(folder))
            with _server(ca.parent, passphrase) as url:
                yield from _tried(url, _directly(environ), str(bundle))
    except NoBundle as error:
        remedy = "correct that: `run` and `env` need it, calls by base URL alone do not"
        yield fail("CA", str(error), remedy)
    except OSError as error:
        yield warn("CA", f"it could not be tried out: {error}", "look at that folder's files")


def _directly(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment in which no proxy stands before our server."""
    return {name: value for name, value in environ.items() if not name.lower().endswith("_proxy")}


def _tried(url: str, here: Mapping[str, str], bundle: str) -> Iterator[Finding]:
    """Let every runtime connect, all at once: as it is here, as under `run`, and bare."""
    led = _directly({**here, **variables_of(url, bundle, here)})
    bare = {name: value for name, value in here.items() if name not in _CERTIFICATES}
    known = list(runtimes())
    with ThreadPoolExecutor() as pool:
        now = [pool.submit(_trusts, runtime, url, here) for runtime in known]
        then = [pool.submit(_trusts, runtime, url, led) for runtime in known]
        system = pool.submit(_trusts, known[0], url, bare)
    for runtime, is_trusted, under_run in zip(known, now, then, strict=True):
        yield from _about(runtime, is_trusted=is_trusted.result(), under_run=under_run.result())
    yield from _about_system(is_trusted=system.result())


def _about(
    runtime: Runtime, *, is_trusted: bool | None, under_run: bool | None
) -> Iterator[Finding]:
    check = f"CA {runtime.name}"
    if under_run is None:
        return  # not here
    if is_trusted:
        yield ok(check, "trusts it in this shell")
    elif under_run:
        yield ok(check, "trusts it under `foxora-proxy run` and `env`, not in this shell")
    else:
        remedy = "use the base URL (OPENAI_BASE_URL) with it, which needs no authority"
        yield warn(check, "does not trust it, even under `foxora-proxy run`", remedy)


def _about_system(*, is_trusted: bool | None) -> Iterator[Finding]:
    if is_trusted:
        remedy = "better trust it for one process, by foxora-proxy run or env"
        yield warn("CA system", "the whole machine trusts it: who has its key is anybody", remedy)
    else:
        yield ok("CA system", "not trusted by the whole machine, and need not be")


def about_node(version: tuple[int, ...] | None) -> Iterator[Finding]:
    """Whether Node heeds HTTPS_PROXY: from 22.21 and from 24.0 on."""
    if version is None:
        return
    shown = ".".join(map(str, version))
    if (22, 21) <= version < (23,) or version >= (24,):
        yield ok("Node's proxy", f"{shown} heeds HTTPS_PROXY, by NODE_USE_ENV_PROXY=1")
    else:
        remedy = "use the base URL (OPENAI_BASE_URL) with it, or Node 22.21, 24.0 or newer"
        yield warn("Node's proxy", f"{shown} does not heed HTTPS_PROXY", remedy)


def _version_of_node() -> tuple[int, ...] | None:
    node = shutil.which("node")
    if node is None:
        return None
    said = _run((node, "--version"), os.environ)
    numbers = re.match(r"v(\d+)\.(\d+)\.(\d+)", said.stdout if said else "")
    return tuple(int(number) for number in numbers.groups()) if numbers else None


def _trusts(runtime: Runtime, url: str, environ: Mapping[str, str]) -> bool | None:
    """Whether a runtime connects; None if it is not here."""
    finished = _run((*runtime.command, url), environ)
    if finished is not None and finished.returncode == _NOT_HERE:
        return None
    return finished is not None and finished.returncode == 0


def _run(
    command: tuple[str, ...], environ: Mapping[str, str]
) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(  # noqa: S603  # our own words to programs on the user's PATH
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as it is named
        """Nothing: who connects is told by its exit status."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: that a runtime breaks off TLS is what is looked for."""


@contextmanager
def _server(confdir: Path, passphrase: bytes | None) -> Iterator[str]:
    """The URL of a server on loopback, under the authority in a folder."""
    from foxora_addon.proxy.loopback_tls import certificate_for  # noqa: PLC0415  # a large import

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "localhost.pem")  # in a folder that is ours alone
        file.write_bytes(certificate_for("localhost", confdir, passphrase, Path(folder)))
        context.load_cert_chain(file)
    server = _Server(("127.0.0.1", 0), _Answers)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
