"""Pictures, sounds and moderations."""

import base64
import io
import json
import struct
import wave
import zlib
from typing import Any

import pytest

from foxora_addon.mock.gateway import Exchange
from tests.mock.builders import a_form, a_gateway, a_request, answered, body_of, headers_of

Json = dict[str, Any]

PICTURES = "/v1/images/generations"
HEARD = "/v1/audio/transcriptions"


def answer_to(route: str, request: Any, **headers: str) -> Any:
    exchange = answered(a_gateway(), a_request("POST", route, request, **headers))
    assert exchange.answer.status == 200, body_of(exchange)
    return body_of(exchange)


def error_of(route: str, request: Any, **headers: str) -> tuple[int, str | None]:
    exchange = answered(a_gateway(), a_request("POST", route, request, **headers))
    return exchange.answer.status, body_of(exchange)["error"]["param"]


def sizes_of(picture: bytes) -> tuple[int, int]:
    """Width and height of a PNG whose parts are whole."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    at, parts = 8, {}
    while at < len(picture):
        (length,) = struct.unpack_from(">I", picture, at)
        kind, data = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", picture, at + 8 + length) == (zlib.crc32(kind + data),)
        parts[kind], at = data, at + 12 + length
    width, height = struct.unpack(">II", parts[b"IHDR"][:8])
    assert len(zlib.decompress(parts[b"IDAT"])) == height * (1 + -(-width // 8))
    return width, height


def test_pictures_come_in_base64_with_their_usage() -> None:
    told = answer_to(PICTURES, {"model": "gpt-image-1", "prompt": "a fox", "n": 2, "size": "64x32"})
    assert [sizes_of(base64.b64decode(each["b64_json"])) for each in told["data"]] == [(64, 32)] * 2
    assert told["usage"]["total_tokens"] == 2 + 2 * 272


def test_older_pictures_come_by_url_which_the_mock_serves() -> None:
    told = answer_to(PICTURES, {"model": "dall-e-2", "prompt": "a fox"}, host="127.0.0.1:8090")
    assert told["data"] == [{"url": "http://127.0.0.1:8090/_mock/picture.png"}]
    asked = {"model": "dall-e-2", "prompt": "a fox", "response_format": "b64_json"}
    assert sizes_of(base64.b64decode(answer_to(PICTURES, asked)["data"][0]["b64_json"]))[0] == 1024


@pytest.mark.parametrize("route", ["edits", "variations"])
def test_a_picture_is_edited_and_varied_by_a_form(route: str) -> None:
    body, kind = a_form({"prompt": "redder", "model": "gpt-image-1"}, {"image[]": ("a.png", b"x")})
    assert answer_to(f"/v1/images/{route}", body, content_type=kind)["data"]
    body, kind = a_form({"prompt": "redder"}, {})
    assert error_of(f"/v1/images/{route}", body, content_type=kind) == (400, "image")


@pytest.mark.parametrize(
    ("request_of_pictures", "refusal"),
    [
        ({"model": "gpt-image-1"}, (400, "prompt")),
        ({"model": "gpt-image-1", "prompt": "a", "n": 11}, (400, "n")),
        ({"model": "gpt-4o-mini", "prompt": "a"}, (400, "model")),
        ({"model": "gpt-0", "prompt": "a"}, (404, "model")),
    ],
)
def test_a_wrong_request_for_pictures_is_refused(
    request_of_pictures: Json, refusal: tuple[int, str]
) -> None:
    assert error_of(PICTURES, request_of_pictures) == refusal


def speech_of(form: str | None) -> tuple[str, bytes]:
    asked = {"model": "tts-1", "voice": "alloy", "input": "two words", "response_format": form}
    exchange = answered(a_gateway(), a_request("POST", "/v1/audio/speech", asked))
    return headers_of(exchange)["content-type"], b"".join(exchange.answer.pieces)


def test_speech_is_silence_of_a_fitting_length() -> None:
    kind, sound = speech_of("wav")
    with wave.open(io.BytesIO(sound)) as heard:
        assert (kind, heard.getnframes() / heard.getframerate()) == ("audio/wav", 0.8)
    kind, sound = speech_of(None)
    frames = [sound[at : at + 4] for at in range(0, len(sound), 192)]
    assert (kind, set(frames), len(frames)) == ("audio/mpeg", {b"\xff\xf3\x84\xc4"}, 34)
    assert speech_of("pcm") == ("audio/pcm", bytes(38_400))
    kind, sound = speech_of("opus")
    assert json.loads(sound)["error"]["param"] == "response_format"


def heard_by(**texts: str) -> Exchange:
    body, kind = a_form({"model": "whisper-1", **texts}, {"file": ("talk.wav", b"RIFF")})
    return answered(a_gateway(), a_request("POST", HEARD, body, content_type=kind))


@pytest.mark.parametrize("form", ["json", "verbose_json"])
def test_what_is_heard_is_told_in_json(form: str) -> None:
    assert "talk.wav" in body_of(heard_by(response_format=form))["text"]


@pytest.mark.parametrize(
    ("form", "start"), [("text", ""), ("srt", "1\n00:00:00,000 -->"), ("vtt", "WEBVTT\n\n00:00")]
)
def test_what_is_heard_is_told_as_text_and_titles(form: str, start: str) -> None:
    exchange = heard_by(response_format=form)
    text = b"".join(exchange.answer.pieces).decode()
    assert headers_of(exchange)["content-type"].startswith("text/plain")
    assert text.startswith(start)
    assert "talk.wav" in text


def streamed_by(exchange: Exchange) -> list[Json]:
    """The events of a stream, each under its name."""
    heads = [piece.partition(b"\n")[0].decode() for piece in exchange.answer.pieces]
    events: list[Json] = [json.loads(p.partition(b"data: ")[2]) for p in exchange.answer.pieces]
    assert heads == [f"event: {event['type']}" for event in events]
    return events


def test_what_is_heard_can_be_streamed() -> None:
    events = streamed_by(heard_by(stream="true"))
    assert "".join(each["delta"] for each in events[:-1]) == events[-1]["text"]
    assert events[-1]["type"] == "transcript.text.done"


def test_pictures_and_speech_can_be_streamed() -> None:
    asked = {"model": "gpt-image-1", "prompt": "a fox", "stream": True, "partial_images": 2}
    *parts, last = streamed_by(answered(a_gateway(), a_request("POST", PICTURES, asked)))
    assert [part["partial_image_index"] for part in parts] == [0, 1]
    assert (last["type"], last["usage"]["output_tokens"]) == ("image_generation.completed", 272)
    assert sizes_of(base64.b64decode(last["b64_json"])) == (1024, 1024)
    texts = {"prompt": "a fox", "model": "gpt-image-1", "stream": "true"}
    body, kind = a_form(texts, {"image": ("a.png", b"x")})
    edit = a_request("POST", "/v1/images/edits", body, content_type=kind)
    assert streamed_by(answered(a_gateway(), edit))[-1]["type"] == "image_edit.completed"
    said = {"model": "tts-1", "voice": "alloy", "input": "two words", "stream_format": "sse"}
    speech = a_request("POST", "/v1/audio/speech", said)
    audio, done = streamed_by(answered(a_gateway(), speech))
    assert len(base64.b64decode(audio["audio"])) == 34 * 192
    assert done["type"] == "speech.audio.done"


def test_what_was_heard_is_paid_for_by_the_second_or_by_tokens() -> None:
    assert body_of(heard_by())["usage"] == {"type": "duration", "seconds": 1}
    usage = body_of(heard_by(model="gpt-4o-transcribe"))["usage"]
    assert (usage["type"], usage["input_tokens"]) == ("tokens", 10)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    streamed = streamed_by(heard_by(model="gpt-4o-transcribe", stream="true"))
    assert streamed[-1]["usage"] == usage


def test_a_form_is_known_by_its_type_in_any_case() -> None:
    body, kind = a_form({"model": "whisper-1"}, {"file": ("talk.wav", b"RIFF")})
    assert answer_to(HEARD, body, content_type=kind.replace("form-data", "Form-Data"))["text"]


def test_a_wrong_request_to_hear_is_refused() -> None:
    assert body_of(heard_by(response_format="mp4"))["error"]["param"] == "response_format"
    assert body_of(heard_by(model="gpt-4o"))["error"]["param"] == "model"
    body, kind = a_form({"model": "whisper-1"}, {})
    assert error_of(HEARD, body, content_type=kind) == (400, "file")
    assert error_of(HEARD, {"model": "whisper-1"}) == (400, None)
    assert error_of(HEARD, body, content_type="multipart/form-data") == (400, None)


@pytest.mark.parametrize(("given", "count"), [("a", 1), (["a", "b"], 2), ([{"type": "text"}], 1)])
def test_nothing_is_flagged(given: Any, count: int) -> None:
    results = answer_to("/v1/moderations", {"input": given})["results"]
    assert [each["flagged"] for each in results] == [False] * count
    assert set(results[0]["categories"]) == set(results[0]["category_scores"])


@pytest.mark.parametrize(
    ("route", "given"),
    [
        ("audio/speech", {"model": "tts-1", "voice": "alloy", "input": "a " * 2_049}),
        ("moderations", {"input": [""] * 2_049}),
    ],
)
def test_what_would_be_an_answer_without_bounds_is_refused(
    route: str, given: dict[str, Any]
) -> None:
    exchange = answered(a_gateway(), a_request("POST", f"/v1/{route}", given))
    assert exchange.answer.status == 400
    assert body_of(exchange)["error"]["param"] == "input"
