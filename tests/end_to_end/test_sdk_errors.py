"""What OpenAI's own clients raise for each failure: the classes that an app would get of OpenAI."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.end_to_end.proxies import APP_KEY, ROOT, Proxy, clean_environment, running_proxy

pytestmark = pytest.mark.real_server

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
# The Node client has no class of its own for 402.
IN_NODE = {"APIStatusError": "APIError"}


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


def test_node_raises_the_same(impatient: Proxy, tmp_path: Path) -> None:
    modules, node = ROOT / ".tools" / "node" / "node_modules", shutil.which("node")
    if node is None or not modules.exists():
        pytest.skip("the packages for Node are not here: run scripts/setup-node")
    app = tmp_path / "app.cjs"
    app.write_text(NODE_APP)
    asked = [(fault, stream) for fault in BEFORE_THE_HEAD for stream in (False, True)]
    asked += [(fault, True) for fault in IN_A_STREAM]
    finished = subprocess.run(
        [node, str(app), json.dumps(asked)],
        env=clean_environment(
            NODE_PATH=str(modules), OPENAI_API_KEY=APP_KEY, OPENAI_BASE_URL=impatient.base_url
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    names = {(one["fault"], one["stream"]): one["name"] for one in json.loads(finished.stdout)}
    wanted = {**BEFORE_THE_HEAD, **IN_A_STREAM}
    assert names == {
        (fault, stream): IN_NODE.get(wanted[fault], wanted[fault]) for fault, stream in asked
    }
