"""Reads fields of a request's JSON or query, and says in the contract's words what is wrong.

It knows types and ranges, not what a field is for. A field that is null counts as absent.
"""

import json
import math
from typing import Any
from urllib.parse import parse_qs

Json = dict[str, Any]


class RequestError(ValueError):
    """A request that the gateway refuses: what the error body will say, and under which status."""

    def __init__(
        self, message: str, param: str | None = None, *, status: int = 400, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.status = status
        self.code = code


def object_of(body: bytes) -> Json:
    """The JSON object in a request's body; raises RequestError for anything else."""
    try:
        value = json.loads(body, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        raise RequestError("The request body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise RequestError("The request body must be a JSON object.")
    return value


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _finite(digits: str) -> float:
    # 1e999 is JSON, but the infinity that Python makes of it could not be said in an answer.
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


def required(fields: Json, name: str) -> Any:
    """The field's value; its absence is the documented error."""
    value = fields.get(name)
    if value is None:
        raise RequestError(f"The '{name}' field is required.", name)
    return value


def required_text(fields: Json, name: str) -> str:
    """The field's value, a string that is not empty."""
    value = required(fields, name)
    if not isinstance(value, str) or not value:
        raise RequestError(f"The '{name}' field must be a non-empty string.", name)
    return value


def flag(fields: Json, name: str) -> bool:
    """The field's value, false when absent."""
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise RequestError(f"The '{name}' field must be true or false.", name)
    return bool(value)


def number(fields: Json, name: str, least: float, most: float) -> float | None:
    """The field's value in the range, both ends included."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise RequestError(f"The '{name}' field must be a number from {least:g} to {most:g}.", name)
    return value


def whole_number(fields: Json, name: str, least: int = 1, most: int = 2_147_483_647) -> int | None:
    """The field's value, an integer in the range, both ends included."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise RequestError(
            f"The '{name}' field must be a whole number from {least} to {most}.", name
        )
    return value


def whole_parameter(query: str, name: str, usual: int, most: int) -> int:
    """The last value of a query's parameter, an integer from 1 to `most`, below 1,000."""
    given = parse_qs(query).get(name, [str(usual)])[-1]
    number = int(given) if given.isascii() and given.isdigit() and len(given) <= 3 else 0
    if not 1 <= number <= most:
        message = f"The '{name}' parameter must be a whole number from 1 to {most}."
        raise RequestError(message, name)
    return number


def mapping(fields: Json, name: str) -> Json:
    """The field's value, an object; empty when absent."""
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestError(f"The '{name}' field must be an object.", name)
    return value


def objects(fields: Json, name: str) -> list[Json]:
    """The field's value, a list of objects; empty when absent."""
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RequestError(f"The '{name}' field must be a list of objects.", name)
    return value
