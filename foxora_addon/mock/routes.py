"""The gateway's routes: from a request to an answer and what it costs. Pure; time is an argument.

A new route is a function and a row of the table. Whether the account may make the call is not
decided here.
"""

import re
from collections.abc import Callable

from foxora_addon.mock import conversations, legacy, media, remembering, storage
from foxora_addon.mock.accounts import charge_of
from foxora_addon.mock.answers import Answer, error_answer, json_answer, stream_answer
from foxora_addon.mock.call import Call, Reply
from foxora_addon.mock.chat import complete
from foxora_addon.mock.chat_json import completion_events, completion_json, usage_json
from foxora_addon.mock.chat_request import parse_chat
from foxora_addon.mock.embeddings import embeddings_json, parse_embeddings
from foxora_addon.mock.fields import RequestError, whole_parameter
from foxora_addon.mock.profile import days_json, me_json, model_json

_USUAL_USAGE_DAYS = 30
_LONGEST_USAGE_DAYS = 366
_MODELS_CREATED = 1_721_172_741


def reply_to_call(call: Call) -> Reply:
    """The route's reply; a refusal by the contract (400, 404) is a reply too, without a charge."""
    method = "GET" if call.received.method == "HEAD" else call.received.method
    route = _ROUTES.get((method, call.received.path)) or _ROUTES.get(
        (method, _general(call.received.path))
    )
    if route is None:
        return Reply(error_answer(404, f"There is no {method} {call.received.path} here."))
    try:
        return route(call)
    except RequestError as refusal:
        return Reply(
            error_answer(refusal.status, refusal.message, code=refusal.code, param=refusal.param)
        )


def _chat(call: Call) -> Reply:
    request = parse_chat(call.body)
    model = call.model(request.model, "chat")
    with_usage = _with_usage(call, asked=request.stream_usage)
    head = call.head("cmpl", model)
    completion = complete(request, head["id"], call.words)
    charge = charge_of(model, completion.input_tokens, completion.output_tokens)
    if request.stream:
        events = completion_events(completion, head, with_usage=with_usage)
        return Reply(_stream(call, events), charge, model)
    return Reply(json_answer(completion_json(completion, head)), charge, model)


def _legacy(call: Call) -> Reply:
    request = legacy.parse_legacy(call.body)
    model = call.model(request.model, "chat")
    with_usage = _with_usage(call, asked=request.stream_usage)
    head = call.head("cmpl", model)
    choices = legacy.continue_texts(request, call.words)
    charge = charge_of(model, request.input_tokens, legacy.output_tokens(choices))
    usage = usage_json(charge.input_tokens, charge.output_tokens)
    if request.stream:
        events = legacy.legacy_events(choices, head, usage if with_usage else None)
        return Reply(_stream(call, events), charge, model)
    return Reply(json_answer(legacy.legacy_json(choices, head, usage)), charge, model)


def _embeddings(call: Call) -> Reply:
    request = parse_embeddings(call.body)
    model = call.model(request.model, "embeddings")
    charge = charge_of(model, request.input_tokens, 0)
    return Reply(json_answer(embeddings_json(request)), charge, model)


def _models(call: Call) -> Reply:
    rows = [model_json(model) for model in call.settings.models]
    return Reply(json_answer({"object": "list", "data": rows}))


def _one_model(call: Call) -> Reply:
    """Not documented as served: OpenAI's fields beside those of a row of the list."""
    model = call.model(call.name)
    told = {"object": "model", "created": _MODELS_CREATED, "owned_by": model.provider}
    return Reply(json_answer(model_json(model) | told))


def _me(call: Call) -> Reply:
    return Reply(json_answer(me_json(call.account, call.now)))


def _usage(call: Call) -> Reply:
    days = whole_parameter(call.received.query, "days", _USUAL_USAGE_DAYS, _LONGEST_USAGE_DAYS)
    return Reply(json_answer(days_json(call.account, call.now, days)))


def _batch(call: Call) -> Reply:
    return storage.add_batch(call, reply_to_call)


def _socket(call: Call) -> Reply:
    """101 for a WebSocket's opening; the frames are the server's business."""
    if not call.is_socket:
        raise RequestError("This route speaks WebSocket: the 'Upgrade' header is missing.")
    return Reply(Answer(101, ()))


_ROUTES: dict[tuple[str, str], Callable[[Call], Reply]] = {
    ("POST", "/v1/chat/completions"): _chat,
    ("POST", "/v1/completions"): _legacy,
    ("POST", "/v1/responses"): remembering.respond,
    ("POST", "/v1/responses/compact"): remembering.compact,
    ("POST", "/v1/responses/input_tokens"): remembering.count,
    ("GET", "/v1/responses/*"): remembering.tell,
    ("DELETE", "/v1/responses/*"): remembering.remove,
    ("POST", "/v1/responses/*/cancel"): remembering.cancel,
    ("GET", "/v1/responses/*/input_items"): remembering.list_items,
    ("POST", "/v1/conversations"): conversations.begin,
    ("GET", "/v1/conversations/*"): conversations.tell,
    ("POST", "/v1/conversations/*"): conversations.update,
    ("DELETE", "/v1/conversations/*"): conversations.remove,
    ("POST", "/v1/conversations/*/items"): conversations.add_items,
    ("GET", "/v1/conversations/*/items"): conversations.list_items,
    ("GET", "/v1/conversations/*/items/*"): conversations.tell_item,
    ("DELETE", "/v1/conversations/*/items/*"): conversations.remove_item,
    ("POST", "/v1/embeddings"): _embeddings,
    ("GET", "/v1/models"): _models,
    ("GET", "/v1/me"): _me,
    ("GET", "/v1/me/usage"): _usage,
    ("GET", "/v1/realtime"): _socket,
    ("GET", "/v1/responses"): _socket,
    ("GET", "/v1/models/*"): _one_model,
    ("POST", "/v1/images/generations"): media.generate_pictures,
    ("POST", "/v1/images/edits"): media.edit_pictures,
    ("POST", "/v1/images/variations"): media.vary_pictures,
    ("POST", "/v1/audio/speech"): media.speak,
    ("POST", "/v1/audio/transcriptions"): media.transcribe,
    ("POST", "/v1/audio/translations"): media.transcribe,
    ("POST", "/v1/moderations"): media.moderate,
    ("POST", "/v1/files"): storage.add_file,
    ("GET", "/v1/files"): storage.list_files,
    ("GET", "/v1/files/*"): storage.tell_file,
    ("GET", "/v1/files/*/content"): storage.give_file,
    ("DELETE", "/v1/files/*"): storage.remove_file,
    ("POST", "/v1/batches"): _batch,
    ("GET", "/v1/batches"): storage.list_batches,
    ("GET", "/v1/batches/*"): storage.tell_batch,
    ("POST", "/v1/batches/*/cancel"): storage.cancel_batch,
}


def _general(path: str) -> str:
    """The path with `*` in place of what its third segment names, and its fifth."""
    return "/v1" + re.sub(r"(/[^/]+)/[^/]+", r"\1/*", path.removeprefix("/v1"))


def _with_usage(call: Call, *, asked: bool) -> bool:
    """Whether a stream tells its usage; raises RequestError where the very question is refused."""
    habit = call.settings.include_usage
    if asked and habit == "refused":
        raise RequestError("Unknown field 'stream_options'.", "stream_options")
    return asked and habit == "honoured"


def _stream(call: Call, events: list[bytes]) -> Answer:
    return stream_answer(tuple(events), call.settings.chunk_delay_seconds)
