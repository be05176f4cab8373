"""How a mistake in the configuration is told: one line that says where, what, and what instead.

It decides what of a value may be shown. A text is shown only if it cannot be a secret, because
people paste keys into every field; what a key field holds is never shown.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isclass
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

type Loc = tuple[int | str, ...]

_PLAIN: Final = re.compile(r"[\w .,:;/*~+!?=<>()\[\]{}-]{0,160}")
# Prefixes of keys and JWTs, user names and passwords in URLs, and long runs such as keys have.
_SECRET_LIKE: Final = re.compile(
    r"(?i)sk[-_]|eyJ|@|(?=[a-z+=_]*[0-9])[a-z0-9+=_]{16,}|[a-z0-9+=_-]{32,}"
)

# Our own names that look like secrets.
_OURS: Final = frozenset({"ask_usage", "input_per_1k_usd", "output_per_1k_usd"})


class ConfigError(Exception):
    """The configuration can't be used. `str` is one line for the operator, without any secret."""


class Problem(ValueError):  # noqa: N818  # told to the operator by its text alone
    """A whole sentence about the value that is validated, or about what lies at `at` below it.

    Any other ValueError of a validator is a predicate, and the value shown is its subject.
    """

    def __init__(self, text: str, *at: int | str) -> None:
        super().__init__(text)
        self.at: Loc = at


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the values of a configuration come from.

    `labels` names those that stand in no file; an empty label lets the sentence speak for itself.
    """

    file: str | None = None
    lines: Mapping[Loc, int] = field(default_factory=dict)
    labels: Mapping[Loc, str] = field(default_factory=dict)

    def line_of(self, loc: Loc) -> int:
        """Return the line of the value, or of the nearest one around it; 0 outside the file."""
        if self.file is None or loc in self.labels:
            return 0
        return next(
            (self.lines[loc[:n]] for n in range(len(loc), -1, -1) if loc[:n] in self.lines), 1
        )

    def tell(self, loc: Loc, text: str) -> str:
        """Return the line that tells of a problem at `loc`."""
        if loc in self.labels:
            parts = [self.labels[loc]]
        else:
            file = "" if self.file is None else f"{self.file}:{self.line_of(loc)}"
            parts = [file, path_text(loc)]
        return one_line(": ".join([part for part in parts if part] + [text]))


def one_line(text: str) -> str:
    """Return the text without line breaks and other characters that a terminal would act on."""
    return "".join(c if c.isprintable() else " " for c in text)


def may_be_shown(text: str) -> bool:
    """Say whether a text can stand in a message: short, plain, and nothing like a secret."""
    return bool(_PLAIN.fullmatch(text)) and not _SECRET_LIKE.search(text)


def described(value: object) -> str:
    """Return a noun phrase for a value from a configuration file."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value) if abs(value) < 1e15 else "a huge number"
    if isinstance(value, str):
        return f"'{value}'" if may_be_shown(value) else "the given text"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def path_text(loc: Loc) -> str:
    """Return a path as people write it: `accounts[0].clients[2].key`."""
    return "".join(_step(step) for step in loc).removeprefix(".")


def _step(step: int | str) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    is_plain = re.fullmatch(r"[\w.:/+-]+", step) and (step in _OURS or may_be_shown(step))
    return f".{step}" if is_plain else f"[{described(step)}]"


def config_error(error: ValidationError, model: type[BaseModel], origins: Origins) -> ConfigError:
    """Return the first problem by line, with the number of the others."""
    details = error.errors(include_url=False)
    found = sorted((_located(d, model) for d in details), key=lambda p: origins.line_of(p[0]))
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return ConfigError(origins.tell(*found[0]) + more)


def _located(detail: ErrorDetails, model: type[BaseModel]) -> tuple[Loc, str]:
    loc, raised = detail["loc"], detail.get("ctx", {}).get("error")
    if isinstance(raised, Problem):
        return loc + raised.at, str(raised)
    if isinstance(raised, ValueError):
        return loc, f"{_subject(detail)} {raised}"
    if detail["type"] == "extra_forbidden":
        return loc, unknown_key(str(loc[-1]), _keys_at(model, loc[:-1]))
    return loc, _said(detail)


def unknown_key(name: str, known: Sequence[str]) -> str:
    """Return the sentence about a key that does not exist, with the nearest that does."""
    nearest = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
    return f"unknown key; {hint}"


def _keys_at(model: type[BaseModel], loc: Loc) -> list[str]:
    for name in loc:
        field = model.model_fields.get(str(name))  # none: the place in a list, or a model's name
        model = (field and _model_in(field.annotation)) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


_MUST_BE: Final = {
    "bool_type": "true or false",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "greater than {gt:.0f}",
    "greater_than_equal": "at least {ge:.0f}",
    "int_type": "a whole number",
    "less_than_equal": "at most {le:.0f}",
    "dict_type": "a mapping (name: value)",
    "model_type": "a mapping (name: value)",
    "string_type": "a text",
    "tuple_type": "a list",
}
_MISSING: Final = {
    "key": "is missing; write key: {env: NAME} or key: {file: PATH}",
    "name": "is missing; give the account one, as in name: acme",
    "input_per_1k_usd": "is missing; write what 1,000 tokens of input cost, in US dollars",
    "output_per_1k_usd": "is missing; write what 1,000 tokens of output cost, 0 if it has none",
}


def _said(detail: ErrorDetails) -> str:
    kind, ctx = detail["type"], detail.get("ctx", {})
    if kind == "literal_error":
        accepted = ", ".join(re.findall(r"'([^']*)'", ctx["expected"]))
        return f"{_subject(detail)} is not known; accepted: {accepted}"
    if kind == "missing":
        return _MISSING[str(detail["loc"][-1])]
    return f"must be {_MUST_BE.get(kind, 'something else').format(**ctx)}, not {_subject(detail)}"


def _subject(detail: ErrorDetails) -> str:
    """Return the words for a value; in a client entry any scalar may be a key of any shape."""
    loc, value = detail["loc"], detail["input"]
    is_private = loc[0] == "accounts" and "clients" in loc and loc[-1] != "address"
    return "the given value" if is_private and not _is_container(value) else described(value)


def _is_container(value: object) -> bool:
    return isinstance(value, Mapping | Sequence) and not isinstance(value, str)
