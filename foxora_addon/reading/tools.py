"""Tells a call's tools and parameters in a line each: schemas are long, and seldom wanted."""

import json
from collections.abc import Iterator
from typing import Any, Final

from foxora_addon.api.json_values import mapping_of
from foxora_addon.reading.conversation import told_in_turns
from foxora_addon.reading.records import text_of
from foxora_addon.reading.texts import one_line

_TOOLS: Final = frozenset({"tools", "functions"})
_LONGEST: Final = 100
_LONGEST_ARGUMENTS: Final = 400
_LONGEST_TYPE: Final = 40
_MOST_TOOLS: Final = 200


def parameters_of(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The members of a request that are neither conversation nor tools; the model comes first."""
    others = told_in_turns(body) | _TOOLS
    for name, value in sorted(body.items(), key=lambda item: item[0] != "model"):
        if name not in others:
            yield one_line(name, _LONGEST), _short(value)


def tools_of(body: dict[str, Any]) -> Iterator[str]:
    """A line for each tool: its name, its arguments with their types, what it says of itself."""
    tools = [tool for name in _TOOLS for tool in _list_of(body.get(name))]
    yield from (_tool_line(tool) for tool in tools[:_MOST_TOOLS])
    if len(tools) > _MOST_TOOLS:
        yield f"and {len(tools) - _MOST_TOOLS} more"


def _tool_line(tool: Any) -> str:
    given = mapping_of(tool)
    told = mapping_of(given.get("function")) or mapping_of(given.get("custom")) or given
    name = text_of(told.get("name")) or text_of(given.get("type")) or _short(tool)
    schema = mapping_of(told.get("parameters"))
    told_of = ", ".join(_arguments_of(schema))
    shown = one_line(told_of, _LONGEST_ARGUMENTS) if told_of else ""
    arguments = f"({shown})" if schema else ""
    description = text_of(told.get("description"))
    return one_line(name, _LONGEST) + arguments + _said(description)


def _said(description: str | None) -> str:
    return f"  {one_line(description, _LONGEST)}" if description else ""


def _arguments_of(schema: dict[str, Any]) -> Iterator[str]:
    required = _list_of(schema.get("required"))
    for name, told in mapping_of(schema.get("properties")).items():
        mark = "" if name in required else "?"
        yield f"{one_line(name, _LONGEST)}{mark}: {_type_of(mapping_of(told))}"


def _type_of(schema: dict[str, Any]) -> str:
    if values := _list_of(schema.get("enum")):
        return one_line("|".join(_short(value) for value in values), _LONGEST_TYPE)
    kind = schema.get("type")
    if isinstance(kind, list):
        return one_line("|".join(str(each) for each in kind), _LONGEST_TYPE)
    return one_line(text_of(kind) or "any", _LONGEST_TYPE)


def _short(value: Any) -> str:
    if isinstance(value, str):
        return one_line(value, _LONGEST)
    try:
        return one_line(json.dumps(value, ensure_ascii=False), _LONGEST)
    except RecursionError:
        return "nested too deeply to be shown"


def _list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
