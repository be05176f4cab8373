"""Tells at a glance whether a text has anything in it that a rule of redaction looks for.

Of each rule it is known what its pattern can't match without: two dozen prefixes of credentials.
All of them are looked for at once, in linear time. Hardly ever is one there, and then the rules
that may have something to do are looked for one by one.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import takewhile
from typing import Final

from foxora_addon.audit.looks import Rule
from foxora_addon.audit.needles import Needles
from foxora_addon.audit.pattern import AMPLE_BYTES, Linear, literal

_SHORTEST_HEAD: Final = 8
_LONGEST_HEAD: Final = 16
_MOST_IN_TURN: Final = 12  # so many take as long one by one as RE2 does with all of them
_LONG: Final = 4_096  # characters from which on a look at all of a text spares many at a part


class Heads:
    """What tells that surely none of some secrets stands in a text, however many they are.

    `signs` are texts of 8 characters or more, in UTF-8, without which no secret can stand anywhere.
    Only their beginnings are looked for, one for all that begin alike: as a rule those of a
    gateway's keys do. Where none of the `needles` is in a text, no secret is.
    """

    def __init__(self, signs: Iterable[str]) -> None:
        self._signs: Final = tuple(signs)
        self.texts: Final = _heads_of(self._signs)
        self._encoded: Final = tuple(head.encode("utf-8") for head in self.texts)
        self.needles: Final = Needles(self.texts)

    def signs_in(self, data: bytes) -> set[bytes]:
        """Those of the signs that stand in a text, given as UTF-8.

        However many there are, only those are looked up that have the length of one at a place
        where a head stands.
        """
        found: set[bytes] = set()
        for head, place in self._places_in(data):
            signs, lengths = self._signs_by_head[head]
            found.update(
                data[place : place + length]
                for length in lengths
                if data[place : place + length] in signs
            )
        return found

    def _places_in(self, data: bytes) -> Iterator[tuple[bytes, int]]:
        """Each head that stands in a text, and where. No two stand at one place."""
        if self._pattern is not None:
            start = 0
            while (match := self._pattern.first_in(data, start)) is not None:
                yield match[1], match[0]
                start = match[0] + 1
            return
        for head in self._encoded:
            place = data.find(head)
            while place >= 0:
                yield head, place
                place = data.find(head, place + 1)

    @cached_property
    def _pattern(self) -> Linear | None:
        """That of all heads; None: they are so few that each is looked for by itself."""
        if len(self.texts) <= _MOST_IN_TURN:
            return None
        return Linear("|".join(map(literal, self.texts)), AMPLE_BYTES)

    @cached_property
    def _signs_by_head(self) -> dict[bytes, tuple[frozenset[bytes], tuple[int, ...]]]:
        """The signs that begin with each head, and the lengths that they have."""
        heads = {text[:_SHORTEST_HEAD]: text.encode("utf-8") for text in self.texts}
        signs: dict[bytes, set[bytes]] = {head: set() for head in heads.values()}
        for sign in self._signs:
            signs[heads[sign[:_SHORTEST_HEAD]]].add(sign.encode("utf-8"))
        return {
            head: (frozenset(alike), tuple(set(map(len, alike)))) for head, alike in signs.items()
        }


def _heads_of(signs: Iterable[str]) -> tuple[str, ...]:
    alike: dict[str, list[str]] = {}
    for sign in signs:
        alike.setdefault(sign[:_SHORTEST_HEAD], []).append(sign[:_LONGEST_HEAD])
    return tuple(map(_common_beginning, alike.values()))


def _common_beginning(texts: Sequence[str]) -> str:
    """What all of them begin with: the first and the last in order differ the earliest."""
    pairs = zip(min(texts), max(texts), strict=False)
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


class Screen:
    """The rules in their order, and what gives each of them away.

    `also` are further texts that must not be overlooked. Where none of what is seen at a `glance`
    is in a text, no rule finds anything in it, and nothing else does; it is None where a rule may
    find something in any text.
    """

    def __init__(self, rules: Sequence[Rule], also: Sequence[str] = ()) -> None:
        self._rules: Final = list(rules)
        self._vague: Final = [rule for rule in rules if not _is_told_by_words(rule)]
        self._clear: Final = _glance_of([r for r in rules if _is_told_by_words(r)], also)
        self.glance: Final = None if self._vague else self._clear

    def finds(self, sign: str) -> bool:
        """Whether surely no text passes that has this in it."""
        return sign.isascii() and any(
            needle in (sign.lower() if rule.folds else sign)
            for rule in self._rules
            for needle in rule.needles
        )

    def rules_for(self, text: str) -> list[Rule]:
        """The rules that may find something in a text, in their order."""
        rules = self._rules
        if len(text) >= _LONG and self.glance is None:  # else all of it was looked at before
            data = text.encode("utf-8", "surrogatepass")
            if not self._clear.is_in(data):
                rules = self._vague
        lower = text.lower()
        return [
            rule
            for rule in rules
            if not rule.needles
            or any(needle in (lower if rule.folds else text) for needle in rule.needles)
        ]

    def applied(self, text: str) -> str:
        """The text without what the rules find, one after the other.

        What a rule takes out may be what kept the next one from finding something, so that a text
        is not judged by its shapes once one has.
        """
        data = text.encode("ascii") if len(text) >= _LONG and text.isascii() else None
        given = text
        for rule in self.rules_for(text):
            if data is None or text is not given or rule.may_find_in(data):
                text = rule.applied(text)
        return text


def _is_told_by_words(rule: Rule) -> bool:
    """Whether a rule has needles, and those are not in every other text, as single signs are."""
    return bool(rule.needles) and all(len(needle) > 1 for needle in rule.needles)


def _glance_of(rules: Sequence[Rule], also: Sequence[str]) -> Needles:
    exact = [needle for rule in rules if not rule.folds for needle in rule.needles]
    folded = [needle for rule in rules if rule.folds for needle in rule.needles]
    others = [text for text in also if not any(needle in text for needle in exact)]
    return Needles([*exact, *others], folded)
