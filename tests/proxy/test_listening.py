"""How the start line says to point clients here, and which options stop the start."""

import asyncio
import socket
from types import SimpleNamespace
from typing import cast

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons

from foxora_addon.proxy.listening import (
    Unusable,
    bind_to_loopback,
    check_names,
    free_datagrams,
    let_in,
    settled,
    url_here,
    way_here,
)

SOCKS, REGULAR, REVERSE = "socks5@1001", "regular@1002", "reverse:https://api.example@1003"


def listening(*specs: str, host: str = "127.0.0.1") -> Master:
    """A program that listens in these modes, each at a port of its own."""
    modes = [ProxyMode.parse(spec) for spec in specs]
    servers = [
        SimpleNamespace(mode=mode, listen_addrs=[(host, mode.custom_listen_port)]) for mode in modes
    ]
    addons = {"proxyserver": SimpleNamespace(servers=servers)}
    return cast("Master", SimpleNamespace(addons=addons, options=Options(mode=list(specs))))


@pytest.mark.parametrize(
    ("specs", "port"),
    [
        ([REGULAR], 1002),
        ([SOCKS, REGULAR], 1002),
        ([REVERSE, "upstream:http://127.0.0.1:3128@1004", SOCKS], 1004),
    ],
)
def test_a_port_is_named_that_takes_a_base_url_and_tunnels(specs: list[str], port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    said = f"OPENAI_BASE_URL={url}/v1, or HTTPS_PROXY={url} with mitmproxy's CA,"
    assert way_here(listening(*specs)) == said


@pytest.mark.parametrize(
    ("host", "named", "asked"),
    [
        ("::1", "[::1]", "[::1]"),
        ("192.0.2.7", "192.0.2.7", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1", "127.0.0.1"),
        ("::", "[::1]", "[::1]"),
    ],
)
def test_the_address_is_named_that_is_listened_on(host: str, named: str, asked: str) -> None:
    program = listening(REVERSE, host=host)
    assert way_here(program) == f"OPENAI_BASE_URL=http://{named}:1003/v1"
    assert url_here(program) == f"http://{asked}:1003"


def test_a_reverse_proxy_takes_no_tunnels() -> None:
    said = "OPENAI_BASE_URL=http://127.0.0.1:1003/v1"
    assert way_here(listening(SOCKS, REVERSE)) == said


@pytest.mark.parametrize(
    ("specs", "way"),
    [
        ([SOCKS], "nothing here takes a base URL; what comes by socks5"),
        (["transparent@1005", SOCKS], "nothing here takes a base URL; what comes by socks5 or tr"),
        (["reverse:tcp://api.example:1@1006"], "nothing here takes a base URL; what comes by rev"),
        ([], "nothing listens here; what is replayed"),
    ],
)
def test_no_base_url_is_named_that_leads_nowhere(specs: list[str], way: str) -> None:
    assert way_here(listening(*specs)).startswith(way)


@pytest.mark.parametrize(
    ("spec", "bound"),
    [
        ("regular", "regular@127.0.0.1:8080"),
        ("regular@0", "regular@127.0.0.1:0"),
        ("reverse:https://api.example@0", "reverse:https://api.example@127.0.0.1:0"),
        ("socks5@1001", "socks5@127.0.0.1:1001"),
    ],
)
def test_a_mode_keeps_its_port_on_loopback_be_it_any(spec: str, bound: str) -> None:
    options = Options(mode=[spec])
    bind_to_loopback(options)
    assert options.mode == [bound]


def test_who_connected_before_the_port_was_bound_anew_is_let_in() -> None:
    async def main() -> None:
        with taddons.context(Proxyserver()) as context:
            proxy = context.master.addons.get("proxyserver")
            context.options.update(mode=["regular@0"])
            await proxy.setup_servers()
            proxy.running()
            port = proxy.listen_addrs()[0][1]
            waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]

            await let_in()
            bind_to_loopback(context.options)
            await settled(context.master)

            assert {host for host, *_ in proxy.listen_addrs()} == {"127.0.0.1"}
            for connection in waiting:
                connection.setblocking(False)
                with pytest.raises(BlockingIOError):  # open, and nothing was said
                    connection.recv(1)
                connection.close()
            await proxy.servers.update([])

    asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "is_free"), [("", True), ("127.0.0.1", False)], ids=["bound anew", "kept"]
)
def test_the_port_of_http_3_is_free_before_it_is_bound_anew(host: str, is_free: bool) -> None:
    async def main() -> None:
        with taddons.context(Proxyserver()) as context:
            proxy = context.master.addons.get("proxyserver")
            context.options.update(mode=["reverse:https://api.example@0"], listen_host=host)
            await proxy.setup_servers()
            proxy.running()
            port = next(iter(proxy.servers)).listen_addrs[-1][1]

            await free_datagrams(context.master)
            with socket.socket(type=socket.SOCK_DGRAM) as probe:
                if is_free:
                    probe.bind(("127.0.0.1", port))
                else:
                    with pytest.raises(OSError, match="in use"):
                        probe.bind(("127.0.0.1", port))
            bind_to_loopback(context.options)
            await settled(context.master)

            assert {host for host, *_ in proxy.listen_addrs()} == {"127.0.0.1"}
            await proxy.servers.update([])

    asyncio.run(main())


@pytest.mark.parametrize("name", ["foxora_api_key", "FOXORA_API_KEY", "foxora_key"])
def test_a_key_as_an_option_is_answered_with_where_keys_come_from(name: str) -> None:
    options = Options()
    options.set(f"{name}=foxora_sk_test_0000000000000000", defer=True)

    with pytest.raises(Unusable) as told:
        check_names(options)

    assert str(told.value) == (
        f"option {name}: a key is never an option; export FOXORA_API_KEY, or write accounts[].key "
        "in foxora.yaml"
    )
