"""Takes out of a text that comes in pieces what only shows where those are joined.

A stream says a few letters at a time, each time in a JSON object of its own: none of its messages
has the secret in it that a reader of all of them sees. So what stands at the same place of messages
is looked at as one text, that of each item, choice or part by itself.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from foxora_addon.api import quick_json

type Scrub = Callable[[str], str]

_DATA: Final = re.compile(r"data:(?:(?<=\Adata:)|(?<=[\r\n\ufeff]data:)) ?([^\r\n]*)")
_MOST_BRACKETS: Final = 250
"""No piece of a text has more, and deeper JSON can't be written again."""
_KINDS: Final = frozenset({"type", "object"})
_WHOLE_KINDS: Final = ("create", "created", "update", "updated", "added", "done", "completed")
"""How the kinds of messages end that say all of a text at once: what follows is another text."""
_COME_WHOLE: Final = frozenset({"id", "event", "model", "name", "role", "status", *_KINDS})


class _Message:
    """A message's text, and what it says; where that is not JSON, it is the text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._is_json = 0 < text.count("{") + text.count("[") <= _MOST_BRACKETS
        self.is_changed = False
        self.said: list[Any] = [text]
        if self._is_json:
            try:
                self.said = [quick_json.read(text)]
            except ValueError:
                self._is_json = False

    @property
    def text(self) -> str:
        """As it was, unless what it says was changed."""
        if not self.is_changed:
            return self._text
        text: str = quick_json.text_of(self.said[0]) if self._is_json else self.said[0]
        return text


class _Piece(NamedTuple):
    """Where a text stands in a message: `holder[name]`."""

    message: _Message
    holder: Any
    name: Any
    text: str

    def put(self, text: str) -> None:
        if text != self.text:
            self.holder[self.name] = text
            self.message.is_changed = True


def events_scrubbed(stream: str, scrub: Scrub) -> str:
    """An event stream without the secrets that are spread over several of its events."""
    given = _DATA.findall(stream)
    kept = messages_scrubbed(given, scrub)
    if kept == given:
        return stream
    left = iter(kept)
    return _DATA.sub(lambda match: f"{match[0].removesuffix(match[1])}{next(left)}", stream)


def messages_scrubbed(texts: Sequence[str], scrub: Scrub) -> list[str]:
    """Messages of one sender, without the secrets that are spread over several of them.

    What stands in one of them alone is left to whoever looks at each.
    """
    messages = [_Message(text) for text in texts]
    alike: dict[Hashable, list[_Piece]] = defaultdict(list)
    for message in messages:
        for piece, place in _pieces_of(message):
            alike[place].append(piece)
    for pieces in alike.values():
        if len(pieces) > 1:
            _scrub_joined(pieces, scrub)
    return [message.text for message in messages]


def _scrub_joined(pieces: Sequence[_Piece], scrub: Scrub) -> None:
    joined = "".join(piece.text for piece in pieces)
    whole = scrub(joined)
    if whole == joined:
        return
    each = [scrub(piece.text) for piece in pieces]
    if "".join(each) != whole:
        for piece, text in zip(pieces, _shared_out(whole, each), strict=True):
            piece.put(text)


def _shared_out(whole: str, pieces: Sequence[str]) -> Iterator[str]:
    """A text in as many pieces as these; those are kept that it begins and ends with.

    All that is in between stands in one, and the others are empty.
    """
    first, last, start, end = 0, len(pieces) - 1, 0, len(whole)
    while first < last and whole.startswith(pieces[first], start, end):
        start += len(pieces[first])
        first += 1
    while first < last and whole.endswith(pieces[last], start, end):
        end -= len(pieces[last])
        last -= 1
    yield from pieces[:first]
    yield whole[start:end]
    yield from [""] * (last - first)
    yield from pieces[last + 1 :]


def _pieces_of(message: _Message) -> list[tuple[_Piece, Hashable]]:
    """The texts in a message, each with its place, where the others stand that it belongs to."""
    found: list[tuple[_Piece, Hashable]] = []

    def look(holder: Any, name: Any, value: Any, place: Hashable) -> None:
        if isinstance(value, str):
            found.append((_Piece(message, holder, name, value), place))
        elif isinstance(value, dict):
            for inner, each in value.items():
                if isinstance(each, str | dict | list) and not _comes_whole(inner):
                    look(value, inner, each, (place, inner))
        elif isinstance(value, list):
            for number, each in enumerate(value):
                look(value, number, each, (place, _index_of(each)))

    value = message.said[0]
    if not _says_all(value):
        look(message.said, 0, value, _item_of(value))
    return found


def _says_all(value: Any) -> bool:
    kind = value.get("type") if isinstance(value, dict) else None
    return isinstance(kind, str) and kind.endswith(_WHOLE_KINDS)


def _item_of(value: Any) -> Hashable:
    """The members of a message that tell what it is a piece of."""
    if not isinstance(value, dict):
        return None
    return tuple(
        [each for name, each in value.items() if _tells_item(name) and isinstance(each, str | int)]
    )


def _index_of(element: Any) -> Hashable:
    """What tells an element of a list from others: not where it stands, but what it says of it."""
    index = element.get("index") if isinstance(element, dict) else None
    return index if isinstance(index, int) else None


@lru_cache(maxsize=256)
def _tells_item(name: str) -> bool:
    """Whether a member is one of those; a message's own id is not."""
    return name in _KINDS or (name.endswith(("_id", "index")) and name != "event_id")


@lru_cache(maxsize=256)
def _comes_whole(name: str) -> bool:
    return name in _COME_WHOLE or name.endswith("_id")
