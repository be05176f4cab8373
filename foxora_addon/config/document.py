"""Reads a YAML 1.2 text into plain values, and remembers on which line each one stands.

It knows nothing of what the values mean. Tags, merge keys, repeated keys and texts that would
unfold without bound are refused; mapping keys are texts as they are written (`4:` is "4").
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from foxora_addon.config.problems import ConfigError, Loc, Origins, described

# Both bound what aliases can unfold into; a cycle ends at the depth. No real file comes near.
_MAX_DEPTH: Final = 16
_MAX_VALUES: Final = 50_000

_TAG: Final = "tag:yaml.org,2002:"
_TEXTS: Final = {_TAG + name for name in ("str", "timestamp", "value")}  # core schema: all texts
_ADVICE: Final = ", if necessary increase YAML().max_depth"  # to a programmer
_QUOTED: Final = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")


class Document(NamedTuple):
    """The file's mapping (sequences as tuples) and the line, from 1, of everything in it."""

    tree: Mapping[str, object]
    lines: Mapping[Loc, int]


def parse_document(text: str, name: str) -> Document:
    """Read a text; `name` is the file's, for messages. Raises ConfigError. An empty text is {}."""
    root = _compose(text, name)
    if root is None:
        return Document({}, {})
    reading = _Reading(name)
    tree = reading.value_of(root, ())
    if tree is None:
        return Document({}, {})
    if not isinstance(tree, dict):
        raise reading.error((), f"must be a mapping such as 'gateway: ...', not {described(tree)}")
    return Document(tree, reading.lines)


def _compose(text: str, name: str) -> Node | None:
    yaml = YAML(typ="safe", pure=True)  # the C parser is YAML 1.1
    yaml.composer.warn_double_anchors = False
    yaml.max_depth = 4 * _MAX_DEPTH
    line, problem = 1, "nested too deeply, or not YAML at all"
    try:
        root: Node | None = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = (error.problem or "broken").removesuffix(_ADVICE)
        problem = _QUOTED.sub(lambda m: described(m[1] or m[2] or ""), problem)
        if mark:
            problem = _slip_at(mark.index, text) or problem
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = "a control character stands in the text"
    except Exception:  # noqa: BLE001, S110  # a foreign parser: whatever it trips over is not YAML
        pass
    else:
        return root
    raise ConfigError(Origins(name, {(): line}).tell((), f"not valid YAML: {problem}"))


def _slip_at(index: int, text: str) -> str | None:
    """Return the mistake that is usual where the parser stopped, for its own words are of YAML."""
    if text[index - 1 : index] == "*":  # a star alone: the parser looked for a name behind it
        index -= 1
    match text[index : index + 1]:
        case "\t":
            return "a tab stands where only spaces may: indent with those"
        case "*":
            return "a text that begins with * must stand in quotes (else it repeats an &anchor)"
        case ":":
            return (
                "': ' stands where none may: put a text that has it in quotes, or correct the "
                "indentation, a comma that is missing, or the space behind the ':' before it"
            )
        case "{" if text[index - 1 : index] == "$":
            return (
                "variables are not filled in: write {env: NAME} where a key is wanted, or set "
                "FOXORA_BASE_URL itself"
            )
    return None


@dataclass(slots=True)
class _Reading:
    """One pass over the nodes of a file."""

    name: str
    lines: dict[Loc, int] = field(default_factory=dict)
    count: int = 0

    def error(self, loc: Loc, text: str) -> ConfigError:
        return ConfigError(Origins(self.name, self.lines).tell(loc, text))

    def value_of(self, node: Node, loc: Loc) -> object:
        self.lines.setdefault(loc, node.start_mark.line + 1)
        self.count += 1
        if len(loc) > _MAX_DEPTH or self.count > _MAX_VALUES:
            raise self.error(loc[:1], "unfolds into too many values")
        if isinstance(node, MappingNode):
            return self._mapping_of(node, loc)
        if isinstance(node, SequenceNode):
            return tuple(self.value_of(item, (*loc, i)) for i, item in enumerate(node.value))
        try:
            return _scalar_of(node)
        except ValueError as error:
            raise self.error(loc, str(error)) from None

    def _mapping_of(self, node: MappingNode, loc: Loc) -> dict[str, object]:
        mapping: dict[str, object] = {}
        for key, value in node.value:
            name = self._name_of(key, loc)
            below = (*loc, name)
            if name in mapping:
                first = self.lines[below]
                self.lines[below] = key.start_mark.line + 1
                raise self.error(below, f"is given twice; first on line {first}")
            self.lines[below] = key.start_mark.line + 1
            mapping[name] = self.value_of(value, below)
        return mapping

    def _name_of(self, key: Node, loc: Loc) -> str:
        if not isinstance(key, ScalarNode):
            self.lines[loc] = key.start_mark.line + 1
            raise self.error(loc, "has a list or a mapping as a key; a key must be a text")
        if str(key.tag) == _TAG + "merge":
            self.lines[loc] = key.start_mark.line + 1
            raise self.error(
                loc, "has a merge key (<<), which YAML 1.2 has not; write the keys out"
            )
        try:
            return _text_of(key)
        except ValueError as error:
            raise self.error(loc, f"has a key that {error}") from None


def _text_of(node: Node) -> str:
    text = str(node.value)
    if any("\ud800" <= c <= "\udfff" for c in text):  # an escape can write what UTF-8 can't
        raise ValueError("has an escape that is no character; write \\U0001F600, not a surrogate")
    return text


def _scalar_of(node: Node) -> str | int | float | bool | None:
    """Return the value of a scalar by YAML 1.2's core schema; raises ValueError for other tags."""
    tag, text = str(node.tag), _text_of(node)
    if tag in _TEXTS:
        return text
    match tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool" if text.lower() in {"true", "false"}:
            return text.lower() == "true"
        case "int" | "float" as kind:
            return _number_of(kind, text)
    raise ValueError("has a tag that does not fit; write plain values")


def _number_of(kind: str, text: str) -> int | float:
    try:
        if kind == "float":
            return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
        is_prefixed = text.lstrip("+-")[:2] in {"0x", "0o", "0b"}
        return int(text, 0 if is_prefixed else 10)
    except ValueError:
        raise ValueError("is not a number; if it is meant as a text, put it in quotes") from None
