"""Reads the pieces that the content of a message is made of: texts, images, sounds, files.

What is not known is told as the JSON that it is; data is told by its kind and size alone, and told
apart by a digest.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from foxora_addon.api.json_values import mapping_of
from foxora_addon.reading.records import text_of
from foxora_addon.reading.texts import size_text

_DATA_URL: Final = re.compile(r"data:([\w.+-]{1,64})/([\w.+-]{1,64})[^,]{0,256},")

_SOUNDS: Final = frozenset({"input_audio", "output_audio", "audio"})

type Kind = Literal["text", "call", "result", "media", "note"]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a turn. A call's or a result's `name` says of which tool, or of which call.

    `digest` tells apart what `text` does not say, in hex; None where the text says all.
    """

    kind: Kind
    text: str
    name: str | None = None
    digest: str | None = None


def parts_of(content: Any) -> Iterator[Part]:
    """The parts of a message's content, in any of its forms."""
    if content is None:
        return
    if isinstance(content, str):
        if content:
            yield Part("text", content)
    elif isinstance(content, list) and any(isinstance(item, dict) for item in content):
        yield from (_part_of(item) for item in content)
    else:
        yield Part("text", pretty(content))


def spoken_part_of(audio: Any) -> Iterator[Part]:
    """What a message of a chat says aloud: its `audio`, if that is one."""
    if isinstance(audio, dict):
        data = audio.get("data")
        said = [data, audio.get("transcript")] if isinstance(data, str) else audio
        yield Part("media", _sound(data, audio), digest=_digest_of(said))


def _part_of(item: Any) -> Part:
    if not isinstance(item, dict):
        return Part("text", pretty(item))
    if isinstance(text := item.get("text"), str):
        return Part("text", text)
    if refusal := text_of(item.get("refusal")):
        return Part("note", f"declines: {refusal}")
    if media := _media_of(item):
        return Part("media", media, digest=_digest_of(item))
    return Part("note", f"{text_of(item.get('type')) or 'part'}: {pretty(item)}")


def _media_of(item: dict[str, Any]) -> str | None:
    if "image_url" in item:
        return _media("image", item["image_url"])
    given = item.get("input_audio") or item.get("audio")
    if audio := mapping_of(given):
        return _sound(audio.get("data"), audio)
    if (
        text_of(item.get("type")) in _SOUNDS
    ):  # of the Realtime API, which leaves the sound itself out
        return _sound(given, item)
    if "file" in item or item.get("type") == "input_file":
        return _file(mapping_of(item.get("file")) or item)
    return None


def _sound(data: Any, told: dict[str, Any]) -> str:
    """A sound by its size, else by its id, with the words that were spoken."""
    words = text_of(told.get("transcript"))
    if isinstance(data, str):
        sound = sound_text(data, text_of(told.get("format")))
    else:
        sound = f"audio {text_of(told.get('id')) or ''}".rstrip()
    return f"{sound}: {words}" if words else sound


def sound_text(data: str, format_name: str | None = None) -> str:
    """A sound in base64, by its size."""
    kind = f"audio {format_name}" if format_name else "audio"
    return f"{kind}, {size_text(_size_of_base64(data))}"


def _media(what: str, given: Any) -> str:
    url = given.get("url") if isinstance(given, dict) else given
    if not isinstance(url, str):
        return what
    if match := _DATA_URL.match(url):
        return f"{match[1]} {match[2]}, {size_text(_size_of_base64(url[match.end() :]))}"
    return f"{what} at {url}"


def _file(file: dict[str, Any]) -> str:
    names = (text_of(file.get(name)) for name in ("filename", "file_id", "file_url"))
    name = next((name for name in names if name), None)
    data = text_of(file.get("file_data"))
    if data is None:
        return f"file {name or ''}".rstrip()
    return f"file {name or ''}, {_media('file', data)}"


def _size_of_base64(text: str) -> int:
    return len(text.rstrip("=")) * 3 // 4


def result_part_of(content: Any, name: str | None) -> Part:
    """What a tool or a call gave, as one text."""
    parts = parts_of(content) if isinstance(content, list) else ()
    digests = [part.digest for part in parts if part.digest]
    return Part("result", flat(content), name, _digest_of(digests) if digests else None)


def _digest_of(value: Any) -> str:
    """The SHA-256 of a JSON value, in whatever order its names come."""
    try:
        text = json.dumps(value, sort_keys=True)
    except RecursionError:
        text = "nested too deeply to be told apart"
    return hashlib.sha256(text.encode()).hexdigest()


def flat(content: Any) -> str:
    """A content as one text."""
    if isinstance(content, list):
        return "\n".join(part.text for part in parts_of(content))
    return pretty(content)


def pretty(value: Any) -> str:
    """A text as it is, unless it is JSON on one long line; anything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        if len(value) < 80 or value[:1] not in "{[":
            return value
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return str(value)
    try:
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) < 80 else json.dumps(value, ensure_ascii=False, indent=2)
    except RecursionError:
        return "nested too deeply to be shown"
