"""Few open files: calls are answered or closed at once, the log is short, and it goes on after."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.proxies import (
    APP_KEY,
    BIN,
    Proxy,
    arguments,
    async_http_2_client,
    free_port,
    run_to_its_end,
    running_command,
    running_gateway,
    wait_until,
)

pytestmark = pytest.mark.real_server

SECONDS = 60
CALL = {
    "model": "gpt-4o-mini",
    "stream": True,
    "messages": [{"role": "user", "content": "hi"}],
}
HEADERS = {"authorization": f"Bearer {APP_KEY}"}
SLOWLY = {**HEADERS, "x-mock-fault": "delay=2"}
TAKES_ALL_FILES = """
import asyncio, contextlib, os, pathlib

held = []

async def watch():
    while True:
        await asyncio.sleep(0.05)
        if not pathlib.Path("take").exists():
            while held:
                os.close(held.pop())
            continue
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        pathlib.Path("taken").mkdir(exist_ok=True)  # which takes no file

def running():
    global task
    task = asyncio.get_running_loop().create_task(watch())
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as origin:
        yield origin


@pytest.fixture(params=["mitmdump", "run"])
def program(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@contextlib.contextmanager
def with_few_files(
    folder: Path, gateway: str, program: str, *options: str, files: int = 64
) -> Iterator[Proxy]:
    """A proxy whose hard limit of open files is low."""
    port = free_port()
    usual = arguments(folder, port)
    command = usual if program == "mitmdump" else [str(BIN / "foxora-proxy"), "run", *usual[3:]]
    limited = f'ulimit -n {files}; FOXORA_API_KEY=foxora_sk_fake_files exec "$@"'
    line = ["sh", "-c", limited, "sh", *command, "--set", f"foxora_base_url={gateway}/v1"]
    with running_command([*line, *options], folder, port):
        yield Proxy(port, folder)


async def outcome_of(client: httpx.AsyncClient, url: str, headers: dict[str, str]) -> int | str:
    try:
        answer = await client.post(url, json=CALL, headers=headers)
    except httpx.TimeoutException:
        return "waits"
    except httpx.TransportError:
        return "closed"
    if answer.status_code == 200:
        return 200 if answer.text.rstrip().endswith("[DONE]") else "broken"
    return answer.status_code if "error" in answer.json() else "no JSON"


async def outcomes(
    client: httpx.AsyncClient, url: str, calls: int, headers: dict[str, str]
) -> Counter[int | str]:
    every = (outcome_of(client, url, headers) for _ in range(calls))
    return Counter(await asyncio.gather(*every))


def at_once(proxy: Proxy, calls: int, headers: dict[str, str] = HEADERS) -> Counter[int | str]:
    """What becomes of so many calls, each on a connection of its own that stays open."""

    async def run() -> Counter[int | str]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(trust_env=False, timeout=SECONDS, limits=limits) as client:
            return await outcomes(client, f"{proxy.base_url}/chat/completions", calls, headers)

    return asyncio.run(run())


def serves(proxy: Proxy, calls: int = 5) -> bool:
    return at_once(proxy, calls) == {200: calls}


def verify(proxy: Proxy) -> None:
    audit = [str(BIN / "foxora-proxy"), "audit", "verify", str(proxy.trail)]
    done = run_to_its_end(audit, proxy.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    events = Counter(record["event"] for record in proxy.records())
    assert events["request"] == events["response"]


def test_calls_beyond_the_files_are_refused_or_closed_and_nothing_waits(
    tmp_path: Path, gateway: str, program: str
) -> None:
    with with_few_files(tmp_path, gateway, program) as proxy:
        for _ in range(2):
            found = at_once(proxy, 100, SLOWLY)
            assert found.keys() <= {200, 503, "closed"}, found
            assert found[200] >= 10, found
            assert found[503] >= 5, found
            wait_until(lambda: serves(proxy), lambda: proxy.output)
    output = proxy.output
    assert "Traceback" not in output
    assert output.count("64 open files are enough for") == 1
    assert 1 <= output.count("too few open files") <= 2, "the second is that of the end"
    verify(proxy)


def test_calls_on_one_http_2_connection_count_each(
    tmp_path: Path, gateway: str, program: str
) -> None:
    async def run(proxy: Proxy) -> list[Counter[int | str]]:
        async with async_http_2_client(proxy) as client:
            url = "https://api.openai.com/v1/chat/completions"
            first = await outcomes(client, url, 1, HEADERS)
            return [first, await outcomes(client, url, 60, SLOWLY)]

    with with_few_files(tmp_path, gateway, program) as proxy:
        first, found = asyncio.run(run(proxy))
        assert first == {200: 1}
        assert found.keys() == {200, 503}
        assert found[200] >= 10
        wait_until(lambda: serves(proxy), lambda: proxy.output)
    assert "Traceback" not in proxy.output
    verify(proxy)


def test_clients_are_closed_while_others_have_all_files_and_served_after(
    tmp_path: Path, gateway: str, program: str
) -> None:
    (tmp_path / "takes.py").write_text(TAKES_ALL_FILES)
    with with_few_files(tmp_path, gateway, program, "-s", "takes.py") as proxy:
        assert serves(proxy)
        (tmp_path / "take").touch()
        wait_until((tmp_path / "taken").exists)
        for _ in range(3):
            assert at_once(proxy, 30) == {"closed": 30}
        (tmp_path / "take").unlink()
        wait_until(lambda: serves(proxy), lambda: proxy.output)
    assert "Traceback" not in proxy.output
    assert "the system had none left (Too many open files)" in proxy.output
    verify(proxy)


def test_nothing_is_said_where_the_files_suffice(
    tmp_path: Path, gateway: str, program: str
) -> None:
    (tmp_path / "foxora.yaml").write_text("listen: {max_exchanges: 10}")
    with with_few_files(tmp_path, gateway, program, files=256) as proxy:
        assert serves(proxy)
    assert "open files" not in proxy.output


def test_more_calls_than_the_files_suffice_for_are_told_of_as_they_are_set(
    tmp_path: Path, gateway: str, program: str
) -> None:
    file = tmp_path / "foxora.yaml"
    file.write_text("listen: {max_exchanges: 10}")
    with with_few_files(tmp_path, gateway, program, files=256) as proxy:
        file.write_text("listen: {max_exchanges: 1000}")
        wait_until(lambda: "not for the 1000 of listen.max_exchanges" in proxy.output)
        file.write_text("listen: {max_exchanges: 1000, grace_seconds: 5}")
        wait_until(lambda: proxy.output.count("the changed configuration is in force") == 2)
        assert serves(proxy)
    assert proxy.output.count("open files are enough") == 1


def test_doctor_says_the_same_as_the_start(tmp_path: Path, gateway: str, program: str) -> None:
    with with_few_files(tmp_path, gateway, program, files=256) as proxy:
        wait_until(lambda: "open files are enough" in proxy.output)
    said = proxy.output.partition("not for the ")[2].splitlines()[0]
    doctor = ["sh", "-c", f"ulimit -n 256; exec {BIN}/foxora-proxy doctor"]
    environment = {"FOXORA_API_KEY": "foxora_sk_fake_files", "FOXORA_BASE_URL": f"{gateway}/v1"}
    found = run_to_its_end(doctor, tmp_path, environment).stdout
    what, _, remedy = said.partition("; ")
    assert what in found
    assert remedy in found
