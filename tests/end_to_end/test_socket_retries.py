"""A WebSocket whose opening was sent again is one like any other."""

import asyncio
from pathlib import Path

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.end_to_end.gateways import running_http_1
from tests.end_to_end.proxies import APP_KEY, Proxy, running_proxy, wait_until

pytestmark = pytest.mark.real_server

SAID = ["one", "two", "three"]


async def talk(proxy: Proxy) -> list[str | bytes | None]:
    """What comes back of messages that the gateway says back, one by one."""
    url = f"{proxy.base_url.replace('http', 'ws')}/realtime?model=gpt-4o-mini"
    headers = {"authorization": f"Bearer {APP_KEY}"}
    connection = await websocket_connect(HTTPRequest(url, headers=headers))
    await connection.read_message()  # that the session has begun
    heard = []
    for message in SAID:
        await connection.write_message(message)
        heard.append(await connection.read_message())
    connection.close()
    while await connection.read_message() is not None:
        pass
    return heard


@pytest.mark.parametrize("fast", ["true", "false"])
def test_messages_pass_over_a_socket_that_the_gateway_has_opened_at_a_later_try(
    tmp_path: Path, fast: str
) -> None:
    (tmp_path / "foxora.yaml").write_text("gateway: {retries: 2}\n")
    with running_http_1(tmp_path / "gateway") as gateway:
        gateway.queue("close-before-head", "status=503", path="/v1/realtime")
        environment = {
            "FOXORA_API_KEY": "foxora_sk_fake_opening",
            "FOXORA_BASE_URL": gateway.base_url,
            "FOXORA_FAST": fast,
        }
        with running_proxy(tmp_path, (), environment) as proxy:
            heard = asyncio.run(asyncio.wait_for(talk(proxy), 20))
            wait_until(lambda: any(record.get("status") == 101 for record in proxy.records()))
            (record,) = [each for each in proxy.records() if each["event"] == "response"]
    assert heard == SAID
    assert record["outcome"] == "completed"
    assert [each["status"] for each in record["tries"]] == [None, 503]
    assert record["websocket"]["count"] == 1 + 2 * len(SAID)
