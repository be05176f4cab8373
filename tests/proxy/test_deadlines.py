"""Connections that are being made, and how long they may take."""

import asyncio
from types import SimpleNamespace

import pytest
from mitmproxy.connection import Client, Server
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from foxora_addon.policy.hosts import parse_base_url
from foxora_addon.policy.timeouts import Timeouts
from foxora_addon.proxy import deadlines
from foxora_addon.proxy.deadlines import Connecting

AT_ONCE = Timeouts(connect=0, tls=0, response=30, stream_idle=5, exchange=None)


@pytest.mark.parametrize(
    ("host", "is_cut"), [("new.example", True), ("OLD.example.", True), ("other.example", False)]
)
def test_a_connection_to_the_gateway_or_to_the_one_before_it_has_a_deadline(
    monkeypatch: pytest.MonkeyPatch, host: str, is_cut: bool
) -> None:
    client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
    server = Server(address=(host, 443))

    async def is_cancelled() -> bool:
        connection = asyncio.create_task(asyncio.Event().wait())
        handler = SimpleNamespace(transports={server: SimpleNamespace(handler=connection)})
        monkeypatch.setattr(deadlines, "handler_of", lambda _: handler)
        connecting = Connecting()
        connecting.may_lead_to(parse_base_url("https://old.example/v1"))
        connecting.may_lead_to(parse_base_url("https://new.example/v1"))
        data = ServerConnectionHookData(server, client)
        connecting.at(data, "tcp", AT_ONCE, is_proxy=False)
        for _ in range(5):
            await asyncio.sleep(0)
        return connection.cancelled()

    assert asyncio.run(is_cancelled()) is is_cut
