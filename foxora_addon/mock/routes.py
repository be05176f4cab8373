"""The gateway's routes: from a request to an answer and what it costs. Pure; time is an argument.

A new route is a function and a row of the table. Whether the account may make the call is not
decided here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from foxora_addon.mock import legacy, responses
from foxora_addon.mock.accounts import NOTHING, Account, Charge, charge_of
from foxora_addon.mock.answers import Answer, error_answer, json_answer, stream_answer
from foxora_addon.mock.chat import complete
from foxora_addon.mock.chat_json import completion_events, completion_json, usage_json
from foxora_addon.mock.chat_request import parse_chat
from foxora_addon.mock.coding import decoded
from foxora_addon.mock.embeddings import embeddings_json, parse_embeddings
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.profile import days_json, me_json, model_json
from foxora_addon.mock.received import Received
from foxora_addon.mock.responses_request import parse_responses
from foxora_addon.mock.settings import MockSettings, ModelSettings

_LONGEST_USAGE_DAYS = 366
_MODELS = "/v1/models/"
_MODELS_CREATED = 1_721_172_741


@dataclass(frozen=True, slots=True)
class Call:
    """A request with a valid token, and what its route may know. `token` makes its ids."""

    received: Received
    account: Account
    settings: MockSettings
    now: float
    token: str
    words: int | None = None

    @property
    def body(self) -> bytes:
        """The request's body, without its content coding; raises RequestError."""
        return decoded(self.received.body, self.received.header("content-encoding"))

    def head(self, prefix: str, model: ModelSettings) -> Json:
        """The fields that every completion opens with."""
        return {"id": f"{prefix}_{self.token}", "created": int(self.now), "model": model.id}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and the charge for it if it is delivered whole. `model` None: free of charge."""

    answer: Answer
    charge: Charge = NOTHING
    model: ModelSettings | None = None


def reply_to_call(call: Call) -> Reply:
    """The route's reply; a refusal by the contract (400, 404) is a reply too, without a charge."""
    method = "GET" if call.received.method == "HEAD" else call.received.method
    route = _ROUTES.get((method, call.received.path)) or _route_below(method, call.received.path)
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
    model = _model(call, request.model, "chat")
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
    model = _model(call, request.model, "chat")
    with_usage = _with_usage(call, asked=request.stream_usage)
    head = call.head("cmpl", model)
    choices = legacy.continue_texts(request, call.words)
    charge = charge_of(model, request.input_tokens, legacy.output_tokens(choices))
    usage = usage_json(charge.input_tokens, charge.output_tokens)
    if request.stream:
        events = legacy.legacy_events(choices, head, usage if with_usage else None)
        return Reply(_stream(call, events), charge, model)
    return Reply(json_answer(legacy.legacy_json(choices, head, usage)), charge, model)


def _responses(call: Call) -> Reply:
    request = parse_responses(call.body)
    model = _model(call, request.model, "chat")
    response = responses.respond(request, f"resp_{call.token}", int(call.now), call.words)
    charge = charge_of(model, request.input_tokens, response.choice.tokens)
    if request.stream:
        return Reply(_stream(call, responses.response_events(response)), charge, model)
    return Reply(json_answer(responses.response_json(response)), charge, model)


def _embeddings(call: Call) -> Reply:
    request = parse_embeddings(call.body)
    model = _model(call, request.model, "embeddings")
    charge = charge_of(model, request.input_tokens, 0)
    return Reply(json_answer(embeddings_json(request)), charge, model)


def _models(call: Call) -> Reply:
    rows = [model_json(model) for model in call.settings.models]
    return Reply(json_answer({"object": "list", "data": rows}))


def _one_model(call: Call) -> Reply:
    """Not documented as served: OpenAI's fields beside those of a row of the list."""
    model = _model_named(call, unquote(call.received.path.removeprefix(_MODELS)))
    told = {"object": "model", "created": _MODELS_CREATED, "owned_by": model.provider}
    return Reply(json_answer(model_json(model) | told))


def _me(call: Call) -> Reply:
    return Reply(json_answer(me_json(call.account, call.now)))


def _usage(call: Call) -> Reply:
    given = parse_qs(call.received.query).get("days", ["30"])[-1]
    if not (given.isascii() and given.isdigit() and len(given) <= 3):
        given = "0"
    if not 1 <= int(given) <= _LONGEST_USAGE_DAYS:
        most = _LONGEST_USAGE_DAYS
        raise RequestError(f"The 'days' parameter must be a whole number from 1 to {most}.", "days")
    return Reply(json_answer(days_json(call.account, call.now, int(given))))


def _realtime(call: Call) -> Reply:
    """101 for a WebSocket's opening; the frames are the server's business."""
    if (call.received.header("upgrade") or "").lower() != "websocket":
        raise RequestError("This route speaks WebSocket: the 'Upgrade' header is missing.")
    return Reply(Answer(101, ()))


_ROUTES: dict[tuple[str, str], Callable[[Call], Reply]] = {
    ("POST", "/v1/chat/completions"): _chat,
    ("POST", "/v1/completions"): _legacy,
    ("POST", "/v1/responses"): _responses,
    ("POST", "/v1/embeddings"): _embeddings,
    ("GET", "/v1/models"): _models,
    ("GET", "/v1/me"): _me,
    ("GET", "/v1/me/usage"): _usage,
    ("GET", "/v1/realtime"): _realtime,
}


def _route_below(method: str, path: str) -> Callable[[Call], Reply] | None:
    return _one_model if method == "GET" and path.startswith(_MODELS) else None


def _model_named(call: Call, name: str) -> ModelSettings:
    model = next((each for each in call.settings.models if each.id == name), None)
    if model is None:
        message = f"The model '{name}' does not exist."
        raise RequestError(message, "model", status=404, code="model_not_found")
    return model


def _model(call: Call, name: str, ability: str) -> ModelSettings:
    model = _model_named(call, name)
    if ability not in model.supports:
        raise RequestError(f"The model '{name}' does not support {ability}.", "model")
    return model


def _with_usage(call: Call, *, asked: bool) -> bool:
    """Whether a stream tells its usage; raises RequestError where the very question is refused."""
    habit = call.settings.include_usage
    if asked and habit == "refused":
        raise RequestError("Unknown field 'stream_options'.", "stream_options")
    return asked and habit == "honoured"


def _stream(call: Call, events: list[bytes]) -> Answer:
    return stream_answer(tuple(events), call.settings.chunk_delay_seconds)
