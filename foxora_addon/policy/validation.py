"""Reads the body of a call: which model, streamed or not, and whether the gateway could take it.

What opens a WebSocket names its model in the query, and a message over one as a body does.
Only what the gateway documents as required is asked for (foxora-api.md, Routes); everything else
is the gateway's to judge. A rule that changes the body changes its own bytes and no others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote_plus

from foxora_addon.api.content_encoding import TooLong, Undecodable, decoded
from foxora_addon.api.errors import ApiError, invalid_json, invalid_request, request_too_large
from foxora_addon.api.forms import Form, read_form, texts_of, with_field
from foxora_addon.api.json_splice import replace_inner_member, replace_member
from foxora_addon.api.json_values import member_of
from foxora_addon.api.promised_json import UNREAD, value_of_json
from foxora_addon.policy.recognise import Recognised

_AZURES: Final = "deployment"
_YES: Final = frozenset({"true", "1"})
_UNCHANGED: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ModelRules:
    """The model map: `map` by the name that the app asks for, `default` where it must name one."""

    map: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None


class CallBody(NamedTuple):
    """What a body says.

    `model` is the one that the gateway is asked for, None where the body names none. `sent` is what
    goes to the gateway: the app's own bytes unless a rule set the members in `changes`. `json` is
    None where the body was not read as a JSON object, and of an upload.
    """

    model: str | None
    stream: bool
    sent: bytes
    json: Mapping[str, Any] | None = None
    changes: Mapping[str, Any] = _UNCHANGED


def too_long(limit: int) -> ApiError:
    """The refusal of a body over `limit` bytes, as it came or once it is decoded."""
    return request_too_large(
        f"The request's body is over {limit} bytes, the proxy's intercept.max_request_bytes."
    )


def plain_body(body: bytes, encoding: str | None, limit: int) -> bytes | ApiError:
    """A request's body without its content encoding, in no more than `limit` bytes."""
    try:
        return decoded(body, encoding, limit)
    except TooLong:
        return too_long(limit)
    except Undecodable as error:
        return invalid_request(f"The request's body can't be read: {error}.")


def read_call(
    call: Recognised, body: bytes, rules: ModelRules, value: object = None
) -> CallBody | ApiError:
    """Read a body that is already freed of its content encoding.

    `value` is what it holds, where somebody has read it before: a JSON value, a `Form`, or
    `NOT_JSON` for neither.

    Chat completions must be a JSON object with `model` and `messages` (foxora-api.md, Routes).
    Bodies of other operations pass as they are if they can't be read, but for a form of which
    nobody could say which model it names.
    """
    operation = call.operation
    is_chat = operation.name == "chat"
    if not operation.has_model or not (body or is_chat):
        is_upload = operation.has_form
        return _read_upload(call, body, rules, value) if is_upload else _read_other(call, body)
    value = value_of_json(body) if value is None else value
    if not isinstance(value, dict):
        if is_chat:
            is_deep = value is UNREAD
            what = "nested too deeply to be read" if is_deep else "not a JSON object"
            return invalid_json(f"The request's body is {what}.")
        return _unread(body)
    within = operation.model_within
    named = value.get("model") if within is None else member_of(value.get(within), "model")
    asked = call.deployment or named or _default_of(call, value, rules)
    model = rules.map.get(asked, asked) if isinstance(asked, str) else None
    if is_chat and not (model and isinstance(value.get("messages"), list)):
        return _missing(value, asked)
    read = CallBody(model, value.get("stream") is True, body, value)
    return read if model is None or named == model else _with_model(read, within, model)


def _with_model(read: CallBody, within: str | None, model: str) -> CallBody | ApiError:
    """A body with another model, which stands in its member `within`."""
    if within is None:
        sent = replace_member(read.sent, "model", model)
        return read._replace(sent=sent, changes={"model": model})
    try:
        sent = replace_inner_member(read.sent, within, "model", model)
    except ValueError:  # a duplicate of it, which the parsed body does not show, is no object
        return invalid_request(f"The '{within}' field is there twice, once as no object.", within)
    return read._replace(sent=sent, changes={within: {"model": model}})


def form_in(call: Recognised, body: bytes) -> Form | None:
    """The form that the body of an upload is; None where it is none."""
    return None if call.boundary is None else read_form(body, call.boundary)


def _read_upload(
    call: Recognised, body: bytes, rules: ModelRules, value: object
) -> CallBody | ApiError:
    """Read an upload: a form that names its model in a field, or JSON as of any other call."""
    form = form_in(call, body) if value is None else value
    if isinstance(form, Form):
        return _read_form(call, body, form, rules)
    parsed = _object_of(value_of_json(body) if value is None else value)
    if parsed is None and body and call.boundary is not None:
        return invalid_request(
            "The form's Content-Type is a list, or names no boundary of its body, or several."
        )
    if parsed is None:
        return _unread(body)
    named, is_stream = parsed.get("model"), parsed.get("stream") is True
    model = _model_of(call, parsed, rules)
    if model is None or model == named:
        return CallBody(model, is_stream, body)
    sent = replace_member(body, "model", model)
    return CallBody(model, is_stream, sent, changes={"model": model})


def _read_form(call: Recognised, body: bytes, form: Form, rules: ModelRules) -> CallBody | ApiError:
    """Read a form; one that names two models, or none that can be read, is refused.

    Readers differ in which of them they believe, so that a rule over models would not hold.
    """
    if not form.is_whole:
        return invalid_request(
            "The form has more parts than are read, or a head that is longer or can't be."
        )
    models = texts_of(form, body, "model")
    if models is None:
        return invalid_request("The 'model' field of the form can't be read.", "model")
    if len(set(models)) > 1:
        return invalid_request("The form names more than one 'model'.", "model")
    named = models[0] if models else None
    is_stream = (texts_of(form, body, "stream") or [""])[-1].lower() in _YES
    model = _model_of(call, {"model": named}, rules)
    if model is None or model == named:
        return CallBody(model, is_stream, body)
    if "\r" in model or "\n" in model:
        return invalid_request("The model's name has a line break in it.", "model")
    sent = with_field(form, body, "model", model)
    return CallBody(model, is_stream, sent, changes={"model": model})


def _read_other(call: Recognised, body: bytes) -> CallBody:
    """Read a call whose body names no model; a stored response may be asked for as a stream."""
    is_stored = call.operation.name == "stored_responses"
    is_stream = is_stored and "stream=true" in call.query.split("&")
    return CallBody(call.model, is_stream, body)


def _unread(body: bytes) -> CallBody:
    return CallBody(None, stream=False, sent=body)


def _model_of(call: Recognised, body: Mapping[str, Any], rules: ModelRules) -> str | None:
    """The model that the gateway is asked for."""
    asked = call.deployment or body.get("model") or _default_of(call, body, rules)
    return rules.map.get(asked, asked) if isinstance(asked, str) else None


def _default_of(call: Recognised, body: Mapping[str, Any], rules: ModelRules) -> str | None:
    """The model of a call that names none; None where something else may say which."""
    has_stored_prompt = isinstance(body.get("prompt"), dict)
    return None if call.operation.model_is_optional or has_stored_prompt else rules.default


def read_query(call: Recognised, query: str, rules: ModelRules) -> tuple[str, str | None]:
    """The query of a realtime session's opening, with the model that the gateway is asked for.

    It is the client's own unless a rule names another model; that of an Azure deployment is added.
    And that model; None where it names none.
    """
    given = [(part, *map(unquote_plus, part.partition("=")[::2])) for part in query.split("&")]
    named = [value for _, name, value in given if name == "model"]
    if named:
        sent = "&".join(
            _parameter(rules.map[value]) if name == "model" and value in rules.map else part
            for part, name, value in given
        )
        return sent, rules.map.get(named[0], named[0]) or None
    asked = call.deployment or next((value for _, name, value in given if name == _AZURES), None)
    if not asked:
        return query, None
    model = rules.map.get(asked, asked)
    return "&".join(filter(None, (query, _parameter(model)))), model


def _parameter(model: str) -> str:
    return f"model={quote(model, safe='')}"


def read_message(call: Recognised, content: bytes, rules: ModelRules) -> bytes:
    """A client's message over a WebSocket, with the model that the gateway is asked for.

    Where it asks for a response, and names a model as the body of one does; any other is the
    client's own. One of a realtime session is never that: its opening has named the model.
    """
    if call.operation.name != "responses":
        return content
    parsed = _object_of(value_of_json(content))
    if parsed is None or parsed.get("type") != "response.create":
        return content
    model = _model_of(call, parsed, rules)
    if model is None or parsed.get("model") == model:
        return content
    return replace_member(content, "model", model)


def _missing(parsed: Mapping[str, Any], model: object) -> ApiError:
    """What a chat lacks: its model, or its messages."""
    if not model:
        return invalid_request("The 'model' field is required.", "model")
    if not isinstance(model, str):
        return invalid_request("The 'model' field must be a string.", "model")
    if parsed.get("messages") is None:
        return invalid_request("The 'messages' field is required.", "messages")
    return invalid_request("The 'messages' field must be an array.", "messages")


def _object_of(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None
