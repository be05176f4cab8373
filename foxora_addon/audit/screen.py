"""Tells quickly which rules of redaction have something to look for in a text, which is seldom any.

A text of a record is looked through for two dozen prefixes of credentials. To search for each of
them costs more than all else about a record, so they are looked for by a character that is rare in
speech, which the C library finds at once, and the two characters before it.
"""

from collections.abc import Sequence
from itertools import product
from typing import Final

from foxora_addon.audit.looks import Rule

_RARE: Final = "_-JzAx@="
_SHORT: Final = 16_384
"""Longer texts are searched for each prefix: what is rare in speech is not in base64."""


class Screen:
    """The rules in their order, and what gives each of them away."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._always = {index for index, rule in enumerate(rules) if not rule.needles}
        self._pairs: dict[str, dict[str, set[int]]] = {}
        self._searched: list[tuple[str, int]] = []
        self._folded: list[tuple[str, int]] = []
        self._long = [
            (needle, rule.folds, index)
            for index, rule in enumerate(rules)
            for needle in rule.needles
        ]
        for needle, folds, index in self._long:
            self._note(needle, index, folds=folds)

    def _note(self, needle: str, index: int, *, folds: bool) -> None:
        place = _rare_place(needle)
        if place is None:
            (self._folded if folds else self._searched).append((needle, index))
            return
        given = needle[place - 2 : place + 1]
        for form in _cases_of(given) if folds else {given}:
            self._pairs.setdefault(form[2], {}).setdefault(form[:2], set()).add(index)

    def rules_for(self, text: str) -> list[Rule]:
        """The rules that may find something in a text, in their order."""
        found = self._found_in_short(text) if len(text) <= _SHORT else self._found_in_long(text)
        return [self._rules[index] for index in sorted(found)] if found else []

    def _found_in_short(self, text: str) -> set[int]:
        found = set(self._always)
        for character, pairs in self._pairs.items():
            place = text.find(character, 2)
            while place >= 0:
                if (indices := pairs.get(text[place - 2 : place])) is not None:
                    found |= indices
                place = text.find(character, place + 1)
        for needle, index in self._searched:
            if needle in text:
                found.add(index)
        if self._folded:
            lower = text.lower()
            for needle, index in self._folded:
                if needle in lower:
                    found.add(index)
        return found

    def _found_in_long(self, text: str) -> set[int]:
        lower = text.lower()
        return self._always | {
            index for needle, folds, index in self._long if needle in (lower if folds else text)
        }


def _rare_place(needle: str) -> int | None:
    """The last place of a rare character that has two others before it; None if there is none."""
    return next((i for i in range(len(needle) - 1, 1, -1) if needle[i] in _RARE), None)


def _cases_of(text: str) -> set[str]:
    """A text in all its mixtures of upper and lower case."""
    return {"".join(letters) for letters in product(*({c.lower(), c.upper()} for c in text))}
