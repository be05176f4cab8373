"""Reads the messages of a WebSocket as events of the Realtime API: what each says, in few words.

What is not known is told as the JSON that it is; sounds are told by their size alone.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from foxora_addon.api.json_values import mapping_of
from foxora_addon.reading.items import Turn, turn_of_item
from foxora_addon.reading.parts import Part, flat, parts_of, pretty, sound_text
from foxora_addon.reading.records import count_of, text_of
from foxora_addon.reading.remedies import remedy_of

_MOST_CHARACTERS: Final = 2_000
_OF_THE_PROTOCOL: Final = frozenset(
    {"type", "event_id", "item_id", "response_id", "output_index", "content_index", "object"}
    | {"previous_item_id", "sequence_number", "obfuscation", "logprobs"}
)
_SETTINGS: Final = (
    *("model", "modalities", "output_modalities", "voice", "temperature", "tool_choice"),
    *("max_response_output_tokens", "max_output_tokens"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """One message: its kind, a few words, and the turns that it carries.

    `piece` is the part of a text that it brings, None for all events but the deltas of texts.
    """

    kind: str
    words: str = ""
    turns: tuple[Turn, ...] = ()
    piece: str | None = None


def event_of(text: str) -> Event | None:
    """The event in a message; None if it is no JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _event_in(value) if isinstance(value, dict) else None


def _event_in(value: dict[str, Any]) -> Event:
    kind = text_of(value.get("type")) or "message"
    if error := mapping_of(value.get("error")):
        return Event(kind, "; ".join(_error_words(error)))
    if isinstance(delta := value.get("delta"), str):
        return _delta_event(kind, delta)
    if session := mapping_of(value.get("session")):
        return Event(kind, ", ".join(_settings_of(session)), tuple(_instructions_of(session)))
    if item := mapping_of(value.get("item")):
        return Event(kind, "", (turn_of_item(item),))
    if response := mapping_of(value.get("response")):
        return _response_event(kind, response)
    return Event(kind, _words_of(value))


def _delta_event(kind: str, delta: str) -> Event:
    if kind.endswith("audio.delta"):
        return Event(kind, f"[{sound_text(delta)}]")
    return Event(kind, json.dumps(delta, ensure_ascii=False), piece=delta)


def _words_of(value: dict[str, Any]) -> str:
    """What else an event has: a sound, a whole text, or members that are not known."""
    if isinstance(audio := value.get("audio"), str):
        return f"[{sound_text(audio)}]"
    whole = (value.get(name) for name in ("transcript", "text", "arguments"))
    return next((text for text in whole if isinstance(text, str)), None) or _rest_of(value)


def _error_words(error: dict[str, Any]) -> Iterator[str]:
    code = text_of(error.get("code")) or text_of(error.get("type"))
    message = text_of(error.get("message"))
    yield ": ".join(text for text in (code, message) if text) or "an error without words"
    if remedy := remedy_of(code, None, None):
        yield f"to do: {remedy}"


def _settings_of(session: dict[str, Any]) -> Iterator[str]:
    for name in _SETTINGS:
        if session.get(name) is not None:
            yield f"{name} {_plain(session[name])}"
    tools = session.get("tools")
    if isinstance(tools, list) and tools:
        names = (
            text_of(mapping_of(t).get("name")) or text_of(mapping_of(t).get("type")) for t in tools
        )
        yield f"tools {', '.join(name or '?' for name in names)}"


def _plain(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else flat(value)


def _instructions_of(session: dict[str, Any]) -> Iterator[Turn]:
    if instructions := session.get("instructions"):
        yield Turn("system", tuple(parts_of(instructions)))


def _response_event(kind: str, response: dict[str, Any]) -> Event:
    """An answer as it begins or ends; as a client asks for it, its settings."""
    words = [*_settings_of(response)] if "status" not in response else [str(response["status"])]
    if usage := mapping_of(response.get("usage")):
        ins, outs = (count_of(usage.get(f"{name}_tokens")) for name in ("input", "output"))
        words.append(f"{'?' if ins is None else ins}+{'?' if outs is None else outs} tokens")
    details = mapping_of(response.get("status_details"))
    if error := mapping_of(details.get("error")):
        words.extend(_error_words(error))
    items = response.get("output")
    turns = (turn_of_item(item) for item in (items if isinstance(items, list) else ()))
    return Event(kind, ", ".join(words), (*_instructions_of(response), *turns))


def _rest_of(value: dict[str, Any]) -> str:
    rest = {name: told for name, told in value.items() if name not in _OF_THE_PROTOCOL}
    text = pretty(rest) if rest else ""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def turns_of(messages: Iterable[tuple[str, str]]) -> Iterator[Turn]:
    """Messages, each with its sender, as turns: pieces of a text that follow each other are one."""
    told = ((sender, text, event_of(text)) for sender, text in messages)
    for (sender, kind), group in groupby(told, key=_belongs_to):
        events = list(group)
        pieces = [event.piece for _, _, event in events if event and event.piece is not None]
        if pieces:
            count = f", {len(pieces)} events" if len(pieces) > 1 else ""
            yield Turn(sender, (Part("note", f"{kind}{count}"), Part("text", "".join(pieces))))
            continue
        for _, text, event in events:
            yield Turn(sender, tuple(parts_of_event(event)) if event else tuple(parts_of(text)))


def _belongs_to(told: tuple[str, str, Event | None]) -> tuple[str, str]:
    sender, _, event = told
    return sender, event.kind if event and event.piece is not None else ""


def parts_of_event(event: Event) -> Iterator[Part]:
    """An event as the parts of a turn: its kind and words on a line, what it carries below."""
    if "\n" in event.words or not event.words:
        yield Part("note", event.kind)
        if event.words:
            yield Part("text", event.words)
    else:
        yield Part("note", f"{event.kind}  {event.words}")
    for turn in event.turns:
        yield from (_named(part, turn.role) for part in turn.parts)


def _named(part: Part, role: str) -> Part:
    return Part(part.kind, f"{role}: {part.text}", part.name) if part.kind == "text" else part
