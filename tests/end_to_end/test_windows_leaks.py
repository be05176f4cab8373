"""No secret is seen in mitmweb, nor in what it saves, of flows that are over, failed or still open.

The calls are those of test_leaks.py, and one that goes on until all was looked at.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
from tornado.websocket import websocket_connect

from tests.end_to_end.proxies import direct_client, running_gateway, wait_until
from tests.end_to_end.test_leaks import (
    CALL,
    FAULTS,
    FOXORA_KEY,
    HEADERS,
    TARGET,
    all_calls,
    found_in,
)
from tests.end_to_end.windows import PASSWORD, Web, is_over, running_web

pytestmark = pytest.mark.real_server

SLOW = {"chunk_delay_seconds": 3_600, "path": "/v1/chat"}


@dataclass(frozen=True, slots=True)
class Sights:
    """What could be seen, by where; and how many flows were over, failed and open."""

    seen: dict[str, bytes]
    flows: int
    failed: int
    still_open: int


@pytest.fixture(scope="module")
def sights(tmp_path_factory: pytest.TempPathFactory) -> Sights:
    folder = tmp_path_factory.mktemp("sights")
    saved, archive = folder / "web" / "flows.mitm", folder / "web" / "all.har"
    with running_gateway(folder / "gateway") as origin:
        environment = {"FOXORA_BASE_URL": f"{origin}/v1", "FOXORA_API_KEY": FOXORA_KEY}
        options = ("-w", str(saved), "--set", f"hardump={archive}")
        updates: list[bytes] = []
        with running_web(folder / "web", options, environment) as web:
            listener = listener_of(web, updates)
            for _ in all_calls(web.proxy, origin):
                pass
            with direct_client() as client, direct_client() as slow:
                client.post(f"{origin}/_mock/faults", json=[SLOW]).raise_for_status()
                url = f"{web.proxy.base_url}{TARGET}"
                with slow.stream("POST", url, json={**CALL, "stream": True}, headers=HEADERS):
                    wait_until(lambda: len(web.flows()) >= 12 + len(FAULTS) - 3)
                    flows = web.flows()
                    replay_edited(web, flows[0]["id"])
                    seen = seen_of(web, folder)
                    web.command("save.har", "@all", str(folder / "open.har"))
                    web.command("save.file", "@all", str(folder / "open.mitm"))
        listener.join(20)
        seen["updates"] = b"\n".join(updates)
    seen["saved as it ended"] = saved.read_bytes()
    seen["archive at the end"] = archive.read_bytes()
    seen["archive of open flows"] = (folder / "open.har").read_bytes()
    seen["file of open flows"] = (folder / "open.mitm").read_bytes()
    seen["output"] = web.proxy.output.encode()
    failed = [flow for flow in flows if flow.get("error")]
    still_open = [flow for flow in flows if not is_over(flow) and flow.get("response")]
    return Sights(seen, len(flows), len(failed), len(still_open))


def replay_edited(web: Web, flow: str) -> None:
    """Change a call as a person does in mitmweb, send it again, and wait for its new end."""
    body = json.dumps({**CALL, "messages": [{"role": "user", "content": "And who now?"}]})
    web.send("PUT", f"/flows/{flow}", {"request": {"content": body}}).raise_for_status()
    before = web.get("/flows").json()[0]["response"]["headers"]
    web.send("POST", f"/flows/{flow}/replay").raise_for_status()

    def has_ended_anew() -> bool:
        answer = web.get("/flows").json()[0].get("response") or {}
        return answer.get("timestamp_end") is not None and answer["headers"] != before

    wait_until(has_ended_anew)


def seen_of(web: Web, folder: Path) -> dict[str, bytes]:
    """All that mitmweb tells its page, each flow by each view and export that could have it."""
    pages = {path: web.get(path).content for path in ("/flows", "/events", "/options", "/state")}
    pages["download"] = web.get("/flows/dump").content
    for flow in web.flows():
        for part in ("request", "response"):
            if flow.get(part):
                for view in ("auto", "raw", "json"):
                    path = f"/flows/{flow['id']}/{part}/content/{view}.json"
                    pages[path] = web.get(path).content
                path = f"/flows/{flow['id']}/{part}/content.data"
                pages[path] = web.get(path).content
        for form in ("curl", "httpie", "raw_request", "raw_response"):
            file = folder / "export"
            web.command("export.file", form, f"@{flow['id']}", str(file))
            if file.exists():  # there is none of a call that has no answer
                pages[f"{form} of {flow['id']}"] = file.read_bytes()
                file.unlink()
    return pages


def listener_of(web: Web, messages: list[bytes]) -> Thread:
    """A thread that collects what mitmweb tells its pages of, until it ends."""
    url = f"ws://127.0.0.1:{web.port}/updates?token={PASSWORD}"
    thread = Thread(target=lambda: asyncio.run(_collect(url, messages)), daemon=True)
    thread.start()
    return thread


async def _collect(url: str, messages: list[bytes]) -> None:
    socket = await websocket_connect(url)
    while (message := await socket.read_message()) is not None:
        messages.append(message if isinstance(message, bytes) else message.encode())
    socket.close()
    await asyncio.sleep(0)  # its connection lets go of itself in this loop


def test_flows_of_all_kinds_were_looked_at(sights: Sights) -> None:
    assert sights.flows > len(FAULTS)
    assert sights.failed >= 3
    assert sights.still_open == 1


@pytest.mark.parametrize(
    "place",
    [
        *("/flows", "updates", "download", "saved as it ended", "archive at the end"),
        *("archive of open flows", "file of open flows"),
    ],
)
def test_each_place_shows_calls_and_no_secret(sights: Sights, place: str) -> None:
    content = sights.seen[place]
    assert b"chat/completions" in content
    assert found_in(content) == []


def test_no_view_of_any_flow_shows_a_secret(sights: Sights) -> None:
    found = {place: found_in(content) for place, content in sights.seen.items()}
    assert {place: secrets for place, secrets in found.items() if secrets} == {}


@pytest.mark.parametrize("form", ["curl", "httpie", "raw_request", "raw_response"])
def test_calls_are_exported(sights: Sights, form: str) -> None:
    exported = [text for place, text in sights.seen.items() if place.startswith(f"{form} of ")]
    assert len(exported) > len(FAULTS) / 2


def test_a_call_that_was_edited_and_sent_again_is_seen(sights: Sights) -> None:
    assert any(b"And who now?" in text for text in sights.seen.values())


def test_the_answer_of_a_stream_is_in_the_file_and_in_the_archive(sights: Sights) -> None:
    for place in ("saved as it ended", "archive at the end"):
        assert b"chat.completion" in sights.seen[place]
        assert b"foxora_facts" in sights.seen["saved as it ended"]
    json.loads(sights.seen["archive at the end"])
