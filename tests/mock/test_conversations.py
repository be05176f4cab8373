"""Conversations: their items, and responses that go on from them."""

from typing import Any

import pytest

from foxora_addon.mock import shelf
from foxora_addon.mock.gateway import Gateway
from tests.mock.builders import (
    Clock,
    a_gateway,
    a_request,
    an_account,
    answered,
    body_of,
    settings_of,
)

Json = dict[str, Any]
ALL = "/v1/conversations"


def told(gateway: Gateway, target: str, body: Any = None, method: str = "") -> Any:
    """What is told at a target: by a POST of a body, else by a GET, or by another method."""
    kind = method or ("GET" if body is None else "POST")
    return body_of(answered(gateway, a_request(kind, target, b"" if body is None else body)))


def begun(gateway: Gateway, *texts: str, **more: Any) -> str:
    """Where a conversation of those words is."""
    items = [{"role": "user", "content": text} for text in texts]
    return f"{ALL}/{told(gateway, ALL, {'items': items, **more})['id']}"


def texts_of(items: list[Json]) -> list[str]:
    return [part["text"] for item in items for part in item["content"]]


def test_a_conversation_is_told_changed_and_removed() -> None:
    gateway = a_gateway()
    at = begun(gateway, metadata={"a": "b"})
    conversation = told(gateway, at)
    assert (conversation["object"], conversation["metadata"]) == ("conversation", {"a": "b"})
    assert told(gateway, at, {"metadata": {"c": "d"}}) == {**conversation, "metadata": {"c": "d"}}
    assert told(gateway, at)["metadata"] == {"c": "d"}
    gone = {"id": conversation["id"], "object": "conversation.deleted", "deleted": True}
    assert told(gateway, at, method="DELETE") == gone
    assert told(gateway, at)["error"]["code"] == "not_found"
    assert told(gateway, f"{at}/items")["error"]["code"] == "not_found"


def test_items_are_told_with_ids_and_their_contents_in_parts() -> None:
    gateway = a_gateway()
    at = begun(gateway)
    call = {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "call_1"}
    given = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}, call]
    items = told(gateway, f"{at}/items", {"items": given})["data"]
    assert [(item["type"], item["status"]) for item in items] == [
        ("message", "completed"),
        ("message", "completed"),
        ("function_call", "completed"),
    ]
    assert [part["type"] for item in items[:2] for part in item["content"]] == [
        "input_text",
        "output_text",
    ]
    assert texts_of(items[:2]) == ["Hi", "Ho"]
    assert items[2].items() > call.items()
    assert len({item["id"] for item in items}) == 3
    assert told(gateway, f"{at}/items/{items[2]['id']}") == items[2]
    assert told(gateway, f"{at}/items/{items[0]['id']}", method="DELETE")["id"] in at
    assert told(gateway, f"{at}/items?order=asc")["data"] == items[1:]
    assert told(gateway, f"{at}/items/{items[0]['id']}")["error"]["code"] == "not_found"


def test_items_come_newest_first_page_by_page() -> None:
    gateway = a_gateway()
    at = begun(gateway, "a", "b", "c")
    page = told(gateway, f"{at}/items?limit=2")
    assert (texts_of(page["data"]), page["has_more"]) == (["c", "b"], True)
    assert page["last_id"] == page["data"][-1]["id"]
    rest = told(gateway, f"{at}/items?limit=2&after={page['last_id']}")
    assert (texts_of(rest["data"]), rest["has_more"]) == (["a"], False)
    assert texts_of(told(gateway, f"{at}/items?order=asc&limit=100")["data"]) == ["a", "b", "c"]
    assert told(gateway, f"{begun(gateway)}/items")["data"] == []


def test_pages_end_where_items_share_an_id() -> None:
    gateway = a_gateway()
    at = begun(gateway)
    items = [{"id": "msg_1", "role": "user", "content": text} for text in ("a", "b")]
    told(gateway, f"{at}/items", {"items": items})
    assert told(gateway, f"{at}/items?limit=1&after=msg_1")["data"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up", "after=msg_0"])
def test_a_page_that_makes_no_sense_is_refused(query: str) -> None:
    gateway = a_gateway()
    error = told(gateway, f"{begun(gateway, 'a')}/items?{query}")["error"]
    assert error["param"] == query.partition("=")[0]


@pytest.mark.parametrize("items", [None, 7, ["a"], [{"role": "user"}] * 21])
def test_items_that_make_no_sense_are_refused(items: Any) -> None:
    gateway = a_gateway()
    assert told(gateway, f"{begun(gateway)}/items", {"items": items})["error"]["param"] == "items"


@pytest.mark.parametrize("is_object", [True, False])
@pytest.mark.parametrize("stream", [True, False])
def test_a_response_goes_on_from_its_conversation_and_is_added_to_it(
    *, is_object: bool, stream: bool
) -> None:
    gateway = a_gateway()
    at = begun(gateway, "What is the sea?")
    name = at.rpartition("/")[2]
    conversation = {"id": name} if is_object else name
    asked = {"model": "gpt-4o-mini", "input": "And the sky?", "conversation": conversation}
    exchange = answered(gateway, a_request("POST", "/v1/responses", {**asked, "stream": stream}))
    assert exchange.answer.status == 200
    asked_first, asked_next, answer = told(gateway, f"{at}/items?order=asc")["data"]
    assert texts_of([asked_first, asked_next]) == ["What is the sea?", "And the sky?"]
    assert (answer["role"], answer["status"]) == ("assistant", "completed")
    if not stream:
        response = body_of(exchange)
        assert (response["conversation"], response["output"]) == ({"id": name}, [answer])


def test_a_response_without_input_answers_the_conversation() -> None:
    gateway = a_gateway()
    at = begun(gateway, "What is the sea?")
    asked = {"model": "gpt-4o-mini", "conversation": at.rpartition("/")[2]}
    assert "What is the sea?" in texts_of(told(gateway, "/v1/responses", asked)["output"])[0]


@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        ({"conversation": "conv_0"}, ("not_found", None)),
        ({"conversation": 7}, ("invalid_request", "conversation")),
        ({"conversation": {"id": ""}}, ("invalid_request", "conversation")),
        (
            {"conversation": "conv_0", "previous_response_id": "resp_0"},
            ("invalid_request", "previous_response_id"),
        ),
    ],
)
def test_a_conversation_that_cannot_be_is_refused(more: Json, refusal: tuple[str, Any]) -> None:
    asked = {"model": "gpt-4o-mini", "input": "Hi", **more}
    error = told(a_gateway(), "/v1/responses", asked)["error"]
    assert (error["code"], error["param"]) == refusal


def test_what_a_ceiling_refuses_is_not_added() -> None:
    clock = Clock()
    gateway = a_gateway(settings_of(an_account(requests_per_minute=1)), clock)
    at = begun(gateway)
    items = [{"role": "user", "content": "Hi"}]
    asked = {"model": "gpt-4o-mini", "input": items, "conversation": at.rpartition("/")[2]}
    for target, body in ((f"{at}/items", {"items": items}), ("/v1/responses", asked)):
        assert told(gateway, target, body)["error"]["code"] == "rate_limited"
    clock.now += 60
    assert told(gateway, f"{at}/items")["data"] == []


def test_the_oldest_conversations_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "_MOST_KEPT", 2)
    gateway = a_gateway()
    first, second, third = (begun(gateway, "a") for _ in range(3))
    assert told(gateway, first)["error"]["code"] == "not_found"
    monkeypatch.setattr(shelf, "_MOST_KEPT_OCTETS", 700)
    told(gateway, f"{third}/items", {"items": [{"role": "user", "content": "b" * 400}]})
    assert told(gateway, second)["error"]["code"] == "not_found"
    assert len(told(gateway, f"{third}/items")["data"]) == 2
    told(gateway, third, {"metadata": {"c": "d" * 700}})
    assert told(gateway, third)["error"]["code"] == "not_found"


def test_a_conversation_is_counted_by_what_it_has() -> None:
    stored = shelf.Shelf()
    conversation = shelf.Conversation("conv_1", 0, {})
    items = [{"id": f"msg_{number}"} for number in range(3)]
    stored.enter(conversation, items)
    for _ in range(5):
        stored.enter(conversation.with_metadata({}), [])
    conversation = stored.conversation("conv_1")
    assert conversation.octets == len('{}{"id":"msg_0"}{"id":"msg_1"}{"id":"msg_2"}')
    for item in items:
        stored.remove_items(conversation, [item])
    assert conversation.octets == len("{}")
