"""Reads a foreign error body: which code, message and parameter it means, whatever its shape.

Knows shapes, not statuses: which code a status implies and what headers say is `errors`' business.
A new shape is a golden file in tests/api/golden and, at most, a name in a table below.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from foxora_addon.api.error_text import described, is_page, message_of_text, one_line

_LONGEST_MESSAGE: Final = 2_000
_LONGEST_PARAM: Final = 256
_LARGEST_BODY: Final = 1_048_576
_DEEPEST: Final = 8
_MOST_ENTRIES: Final = 3

# Where shapes keep things, the better place first. Names are compared in lower case.
_WRAPPERS: Final = ("error", "errors", "detail", "message")
_WRAPPERS_OF_SILENT: Final = (*_WRAPPERS, "fault", "base_resp")  # of what says nothing beside them
_MESSAGES: Final = (
    "message", "msg", "error_description", "detail", "description", "error", "title",
    "error_message", "errormessage", "error_msg", "errmsg", "faultstring", "status_msg",
)  # fmt: skip
_CODES: Final = ("code", "error_code", "type", "status", "error", "errorcode")
_PARAMS: Final = ("param", "parameter", "field")

_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# Words in the place of a code that name no error; "None" is LiteLLM's.
_NO_CODES: Final = frozenset({"error", "fail", "failed", "failure", "none", "null"})
_REQUEST_PARTS: Final = frozenset({"body", "query", "path", "header", "cookie"})
# The first event of a stream sent with an error's status.
_EVENT: Final = re.compile(r"(?:event:[^\r\n]*\r?\n)?data:([^\r\n]*)")
# Numbers are never read; float takes any count of digits, where int() refuses above 4,300.
_DECODER: Final = json.JSONDecoder(parse_int=float)


class Reading(NamedTuple):
    """What a body says; None for what it does not say."""

    code: str | None = None
    message: str | None = None
    param: str | None = None


def read(status: int, body: bytes) -> tuple[str | None, str, str | None]:
    """Return code, message and param as `body` means them; code None if it names none.

    Total, and bounded in time and in what it returns. A body of the documented shape
    (foxora-api.md, Errors) keeps its three values, cleaned of line breaks and cut to length.
    """
    if len(body) > _LARGEST_BODY:
        what = f"a body of {len(body)} bytes, too long for an error message"
        return None, described(status, what), None
    text = _text_of(body)
    try:
        value = _parsed(text)
    except ValueError:
        return None, message_of_text(status, text, _LONGEST_MESSAGE), None
    reading = _documented(value) or _finished(status, _reading_of(value, 0))
    return reading.code, reading.message or "", reading.param


def _text_of(body: bytes) -> str:
    try:
        return body.decode(json.detect_encoding(body))
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace")


def _parsed(text: str) -> object:
    """Return the JSON value that `text` is: all of it, or the first of several objects."""
    event = _EVENT.match(text)
    text = (event[1] if event else text).strip()
    try:
        value, end = _DECODER.raw_decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    rest = text[end:].lstrip()
    if rest and not (isinstance(value, dict) and rest.startswith("{")):
        raise ValueError("text that only starts like JSON")
    return value


def _documented(value: object) -> Reading | None:
    match value:
        case {
            "error": {
                "code": str(code),
                "message": str(message),
                "param": None | str() as param,
                **others,
            },
            **around,
        }:
            line = one_line(message, _LONGEST_MESSAGE)
            if line and not others and not around and _CODE.fullmatch(code):
                return Reading(code, line, _param_of(param))
    return None


def _finished(status: int, reading: Reading) -> Reading:
    message = one_line(reading.message or "", _LONGEST_MESSAGE)
    if not message:
        message = described(status, "JSON that holds no message")
    elif is_page(message):
        message = described(status, "an HTML page instead of a message")
    return Reading(reading.code, message, reading.param)


def _reading_of(value: object, depth: int) -> Reading:
    if depth <= _DEEPEST:
        match value:
            case str():
                return _reading_of_text(value, depth)
            case list():
                return _reading_of_list(value, depth)
            case dict() if "loc" in value:
                return _reading_of_validation(value)
            case dict():
                return _reading_of_object(value, depth)
    return Reading()


def _reading_of_text(text: str, depth: int) -> Reading:
    """Look into JSON that was put into a string, as gateways do with their upstream's body."""
    if text.lstrip().startswith(("{", "[")):
        try:
            inner = _reading_of(_parsed(text), depth + 1)
        except ValueError:
            return Reading(message=text)
        if inner.message:
            return inner
    return Reading(message=text)


def _reading_of_list(values: Sequence[object], depth: int) -> Reading:
    readings = [_reading_of(value, depth + 1) for value in values[:_MOST_ENTRIES]]
    messages = [reading.message for reading in readings if reading.message]
    return Reading(
        code=next((reading.code for reading in readings if reading.code), None),
        message="; ".join(messages) or None,
        param=next((reading.param for reading in readings if reading.param), None),
    )


def _reading_of_object(value: Mapping[str, object], depth: int) -> Reading:
    """Prefer what stands inside a wrapper; what it lacks is taken from around it."""
    fields = {name.lower(): field for name, field in value.items()}
    place = next((name for name in _MESSAGES if _is_words(fields.get(name))), None)
    wrapped = (fields.get(name) for name in (_WRAPPERS if place else _WRAPPERS_OF_SILENT))
    container = next((field for field in wrapped if isinstance(field, dict | list) and field), None)
    inner = _reading_of(container, depth + 1)
    around = _reading_of(fields[place], depth + 1) if place and not inner.message else Reading()
    codes = (_code_of(fields.get(name)) for name in _CODES if name != place)
    params = (_param_of(fields.get(name)) for name in _PARAMS)
    return Reading(
        code=inner.code or around.code or next(filter(None, codes), None),
        message=inner.message or around.message,
        param=inner.param or around.param or next(filter(None, params), None),
    )


def _reading_of_validation(value: Mapping[str, object]) -> Reading:
    """Read an entry of FastAPI's `{"detail": [{"loc", "msg", "type"}]}`; its type is no code."""
    location = value["loc"]
    parts = list(location) if isinstance(location, list) else [location]
    if parts and isinstance(parts[0], str) and parts[0] in _REQUEST_PARTS:
        del parts[0]
    param = _param_of("".join(map(_step_of, parts)).removeprefix("."))
    message = value.get("msg")
    if not isinstance(message, str):
        return Reading(param=param)
    return Reading(message=f"{param}: {message}" if param else message, param=param)


def _step_of(part: object) -> str:
    """Return a step of a location in OpenAI's way to name a parameter: messages[0].role."""
    match part:
        case str():
            return f".{part}"
        case float():
            return f"[{part:.0f}]"
        case _:
            return ""


def _is_words(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _code_of(value: object) -> str | None:
    """Return `value` if it names an error: no number, sentence, URI or empty word."""
    if not isinstance(value, str) or not _CODE.fullmatch(value) or value.isdigit():
        return None
    return None if value.lower() in _NO_CODES else value


def _param_of(value: object) -> str | None:
    if not isinstance(value, str) or value.lower() in {"none", "null"}:
        return None
    return one_line(value, _LONGEST_PARAM) or None
