"""Files of flows: what is read from one stays as it was saved."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.io import FlowReader, FlowWriter
from mitmproxy.test import tflow
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.end_to_end.proxies import (
    APP_KEY,
    ON_MOCK,
    Proxy,
    arguments,
    direct_client,
    free_port,
    run_to_its_end,
    running_proxy,
    wait_until,
)
from tests.end_to_end.windows import running_web

pytestmark = pytest.mark.real_server

HEADERS = {"authorization": f"Bearer {APP_KEY}"}
CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


def call(proxy: Proxy, **more: object) -> None:
    with direct_client() as client:
        url = f"{proxy.base_url}/chat/completions"
        client.post(url, json={**CALL, **more}, headers=HEADERS)


async def talk(proxy: Proxy) -> None:
    url = f"{proxy.base_url.replace('http', 'ws')}/realtime?model=gpt-4o-mini"
    socket = await websocket_connect(HTTPRequest(url, headers=HEADERS))
    await socket.write_message('{"type": "session.update"}')
    await socket.read_message()
    socket.close()
    while await socket.read_message() is not None:
        pass


def flows_in(file: Path) -> list[dict[str, Any]]:
    with file.open("rb") as saved:
        return [flow.get_state() for flow in FlowReader(saved).stream()]


def with_a_foreign_one(file: Path) -> None:
    """Add a flow that a proxy without the addon has saved."""
    with file.open("ab") as saved:
        FlowWriter(saved).add(tflow.tflow(resp=True))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A call, a stream, a refusal and a session of ours, and a flow of another's."""
    folder = tmp_path_factory.mktemp("saved")
    file = folder / "flows.mitm"
    with running_proxy(folder, (*ON_MOCK, "-w", str(file))) as proxy:
        call(proxy)
        call(proxy, stream=True)
        call(proxy, model=5)
        asyncio.run(asyncio.wait_for(talk(proxy), 20))
    with_a_foreign_one(file)
    return file


def mitmdump(folder: Path, *options: str) -> Sequence[str]:
    """The lines of a mitmdump that ends by itself."""
    command = [*arguments(folder, free_port()), *ON_MOCK, "-n", *options]
    finished = run_to_its_end(command, folder)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


def test_flows_of_a_file_are_shown_and_saved_as_they_were(tmp_path: Path, saved: Path) -> None:
    copy = tmp_path / "copy.mitm"
    lines = mitmdump(tmp_path, "-r", str(saved), "-w", str(copy))
    before = flows_in(saved)
    assert [flow["response"]["status_code"] for flow in before] == [200, 200, 400, 101, 200]
    assert flows_in(copy) == before
    shown = "\n".join(lines)
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
