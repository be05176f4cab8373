"""What the SDKs do after a 429: they come back when they were told to, and nothing goes in between.

The gateway's log is what counts: a call that was refused here must not be in it.
"""

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.end_to_end.gateways import Gateway, running_http_1
from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    clean_environment,
    direct_client,
    running_proxy,
    wait_until,
)

pytestmark = pytest.mark.real_server

MODEL = "gpt-4o-mini"
HELLO: Any = [{"role": "user", "content": "hi"}]
CALL = {"model": MODEL, "messages": HELLO}
HEADERS = {"authorization": f"Bearer {APP_KEY}"}


@contextmanager
def proxied(folder: Path, figures: str, limits: str = "") -> Iterator[tuple[Proxy, Gateway]]:
    with running_http_1(folder / "gateway") as gateway:
        (folder / "foxora.yaml").write_text(
            f"gateway: {{base_url: {gateway.base_url}}}\n"
            f"limits: {{{limits}}}\n"
            f"accounts: [{{name: acme, key: {{env: FOXORA_API_KEY}}, limits: {{{figures}}}}}]\n"
        )
        environment = {"FOXORA_API_KEY": "foxora_sk_fake_retries"}
        with running_proxy(folder, (), environment) as proxy:
            yield proxy, gateway


@pytest.fixture(scope="module")
def one_at_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Gateway]]:
    """An account that may have one exchange open; a further call is told to come in a second."""
    with proxied(tmp_path_factory.mktemp("one"), "concurrent_requests: 1") as running:
        yield running


@contextmanager
def full(proxy: Proxy) -> Iterator[None]:
    """The account's one exchange is open, for as long as this lasts."""
    headers = {**HEADERS, "x-mock-fault": "chunk-delay=0.02;words=20000"}
    url = f"{proxy.base_url}/chat/completions"
    with (
        direct_client() as client,
        client.stream("POST", url, json={**CALL, "stream": True}, headers=headers),
    ):
        yield


def until_refused(proxy: Proxy, known: int) -> None:
    wait_until(lambda: (0, "refuse", "rate_limit_exceeded") in told(proxy, known))


def post(proxy: Proxy, headers: dict[str, str] = HEADERS, **more: Any) -> httpx.Response:
    with direct_client() as client:
        url = f"{proxy.base_url}/chat/completions"
        return client.post(url, json={**CALL, **more}, headers=headers)


@contextmanager
def an_sdk(proxy: Proxy) -> Iterator[openai.OpenAI]:
    """The openai package, with the two retries that it has by default."""
    transport = openai.DefaultHttpxClient(trust_env=False, timeout=20)
    with openai.OpenAI(api_key=APP_KEY, base_url=proxy.base_url, http_client=transport) as client:
        yield client


def answer_of(proxy: Proxy, *, stream: bool) -> str:
    with an_sdk(proxy) as client:
        if not stream:
            whole = client.chat.completions.create(model=MODEL, messages=HELLO)
            return whole.choices[0].message.content or ""
        chunks = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def told(proxy: Proxy, known: int = 0) -> list[tuple[int | None, str, str | None]]:
    """Of each call since the first `known` records: which retry it is, and what was decided."""
    return [
        (
            record["client"]["retry"],
            record["decision"]["verdict"],
            record["decision"]["reason"],
        )
        for record in proxy.records()[known:]
        if record["event"] == "request"
    ]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_openai_for_python_comes_back_when_told_and_nothing_goes_in_between(
    one_at_once: tuple[Proxy, Gateway], stream: bool
) -> None:
    proxy, gateway = one_at_once
    gateway.reset()
    known = len(proxy.records()) if proxy.trail.exists() else 0
    with ThreadPoolExecutor(1) as pool:
        with full(proxy):
            answer = pool.submit(answer_of, proxy, stream=stream)
            until_refused(proxy, known)
        assert answer.result()
    assert told(proxy, known) == [
        (None, "forward", None),
        (0, "refuse", "rate_limit_exceeded"),
        (1, "forward", None),
    ]
    assert len(gateway.log()) == 2


NODE_APP = """
const OpenAI = require('openai');
const client = new OpenAI({maxRetries: 2});
const call = {model: 'gpt-4o-mini', messages: [{role: 'user', content: 'hi'}]};
(async () => {
  let text = '';
  if (process.argv[2] === 'stream') {
    for await (const chunk of await client.chat.completions.create({...call, stream: true}))
      text += chunk.choices[0]?.delta?.content ?? '';
  } else text = (await client.chat.completions.create(call)).choices[0].message.content;
  console.log(text);
})();
"""


@pytest.mark.parametrize("way", ["plain", "stream"])
def test_openai_for_node_comes_back_when_told_and_nothing_goes_in_between(
    one_at_once: tuple[Proxy, Gateway], node_modules: Path, tmp_path: Path, way: str
) -> None:
    proxy, gateway = one_at_once
    node = shutil.which("node")
    assert node is not None, "the packages for Node are here, Node is not"
    app = tmp_path / "app.cjs"
    app.write_text(NODE_APP)
    gateway.reset()
    known = len(proxy.records()) if proxy.trail.exists() else 0
    environment = clean_environment(
        NODE_PATH=str(node_modules), OPENAI_API_KEY=APP_KEY, OPENAI_BASE_URL=proxy.base_url
    )
    with ThreadPoolExecutor(1) as pool:
        with full(proxy):
            running = pool.submit(node_says, [node, str(app), way], environment)
            until_refused(proxy, known)
        said = running.result()
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip()
    assert told(proxy, known) == [
        (None, "forward", None),
        (0, "refuse", "rate_limit_exceeded"),
        (1, "forward", None),
    ]
    assert len(gateway.log()) == 2


def node_says(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_call_that_can_never_fit_is_not_tried_again(tmp_path: Path) -> None:
    with proxied(tmp_path, "tokens_per_minute: 50") as (proxy, gateway):
        with an_sdk(proxy) as client, pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "word " * 500}]
            )
        assert told(proxy) == [(0, "refuse", "rate_limit_exceeded")]
        assert gateway.log() == []
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert "can never fit" in caught.value.message


def test_each_retry_is_a_request_of_the_account(tmp_path: Path) -> None:
    with proxied(tmp_path, "requests_per_minute: 40") as (proxy, gateway):
        before = int(post(proxy).headers["x-ratelimit-remaining-requests"])
        gateway.queue("status=503", "status=503")
        assert answer_of(proxy, stream=False)
        after = int(post(proxy).headers["x-ratelimit-remaining-requests"])
        assert [retry for retry, _, _ in told(proxy)] == [None, 0, 1, 2, None]
    assert before - after == 4  # the three tries, and the call that asks


def retry_after(form: str) -> str:
    """A fault in one of the forms in which a gateway says for how long: for some seconds."""
    if form == "seconds":
        return "status=429;retry-after=5"
    if form == "milliseconds":
        return "status=429;retry-after=30;header=retry-after-ms: 4800"
    moment = datetime.now(UTC) + timedelta(seconds=6)
    return f"status=429;retry-after={format_datetime(moment, usegmt=True)}"


@pytest.mark.parametrize("form", ["seconds", "date", "milliseconds"])
def test_the_gateways_own_429_closes_the_account_for_all_clients_until_it_said(
    tmp_path: Path, form: str
) -> None:
    with proxied(tmp_path, "requests_per_minute: 1000") as (proxy, gateway):
        gateway.queue(retry_after(form))
        refused = post(proxy)
        others = [post(proxy, {"authorization": f"Bearer sk-other-{n}"}) for n in range(3)]
        assert len(gateway.log()) == 1
        waits = [int(answer.headers["retry-after-ms"]) / 1000 for answer in others]
        assert answer_of(proxy, stream=False)
        first, second = gateway.log()
    assert refused.headers["x-foxora-source"] == "gateway"
    assert [answer.status_code for answer in (refused, *others)] == [429] * 4
    assert {answer.headers["x-foxora-source"] for answer in others} == {"addon"}
    assert 0 < waits[0] <= 6
    assert waits[0] < min(waits[1:])  # the others come after it, as the account opens again
    assert second["time"] - first["time"] > waits[0]


def test_calls_that_waited_for_the_gateway_go_little_by_little(tmp_path: Path) -> None:
    with proxied(tmp_path, "requests_per_minute: 1000", "on_limit: wait") as (proxy, gateway):
        gateway.queue("status=429;retry-after=1")
        assert post(proxy).status_code == 429
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: post(proxy), range(6)))
        times = [entry["time"] for entry in gateway.log()]
    assert [answer.status_code for answer in answers] == [200] * 6
    closed, *sent = times
    # One as the account opens, half a second later two more, then four: none of them sooner.
    opens_at = [closed + 1.0 + pause for pause in (0.0, 0.5, 0.5, 1.0, 1.0, 1.0)]
    assert all(moment >= opens for moment, opens in zip(sent, opens_at, strict=True))
