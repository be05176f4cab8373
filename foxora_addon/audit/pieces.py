"""Takes out of a text that comes in pieces what only shows where those are joined.

A stream says a few letters at a time, each time in a JSON object of its own: none of its messages
has the secret in it that a reader of all of them sees. So what stands at the same place of messages
is looked at as one text, that of each item, choice or part by itself.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from foxora_addon.api import quick_json
from foxora_addon.audit.looks import REDACTED
from foxora_addon.audit.probable import text_without_spelt

type Scrub = Callable[[str], str]

_DATA: Final = re.compile(r"data:(?:(?<=\Adata:)|(?<=[\r\n\ufeff]data:)) ?([^\r\n]*)")
_MOST_BRACKETS: Final = 250
"""No piece of a text has more, and deeper JSON can't be written again."""
_MOST_PIECES: Final = 50_000
_MOST_CHANGED: Final = 64
_KINDS: Final = frozenset({"type", "object"})
_WHOLE_KINDS: Final = ("create", "created", "update", "updated", "added", "done", "completed")
"""How the kinds of messages end that say all of a text at once: what follows is another text."""
_SAY_TOKEN: Final = ("bytes", "top_logprobs")
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
            if self.name == "token":  # of logprobs, which say it again
                self.holder.update((name, None) for name in _SAY_TOKEN if name in self.holder)


def events_scrubbed(stream: str, scrub: Scrub, of_cut: Scrub | None = None) -> str:
    """An event stream without the secrets that are spread over several of its events.

    As `messages_scrubbed`.
    """
    given = _DATA.findall(stream)
    kept = messages_scrubbed(given, scrub, of_cut)
    if kept == given:
        return stream
    left = iter(kept)
    return _DATA.sub(lambda match: f"{match[0].removesuffix(match[1])}{next(left)}", stream)


def messages_scrubbed(texts: Sequence[str], scrub: Scrub, of_cut: Scrub | None = None) -> list[str]:
    """Messages of one sender, without the secrets that are spread over several of them.

    What stands in one of them alone is left to whoever looks at each. `of_cut` redacts a text that
    may end in the midst of a secret, as all do where there were more messages; None: there were no
    more. The first 50,000 are looked at, and texts in them: all else stands still meanwhile.
    """
    texts = [text_without_spelt(text, scrub) for text in texts]
    messages = [_Message(text) for text in texts[:_MOST_PIECES]]
    places = _Places()
    for message in messages:
        places.take(message)
    for pieces in places.alike.values():
        if len(pieces) > 1 or of_cut is not None:
            _scrub_joined(pieces, scrub, of_cut)
    return [*(message.text for message in messages), *texts[_MOST_PIECES:]]


def _scrub_joined(pieces: Sequence[_Piece], scrub: Scrub, of_cut: Scrub | None) -> None:
    joined = "".join([piece.text for piece in pieces])
    whole = (of_cut or scrub)(joined)
    if whole == joined:
        return
    each = [scrub(piece.text) for piece in pieces]
    if of_cut is not None:
        each[-1] = of_cut(pieces[-1].text)
    kept: Iterable[str] = each
    if "".join(each) != whole:
        kept = _shared_out(whole, [piece.text for piece in pieces], each)
    elif of_cut is None:
        return
    for piece, text in zip(pieces, kept, strict=True):
        piece.put(text)


def _shared_out(whole: str, given: Sequence[str], each: Sequence[str]) -> Iterator[str]:
    """A text without secrets in as many pieces as were given, of which `each` has none by itself.

    Those are kept that it begins and ends with. All that is in between stands in one, and the
    others are empty.
    """
    first, last, start, end = 0, len(each) - 1, 0, len(whole)
    while first < last and whole.startswith(each[first], start, end):
        start += len(each[first])
        first += 1
    while first < last and whole.endswith(each[last], start, end):
        end -= len(each[last])
        last -= 1
    yield from each[:first]
    yield _without_own(whole[start:end], given[first : last + 1], each[first : last + 1])
    yield from [""] * (last - first)
    yield from each[last + 1 :]


def _without_own(text: str, given: Sequence[str], each: Sequence[str]) -> str:
    """Joined pieces without what is a secret in one of them alone: behind a letter it looks none.

    Nothing of it where that can't be said.
    """
    changed = [pair for pair in zip(given, each, strict=True) if pair[0] != pair[1]]
    for piece, own in changed[:_MOST_CHANGED]:
        if piece in text:
            text = text.replace(piece, own)
        elif own not in text:
            return REDACTED
    return text if len(changed) <= _MOST_CHANGED else REDACTED


class _Places:
    """The pieces by their places, which are numbered: a deep one is not to be compared each time.

    `alike` has the pieces of each place in their order.
    """

    def __init__(self) -> None:
        self.alike: dict[int, list[_Piece]] = defaultdict(list)
        self._numbers: dict[tuple[int, Hashable], int] = {}
        self._left = _MOST_PIECES

    def take(self, message: _Message) -> None:
        """Add the texts in a message."""
        value = message.said[0]
        if not _says_all(value):
            self._take(message, message.said, 0, value, self._within(0, _item_of(value)))

    def _within(self, place: int, name: Hashable) -> int:
        return self._numbers.setdefault((place, name), len(self._numbers) + 1)

    def _take(self, message: _Message, holder: Any, name: Any, value: Any, place: int) -> None:
        if self._left <= 0:
            return
        if isinstance(value, str):
            self._left -= 1
            self.alike[place].append(_Piece(message, holder, name, value))
        elif isinstance(value, dict):
            for inner, each in value.items():
                if isinstance(each, str | dict | list) and not _comes_whole(inner):
                    self._take(message, value, inner, each, self._within(place, inner))
        elif isinstance(value, list):
            for number, each in enumerate(value):
                self._take(message, value, number, each, self._within(place, _index_of(each)))


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
