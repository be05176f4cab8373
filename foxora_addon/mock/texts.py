"""Reads the texts that the older routes take: one or many, in words or in token numbers."""

from dataclasses import dataclass
from typing import Any

from foxora_addon.mock import fields
from foxora_addon.mock.answers import json_text
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.wording import tokens_of

_MOST_TEXTS = 2_048


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its tokens; one given as token numbers is a text of their digits."""

    words: str
    tokens: int


def parse_texts(json: Json, field: str) -> list[Text]:
    """The texts of a field: a string, a list of strings, of numbers, or of lists of numbers."""
    value = fields.required(json, field)
    many = isinstance(value, list) and not _is_tokens(value)
    texts = [_text(each, field) for each in (value if many else [value])]
    if not 1 <= len(texts) <= _MOST_TEXTS:
        raise RequestError(f"The '{field}' field must hold 1 to {_MOST_TEXTS} texts.", field)
    return texts


def _text(value: Any, field: str) -> Text:
    if isinstance(value, str):
        return Text(value, tokens_of(value))
    if _is_tokens(value):
        return Text(json_text(value), len(value))
    raise RequestError(f"The '{field}' field must hold strings or lists of token numbers.", field)


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) is int for each in value)
