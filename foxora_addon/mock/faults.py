"""The faults that can be asked of the mock: their words, and how they are written.

In the header `x-mock-fault`: `status=503;retry-after=2`, values percent-encoded where they hold a
semicolon. In JSON: an object with the same words (`body_base64` and `raw_base64` for any octets),
or such a string. What a fault does to an answer stands elsewhere.
"""

import base64
import binascii
import re
from collections import deque
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any
from urllib.parse import unquote, unquote_to_bytes

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

Json = dict[str, Any]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_SPELLINGS = {
    "delay": "delay_seconds",
    "chunk_delay": "chunk_delay_seconds",
    "header": "headers",
}
_WORDS = {name: word for word, name in _SPELLINGS.items()}


def _sizes(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


def _pairs(value: Any) -> Any:
    return list(value.items()) if isinstance(value, dict) else value


def _sendable(pair: tuple[str, str]) -> tuple[str, str]:
    if not _NAME.fullmatch(pair[0]) or not _VALUE.fullmatch(pair[1]):
        raise ValueError("a header's name or value has characters that cannot be sent")
    return pair


def _sendable_text(text: str) -> str:
    return _sendable(("x", text))[1]


Seconds = Annotated[float, Field(ge=0, le=3_600)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
HeaderText = Annotated[str, AfterValidator(_sendable_text)]
HeaderPair = Annotated[tuple[str, str], AfterValidator(_sendable)]


class Fault(BaseModel):
    """What goes wrong with one request (or with `times` of them, one after another)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: int | None = Field(None, ge=200, le=599, description="answer with this status")
    retry_after: HeaderText | None = Field(None, description="a Retry-After header, as given")
    headers: Annotated[tuple[HeaderPair, ...], BeforeValidator(_pairs)] = Field(
        (), description="a further header, `Name: value`; repeatable; in JSON an object or pairs"
    )
    body: bytes | None = Field(None, description="answer with this body")
    type: HeaderText | None = Field(None, description="the answer's content type")
    html: bool = Field(default=False, description="an HTML page, status 502 unless given")
    empty: bool = Field(default=False, description="an empty body, status 200 unless given")
    redirect: HeaderText | None = Field(None, description="a redirect, 307 unless given")
    garbage: bool = Field(default=False, description="octets that are not HTTP, then a close")
    raw: bytes | None = Field(None, description="these octets on the socket, then a close")
    close_before_head: bool = Field(default=False, description="a close instead of an answer")
    mute: bool = Field(default=False, description="no answer, the connection stays open")

    delay_seconds: Seconds = Field(0.0, description="seconds to wait before the head")
    chunk_delay_seconds: Seconds | None = Field(
        None, description="seconds to wait before each chunk but the first"
    )
    chunks: Annotated[tuple[Positive, ...], BeforeValidator(_sizes)] = Field(
        (), description="send the body in chunks of these sizes, the rest in one"
    )
    gzip: bool = Field(default=False, description="gzip, whatever the client accepts")
    cut_after: Count | None = Field(None, description="close after so many chunks")
    cut_bytes: Count | None = Field(None, description="close after so many octets of the body")
    mute_after: Count | None = Field(None, description="fall silent after so many chunks")
    no_done: bool = Field(default=False, description="a stream without its [DONE]")
    error_event: bool = Field(default=False, description="an error event ends a stream half-way")
    words: int | None = Field(
        None, ge=1, le=1_000_000, description="an answer's text of so many words"
    )

    path: str = Field("", description="queue only: for requests whose path begins so")
    times: Positive = Field(1, description="queue only: for so many requests")

    def hides_gateway(self) -> bool:
        """Whether the call is answered without the gateway's hearing of it."""
        own_bodies = (self.body, self.raw, self.redirect)
        flags = (self.html, self.empty, self.garbage, self.close_before_head, self.mute)
        failing = self.status is not None and self.status >= 400
        return failing or any(flags) or any(body is not None for body in own_bodies)


def parse_fault(text: str) -> Fault:
    """The fault that a line of words spells out; raises ValueError with one line."""
    words: Json = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        word, is_set, value = part.partition("=")
        name = word.strip().replace("-", "_")
        if name == "header":
            field, _, content = unquote(value, "latin-1").partition(":")
            words.setdefault("headers", []).append((field.strip(), content.strip()))
        elif name in {"body", "raw"}:
            words[name] = unquote_to_bytes(value)
        else:
            words[name] = unquote(value) if is_set else True
    return fault_of(words)


def parse_header(text: str) -> Fault:
    """The fault that a request asks for itself; raises ValueError with one line."""
    fault = parse_fault(text)
    if fault.path or fault.times != 1:
        raise ValueError("path, times: only for faults in the queue")
    return fault


def fault_of(value: object) -> Fault:
    """The fault that a JSON object or string spells out; raises ValueError with one line."""
    if isinstance(value, str):
        return parse_fault(value)
    try:
        return Fault.model_validate(dict(_fields_of(value)) if isinstance(value, dict) else value)
    except ValidationError as error:
        raise ValueError(_line_of(error)) from None


def faults_of(value: object) -> list[Fault]:
    """The faults that a JSON list spells out; raises ValueError with one line."""
    if not isinstance(value, list):
        raise ValueError("faults must be a JSON list")  # noqa: TRY004 - a caller's JSON, not a bug
    return [fault_of(each) for each in value]


def take(faults: deque[Fault], path: str) -> Fault | None:
    """The first queued fault for the path, used up by one request; None if there is none."""
    for place, fault in enumerate(faults):
        if path.startswith(fault.path):
            if fault.times > 1:
                faults[place] = fault.model_copy(update={"times": fault.times - 1})
            else:
                del faults[place]
            return fault
    return None


def vocabulary() -> dict[str, str]:
    """Every word with its meaning."""
    return {_word_of(name): field.description or "" for name, field in Fault.model_fields.items()}


def _word_of(name: str) -> str:
    """How a field is written by those who ask for the fault."""
    return _WORDS.get(name, name).replace("_", "-")


def _fields_of(value: Json) -> Iterator[tuple[str, Any]]:
    for word, content in value.items():
        name = str(word).replace("-", "_")
        if name in {"body_base64", "raw_base64"}:
            yield name.removesuffix("_base64"), _octets(name, content)
        else:
            yield _SPELLINGS.get(name, name), content


def _octets(name: str, content: Any) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError(f"{name}: not base64") from None


def _line_of(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    word = ".".join(_word_of(str(step)) for step in first["loc"])
    if first["type"] == "model_type":
        return "a fault must be an object or a string"
    if first["type"] != "extra_forbidden":
        return f"{word}: {first['msg'].removeprefix('Value error, ')}"
    known = list(vocabulary())
    nearest = get_close_matches(word, known, n=1)
    hint = f"did you mean '{nearest[0]}'? " if nearest else ""
    return f"{word}: unknown word; {hint}Known words: {', '.join(known)}"
