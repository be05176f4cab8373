"""A call that a person holds up in mitmweb: it is let go as it was recorded, or it is not sent."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.end_to_end.calls import SEA, app_of
from tests.end_to_end.proxies import direct_client, running_gateway, wait_until
from tests.end_to_end.windows import Web, running_web

pytestmark = pytest.mark.real_server

type Held = tuple[Web, str]


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """A mitmweb that holds up calls before they are sent, and the origin of its gateway."""
    folder = tmp_path_factory.mktemp("held")
    with running_gateway(folder / "gateway") as origin:
        environment = {"FOXORA_BASE_URL": f"{origin}/v1", "FOXORA_API_KEY": "foxora_sk_fake_held"}
        with running_web(folder / "web", ("--set", "intercept=~q ~u chat"), environment) as web:
            yield web, origin


def answer_once_edited(web: Web, edit: dict[str, Any]) -> httpx.Response:
    """Make a call, edit it while it is held up, and let it go."""
    count = len(web.flows())
    with app_of(web.proxy) as app, ThreadPoolExecutor() as pool:
        answer = pool.submit(app.post, "/chat/completions", json=SEA)
        wait_until(lambda: len(web.flows()) > count and web.flows()[-1]["intercepted"])
        path = f"/flows/{web.flows()[-1]['id']}"
        if edit:
            web.send("PUT", path, {"request": edit}).raise_for_status()
        web.send("POST", f"{path}/resume").raise_for_status()
        return answer.result(20)


def calls_at(origin: str) -> list[dict[str, Any]]:
    """What the gateway was asked, without the questions of the proxy itself."""
    with direct_client() as client:
        received: list[dict[str, Any]] = client.get(f"{origin}/_mock/log").json()
    return [each for each in received if "foxora-addon" not in str(each["headers"])]


def test_a_call_that_is_let_go_is_answered(held: Held) -> None:
    web, origin = held
    before = len(calls_at(origin))
    assert answer_once_edited(web, {}).status_code == 200
    assert len(calls_at(origin)) == before + 1


EDITS: dict[str, dict[str, Any]] = {
    "body": {"content": '{"model":"gpt-4o","messages":[]}'},
    "path": {"path": "/v1/embeddings"},
    "shorter path": {"path": "/chat/completions"},
    "method": {"method": "PUT"},
    "host": {"host": "localhost"},
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_call_that_was_changed_after_its_record_is_not_sent_and_says_so(
    held: Held, edit: str
) -> None:
    web, origin = held
    before = len(calls_at(origin))
    answer = answer_once_edited(web, EDITS[edit])
    assert answer.status_code == 500
    assert answer.headers["x-should-retry"] == "false"
    assert "edit and replay it" in answer.json()["error"]["message"]
    assert len(calls_at(origin)) == before
    assert "Traceback" not in web.proxy.output


@pytest.mark.parametrize(
    ("held_up", "outcome"), [("~q ~u chat", "aborted"), ("~s ~u chat", "completed")]
)
def test_a_call_that_is_killed_while_it_is_held_up_ends(
    held: Held, held_up: str, outcome: str
) -> None:
    web, _ = held
    before, count = len(web.proxy.records()), len(web.flows())
    web.send("PUT", "/options", {"intercept": held_up}).raise_for_status()
    try:
        with app_of(web.proxy) as app, ThreadPoolExecutor() as pool:
            answer = pool.submit(app.post, "/chat/completions", json=SEA)
            wait_until(lambda: len(web.flows()) > count and web.flows()[-1]["intercepted"])
            web.send("POST", f"/flows/{web.flows()[-1]['id']}/kill").raise_for_status()
            with pytest.raises(httpx.RemoteProtocolError):
                answer.result(20)
    finally:
        web.send("PUT", "/options", {"intercept": "~q ~u chat"}).raise_for_status()
    wait_until(lambda: len(web.proxy.records()) == before + 2)
    assert web.proxy.records()[-1]["outcome"] == outcome
