"""Makes an example value that fits a JSON Schema, in the simple cases.

Objects, arrays, strings, numbers, booleans, enums, references and alternatives are followed;
`pattern`, `not` and conditions are not. It is total: a schema that makes no sense gives some value.
"""

import math
from typing import Any

Json = dict[str, Any]

_DEEPEST = 32
_SHALLOW = 16
_MOST_VALUES = 2_000
_MOST_ITEMS = 64
_LONGEST_TEXT = 4_096
_REAL = 1.5
_FINEST_STEP = 1e-9

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T09:30:00Z",
    "time": "09:30:00Z",
    "duration": "PT1H",
    "email": "ada@example.org",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000001",
}
_NAMED = {
    "city": "Paris",
    "country": "France",
    "location": "Paris, France",
    "place": "Paris",
    "name": "Ada Lovelace",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "email": "ada@example.org",
    "date": "2026-01-31",
    "url": "https://example.org/",
    "language": "en",
    "currency": "EUR",
}


def example_of(schema: Any) -> Any:
    """A value that the schema accepts; None where it says nothing."""
    return _Maker(schema).value(schema, "", 0)


class _Maker:
    """The state of one walk: the root for references, and a budget that bounds hostile schemas."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._budget = _MOST_VALUES

    def value(self, schema: Any, name: str, depth: int) -> Any:
        self._budget -= 1
        if not isinstance(schema, dict) or depth > _DEEPEST or self._budget < 0:
            return None
        if isinstance(schema.get("$ref"), str):
            return self.value(self._resolved(schema["$ref"]), name, depth + 1)
        for word in ("const", "default"):
            if schema.get(word) is not None:
                return schema[word]
        for word in ("enum", "examples"):
            if isinstance(schema.get(word), list) and schema[word]:
                return schema[word][0]
        return self._of_parts(schema, name, depth)

    def _of_parts(self, schema: Json, name: str, depth: int) -> Any:
        for word in ("anyOf", "oneOf"):
            options = schema.get(word)
            if isinstance(options, list) and options:
                option = _option(options, null_wanted=depth >= _SHALLOW)
                return self.value(_merged([_without(schema, word), option]), name, depth + 1)
        parts = schema.get("allOf")
        if isinstance(parts, list) and parts:
            resolved = [self._dereferenced(part) for part in parts]
            return self.value(_merged([_without(schema, "allOf"), *resolved]), name, depth + 1)
        return self._of_type(schema, name, depth)

    def _of_type(self, schema: Json, name: str, depth: int) -> Any:
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "string":
                return _text(schema, name)
            case "integer" | "number" as kind:
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case _:
                return None

    def _object(self, schema: Json, depth: int) -> Json:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        required = schema.get("required")
        needed = required if isinstance(required, list) else []
        # Optional parts are left out in the depths, where a schema may well refer to itself.
        shallow = depth < _SHALLOW
        return {
            name: self.value(part, name, depth + 1)
            for name, part in properties.items()
            if (shallow and self._budget > 0) or name in needed
        }

    def _array(self, schema: Json, name: str, depth: int) -> list[Any]:
        fixed = schema.get("prefixItems")
        parts = fixed[:_MOST_ITEMS] if isinstance(fixed, list) else []
        values = [self.value(part, name, depth + 1) for part in parts]
        least = _whole(schema.get("minItems"), 1 if depth < _SHALLOW else 0)
        count = min(least, _whole(schema.get("maxItems"), least), _MOST_ITEMS)
        items = schema.get("items", {"type": "string"})
        if not isinstance(items, dict):
            return values
        missing = range(count - len(values))
        return values + [self.value(items, name, depth + 1) for _ in missing if self._budget > 0]

    def _dereferenced(self, part: Any) -> Any:
        if isinstance(part, dict) and isinstance(part.get("$ref"), str):
            return self._resolved(part["$ref"])
        return part

    def _resolved(self, reference: str) -> Any:
        """What a local reference (`#/$defs/Person`) points to; None if nothing is there."""
        place = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            place = place.get(key) if isinstance(place, dict) else None
        return place


def _type_of(schema: Json) -> str | None:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), None)
    if kind is None and "properties" in schema:
        return "object"
    if kind is None and "items" in schema:
        return "array"
    return kind if isinstance(kind, str) else None


def _option(options: list[Any], *, null_wanted: bool) -> Any:
    """The first alternative that is, or is not, null; else the first."""
    wanted = (each for each in options if (each == {"type": "null"}) == null_wanted)
    return next(wanted, options[0])


def _without(schema: Json, word: str) -> Json:
    return {key: value for key, value in schema.items() if key != word}


def _merged(parts: list[Any]) -> Json:
    """One schema of several: properties and required names together, other words by the last."""
    whole: Json = {}
    properties: Json = {}
    required: list[Any] = []
    for part in parts:
        if isinstance(part, dict):
            whole |= part
            properties |= part["properties"] if isinstance(part.get("properties"), dict) else {}
            required += part["required"] if isinstance(part.get("required"), list) else []
    extra = {"properties": properties} if properties else {}
    return whole | extra | ({"required": required} if required else {})


def _text(schema: Json, name: str) -> str:
    kind = schema.get("format")
    text = _FORMATS.get(kind) if isinstance(kind, str) else None
    if text is None:
        text = _NAMED.get(name.lower(), f"example {name.replace('_', ' ')}".strip())
    least = min(_whole(schema.get("minLength"), 0), _LONGEST_TEXT)
    most = _whole(schema.get("maxLength"), _LONGEST_TEXT)
    return text.ljust(least, ".")[:most]


def _number(schema: Json, *, whole: bool) -> int | float:
    low = _finite(schema.get("minimum"), -math.inf)
    high = _finite(schema.get("maximum"), math.inf)
    above = _finite(schema.get("exclusiveMinimum"), -math.inf)
    below = _finite(schema.get("exclusiveMaximum"), math.inf)
    step = _finite(schema.get("multipleOf"), 0.0)
    if whole:
        value = float(min(max(1, low, above + 1), high, below - 1))
    else:
        value = _between(max(low, above), min(high, below))
    if step >= _FINEST_STEP:
        value = math.ceil(value / step) * step
    return math.ceil(value) if whole else value


def _between(low: float, high: float) -> float:
    """A number inside a range, clear of its ends where there is room."""
    if low < _REAL < high:
        return _REAL
    if math.isfinite(low) and math.isfinite(high):
        return low + (high - low) / 2
    return low + 1 if math.isfinite(low) else high - 1


def _finite(value: Any, fallback: float) -> float:
    """A number of a size that floats tell exactly, else the fallback."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return fallback
    return float(value) if abs(value) < 2**53 else fallback


def _whole(value: Any, fallback: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return fallback
    return value
