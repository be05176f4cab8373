"""The routes of pictures, sounds and moderations, in OpenAI's shapes.

Not documented as served by the gateway (foxora-api.md, Routes). Pictures are black, speech is
silent, and what is heard is the name of the file.
"""

import base64
import re
from typing import Any

from foxora_addon.mock import fields
from foxora_addon.mock.accounts import charge_of
from foxora_addon.mock.answers import DONE, event_of, json_answer, plain_answer, stream_answer
from foxora_addon.mock.call import Call, Reply
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.forms import Form, parse_form
from foxora_addon.mock.octets import png, silence
from foxora_addon.mock.wording import reply_to, tokens_of, words_of

_SIZE = re.compile(r"([1-9][0-9]{1,3})x([1-9][0-9]{1,3})")
_PICTURE_TOKENS = 272
_MOST_PICTURES = 10
_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm": "audio/pcm"}
_MS_A_WORD = 400
_HEARD_FORMS = ("json", "text", "srt", "verbose_json", "vtt")
_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def generate_pictures(call: Call) -> Reply:
    """`POST /v1/images/generations`."""
    return _pictures(call, fields.object_of(call.body))


def edit_pictures(call: Call) -> Reply:
    """`POST /v1/images/edits`: a form with a picture."""
    form = _form(call)
    form.file("image")
    form.text("prompt")
    return _pictures(call, form.texts)


def vary_pictures(call: Call) -> Reply:
    """`POST /v1/images/variations`: a form with a picture and no prompt."""
    form = _form(call)
    form.file("image")
    return _pictures(call, {"prompt": "a variation", **form.texts})


def speak(call: Call) -> Reply:
    """`POST /v1/audio/speech`: the bytes of a sound."""
    json = fields.object_of(call.body)
    model = call.model(fields.required_text(json, "model"), "speech")
    text = fields.required_text(json, "input")
    fields.required(json, "voice")
    kind = json.get("response_format") or "mp3"
    sound = silence(kind, len(words_of(text)) * _MS_A_WORD) if isinstance(kind, str) else None
    if sound is None:
        message = f"The 'response_format' field must be one of {', '.join(_TYPES)} in this mock."
        raise RequestError(message, "response_format")
    answer = plain_answer(200, (("content-type", _TYPES[kind]),), sound)
    return Reply(answer, charge_of(model, tokens_of(text), 0), model)


def transcribe(call: Call) -> Reply:
    """`POST /v1/audio/transcriptions` and `translations`."""
    form = _form(call)
    model = call.model(form.text("model"), "transcription")
    heard = reply_to(form.file("file").filename)
    kind = form.text("response_format", "json")
    if kind not in _HEARD_FORMS:
        message = f"The 'response_format' field must be one of {', '.join(_HEARD_FORMS)}."
        raise RequestError(message, "response_format")
    charge = charge_of(model, 0, tokens_of(heard))
    if form.text("stream", "false").lower() == "true":
        events = tuple(_heard_events(heard))
        return Reply(stream_answer(events, call.settings.chunk_delay_seconds), charge, model)
    if "json" in kind:
        return Reply(json_answer(_heard_json(heard, kind)), charge, model)
    cue = f"{'' if kind == 'vtt' else '1\n'}00:00:00.000 --> 00:00:01.000\n{heard}\n"
    told = {"text": f"{heard}\n", "srt": cue.replace(".000", ",000"), "vtt": f"WEBVTT\n\n{cue}"}
    head = (("content-type", "text/plain; charset=utf-8"),)
    return Reply(plain_answer(200, head, told[kind].encode()), charge, model)


def moderate(call: Call) -> Reply:
    """`POST /v1/moderations`: nothing is ever flagged."""
    json = fields.object_of(call.body)
    model = call.model(json.get("model") or "omni-moderation-latest", "moderation")
    given = fields.required(json, "input")
    is_many = isinstance(given, list) and all(isinstance(each, str) for each in given)
    result = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.000001),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
    results = [result] * (len(given) if is_many else 1)
    told = {"id": f"modr-{call.token}", "model": model.id, "results": results}
    return Reply(json_answer(told), model=model)


def _form(call: Call) -> Form:
    return parse_form(call.body, call.received.header("content-type"))


def _pictures(call: Call, given: Json) -> Reply:
    prompt = fields.required_text(given, "prompt")
    model = call.model(given.get("model") or "dall-e-2", "images")
    count = int(given["n"]) if str(given.get("n", "")).isdecimal() else 1
    if not 1 <= count <= _MOST_PICTURES:
        raise RequestError(f"The 'n' field must be from 1 to {_MOST_PICTURES}.", "n")
    size = _SIZE.fullmatch(str(given.get("size") or "1024x1024"))
    width, height = (int(side) for side in size.groups()) if size else (1024, 1024)
    octets = png(width, height)
    charge = charge_of(model, tokens_of(prompt), count * _PICTURE_TOKENS)
    told: Json = {"created": int(call.now)}
    if model.id.startswith("dall-e") and given.get("response_format", "url") != "b64_json":
        host = call.received.header("host") or "127.0.0.1"
        told["data"] = [{"url": f"http://{host}/_mock/picture.png"}] * count
        return Reply(json_answer(told), charge, model)
    told["data"] = [{"b64_json": base64.b64encode(octets).decode()}] * count
    if not model.id.startswith("dall-e"):
        told["usage"] = {
            "input_tokens": charge.input_tokens,
            "input_tokens_details": {"text_tokens": charge.input_tokens, "image_tokens": 0},
            "output_tokens": charge.output_tokens,
            "total_tokens": charge.total_tokens,
        }
    return Reply(json_answer(told), charge, model)


def _heard_json(heard: str, kind: str) -> Json:
    seconds = {"type": "duration", "seconds": 1}
    if kind == "json":
        return {"text": heard, "usage": seconds}
    segment: dict[str, Any] = {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": 1.0,
        "text": heard,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": -0.1,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }
    whole = {"task": "transcribe", "language": "english", "duration": 1.0, "text": heard}
    return {**whole, "segments": [segment], "usage": seconds}


def _heard_events(heard: str) -> list[bytes]:
    parts = [event_of({"type": "transcript.text.delta", "delta": word}) for word in words_of(heard)]
    return [*parts, event_of({"type": "transcript.text.done", "text": heard}), DONE]
