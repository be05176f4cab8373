"""Reads the messages of a WebSocket for what costs tokens: who asks for an answer, what it used.

After OpenAI's references of the Realtime API and of Responses' "WebSocket mode", whose messages are
JSON objects with a `type`. It refuses to know who pays, and what there is room for.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from foxora_addon.api import quick_json
from foxora_addon.api.error_events import OF_RESPONSES
from foxora_addon.api.errors import ApiError, json_of
from foxora_addon.api.json_values import mapping_of, string_of
from foxora_addon.api.usage import Usage, usage_of

type Wish = Literal["answer", "sound", "item", "session"]
"""What a client's message is for: an answer, sound that may bring one, words for a later one, or
another setting of the session."""

type News = Literal["session", "begun", "over", "aside", "failed", "broken"]
"""What a gateway's message tells: the session's models; that an answer has begun, or is over; what
a transcript beside the answers has used; that what was asked for did not come about ("failed"), or
that it or an answer that has begun did not ("broken")."""

_CREATE: Final = "response.create"
_CREATE_MARK: Final = b'"response.create"'
_WISHES: Final[Mapping[str, Wish]] = {
    _CREATE: "answer",
    "response.steer": "answer",
    # Where the gateway listens for the end of speech, which is the default, an answer follows.
    "input_audio_buffer.append": "sound",
    "input_audio_buffer.commit": "sound",
    "conversation.item.create": "item",
    "session.update": "session",
    "transcription_session.update": "session",  # as the beta has it
}
_NEWS: Final[Mapping[str, News]] = {
    "session.created": "session",
    "session.updated": "session",
    "transcription_session.created": "session",
    "transcription_session.updated": "session",
    "response.created": "begun",
    "response.done": "over",
    "response.completed": "over",
    "response.incomplete": "over",
    "response.failed": "over",
    "conversation.item.input_audio_transcription.completed": "aside",
    "response.steer.failed": "failed",
    "error": "broken",
}
# A session says thousands of pieces of text and sound, which are not read as JSON.
_MARKS: Final = tuple(f'"{kind}"'.encode() for kind in _NEWS)

_KINDS: Final = {429: "rate_limit_error", 402: "insufficient_quota"}
_OTHER_KIND: Final = "invalid_request_error"


class Asked(NamedTuple):
    """A client's message that costs tokens, or leads there.

    `body` has the fields of a request, as far as it has any; `names` is what an error quotes of the
    message, so that the client knows which one it is about. Of a "session", `model` is the one that
    writes transcripts.
    """

    wish: Wish
    model: str | None
    body: Mapping[str, Any]
    names: Mapping[str, str]
    has_context: bool


class Told(NamedTuple):
    """A gateway's message about tokens; `usage` None: it reports none. `response`: of which id.

    `transcription_model` is the one that writes a session's transcripts; None: it names none.
    """

    news: News
    model: str | None = None
    usage: Usage | None = None
    has_failed: bool = False
    response: str | None = None
    transcription_model: str | None = None


def asked_in(content: bytes) -> Asked | None:
    """What a client's message asks for; None: nothing that costs tokens.

    Each is read whole: there are more ways to write a name in JSON than could be looked for. What
    can't be read here and has the name of a request may yet be read by the gateway: it is one.
    """
    message = _object_in(content)
    if message is None:
        message = {"type": _CREATE} if content.find(_CREATE_MARK) >= 0 else {}
    wish = _WISHES.get(string_of(message.get("type")) or "")
    if wish is None:
        return None
    body = mapping_of(message.get("response")) or message
    if wish == "item":
        body = {"input": [message.get("item")]}
    elif wish == "session":
        body = {"model": _transcription_model_in(mapping_of(message.get("session")))}
    names = {name: string_of(message.get(name)) for name in ("event_id", "stream_id")}
    return Asked(
        wish,
        string_of(body.get("model")),
        body,
        {name: value for name, value in names.items() if value is not None},
        has_context="previous_response_id" in body or "input" not in body,
    )


def told_in(content: bytes) -> Told | None:
    """What a gateway's message tells of tokens; None: nothing."""
    if not any(content.find(mark) >= 0 for mark in _MARKS):
        return None
    message = _object_in(content) or {}
    news = _NEWS.get(string_of(message.get("type")) or "")
    if news is None:
        return None
    if news == "broken" and "event_id" in message:  # as all of a realtime session's events have
        news = "failed"  # its answers end with `response.done`, whatever happens to them
    if news == "aside":
        return Told(news, usage=usage_of(message.get("usage")))
    about = mapping_of(message.get("session" if news == "session" else "response"))
    has_failed = about.get("status") == "failed"
    model, response = string_of(about.get("model")), string_of(about.get("id"))
    writes = _transcription_model_in(about) if news == "session" else None
    return Told(news, model, usage_of(about.get("usage")), has_failed, response, writes)


def _transcription_model_in(session: Mapping[str, Any]) -> str | None:
    """The model that writes a session's transcripts, where the API or its beta names it."""
    heard = mapping_of(mapping_of(session.get("audio")).get("input"))
    about = mapping_of(heard.get("transcription")) or session.get("input_audio_transcription")
    return string_of(mapping_of(about).get("model"))


def error_message(error: ApiError, operation: str, names: Mapping[str, str], number: int) -> bytes:
    """The `error` event that answers a message which was not passed on.

    `number` tells it from others of the session. Responses' own event has the status and headers of
    the answer that HTTP would have had.
    """
    kind = _KINDS.get(error.status, "server_error" if error.status >= 500 else _OTHER_KIND)
    about: dict[str, Any] = {"type": kind, **error.told()}
    if operation in OF_RESPONSES:
        headers = {name: value for name, value in error.headers() if name != "content-type"}
        lane = {name: names[name] for name in ("stream_id",) if name in names}
        event = {"status": error.status, "error": {**about, "headers": headers}, **lane}
    else:
        cause = names.get("event_id")
        event = {"event_id": f"event_foxora_{number}", "error": {**about, "event_id": cause}}
    return json_of({"type": "error", **event})


def _object_in(content: bytes) -> Mapping[str, Any] | None:
    """A message as an object, empty for other JSON; None for what is none, or none that we read."""
    try:
        return mapping_of(quick_json.read(content))
    except (ValueError, RecursionError):
        return None
