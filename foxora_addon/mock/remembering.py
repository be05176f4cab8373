"""The routes of responses: making them, going on from earlier ones, telling those that are kept.

Not documented as served by the gateway (foxora-api.md, Routes). A response in the background is
done as it is made; it is told as `queued` first, and from then on as it ended.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from foxora_addon.mock import fields, responses
from foxora_addon.mock.accounts import charge_of
from foxora_addon.mock.answers import json_answer, stream_answer
from foxora_addon.mock.call import Call, Reply
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.items import items_of, octets_of
from foxora_addon.mock.listing import page_json
from foxora_addon.mock.responses_request import (
    ResponsesRequest,
    conversation_named,
    parse_responses,
)
from foxora_addon.mock.shelf import Conversation, StoredResponse
from foxora_addon.mock.wording import tokens_of


@dataclass(frozen=True, slots=True)
class _Past:
    """What a request goes on from; without anything, it begins anew."""

    items: Sequence[Json] = ()
    conversation: Conversation | None = None


def respond(call: Call) -> Reply:
    """`POST /v1/responses`."""
    given = fields.object_of(call.body)
    past = _past(call, given)
    request = parse_responses(given, past.items)
    if request.background and not request.store:
        raise RequestError("A response in the background must be stored.", "background")
    model = call.model(request.model, "chat")
    response = responses.respond(request, f"resp_{call.token}", int(call.now), call.words)
    told = responses.response_json(response)
    charge = charge_of(model, request.input_tokens, response.choice.tokens)
    if request.stream:
        events = tuple(responses.response_events(response, told))
        answer = stream_answer(events, call.settings.chunk_delay_seconds)
    elif request.background:
        answer = json_answer(responses.unfinished_json(response, "queued"))
    else:
        answer = json_answer(told)
    return Reply(answer, charge, model, change=lambda: _keep(call, past, request, told))


def compact(call: Call) -> Reply:
    """`POST /v1/responses/compact`: the user's messages, and one item in place of the rest."""
    given = fields.object_of(call.body)
    past = _past(call, given)
    request = parse_responses(given, past.items)
    model = call.model(request.model, "chat")
    items = [*past.items, *items_of(request.items, call.token)]
    content = base64.b64encode(f"{len(items)} items, says the mock gateway".encode()).decode()
    rest = {"id": f"cmp_{call.token}", "type": "compaction", "encrypted_content": content}
    charge = charge_of(model, request.input_tokens, tokens_of(content))
    told = {
        "id": f"resp_{call.token}",
        "object": "response.compaction",
        "created_at": int(call.now),
        "output": [*(item for item in items if item.get("role") == "user"), rest],
        "usage": responses.usage_json(charge.input_tokens, charge.output_tokens),
    }
    return Reply(json_answer(told), charge, model)


def count(call: Call) -> Reply:
    """`POST /v1/responses/input_tokens`: no field is required, and nothing is charged."""
    given = {
        name: value for name, value in fields.object_of(call.body).items() if value is not None
    }
    request = parse_responses({"model": "any", "input": [], **given}, _past(call, given).items)
    if "model" in given:
        call.model(request.model, "chat")
    told = {"object": "response.input_tokens", "input_tokens": request.input_tokens}
    return Reply(json_answer(told))


def tell(call: Call) -> Reply:
    """`GET /v1/responses/{id}`."""
    stored = call.shelf.response(call.name)
    if parse_qs(call.received.query).get("stream", [""])[-1].lower() == "true":
        raise RequestError("This mock tells a stored response whole, in no stream.", "stream")
    return Reply(json_answer(stored.told), change=stored.end)


def remove(call: Call) -> Reply:
    """`DELETE /v1/responses/{id}`."""
    name = call.shelf.response(call.name).id
    told = {"id": name, "object": "response", "deleted": True}
    return Reply(json_answer(told), change=lambda: call.shelf.forget_response(name))


def cancel(call: Call) -> Reply:
    """`POST /v1/responses/{id}/cancel`, in time until the response was asked for."""
    stored = call.shelf.response(call.name)
    if not stored.told["background"]:
        raise RequestError("Cannot cancel a synchronous response.")
    if not stored.is_running:
        return Reply(json_answer(stored.told))
    nothing: Json = {"status": "cancelled", "incomplete_details": None, "output": [], "usage": None}
    told = {**stored.told, **nothing}
    return Reply(json_answer(told), change=lambda: call.shelf.cancel(stored, told))


def list_items(call: Call) -> Reply:
    """`GET /v1/responses/{id}/input_items`: all that it was made of."""
    items = call.shelf.response(call.name).items
    return Reply(json_answer(page_json(items, call.received.query)))


def _past(call: Call, given: Json) -> _Past:
    conversation, earlier = conversation_named(given), given.get("previous_response_id")
    if conversation is not None:
        if earlier is not None:
            message = "The 'previous_response_id' field can't be given with 'conversation'."
            raise RequestError(message, "previous_response_id")
        found = call.shelf.conversation(conversation)
        return _Past(found.items, found)
    if earlier is None:
        return _Past()
    name = fields.required_text(given, "previous_response_id")
    stored = call.shelf.responses.get(name)
    if stored is None or not (stored.is_told or call.is_socket):
        raise RequestError(
            f"Previous response with id '{name}' not found.",
            "previous_response_id",
            code="previous_response_not_found",
        )
    return _Past([*stored.items, *stored.told["output"]])


def _keep(call: Call, past: _Past, request: ResponsesRequest, told: Json) -> None:
    """Store a response, if it is to be, and add to its conversation, if it has one."""
    items = items_of(request.items, call.token)
    if request.store or call.is_socket:
        call.shelf.keep(
            StoredResponse(
                told,
                (*past.items, *items),
                octets_of([*items, told]),
                is_told=request.store,
                is_running=request.background and not request.stream,
            )
        )
    if past.conversation is not None:
        call.shelf.enter(past.conversation, [*items, *told["output"]])
