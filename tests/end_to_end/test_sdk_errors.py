"""What clients raise for each failure: OpenAI's own the classes that an app would get of OpenAI."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.end_to_end.proxies import APP_KEY, ROOT, Proxy, clean_environment, running_proxy

pytestmark = pytest.mark.real_server

MODEL = "gpt-4o-mini"
PATIENCE = "response_timeout_seconds: 1, stream_idle_timeout_seconds: 1"
# A fault of the mock, and the class that both clients raise. The second table's break in a stream.
BEFORE_THE_HEAD = {
    "status=400": "BadRequestError",
    "status=401": "AuthenticationError",
    "status=402": "APIStatusError",
    "status=403": "PermissionDeniedError",
    "status=404": "NotFoundError",
    "status=422": "UnprocessableEntityError",
    "status=429;retry-after=0": "RateLimitError",
    "status=500": "InternalServerError",
    "status=503": "InternalServerError",
    "html;status=200": "InternalServerError",
    "empty": "InternalServerError",
    "body=%7B%22choices%22: [": "InternalServerError",
    "garbage": "InternalServerError",
    "close-before-head": "InternalServerError",
    "mute": "InternalServerError",
}
IN_A_STREAM = {
    "cut-after=2": "APIError",
    "cut-bytes=300": "APIError",
    "mute-after=2": "APIError",
    "gzip;cut-after=3": "APIError",
    "error-event": "APIError",
}
# Those among them that the proxy has to tell of, and the code that it does so with.
ENDED_BY_US = {
    "cut-after=0": "gateway_unreachable",
    "cut-after=6": "gateway_unreachable",
    "cut-bytes=300": "gateway_unreachable",
    "mute-after=2": "gateway_timeout",
    "gzip;cut-after=3": "gateway_unreachable",
}
# The Node client has no class of its own for 402.
IN_NODE = {"APIStatusError": "APIError"}
WAYS_OF_RESPONSES = ("create", "stream", "ai")


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("impatient")
    (folder / "foxora.yaml").write_text(f"gateway: {{base_url: mock, {PATIENCE}}}\n")
    with running_proxy(folder, ()) as proxy:
        yield proxy


def raised_by_python(proxy: Proxy, fault: str, *, stream: bool) -> openai.APIError:
    with openai.OpenAI(api_key=APP_KEY, base_url=proxy.base_url, max_retries=0) as client:
        try:
            answer = client.chat.completions.create(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": "hi"}],
                stream=stream,
                extra_headers={"x-mock-fault": fault},
            )
            if isinstance(answer, openai.Stream):
                list(answer)
        except openai.APIError as error:
            return error
    raise AssertionError(f"{fault}: nothing was raised")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", BEFORE_THE_HEAD)
def test_python_raises_what_the_status_means(impatient: Proxy, fault: str, stream: bool) -> None:
    error = raised_by_python(impatient, fault, stream=stream)
    assert type(error).__name__ == BEFORE_THE_HEAD[fault]
    assert isinstance(error, openai.APIStatusError)
    assert error.code
    assert error.request_id


@pytest.mark.parametrize("fault", IN_A_STREAM)
def test_python_raises_in_a_stream_that_breaks(impatient: Proxy, fault: str) -> None:
    error = raised_by_python(impatient, fault, stream=True)
    assert type(error).__name__ == IN_A_STREAM[fault]
    assert error.message


def of_responses(proxy: Proxy, headers: dict[str, str], *, helper: bool) -> None:
    """Read a stream of the Responses API, by the helper that adds it up or as it comes."""
    with openai.OpenAI(api_key=APP_KEY, base_url=proxy.base_url, max_retries=0) as client:
        if helper:
            with client.responses.stream(model=MODEL, input="hi", extra_headers=headers) as added:
                list(added)
        else:
            list(
                client.responses.create(model=MODEL, input="hi", stream=True, extra_headers=headers)
            )


async def of_responses_async(proxy: Proxy, headers: dict[str, str], *, helper: bool) -> None:
    base_url = proxy.base_url
    async with openai.AsyncOpenAI(api_key=APP_KEY, base_url=base_url, max_retries=0) as client:
        if helper:
            adding = client.responses.stream(model=MODEL, input="hi", extra_headers=headers)
            async with adding as added:
                [event async for event in added]
        else:
            plain = await client.responses.create(
                model=MODEL, input="hi", stream=True, extra_headers=headers
            )
            [event async for event in plain]


@pytest.mark.parametrize("helper", [False, True], ids=["create", "stream"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("fault", ENDED_BY_US)
def test_python_raises_in_a_responses_stream_that_breaks(
    impatient: Proxy, fault: str, is_async: bool, helper: bool
) -> None:
    def call() -> None:
        headers = {"x-mock-fault": fault}
        if is_async:
            asyncio.run(of_responses_async(impatient, headers, helper=helper))
        else:
            of_responses(impatient, headers, helper=helper)

    with pytest.raises(openai.APIError) as raised:
        call()
    assert type(raised.value) is openai.APIError
    assert raised.value.code == ENDED_BY_US[fault]
    assert raised.value.message.endswith((" Try again.", " Try again later."))


NODE_APP = """
const OpenAI = require('openai');
const client = new OpenAI({maxRetries: 0});
const call = {model: 'gpt-4o-mini', messages: [{role: 'user', content: 'hi'}]};
async function raisedBy([fault, stream]) {
  try {
    const answer = await client.chat.completions.create(
      {...call, stream}, {headers: {'x-mock-fault': fault}});
    if (stream) for await (const chunk of answer) ;
  } catch (error) {
    return {fault, stream, name: error.constructor.name, code: error.code, message: error.message};
  }
  return {fault, stream, name: null};
}
(async () => {
  const all = [];
  for (const one of JSON.parse(process.argv[2])) all.push(await raisedBy(one));
  console.log(JSON.stringify(all));
})();
"""


def said_by_node(proxy: Proxy, app: Path, text: str, asked: object) -> list[dict[str, Any]]:
    """What a script for Node prints of the faults that it is asked to try."""
    modules, node = ROOT / ".tools" / "node" / "node_modules", shutil.which("node")
    if node is None or not modules.exists():
        pytest.skip("the packages for Node are not here: run scripts/setup-node")
    app.write_text(text)
    finished = subprocess.run(
        [node, str(app), json.dumps(asked)],
        env=clean_environment(
            NODE_PATH=str(modules), OPENAI_API_KEY=APP_KEY, OPENAI_BASE_URL=proxy.base_url
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said: list[dict[str, Any]] = json.loads(finished.stdout)
    return said


def test_node_raises_the_same(impatient: Proxy, tmp_path: Path) -> None:
    asked = [(fault, stream) for fault in BEFORE_THE_HEAD for stream in (False, True)]
    asked += [(fault, True) for fault in IN_A_STREAM]
    said = said_by_node(impatient, tmp_path / "app.cjs", NODE_APP, asked)
    names = {(one["fault"], one["stream"]): one["name"] for one in said}
    wanted = {**BEFORE_THE_HEAD, **IN_A_STREAM}
    assert names == {
        (fault, stream): IN_NODE.get(wanted[fault], wanted[fault]) for fault, stream in asked
    }


# The AI SDK raises nothing of its own accord: it hands an error on as a part of the stream.
RESPONSES_IN_NODE = """
const OpenAI = require('openai');
const {streamText} = require('ai');
const {createOpenAI} = require('@ai-sdk/openai');
const client = new OpenAI({maxRetries: 0});
const model = createOpenAI({}).responses('gpt-4o-mini');
const call = {model: 'gpt-4o-mini', input: 'hi'};
const ways = {
  create: (options) => client.responses.create({...call, stream: true}, options),
  stream: (options) => client.responses.stream(call, options),
  ai: ({headers}) =>
    streamText({model, prompt: 'hi', headers, maxRetries: 0, onError() {}}).fullStream,
};
(async () => {
  const all = [];
  for (const fault of JSON.parse(process.argv[2]))
    for (const way of Object.keys(ways)) {
      let raised = null;
      try {
        for await (const part of await ways[way]({headers: {'x-mock-fault': fault}}))
          if (part.type === 'error') raised = part.error;
      } catch (error) { raised = error; }
      const code = raised?.code ?? raised?.data?.error?.code;
      all.push({fault, way, code, message: raised?.message});
    }
  console.log(JSON.stringify(all));
})();
"""


def test_node_and_the_ai_sdk_read_the_error_of_a_responses_stream(
    impatient: Proxy, tmp_path: Path
) -> None:
    said = said_by_node(impatient, tmp_path / "app.cjs", RESPONSES_IN_NODE, list(ENDED_BY_US))
    assert {(one["fault"], one["way"]): one.get("code") for one in said} == {
        (fault, way): code for fault, code in ENDED_BY_US.items() for way in WAYS_OF_RESPONSES
    }
    assert all(one["message"].endswith((" Try again.", " Try again later.")) for one in said)
