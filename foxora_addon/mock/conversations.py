"""The routes of conversations, in OpenAI's shapes: items that responses go on from.

Not documented as served by the gateway (foxora-api.md, Routes).
"""

from collections.abc import Callable

from foxora_addon.mock import fields
from foxora_addon.mock.answers import json_answer
from foxora_addon.mock.call import Call, Reply
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.items import items_of
from foxora_addon.mock.listing import list_json, page_json
from foxora_addon.mock.shelf import Conversation

_MOST_ITEMS = 20  # in one request, as OpenAI has it


def begin(call: Call) -> Reply:
    """`POST /v1/conversations`."""
    given = fields.object_of(call.body)
    metadata = fields.mapping(given, "metadata")
    conversation = Conversation(f"conv_{call.token}", int(call.now), metadata)
    items = _items(call, given)
    return _told(conversation, lambda: call.shelf.enter(conversation, items))


def tell(call: Call) -> Reply:
    """`GET /v1/conversations/{id}`."""
    return _told(call.shelf.conversation(call.name))


def update(call: Call) -> Reply:
    """`POST /v1/conversations/{id}`: other metadata."""
    conversation = call.shelf.conversation(call.name)
    given = fields.object_of(call.body)
    fields.required(given, "metadata")
    changed = conversation.with_metadata(fields.mapping(given, "metadata"))
    return _told(changed, lambda: call.shelf.enter(changed, []))


def remove(call: Call) -> Reply:
    """`DELETE /v1/conversations/{id}`."""
    name = call.shelf.conversation(call.name).id
    told = {"id": name, "object": "conversation.deleted", "deleted": True}
    return Reply(json_answer(told), change=lambda: call.shelf.forget_conversation(name))


def add_items(call: Call) -> Reply:
    """`POST /v1/conversations/{id}/items`."""
    conversation = call.shelf.conversation(call.name)
    given = fields.object_of(call.body)
    fields.required(given, "items")
    items = _items(call, given)
    told = json_answer(list_json(items))
    return Reply(told, change=lambda: call.shelf.enter(conversation, items))


def list_items(call: Call) -> Reply:
    """`GET /v1/conversations/{id}/items`."""
    conversation = call.shelf.conversation(call.name)
    return Reply(json_answer(page_json(conversation.items, call.received.query)))


def tell_item(call: Call) -> Reply:
    """`GET /v1/conversations/{id}/items/{id}`."""
    return Reply(json_answer(call.shelf.conversation(call.name).item(call.item_name)))


def remove_item(call: Call) -> Reply:
    """`DELETE /v1/conversations/{id}/items/{id}`, which tells the conversation."""
    conversation = call.shelf.conversation(call.name)
    item = conversation.item(call.item_name)
    return _told(conversation, lambda: call.shelf.remove_items(conversation, [item]))


def _items(call: Call, given: Json) -> list[Json]:
    items = fields.objects(given, "items")
    if len(items) > _MOST_ITEMS:
        raise RequestError(f"The 'items' field must have at most {_MOST_ITEMS} items.", "items")
    return items_of(items, call.token)


def _told(conversation: Conversation, change: Callable[[], None] | None = None) -> Reply:
    told = {
        "id": conversation.id,
        "object": "conversation",
        "created_at": conversation.created,
        "metadata": conversation.metadata,
    }
    return Reply(json_answer(told), change=change)
