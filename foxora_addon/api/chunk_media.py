"""Takes the base64 of sounds and pictures for which there is no room out of the chunks of a chat.

Sound is where OpenAI has it (`delta.audio.data`), pictures where OpenRouter does (`delta.images`).
"""

from collections.abc import Iterator
from typing import Any

from foxora_addon.api.json_values import member_of


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
    delta = member_of(choice, "delta")
    sound = member_of(delta, "audio")
    if isinstance(member_of(sound, "data"), str):
        yield sound, "data"
    pictures = member_of(delta, "images")
    for picture in pictures if isinstance(pictures, list) else ():
        place = member_of(picture, "image_url")
        url = member_of(place, "url")
        if isinstance(url, str) and url.startswith("data:"):
            yield place, "url"
