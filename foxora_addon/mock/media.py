"""The routes of pictures, sounds and moderations, in OpenAI's shapes.

Not documented as served by the gateway (foxora-api.md, Routes). Pictures are black, speech is
silent, and what is heard is the name of the file.
"""

import base64
import re
from collections.abc import Sequence
from typing import Any

from foxora_addon.mock import fields
from foxora_addon.mock.accounts import Charge, charge_of
from foxora_addon.mock.answers import Answer, event_of, json_answer, plain_answer, stream_answer
from foxora_addon.mock.call import Call, Reply
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.forms import Form, parse_form
from foxora_addon.mock.octets import png, silence
from foxora_addon.mock.wording import reply_to, tokens_of, words_of

_SIZE = re.compile(r"([1-9][0-9]{1,3})x([1-9][0-9]{1,3})")
_PICTURE_TOKENS = 272
_MOST_PICTURES = 10
_MOST_PARTS = 3
_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm": "audio/pcm"}
_MS_A_WORD = 400
_MOST_SPOKEN = 4_096  # characters, as OpenAI has it
_MOST_MODERATED = 2_048
_SOUND_TOKENS = 10
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
    json = fields.object_of(call.body)
    return _pictures(call, json, "image_generation", streams=fields.flag(json, "stream"))


def edit_pictures(call: Call) -> Reply:
    """`POST /v1/images/edits`: a form with a picture."""
    form = _form(call)
    form.file("image")
    form.text("prompt")
    streams = form.text("stream", "false").lower() == "true"
    return _pictures(call, form.texts, "image_edit", streams=streams)


def vary_pictures(call: Call) -> Reply:
    """`POST /v1/images/variations`: a form with a picture and no prompt."""
    form = _form(call)
    form.file("image")
    return _pictures(call, {"prompt": "a variation", **form.texts}, "image_variation")


def speak(call: Call) -> Reply:
    """`POST /v1/audio/speech`: the bytes of a sound."""
    json = fields.object_of(call.body)
    model = call.model(fields.required_text(json, "model"), "speech")
    text = fields.required_text(json, "input")
    if len(text) > _MOST_SPOKEN:
        message = f"The 'input' field must have at most {_MOST_SPOKEN} characters."
        raise RequestError(message, "input")
    fields.required(json, "voice")
    kind = json.get("response_format") or "mp3"
    sound = silence(kind, len(words_of(text)) * _MS_A_WORD) if isinstance(kind, str) else None
    if sound is None:
        message = f"The 'response_format' field must be one of {', '.join(_TYPES)} in this mock."
        raise RequestError(message, "response_format")
    charge = charge_of(model, tokens_of(text), 0)
    if json.get("stream_format") == "sse":
        audio = {"type": "speech.audio.delta", "audio": base64.b64encode(sound).decode()}
        done = {"type": "speech.audio.done", "usage": _usage(charge)}
        return Reply(_streamed(call, [audio, done]), charge, model)
    answer = plain_answer(200, (("content-type", _TYPES[kind]),), sound)
    return Reply(answer, charge, model)


def transcribe(call: Call) -> Reply:
    """`POST /v1/audio/transcriptions` and `translations`."""
    form = _form(call)
    model = call.model(form.text("model"), "transcription")
    heard = reply_to(form.file("file").filename)
    kind = form.text("response_format", "json")
    if kind not in _HEARD_FORMS:
        message = f"The 'response_format' field must be one of {', '.join(_HEARD_FORMS)}."
        raise RequestError(message, "response_format")
    charge = charge_of(model, _SOUND_TOKENS, tokens_of(heard))
    usage = _heard_usage(model.id, charge)
    if form.text("stream", "false").lower() == "true":
        parts = ({"type": "transcript.text.delta", "delta": word} for word in words_of(heard))
        done = {"type": "transcript.text.done", "text": heard, "usage": usage}
        return Reply(_streamed(call, [*parts, done]), charge, model)
    if "json" in kind:
        return Reply(json_answer(_heard_json(heard, kind, usage)), charge, model)
    cue = f"{'' if kind == 'vtt' else '1\n'}00:00:00.000 --> 00:00:01.000\n{heard}\n"
    told = {"text": f"{heard}\n", "srt": cue.replace(".000", ",000"), "vtt": f"WEBVTT\n\n{cue}"}
    head = (("content-type", "text/plain; charset=utf-8"),)
    return Reply(plain_answer(200, head, told[kind].encode()), charge, model)


def moderate(call: Call) -> Reply:
    """`POST /v1/moderations`: nothing is ever flagged."""
    json = fields.object_of(call.body)
    model = call.model(_model_name(json, "omni-moderation-latest"), "moderation")
    given = fields.required(json, "input")
    is_many = isinstance(given, list) and all(isinstance(each, str) for each in given)
    if is_many and len(given) > _MOST_MODERATED:
        raise RequestError(f"The 'input' field must have at most {_MOST_MODERATED} texts.", "input")
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


def _pictures(call: Call, given: Json, kind: str, *, streams: bool = False) -> Reply:
    """The pictures; `kind` names the events of a stream of them."""
    prompt = fields.required_text(given, "prompt")
    model = call.model(_model_name(given, "dall-e-2"), "images")
    count = _number(given, "n", _MOST_PICTURES) or 1
    size = _SIZE.fullmatch(str(given.get("size") or "1024x1024"))
    width, height = (int(side) for side in size.groups()) if size else (1024, 1024)
    octets = png(width, height)
    charge = charge_of(model, tokens_of(prompt), count * _PICTURE_TOKENS)
    told: Json = {"created": int(call.now)}
    if model.id.startswith("dall-e") and given.get("response_format", "url") != "b64_json":
        host = call.received.header("host") or "127.0.0.1"
        told["data"] = [{"url": f"http://{host}/_mock/picture.png"}] * count
        return Reply(json_answer(told), charge, model)
    picture = {"b64_json": base64.b64encode(octets).decode()}
    told["data"] = [picture] * count
    if not model.id.startswith("dall-e"):
        details = {"text_tokens": charge.input_tokens, "image_tokens": 0}
        told["usage"] = {**_usage(charge), "input_tokens_details": details}
        if streams:
            last = {"type": f"{kind}.completed", "created_at": int(call.now), **picture}
            parts = _number(given, "partial_images", _MOST_PARTS) or 0
            partial = {**last, "type": f"{kind}.partial_image"}
            events = [{**partial, "partial_image_index": at} for at in range(parts)]
            events.append({**last, "usage": told["usage"]})
            return Reply(_streamed(call, events), charge, model)
    return Reply(json_answer(told), charge, model)


def _model_name(given: Json, usual: str) -> str:
    return fields.required_text({"model": given.get("model") or usual}, "model")


def _number(given: Json, name: str, most: int) -> int | None:
    """A field's whole number, be it of JSON or of a form; None where it is not given."""
    text = str(given.get(name, ""))
    if not text:
        return None
    if not text.isdecimal() or len(text) > 2 or int(text) > most:
        raise RequestError(f"The '{name}' field must be a whole number up to {most}.", name)
    return int(text)


def _streamed(call: Call, events: Sequence[Json]) -> Answer:
    """Typed events, of which the last says that it is; no `[DONE]` follows it."""
    pieces = tuple(event_of(event, event["type"]) for event in events)
    return stream_answer(pieces, call.settings.chunk_delay_seconds)


def _heard_usage(model: str, charge: Charge) -> Json:
    """Whisper is paid for by the second, its successors by tokens."""
    if model.startswith("whisper"):
        return {"type": "duration", "seconds": 1}
    details = {"text_tokens": 0, "audio_tokens": charge.input_tokens}
    return {"type": "tokens", **_usage(charge), "input_token_details": details}


def _usage(charge: Charge) -> Json:
    return {
        "input_tokens": charge.input_tokens,
        "output_tokens": charge.output_tokens,
        "total_tokens": charge.total_tokens,
    }


def _heard_json(heard: str, kind: str, usage: Json) -> Json:
    if kind == "json":
        return {"text": heard, "usage": usage}
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
    return {**whole, "segments": [segment], "usage": usage}
