"""Legacy completions and embeddings."""

import base64
import math
import struct
from typing import Any

import pytest

from tests.mock.builders import a_gateway, a_request, answered, body_of, events_of

Json = dict[str, Any]


def answer_to(route: str, request: Json) -> Any:
    exchange = answered(a_gateway(), a_request("POST", f"/v1/{route}", request))
    assert exchange.answer.status == 200, body_of(exchange)
    return body_of(exchange)


def refusal_of(route: str, request: Json) -> Json:
    exchange = answered(a_gateway(), a_request("POST", f"/v1/{route}", request))
    assert exchange.answer.status == 400
    error: Json = body_of(exchange)["error"]
    return error


def a_prompt(prompt: Any = "Once upon a time", **more: Any) -> Json:
    return {"model": "gpt-4o-mini", "prompt": prompt, **more}


def an_input(value: Any = "fox", **more: Any) -> Json:
    return {"model": "text-embedding-3-small", "input": value, **more}


def test_a_prompt_is_answered_up_to_its_limit() -> None:
    completion = answer_to("completions", a_prompt(max_tokens=5))
    assert completion["object"] == "text_completion"
    assert completion["choices"][0]["finish_reason"] == "length"
    assert completion["usage"] == {
        "prompt_tokens": 4,
        "completion_tokens": 5,
        "total_tokens": 9,
    }


def test_each_prompt_gets_its_answers() -> None:
    completion = answer_to("completions", a_prompt(["one", "two"], n=2, max_tokens=99))
    texts = [choice["text"] for choice in completion["choices"]]
    assert len(set(texts)) == 4
    assert ["one" in text for text in texts] == [True, True, False, False]


def test_a_prompt_can_be_token_numbers() -> None:
    assert answer_to("completions", a_prompt([1, 2, 3]))["usage"]["prompt_tokens"] == 3


def test_a_streamed_prompt_says_the_same() -> None:
    request = a_prompt(stream=True, stream_options={"include_usage": True})
    exchange = answered(a_gateway(), a_request("POST", "/v1/completions", request))
    *chunks, usage = events_of(exchange.answer.pieces)
    plain = answer_to("completions", a_prompt())
    assert "".join(c["choices"][0]["text"] for c in chunks) == plain["choices"][0]["text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert usage["usage"] == plain["usage"]


@pytest.mark.parametrize("prompt", [[], [""] * 3_000, [[]], {}, 7, [True]])
def test_a_prompt_that_is_no_text_is_refused(prompt: Any) -> None:
    assert refusal_of("completions", a_prompt(prompt))["param"] == "prompt"


def test_too_many_answers_at_once_are_refused() -> None:
    assert refusal_of("completions", a_prompt(["a"] * 100, n=100))["param"] == "n"


def test_an_embedding_is_a_unit_vector_that_equal_texts_share() -> None:
    vectors = [
        each["embedding"] for each in answer_to("embeddings", an_input(["a", "a", "b"]))["data"]
    ]
    assert [len(vector) for vector in vectors] == [1_536] * 3
    assert math.hypot(*vectors[0]) == pytest.approx(1, abs=1e-3)
    assert vectors[0] == vectors[1] != vectors[2]


def test_an_embedding_in_base64_is_the_same_vector() -> None:
    plain = answer_to("embeddings", an_input(dimensions=8))["data"][0]["embedding"]
    coded = answer_to("embeddings", an_input(dimensions=8, encoding_format="base64"))
    octets = base64.b64decode(coded["data"][0]["embedding"])
    assert struct.unpack("<8f", octets) == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize(
    ("request_of_vector", "param"),
    [
        (an_input(None), "input"),
        (an_input(encoding_format="hex"), "encoding_format"),
        (an_input(dimensions=0), "dimensions"),
        (an_input(model="gpt-4o-mini"), "model"),
    ],
)
def test_a_wrong_request_for_embeddings_is_refused(request_of_vector: Json, param: str) -> None:
    assert refusal_of("embeddings", request_of_vector)["param"] == param
