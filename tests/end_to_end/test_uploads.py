"""Forms that the real OpenAI client uploads: rules over models hold for them as for JSON."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import DefaultHttpxClient, OpenAI

from tests.end_to_end.gateways import Gateway
from tests.end_to_end.proxies import (
    APP_KEY,
    Proxy,
    direct_client,
    running_gateway,
    running_proxy,
)

pytestmark = [pytest.mark.real_server, pytest.mark.parametrize("fast", ["true", "false"])]

CONFIG = """
gateway: {{base_url: {gateway}/v1}}
models: {{map: {{whisper-1: gpt-4o-transcribe}}}}
accounts:
  - name: acme
    key: {{env: FOXORA_API_KEY}}
    limits: {{models: {{{model}: {{requests_per_minute: 1}}}}}}
"""
MAPPED = b"gpt-4o-transcribe"
LARGE = b"\r\n--" * 500_000


@contextmanager
def proxied(folder: Path, fast: str, model: str) -> Iterator[tuple[Proxy, Gateway, OpenAI]]:
    """A proxy with a ceiling of one call a minute for a model, its gateway, and a client."""
    with running_gateway(folder / "gateway") as origin:
        (folder / "foxora.yaml").write_text(CONFIG.format(gateway=origin, model=model))
        environment = {"FOXORA_API_KEY": "foxora_sk_fake_uploads", "FOXORA_FAST": fast}
        with (
            running_proxy(folder, (), environment) as proxy,
            DefaultHttpxClient(trust_env=False) as transport,
            OpenAI(
                api_key=APP_KEY, base_url=proxy.base_url, http_client=transport, max_retries=0
            ) as client,
        ):
            yield proxy, Gateway(f"{origin}/v1", origin), client


def records_of(proxy: Proxy, path: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of request and response record of the calls at a path."""
    records = proxy.records()
    answers = {each["exchange"]: each for each in records if each["event"] == "response"}
    asked = [each for each in records if each["event"] == "request"]
    return [
        (each, answers[each["exchange"]]) for each in asked if each["http"]["url"].endswith(path)
    ]


@pytest.mark.parametrize("sound", [b"\x00\xff", LARGE], ids=["small", "large"])
def test_a_transcription_is_mapped_counted_and_priced(
    tmp_path: Path, fast: str, sound: bytes
) -> None:
    with proxied(tmp_path, fast, "gpt-4o-transcribe") as (proxy, gateway, client):
        heard = client.audio.transcriptions.create(model="whisper-1", file=("fox.mp3", sound))
        with pytest.raises(openai.RateLimitError, match="Model 'gpt-4o-transcribe' of account"):
            client.audio.transcriptions.create(model="whisper-1", file=("fox.mp3", sound))
        (sent,) = gateway.log()
        (first, answer), (second, _) = records_of(proxy, "/audio/transcriptions")
    assert heard.text
    assert first["model"] == second["model"] == "gpt-4o-transcribe"
    assert first["sent"]["changed"] == {"model": "gpt-4o-transcribe"}
    got = sent["body"].encode() if "body" in sent else base64.b64decode(sent["body_base64"])
    assert first["sent"]["body_sha256"] == sha256(got).hexdigest()
    assert first["body_sha256"] == sha256(got.replace(MAPPED, b"whisper-1")).hexdigest()
    assert second["decision"]["verdict"] == "refuse"
    assert answer["cost_usd"] > 0


def test_a_stream_is_known_by_its_field(tmp_path: Path, fast: str) -> None:
    with proxied(tmp_path, fast, "gpt-4o") as (proxy, _gateway, client):
        with client.audio.transcriptions.create(
            model="gpt-4o-mini-transcribe", file=("fox.mp3", b"\x00"), stream=True
        ) as events:
            kinds = [event.type for event in events]
        ((request, answer),) = records_of(proxy, "/audio/transcriptions")
    assert kinds[-1] == "transcript.text.done"
    assert (request["model"], request["stream"]) == ("gpt-4o-mini-transcribe", True)
    assert request["sent"] is None
    assert answer["outcome"] == "completed"
    assert answer["cost_usd"] > 0


def test_pictures_to_edit_are_counted(tmp_path: Path, fast: str) -> None:
    with proxied(tmp_path, fast, "gpt-image-1") as (proxy, _gateway, client):
        edit = client.images.edit(
            model="gpt-image-1", image=[("a.png", b"a"), ("b.png", b"b")], prompt="a fox", n=2
        )
        with pytest.raises(openai.RateLimitError, match="Model 'gpt-image-1' of account"):
            client.images.edit(model="gpt-image-1", image=b"a", prompt="a fox")
        (request, _), _refused = records_of(proxy, "/images/edits")
    assert len(edit.data or ()) == 2
    assert (request["model"], len(request["files"])) == ("gpt-image-1", 2)


def test_no_model_is_hidden_in_a_form_that_two_lines_describe(tmp_path: Path, fast: str) -> None:
    """By the first line the body is a form with one model, by both together one with another."""
    part = 'Content-Disposition: form-data; name="model"\r\n\r\n'
    body = f"--x\r\n{part}dear\r\n--x--\r\n--x, text/plain\r\n{part}cheap\r\n--x, text/plain--\r\n"
    kinds = ["multipart/form-data; boundary=x", "text/plain"]
    headers = [("authorization", f"Bearer {APP_KEY}"), *(("content-type", kind) for kind in kinds)]
    with proxied(tmp_path, fast, "dear") as (proxy, gateway, _), direct_client() as client:
        url = f"{proxy.base_url}/images/edits"
        answer = client.post(url, headers=headers, content=body.encode())
        assert not gateway.log()
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


ANEW = """
def request(flow):
    flow.request.headers["content-type"] = "multipart/form-data; boundary=anew"
    part = 'Content-Disposition: form-data; name="model"'
    flow.request.text = f"--anew\\r\\n{part}\\r\\n\\r\\nwhisper-1\\r\\n--anew--\\r\\n"
"""


def test_a_form_that_another_addon_has_made_is_read_as_it_is_sent(
    tmp_path: Path, fast: str
) -> None:
    script = tmp_path / "anew.py"
    script.write_text(ANEW)
    with running_gateway(tmp_path / "gateway") as origin:
        (tmp_path / "foxora.yaml").write_text(
            CONFIG.format(gateway=origin, model="gpt-4o-transcribe")
        )
        options = ("-s", "foxora_addon")
        environment = {"FOXORA_API_KEY": "foxora_sk_fake_uploads", "FOXORA_FAST": fast}
        with (
            running_proxy(tmp_path, options, environment, script=str(script)) as proxy,
            direct_client() as client,
        ):
            client.post(
                f"{proxy.base_url}/audio/transcriptions",
                headers={"authorization": f"Bearer {APP_KEY}"},
                data={"model": "gpt-4o"},
                files={"file": b"\x00"},
            )
            ((request, _),) = records_of(proxy, "/audio/transcriptions")
    assert request["model"] == "gpt-4o-transcribe"
    assert request["sent"]["changed"] == {"model": "gpt-4o-transcribe"}
