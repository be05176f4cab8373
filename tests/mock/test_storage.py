"""Files, and batches of calls made from them."""

import json
from typing import Any

import pytest

from foxora_addon.mock import shelf
from foxora_addon.mock.gateway import Gateway
from tests.mock.builders import (
    CHAT,
    KEY,
    Clock,
    a_chat,
    a_form,
    a_gateway,
    a_get,
    a_request,
    an_account,
    answered,
    body_of,
    encoded,
    settings_of,
)

Json = dict[str, Any]


def a_line(name: str, **more: Any) -> bytes:
    return encoded({"custom_id": name, "method": "POST", "url": CHAT, "body": a_chat(name, **more)})


def stored(gateway: Gateway, content: bytes, purpose: str = "batch", key: str = KEY) -> Any:
    body, kind = a_form({"purpose": purpose}, {"file": ("calls.jsonl", content)})
    return body_of(
        answered(gateway, a_request("POST", "/v1/files", body, key=key, content_type=kind))
    )


def told(gateway: Gateway, target: str, method: str = "GET", body: Any = b"") -> Any:
    return body_of(answered(gateway, a_request(method, target, body)))


def test_a_file_is_told_listed_given_and_removed() -> None:
    gateway = a_gateway()
    file = stored(gateway, b"abc\xff")
    assert (file["object"], file["bytes"], file["status"]) == ("file", 4, "processed")
    assert (file["filename"], file["purpose"]) == ("calls.jsonl", "batch")
    other = stored(gateway, b"", "user_data")
    assert told(gateway, f"/v1/files/{file['id']}") == file
    assert told(gateway, "/v1/files")["data"] == [other, file]
    assert told(gateway, "/v1/files?purpose=batch&limit=20")["data"] == [file]
    content = answered(gateway, a_get(f"/v1/files/{file['id']}/content")).answer
    assert content.pieces == (b"abc\xff",)
    assert told(gateway, f"/v1/files/{file['id']}", "DELETE")["deleted"] is True
    assert told(gateway, f"/v1/files/{file['id']}")["error"]["code"] == "not_found"


def test_files_are_their_accounts_alone_and_forgotten_with_all_else() -> None:
    gateway = a_gateway(settings_of(an_account(), an_account("lab", "foxora_sk_lab-obviously")))
    file = stored(gateway, b"abc", key="foxora_sk_lab-obviously")
    assert told(gateway, f"/v1/files/{file['id']}")["error"]["code"] == "not_found"
    file = stored(gateway, b"abc")
    gateway.reset()
    assert told(gateway, "/v1/files")["data"] == []
    assert told(gateway, f"/v1/files/{file['id']}/content")["error"]["code"] == "not_found"


def test_a_full_shelf_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "_MOST_OCTETS", 5)
    gateway = a_gateway()
    stored(gateway, b"abc")
    assert stored(gateway, b"abc")["error"]["code"] == "body_too_large"


def batch_of(gateway: Gateway, content: bytes, **more: Any) -> Any:
    given = {"endpoint": CHAT, "completion_window": "24h", **more}
    asked = {"input_file_id": stored(gateway, content)["id"], **given}
    return told(gateway, "/v1/batches", "POST", asked)


def test_a_batch_answers_each_of_its_lines() -> None:
    gateway = a_gateway()
    lines = b"\n".join([a_line("one"), b"", a_line("two", model="gpt-0")])
    begun = batch_of(gateway, lines, metadata={"a": "b"})
    assert (begun["status"], begun["output_file_id"]) == ("validating", None)
    batch = told(gateway, f"/v1/batches/{begun['id']}")
    assert (batch["status"], batch["metadata"]) == ("completed", {"a": "b"})
    assert batch["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    output = answered(gateway, a_get(f"/v1/files/{batch['output_file_id']}/content")).answer
    first, second = map(json.loads, b"".join(output.pieces).splitlines())
    assert (first["custom_id"], first["response"]["status_code"]) == ("one", 200)
    assert "one" in first["response"]["body"]["choices"][0]["message"]["content"]
    assert second["response"]["body"]["error"]["code"] == "model_not_found"
    assert told(gateway, "/v1/batches")["data"] == [batch]


def test_a_batch_stores_its_responses_as_single_calls_do() -> None:
    gateway = a_gateway()
    conversation = told(gateway, "/v1/conversations", "POST", {})["id"]
    asked: list[Json] = [{}, {"background": True}, {"conversation": conversation}, {"store": False}]
    bodies = [{"model": "gpt-4o-mini", "input": "Hi", **more} for more in asked]
    lines = b"\n".join(encoded({"custom_id": "a", "body": body}) for body in bodies)
    begun = batch_of(gateway, lines, endpoint="/v1/responses")
    batch = told(gateway, f"/v1/batches/{begun['id']}")
    output = answered(gateway, a_get(f"/v1/files/{batch['output_file_id']}/content")).answer
    rows = map(json.loads, b"".join(output.pieces).splitlines())
    responses = [row["response"]["body"] for row in rows]
    assert [response["status"] for response in responses] == ["completed"] * 4
    *stored, other = [told(gateway, f"/v1/responses/{each['id']}") for each in responses]
    assert stored == responses[:3]
    assert other["error"]["code"] == "not_found"
    items = told(gateway, f"/v1/conversations/{conversation}/items")["data"]
    assert [item["role"] for item in items] == ["assistant", "user"]


def test_a_batch_that_a_ceiling_refuses_stores_no_response() -> None:
    gateway = a_gateway(settings_of(an_account(requests_per_minute=2)), clock := Clock())
    conversation = told(gateway, "/v1/conversations", "POST", {})["id"]
    body = {"model": "gpt-4o-mini", "input": "Hi", "conversation": conversation}
    refusal = batch_of(gateway, encoded({"body": body}), endpoint="/v1/responses")
    assert refusal["error"]["code"] == "rate_limited"
    clock.now += 60
    assert told(gateway, f"/v1/conversations/{conversation}/items")["data"] == []


def test_a_batch_costs_nothing_and_cannot_be_stopped() -> None:
    gateway = a_gateway()
    batch = batch_of(gateway, a_line("one"))
    assert told(gateway, "/v1/me")["usage"]["tokens_this_month"] == 0
    refusal = told(gateway, f"/v1/batches/{batch['id']}/cancel", "POST", {})
    assert "completed" in refusal["error"]["message"]
    assert told(gateway, "/v1/batches/batch_0")["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("content", "more", "param"),
    [
        (b"{", {}, None),
        (b'{"body": 7}', {}, "body"),
        (b"", {"endpoint": "/v1/files"}, "endpoint"),
        (b"", {"completion_window": None}, "completion_window"),
        (b"", {"input_file_id": "file-0"}, "id"),
    ],
)
def test_a_wrong_batch_is_refused(content: bytes, more: Json, param: str | None) -> None:
    assert batch_of(a_gateway(), content, **more)["error"]["param"] == param
