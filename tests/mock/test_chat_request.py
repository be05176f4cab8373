"""Chat requests that the contract refuses, and those that real programs send."""

import json
from pathlib import Path
from typing import Any

import pytest

from foxora_addon.mock.chat_request import parse_chat
from tests.mock.builders import CHAT, a_chat, a_gateway, a_request, answered, body_of

BODIES = Path(__file__).parents[2].parent / "shared" / "corpora" / "request_bodies"

REQUIRED = "The '{}' field is required."
REFUSED: list[tuple[Any, str | None, str]] = [
    (b"", None, "The request body is not valid JSON."),
    (b"{", None, "The request body is not valid JSON."),
    (b"\xff", None, "The request body is not valid JSON."),
    (b"[" * 200_000, None, "The request body is not valid JSON."),
    (b'{"temperature": NaN}', None, "The request body is not valid JSON."),
    (b'{"temperature": 1e999}', None, "The request body is not valid JSON."),
    (b"[]", None, "The request body must be a JSON object."),
    ({"messages": [{"role": "user"}]}, "model", REQUIRED.format("model")),
    (a_chat(model=None), "model", REQUIRED.format("model")),
    (a_chat(model=7), "model", "The 'model' field must be a non-empty string."),
    ({"model": "gpt-4o-mini"}, "messages", REQUIRED.format("messages")),
    (a_chat(messages=[]), "messages", "The 'messages' field must be a non-empty list."),
    (
        a_chat(messages=["hi"]),
        "messages[0]",
        "The 'messages[0]' entry must be an object with a 'role'.",
    ),
    (
        a_chat(temperature=2.1),
        "temperature",
        "The 'temperature' field must be a number from 0 to 2.",
    ),
    (
        a_chat(temperature=True),
        "temperature",
        "The 'temperature' field must be a number from 0 to 2.",
    ),
    (a_chat(stream="yes"), "stream", "The 'stream' field must be true or false."),
    (a_chat(n=0), "n", "The 'n' field must be a whole number from 1 to 128."),
    (
        a_chat(max_tokens=1.5),
        "max_tokens",
        "The 'max_tokens' field must be a whole number from 1 to 2147483647.",
    ),
    (a_chat(tools={}), "tools", "The 'tools' field must be a list of objects."),
    (a_chat(tools=[{}]), "tools", "Each function of 'tools' must have a name."),
    (
        a_chat(tool_choice="mine"),
        "tool_choice",
        "The 'tool_choice' field names no tool of 'tools'.",
    ),
    (a_chat(functions=[{}]), "functions", "Each function of 'functions' must have a name."),
    (
        a_chat(functions=[{"name": "a"}], function_call={"name": "b"}),
        "function_call",
        "The 'function_call' field names no tool of 'functions'.",
    ),
    (
        a_chat(response_format={"type": "xml"}),
        "response_format",
        "The 'response_format.type' field must be one of text, json_object, json_schema.",
    ),
    (a_chat(stream_options=[]), "stream_options", "The 'stream_options' field must be an object."),
    (
        a_chat(model="text-embedding-3-small"),
        "model",
        "The model 'text-embedding-3-small' does not support chat.",
    ),
]


@pytest.mark.parametrize(("body", "param", "message"), REFUSED)
def test_a_wrong_request_is_refused_in_the_documented_shape(
    body: Any, param: str | None, message: str
) -> None:
    exchange = answered(a_gateway(), a_request("POST", CHAT, body))
    assert exchange.answer.status == 400
    expected = {"code": "invalid_request", "message": message, "param": param}
    assert body_of(exchange) == {"error": expected}


def test_an_unknown_model_is_not_found() -> None:
    exchange = answered(a_gateway(), a_request(body=a_chat(model="gpt-0")))
    error = body_of(exchange)["error"]
    assert exchange.answer.status == 404
    assert (error["code"], error["param"]) == ("model_not_found", "model")


@pytest.mark.skipif(not BODIES.is_dir(), reason="the recorded traffic is not here")
def test_what_real_programs_send_is_taken() -> None:
    bodies = [path.read_bytes() for path in BODIES.glob("*.json")]
    requests = [parse_chat(body) for body in bodies if is_ours(json.loads(body))]
    assert len(requests) > 100
    assert any(request.task.toolbox.tools for request in requests)


def is_ours(body: Any) -> bool:
    """Whether it is a chat with a model, in no other provider's dialect."""
    return bool(body.get("model") and "messages" in body and body.get("tool_choice") != "any")
