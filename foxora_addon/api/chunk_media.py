"""Takes the base64 of sounds and pictures for which there is no room out of the chunks of a chat.

Sound is where OpenAI has it (`delta.audio.data`), pictures where OpenRouter does (`delta.images`).
"""

from collections.abc import Iterator
from typing import Any


def cut_media(choices: list[Any], room: int) -> int:
    """Leave so many characters of it in a chunk's choices; return how many were taken out."""
    taken = 0
    for choice in choices:
        for part, name in _media_in(choice):
            media = part[name]
            part[name] = media[:room]
            room -= len(part[name])
            taken += len(media) - len(part[name])
    return taken


def _media_in(choice: object) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects that hold base64, each with the name of its member."""
    delta = _member(choice, "delta")
    sound = _member(delta, "audio")
    if isinstance(_member(sound, "data"), str):
        yield sound, "data"
    pictures = _member(delta, "images")
    for picture in pictures if isinstance(pictures, list) else ():
        place = _member(picture, "image_url")
        url = _member(place, "url")
        if isinstance(url, str) and url.startswith("data:"):
            yield place, "url"


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
