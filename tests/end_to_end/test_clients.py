"""Unmodified clients get their answers through the proxy, whichever way they are pointed at it."""

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import requests
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI
from openai.types.chat import ChatCompletionToolParam
from pydantic import BaseModel

from tests.end_to_end.programs import program
from tests.end_to_end.proxies import APP_KEY, Proxy, clean_environment

pytestmark = pytest.mark.real_server

OPENAI_URL = "https://api.openai.com/v1"
HELLO: Any = [{"role": "user", "content": "Who answers me here?"}]
CALL: dict[str, Any] = {"model": "gpt-4o-mini", "messages": HELLO}
BEARER = {"Authorization": f"Bearer {APP_KEY}"}
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@dataclass(frozen=True, slots=True)
class Way:
    """How a client reaches the proxy: `via` is None for a base URL, else the HTTPS proxy."""

    base_url: str
    via: str | None
    certificate: str

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)


@pytest.fixture(params=["base URL", "HTTPS proxy"])
def way(request: pytest.FixtureRequest, proxy: Proxy) -> Way:
    if request.param == "base URL":
        return Way(proxy.base_url, None, proxy.certificate)
    return Way(OPENAI_URL, proxy.url, proxy.certificate)


@pytest.fixture
def client(way: Way) -> Iterator[OpenAI]:
    transport = DefaultHttpxClient(proxy=way.via, verify=way.trust(), trust_env=False)
    with OpenAI(
        api_key=APP_KEY, base_url=way.base_url, http_client=transport, max_retries=0
    ) as made:
        yield made


def test_openai_gets_an_answer(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0


def test_openai_gets_a_stream_to_its_end(client: OpenAI) -> None:
    stream = client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
    choices = [choice for chunk in stream for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices)
    assert choices[-1].finish_reason == "stop"


def test_openai_gets_a_tool_call(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="gpt-4o-mini", messages=HELLO, tools=[TOOL], tool_choice="required"
    )
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert calls[0].type == "function"
    assert calls[0].function.name == "weather"
    assert isinstance(json.loads(calls[0].function.arguments), dict)


class City(BaseModel):
    """What a structured answer has to be."""

    name: str
    inhabitants: int


def test_openai_parses_a_structured_answer(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="gpt-4o-mini", messages=HELLO, response_format=City
    )
    assert isinstance(answer.choices[0].message.parsed, City)


def test_openai_gets_embeddings_and_models(client: OpenAI) -> None:
    embeddings = client.embeddings.create(model="text-embedding-3-small", input=["fox", "vixen"])
    assert [each.index for each in embeddings.data] == [0, 1]
    assert all(each.embedding for each in embeddings.data)
    assert "gpt-4o-mini" in {model.id for model in client.models.list()}


def test_async_openai_gets_an_answer_and_a_stream_at_once(way: Way) -> None:
    async def answer_and_stream() -> tuple[str | None, str]:
        transport = DefaultAsyncHttpxClient(proxy=way.via, verify=way.trust(), trust_env=False)
        async with AsyncOpenAI(
            api_key=APP_KEY, base_url=way.base_url, http_client=transport
        ) as client:

            async def streamed() -> str:
                stream = await client.chat.completions.create(
                    model="gpt-4o", messages=HELLO, stream=True
                )
                return "".join(
                    [c.delta.content or "" async for chunk in stream for c in chunk.choices]
                )

            answer, text = await asyncio.gather(
                client.chat.completions.create(model="gpt-4o-mini", messages=HELLO), streamed()
            )
            return answer.choices[0].message.content, text

    content, text = asyncio.run(answer_and_stream())
    assert content
    assert text


def test_openai_without_a_key_is_told_so(client: OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(
            model="gpt-4o-mini", messages=HELLO, extra_headers={"Authorization": openai.Omit()}
        )
    assert caught.value.code == "missing_api_key"


def test_openai_without_a_model_is_told_which_field_is_missing(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body={"messages": HELLO}, cast_to=object)
    assert caught.value.param == "model"
    assert caught.value.code == "invalid_request"


FAILURES = {
    "status=402": (openai.APIStatusError, 402),
    "status=403": (openai.PermissionDeniedError, 403),
    "status=404": (openai.NotFoundError, 404),
    "status=422": (openai.UnprocessableEntityError, 422),
    "status=500": (openai.InternalServerError, 500),
    "html;status=503": (openai.InternalServerError, 503),
    "garbage": (openai.InternalServerError, 502),
    "close-before-head": (openai.InternalServerError, 502),
}


@pytest.mark.parametrize("fault", FAILURES)
@pytest.mark.parametrize("stream", [False, True])
def test_openai_raises_its_own_class_when_the_gateway_fails(
    client: OpenAI, fault: str, stream: bool
) -> None:
    kind, status = FAILURES[fault]
    with pytest.raises(kind) as caught:
        client.chat.completions.create(
            model="gpt-4o-mini",
            messages=HELLO,
            stream=stream,
            extra_headers={"x-mock-fault": fault},
        )
    assert isinstance(caught.value, openai.APIStatusError)
    assert caught.value.status_code == status
    assert caught.value.code
    assert "<" not in caught.value.message
    assert caught.value.response.headers["x-foxora-source"] in {"gateway", "network"}


def test_httpx_gets_an_answer(way: Way) -> None:
    with httpx.Client(proxy=way.via, verify=way.trust(), trust_env=False) as client:
        answer = client.post(f"{way.base_url}/chat/completions", json=CALL, headers=BEARER)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"]
    assert answer.headers["x-foxora-exchange"]


def test_requests_gets_an_answer(way: Way) -> None:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            f"{way.base_url}/chat/completions",
            json=CALL,
            headers=BEARER,
            proxies={"https": way.via} if way.via else {},
            verify=way.certificate,
            timeout=20,
        )
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"]


def curl(*arguments: str, way: Way) -> str:
    via = ["--proxy", way.via] if way.via else []
    finished = subprocess.run(
        [program("curl"), "-sS", "--max-time", "20", "--cacert", way.certificate, *via, *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_curl_gets_an_answer_over_http_2_inside_a_tunnel(way: Way) -> None:
    said = curl(
        "--http2",
        *("-H", f"Authorization: Bearer {APP_KEY}", "-H", "Content-Type: application/json"),
        *("-d", json.dumps(CALL), "-w", "\n%{http_version} %{http_code}"),
        f"{way.base_url}/chat/completions",
        way=way,
    )
    body, _, ending = said.rpartition("\n")
    assert json.loads(body)["choices"][0]["message"]["content"]
    assert ending == ("2 200" if way.via else "1.1 200")


def test_curl_gets_a_stream_with_its_end(way: Way) -> None:
    said = curl(
        *("-N", "-H", f"Authorization: Bearer {APP_KEY}", "-H", "Content-Type: application/json"),
        *("-d", json.dumps({**CALL, "stream": True})),
        f"{way.base_url}/chat/completions",
        way=way,
    )
    assert said.startswith("data: {")
    assert said.rstrip().endswith("data: [DONE]")


NODE_APP = """
const OpenAI = require('openai');
const client = new OpenAI({maxRetries: 0});
const call = {model: 'gpt-4o-mini', messages: [{role: 'user', content: 'Who is it?'}]};
(async () => {
  const plain = await client.chat.completions.create(call);
  let text = '';
  for await (const chunk of await client.chat.completions.create({...call, stream: true}))
    text += chunk.choices[0]?.delta?.content ?? '';
  let refused = null;
  try { await client.chat.completions.create({messages: call.messages}); }
  catch (error) {
    refused = {is: error instanceof OpenAI.BadRequestError, param: error.param, code: error.code};
  }
  console.log(JSON.stringify({plain: plain.choices[0].message.content, text, refused}));
})();
"""


def test_openai_for_node_gets_answers_streams_and_its_error_class(
    proxy: Proxy, node_modules: Path, tmp_path: Path
) -> None:
    node = shutil.which("node")
    assert node is not None, "the packages for Node are here, Node is not"
    app = tmp_path / "app.cjs"
    app.write_text(NODE_APP)
    finished = subprocess.run(
        [node, str(app)],
        env=clean_environment(
            NODE_PATH=str(node_modules), OPENAI_API_KEY=APP_KEY, OPENAI_BASE_URL=proxy.base_url
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    said = json.loads(finished.stdout)
    assert said["plain"]
    assert said["text"]
    assert said["refused"] == {"is": True, "param": "model", "code": "invalid_request"}


def test_every_exchange_of_a_client_has_one_request_and_one_response_record(proxy: Proxy) -> None:
    with httpx.Client(trust_env=False) as client:
        answer = client.post(f"{proxy.base_url}/chat/completions", json=CALL, headers=BEARER)
    exchange = answer.headers["x-foxora-exchange"]
    events = [r["event"] for r in proxy.records() if r["exchange"] == exchange]
    assert events == ["request", "response"]
