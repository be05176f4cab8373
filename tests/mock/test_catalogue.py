"""Which model a name means, where the list has no row of that name."""

from typing import Any

import pytest

from foxora_addon.mock.settings import MODELS, MockSettings
from tests.mock.builders import CHAT, a_chat, a_gateway, a_get, a_request, answered, body_of

HEARD = "gpt-4o-transcribe"


def row_of(name: str, settings: MockSettings | None = None) -> Any:
    """What `GET /v1/models/NAME` tells, without the name; an error's code where there is none."""
    told = body_of(answered(a_gateway(settings), a_get(f"/v1/models/{name}")))
    return told["error"]["code"] if "error" in told else {**told, "id": None}


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4.1-2025-04-14", "gpt-4.1"),
        ("gpt-3.5-turbo-0125", "gpt-3.5-turbo"),
        ("gpt-4o-mini-tts-2025-03-20", "gpt-4o-mini-tts"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
    ],
)
def test_a_dated_snapshot_stands_for_its_model(name: str, row: str) -> None:
    assert row_of(name) == row_of(row)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        *((f"gpt-{name}", "gpt-4o-mini") for name in ("4", "4-turbo", "5.6-luna", "audio-mini")),
        ("gpt-3.5-turbo-instruct", "gpt-4o-mini"),
        *((name, "gpt-4o-mini") for name in ("o1", "o3-mini", "o4-mini", "chatgpt-4o-latest")),
        *((name, "gpt-image-1") for name in ("gpt-image-2", "chatgpt-image-latest")),
        ("text-embedding-4", "text-embedding-3-small"),
        ("dall-e-4", "dall-e-3"),
        ("tts-1-hd", "tts-1"),
        ("gpt-5-tts", "gpt-4o-mini-tts"),
        *((name, HEARD) for name in ("gpt-4o-transcribe-diarize", "gpt-5-transcribe")),
        ("whisper-2", "whisper-1"),
        ("omni-moderation-2024-09-26", "omni-moderation-latest"),
        ("text-moderation-latest", "omni-moderation-latest"),
        *((name, "gpt-4o-mini") for name in ("babbage-002", "davinci-002")),
        *((name, "gpt-4o-mini") for name in ("codex-mini-latest", "computer-use-preview")),
    ],
)
def test_a_name_of_openais_stands_for_a_row_that_can_do_the_same(name: str, row: str) -> None:
    assert row_of(name) == row_of(row)


@pytest.mark.parametrize(
    ("base", "row"),
    [("gpt-4.1", "gpt-4.1"), ("gpt-4o-2024-08-06", "gpt-4o"), ("davinci-002", "gpt-4o-mini")],
)
def test_a_fine_tuned_model_stands_for_what_it_was_made_of(base: str, row: str) -> None:
    for rest in ("acme::abc", "acme:words:abc:ckpt-step-90"):
        assert row_of(f"ft:{base}:{rest}") == row_of(row)
    assert row_of(f"ft:{base}") == row_of("ft:gpt-0:acme::abc") == "model_not_found"


@pytest.mark.parametrize(
    "name", ["gpt-0", "gpt", "gpt-", "gpt-4%20o", "o", "o0", "omni", "claude-opus-4", "gpt-4%0A"]
)
def test_any_other_name_is_not_found(name: str) -> None:
    assert row_of(name) == "model_not_found"


@pytest.mark.parametrize("name", ["gpt-4o-mini-2024-07-18", "gpt-5.6-luna"])
def test_a_configured_list_is_taken_at_its_word(name: str) -> None:
    assert row_of(name, MockSettings(models=MODELS)) == "model_not_found"


def test_an_answer_names_the_model_that_was_asked_for() -> None:
    gateway = a_gateway()
    for name in ("gpt-4o-2024-08-06", "gpt-5.6-luna"):
        assert body_of(answered(gateway, a_request(body=a_chat(model=name))))["model"] == name
        assert body_of(answered(gateway, a_get(f"/v1/models/{name}")))["id"] == name
        asked = {"model": name, "input": "Hello"}
        told = body_of(answered(gateway, a_request("POST", "/v1/responses", asked)))
        assert told["model"] == name


def test_a_stand_in_costs_what_its_row_costs() -> None:
    spent = []
    for name in ("gpt-4o", "gpt-4o-2024-08-06"):
        gateway = a_gateway()
        answered(gateway, a_request("POST", CHAT, a_chat(model=name)))
        spent.append(body_of(answered(gateway, a_get("/v1/me")))["usage"]["spend_usd"])
    assert spent[0] == spent[1] > 0


def test_the_list_tells_its_rows_alone() -> None:
    gateway = a_gateway()
    answered(gateway, a_request(body=a_chat(model="gpt-5.6-luna")))
    listed = body_of(answered(gateway, a_get("/v1/models")))["data"]
    assert [row["id"] for row in listed] == [row.id for row in MODELS]


@pytest.mark.parametrize("route", ["images/generations", "moderations"])
def test_a_model_that_is_no_text_is_refused(route: str) -> None:
    asked = {"model": ["gpt-image-1"], "prompt": "a", "input": "a"}
    exchange = answered(a_gateway(), a_request("POST", f"/v1/{route}", asked))
    assert (exchange.answer.status, body_of(exchange)["error"]["param"]) == (400, "model")
