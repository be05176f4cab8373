"""Starting, stopping and serving."""

import asyncio

import httpx
import pytest

from foxora_addon.mock.faults import Fault
from foxora_addon.mock.server import MockGateway, serve
from foxora_addon.mock.settings import MockSettings
from tests.mock.builders import KEY, a_chat, connected, run, running, until_received


def test_the_clock_of_the_ceilings_is_the_given_one() -> None:
    async def scenario() -> None:
        gateway = MockGateway(clock=lambda: 86_400.0)
        gateway.start()
        async with httpx.AsyncClient(trust_env=False) as client:
            headers = {"authorization": f"Bearer {KEY}"}
            answer = await client.get(f"{gateway.base_url}/me/usage?days=1", headers=headers)
        await gateway.stop()
        assert answer.json()[0]["date"] == "1970-01-02"
        assert gateway.received[0].time == 86_400

    run(scenario)


def test_stopping_ends_what_waits_and_frees_the_port_for_a_new_start() -> None:
    async def scenario() -> None:
        async with running(fault="mute") as (gateway, client):
            port = httpx.URL(gateway.origin).port or 0
            waiting = asyncio.create_task(client.post("/chat/completions", json=a_chat()))
            await until_received(gateway)
            await gateway.stop()
            with pytest.raises(httpx.RemoteProtocolError):
                await waiting
            with pytest.raises(httpx.ConnectError):
                await client.get("/me")
            gateway.start(port)
            answer = await client.get("/me", headers={"x-mock-fault": ""})
            assert answer.status_code == 200
            assert len(gateway.received) == 2

    run(scenario)


def test_a_program_that_ends_meanwhile_has_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        gateway = MockGateway()
        gateway.start()
        url, headers = f"{gateway.base_url}/me", {"x-mock-fault": "mute"}
        async with httpx.AsyncClient(trust_env=False, headers=headers) as client:
            waiting = asyncio.create_task(client.get(url))
            await until_received(gateway)
            for _ in range(10):
                await asyncio.sleep(0)
            assert not waiting.done()
            for task in asyncio.all_tasks() - {waiting, asyncio.current_task()}:
                task.cancel()
            with pytest.raises(httpx.RemoteProtocolError):
                await waiting
        await gateway.stop()

    run(scenario)
    assert caplog.text == ""


def test_stopping_ends_answers_that_nobody_reads() -> None:
    async def scenario() -> None:
        async with running() as (gateway, _):
            much = b"x" * 30_000_000
            gateway.faults.extend([Fault(body=much), Fault(raw=much)])
            async with connected(gateway) as (_, first), connected(gateway) as (_, second):
                for writer in (first, second):
                    writer.write(b"GET /v1/me HTTP/1.1\r\nHost: a\r\n\r\n")
                await until_received(gateway, 2)
                await gateway.stop()
            assert {received.fate for received in gateway.received} == {"client_left"}

    run(scenario)


def test_starting_twice_and_asking_too_early_are_mistakes() -> None:
    async def scenario() -> None:
        gateway = MockGateway()
        with pytest.raises(RuntimeError, match="not started"):
            _ = gateway.base_url
        gateway.start()
        with pytest.raises(RuntimeError, match="running already"):
            gateway.start()
        await gateway.stop()
        await gateway.stop()

    run(scenario)


def test_a_port_that_is_taken_is_an_error_of_the_system() -> None:
    async def scenario() -> None:
        async with running() as (gateway, _):
            with pytest.raises(OSError, match="in use"):
                MockGateway().start(httpx.URL(gateway.origin).port or 0)

    run(scenario)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_the_base_url_is_one_that_a_local_client_can_use(address: str) -> None:
    async def scenario() -> str:
        gateway = MockGateway()
        gateway.start(address=address)
        await gateway.stop()
        return gateway.base_url

    url = httpx.URL(run(scenario))
    assert (url.scheme, url.host, url.path) == ("http", "127.0.0.1", "/v1")


def test_serving_goes_on_until_it_is_cancelled() -> None:
    async def scenario() -> None:
        started: asyncio.Future[MockGateway] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(serve(MockSettings(), started=started.set_result))
        gateway = await started
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{gateway.base_url}/me")).status_code == 401
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(httpx.ConnectError):
                await client.get(f"{gateway.base_url}/me")

    run(scenario)
