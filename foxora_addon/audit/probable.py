"""Leaves `logprobs` out where what their tokens spell has to go.

A token is a few letters, and its `bytes` are numbers: none of them has the secret in it that they
spell together, nor is it one text that could be redacted. So it is all of them or nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from foxora_addon.api import quick_json
from foxora_addon.audit.needles import Needles

type Scrub = Callable[[str], str]

_NAME: Final = "logprobs"
_BESIDE: Final = '"token'
"""How a name begins that a JSON text has beside it, unless it is only asked for, or null."""
_BETWEEN: Final = " | "
"""Between tokens that are no one text: alternatives to each other, and to others."""
_BYTE: Final = range(256)
_HINT: Final = Needles([_NAME])


def may_spell(record: bytes) -> bool:
    """Whether a record, as JSON in UTF-8, may have a body with `logprobs`."""
    return _HINT.is_in(record)


def without_spelt(value: Any, scrub: Scrub) -> Any:
    """A JSON value with null for all `logprobs` that spell what `scrub` takes out.

    Raises RecursionError where it is nested too deeply.
    """
    if isinstance(value, Mapping):
        return {
            name: None if name == _NAME and _spells(item, scrub) else without_spelt(item, scrub)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [without_spelt(item, scrub) for item in value]
    return value


def text_without_spelt(text: str, scrub: Scrub) -> str:
    """The same of a JSON text, which stays as it is unless something has to go; or is no JSON."""
    if _BESIDE not in text or f'"{_NAME}"' not in text:
        return text
    try:
        value = quick_json.read(text)
        kept = without_spelt(value, scrub)
        return text if kept == value else quick_json.text_of(kept)
    except (ValueError, RecursionError):
        return text


def _spells(logprobs: Any, scrub: Scrub) -> bool:
    """Whether something has to go of its lists: by what they say in order, or one alternative."""
    lists = logprobs.values() if isinstance(logprobs, Mapping) else [logprobs]
    texts = (text for each in lists if isinstance(each, list) for text in _texts_of(each))
    return any(scrub(text) != text for text in texts)


def _texts_of(entries: list[Any]) -> Iterator[str]:
    """What the tokens of one list say, by their texts and by their bytes; then the alternatives."""
    chosen = [each for each in entries if isinstance(each, str) or _is_token(each)]
    yield "".join([each if isinstance(each, str) else each["token"] for each in chosen])
    yield b"".join(map(_bytes_of, chosen)).decode("utf-8", "replace")
    yield _BETWEEN.join(text for each in entries for text in _alternatives_of(each))


def _alternatives_of(entry: Any) -> Iterator[str]:
    """Those to a token; of the older completions they are names, and stand in a list of theirs."""
    if not isinstance(entry, Mapping):
        return
    if not _is_token(entry):
        yield from entry
    others = entry.get("top_logprobs")
    for each in others if isinstance(others, list) else ():
        if _is_token(each):
            yield each["token"]
            yield _bytes_of(each).decode("utf-8", "replace")


def _is_token(entry: Any) -> bool:
    return isinstance(entry, Mapping) and isinstance(entry.get("token"), str)


def _bytes_of(entry: Any) -> bytes:
    """The bytes that an entry names; none where it names none, or what are none."""
    told = entry.get("bytes") if isinstance(entry, Mapping) else None
    if not isinstance(told, list) or not all(type(each) is int and each in _BYTE for each in told):
        return b""
    return bytes(told)
