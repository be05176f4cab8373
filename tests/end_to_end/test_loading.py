"""`-s foxora_addon`, as it is typed, in the programs and folders in which people type it."""

import contextlib
import os
import pty
import subprocess
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Thread

import httpx
import pytest

from tests.end_to_end.proxies import (
    APP_KEY,
    BIN,
    ON_MOCK,
    ROOT,
    arguments,
    clean_environment,
    direct_client,
    free_port,
    run_to_its_end,
    running_command,
    running_proxy,
    stop,
    wait_until,
)

pytestmark = pytest.mark.real_server

LINES, COLUMNS = 40, 120


def serves_models(port: int) -> bool:
    headers = {"Authorization": f"Bearer {APP_KEY}"}
    with contextlib.suppress(httpx.TransportError), direct_client() as client:
        answer = client.get(f"http://127.0.0.1:{port}/v1/models", headers=headers)
        return answer.is_success and answer.json()["object"] == "list"
    return False


@contextlib.contextmanager
def in_a_terminal(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose standard streams are a terminal that somebody reads."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (LINES, COLUMNS))
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=clean_environment(TERM="xterm-256color"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    reader = Thread(target=read_to_the_end, args=(ours,))
    reader.start()
    try:
        yield process
    finally:
        stop(process)
        reader.join()
        os.close(ours)


def read_to_the_end(terminal: int) -> None:
    with contextlib.suppress(OSError):  # Linux's way to say that the last writer has gone
        while os.read(terminal, 65536):
            pass


def test_the_console_loads_it(tmp_path: Path) -> None:
    port = free_port()
    command = [*arguments(tmp_path, port), *ON_MOCK]
    command[0] = str(BIN / "mitmproxy")
    with in_a_terminal(command, tmp_path) as process:
        wait_until(lambda: process.poll() is not None or serves_models(port))
        assert process.poll() is None
        assert serves_models(port)


@pytest.mark.parametrize("program", ["mitmdump", "mitmweb"])
def test_it_loads_in_the_repository_where_its_name_is_a_folder(
    program: str, tmp_path: Path
) -> None:
    port = free_port()
    web = ("--set", "web_open_browser=false", "--set", f"web_port={free_port()}")
    command = [*arguments(tmp_path, port), *ON_MOCK, *(web if program == "mitmweb" else ())]
    command[0] = str(BIN / program)
    (tmp_path / "foxora_addon").symlink_to(ROOT / "foxora_addon")
    with running_command(command, tmp_path, port):
        assert serves_models(port)


@pytest.mark.parametrize("script", ["./foxora_addon/", str(ROOT / "foxora_addon")])
def test_its_folder_as_a_path_loads_it(script: str, tmp_path: Path) -> None:
    with running_proxy(tmp_path, script=script) as proxy:
        assert serves_models(proxy.port)


def test_a_file_of_its_name_in_the_working_directory_is_loaded_instead(tmp_path: Path) -> None:
    (tmp_path / "foxora_addon").write_text("raise SystemExit('somebody else speaks')\n")
    command = [str(BIN / "mitmdump"), "-s", "foxora_addon", "-n", "--set", f"confdir={tmp_path}"]
    finished = run_to_its_end(command, tmp_path)
    assert "somebody else speaks" in finished.stdout + finished.stderr
