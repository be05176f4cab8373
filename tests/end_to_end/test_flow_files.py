"""Files of flows: what is read from one stays as it was saved; what is replayed is a call."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.io import FlowReader, FlowWriter
from mitmproxy.test import tflow
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    arguments,
    direct_client,
    free_port,
    run_to_its_end,
    running_gateway,
    running_proxy,
    wait_until,
)
from tests.end_to_end.windows import running_web

pytestmark = pytest.mark.real_server

FOXORA_KEY = "foxora_sk_fake_flow_files"
HEADERS = {"authorization": f"Bearer {APP_KEY}"}
CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


def call(proxy: Proxy, **more: object) -> bytes:
    with direct_client() as client:
        url = f"{proxy.base_url}/chat/completions"
        return client.post(url, json={**CALL, **more}, headers=HEADERS).content


async def talk(proxy: Proxy) -> None:
    url = f"{proxy.base_url.replace('http', 'ws')}/realtime?model=gpt-4o-mini"
    socket = await websocket_connect(HTTPRequest(url, headers=HEADERS))
    await socket.write_message('{"type": "session.update"}')
    await socket.read_message()  # that the session has begun
    await socket.read_message()
    socket.close()
    while await socket.read_message() is not None:
        pass


def flows_in(file: Path) -> list[dict[str, Any]]:
    with file.open("rb") as saved:
        return [flow.get_state() for flow in FlowReader(saved).stream()]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as origin:
        yield f"{origin}/v1"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, gateway: str) -> Path:
    """A call, a stream, a refusal and a session."""
    folder = tmp_path_factory.mktemp("ours")
    file = folder / "flows.mitm"
    environment = {"FOXORA_API_KEY": FOXORA_KEY, "FOXORA_BASE_URL": gateway}
    with running_proxy(folder, ("-w", str(file)), environment) as proxy:
        call(proxy)
        call(proxy, stream=True)
        call(proxy, model=5)
        asyncio.run(asyncio.wait_for(talk(proxy), 20))
    return file


@pytest.fixture(scope="module")
def saved(ours: Path) -> Path:
    """The same, and a flow that a proxy without the addon has saved."""
    file = ours.with_name("saved.mitm")
    file.write_bytes(ours.read_bytes())
    with file.open("ab") as more:
        FlowWriter(more).add(tflow.tflow(resp=True))
    return file


def mitmdump(folder: Path, gateway: str, *options: str) -> str:
    """What a mitmdump prints that ends by itself."""
    command = [*arguments(folder, free_port()), "-n", *options]
    environment = {"FOXORA_API_KEY": FOXORA_KEY, "FOXORA_BASE_URL": gateway}
    finished = run_to_its_end(command, folder, environment)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_flows_of_a_file_are_shown_and_saved_as_they_were(
    tmp_path: Path, gateway: str, saved: Path
) -> None:
    copy = tmp_path / "copy.mitm"
    shown = mitmdump(tmp_path, gateway, "-r", str(saved), "-w", str(copy))
    before = flows_in(saved)
    assert [flow["response"]["status_code"] for flow in before] == [200, 200, 400, 101, 200]
    assert flows_in(copy) == before
    for told in (
        " << 200 OK 401b",
        "WebSocket text message",
        "<< 400 Bad Request",
        "http://address",
    ):
        assert told in shown
    assert (tmp_path / "trail.jsonl").read_bytes() == b""


def test_mitmweb_shows_the_flows_of_a_file_as_they_were(tmp_path: Path, saved: Path) -> None:
    before = flows_in(saved)
    with running_web(tmp_path, ("-r", str(saved))) as web:
        wait_until(lambda: len(web.flows()) == len(before))
        shown = {flow["id"]: flow for flow in web.flows()}
        answers = [
            web.get(f"/flows/{flow['id']}/response/content/auto.json").json() for flow in before
        ]
    for flow in before:
        assert shown[flow["id"]]["comment"] == flow["comment"]
        status = flow["response"]["status_code"]
        assert shown[flow["id"]]["response"]["status_code"] == status
    assert [answer["view_name"] for answer in answers[:3]] == ["Foxora"] * 3
    assert "mock gateway" in answers[1]["text"]
    assert answers[-1]["text"] == "message"


@pytest.mark.parametrize("fast", ["true", "false"])
def test_a_replay_that_the_command_line_names_sends_all_that_it_may(
    tmp_path: Path, gateway: str, ours: Path, fast: str
) -> None:
    """A session can't be sent again."""
    mitmdump(tmp_path, gateway, "-C", str(ours), "--set", f"foxora_fast={fast}")
    records = Proxy(0, tmp_path).records()
    ends = [(r["status"], r["source"]) for r in records if r["event"] == "response"]
    assert ends == [(200, "gateway"), (200, "gateway"), (400, "addon")]


def test_a_stream_whose_events_are_saved_is_served_again_as_it_was(
    tmp_path: Path, gateway: str
) -> None:
    file, environment = tmp_path / "flows.mitm", {"FOXORA_API_KEY": FOXORA_KEY}
    base_url = ("--set", f"foxora_base_url={gateway}")
    saving = (*base_url, "-w", str(file), "--set", "store_streamed_bodies=true")
    with running_proxy(tmp_path / "saving", saving, environment) as proxy:
        said = call(proxy, stream=True)
    with running_proxy(tmp_path / "serving", (*base_url, "-S", str(file)), environment) as proxy:
        assert call(proxy, stream=True) == said
        assert proxy.records()[1]["source"] == "addon"
    assert said.endswith(b"data: [DONE]\n\n")
