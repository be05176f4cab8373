"""The gateway without sockets: tokens, ceilings, routes, the log."""

from decimal import Decimal
from typing import Any

import pytest

from foxora_addon.mock.faults import Fault
from foxora_addon.mock.gateway import Gateway
from foxora_addon.mock.received import Received
from foxora_addon.mock.settings import MockSettings
from tests.mock.builders import (
    KEY,
    NOON,
    WEATHER,
    Clock,
    a_chat,
    a_gateway,
    a_get,
    a_request,
    an_account,
    answered,
    body_of,
    headers_of,
    settings_of,
)

OTHER_KEY = "foxora_sk_live_obviously-fake-too"


def status_of(gateway: Gateway, request: Received) -> int:
    return answered(gateway, request).answer.status


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic Zm94", KEY])
def test_a_missing_token_is_refused_even_where_any_is_taken(value: str) -> None:
    exchange = answered(a_gateway(), a_request(key=None, authorization=value))
    assert exchange.answer.status == 401
    assert body_of(exchange)["error"]["code"] == "unauthorized"
    assert exchange.received.account is None


def test_any_token_pays_from_the_default_account() -> None:
    exchange = answered(a_gateway(), a_request(key="sk-whatever-obviously-fake"))
    assert (exchange.answer.status, exchange.received.account) == (200, "default")


def test_a_known_token_pays_from_its_account_and_an_unknown_one_is_refused() -> None:
    gateway = a_gateway(settings_of(an_account("acme"), an_account("beta", OTHER_KEY)))
    names = [
        answered(gateway, a_request(key=key)).received.account for key in (KEY, OTHER_KEY, "no")
    ]
    assert names == ["acme", "beta", None]
    assert status_of(gateway, a_request(key="no")) == 401


def test_a_configured_default_account_takes_the_other_tokens() -> None:
    own = an_account("default", requests_per_minute=1)
    gateway = a_gateway(MockSettings(accounts=(own,)))
    statuses = [status_of(gateway, a_request(key=key)) for key in (KEY, "sk-fake")]
    assert statuses == [200, 429]


def test_two_keys_of_an_account_share_one_allowance() -> None:
    account = an_account().model_copy(update={"keys": (KEY, OTHER_KEY), "requests_per_minute": 2})
    gateway = a_gateway(settings_of(account))
    statuses = [status_of(gateway, a_request(key=key)) for key in (KEY, OTHER_KEY, KEY)]
    assert statuses == [200, 200, 429]


@pytest.mark.parametrize(("window", "back_after"), [("fixed", 30), ("sliding", 60)])
def test_a_429_tells_when_to_come_back_and_means_it(window: Any, back_after: int) -> None:
    clock = Clock(NOON + 30)
    gateway = a_gateway(settings_of(an_account(requests_per_minute=1), window=window), clock)
    answered(gateway, a_get("/v1/me"))
    refused = answered(gateway, a_request())
    assert refused.answer.status == 429
    assert body_of(refused)["error"]["code"] == "rate_limited"
    assert headers_of(refused)["retry-after"] == str(back_after)
    assert headers_of(refused)["x-ratelimit-remaining-requests"] == "0"
    clock.now += back_after - 0.5
    assert status_of(gateway, a_request()) == 429
    clock.now += 0.5
    assert status_of(gateway, a_request()) == 200


def test_a_request_that_is_refused_as_wrong_counts_as_a_request() -> None:
    gateway = a_gateway(settings_of(an_account(requests_per_minute=2)))
    statuses = [
        status_of(gateway, request)
        for request in (a_request(body={}), a_get("/v1/nothing"), a_request())
    ]
    assert statuses == [400, 404, 429]


def test_tokens_count_at_the_end_where_so_configured() -> None:
    account = an_account(tokens_per_minute=40)
    gateway = a_gateway(settings_of(account, tokens_counted="end"))
    first = gateway.receive(a_request())
    assert status_of(gateway, a_request()) == 200
    gateway.finish(first, "answered", 1)
    assert status_of(gateway, a_request()) == 429


def test_the_spend_cap_answers_402_and_charges_nothing() -> None:
    gateway = a_gateway(settings_of(an_account(monthly_spend_cap_usd=Decimal("0.00001"))))
    refused = answered(gateway, a_request())
    assert refused.answer.status == 402
    assert body_of(refused)["error"]["code"] == "spend_limit_reached"
    assert "retry-after" not in headers_of(refused)
    assert body_of(answered(gateway, a_get("/v1/me")))["usage"]["spend_usd"] == 0


@pytest.mark.parametrize(
    "target", ["/v1/nothing", "/v1/", "/v2/models", "/", "/v1", "http://a/v1/models"]
)
def test_anything_else_is_not_found_in_json(target: str) -> None:
    exchange = answered(a_gateway(), a_get(target))
    assert exchange.answer.status == 404
    assert body_of(exchange)["error"]["code"] == "not_found"


def test_a_preflight_needs_no_token_and_uses_up_no_fault() -> None:
    gateway = a_gateway()
    gateway.faults.append(Fault(status=500))
    exchange = answered(gateway, a_request("OPTIONS", key=None))
    assert exchange.answer.status == 204
    assert headers_of(exchange)["access-control-allow-origin"] == "*"
    assert len(gateway.faults) == 1


def test_every_answer_has_a_request_id_of_its_own() -> None:
    gateway = a_gateway()
    requests = (a_request(), a_request(key=None), a_get("/"), a_request("OPTIONS"))
    ids = [headers_of(answered(gateway, request))["x-request-id"] for request in requests]
    assert len(set(ids)) == 4
    assert all(each.startswith("req_") for each in ids)


@pytest.mark.parametrize(("habit", "status"), [("ignored", 200), ("refused", 400)])
def test_the_question_for_usage_can_be_ignored_or_refused(habit: Any, status: int) -> None:
    gateway = a_gateway(MockSettings(include_usage=habit))
    asked = a_chat(stream=True, stream_options={"include_usage": True})
    exchange = answered(gateway, a_request(body=asked))
    assert exchange.answer.status == status
    assert b'"usage"' not in b"".join(exchange.answer.pieces)


def test_a_header_asks_for_a_fault_and_leaves_the_queue_alone() -> None:
    gateway = a_gateway()
    gateway.faults.append(Fault(status=500))
    assert status_of(gateway, a_request(x_mock_fault="status=503")) == 503
    assert status_of(gateway, a_request()) == 500
    assert status_of(gateway, a_request()) == 200


@pytest.mark.parametrize(
    ("fault", "words"),
    [("oops", "oops: unknown word"), ("times=2", "only for faults in the queue")],
)
def test_a_fault_that_makes_no_sense_is_refused_in_words(fault: str, words: str) -> None:
    exchange = answered(a_gateway(), a_request(x_mock_fault=fault))
    error = body_of(exchange)["error"]
    assert (exchange.answer.status, error["param"]) == (400, "x-mock-fault")
    assert words in error["message"]


def test_a_fault_in_front_of_the_gateway_is_neither_counted_nor_charged() -> None:
    gateway = a_gateway(settings_of(an_account(requests_per_minute=1)))
    exchange = answered(gateway, a_request(x_mock_fault="status=503"))
    assert exchange.received.account == "acme"
    assert status_of(gateway, a_request()) == 200


def test_a_fault_can_ask_for_a_longer_answer() -> None:
    exchange = answered(a_gateway(), a_request(x_mock_fault="words=500"))
    text = body_of(exchange)["choices"][0]["message"]["content"]
    assert len(text.split()) == 500


def test_a_stream_that_the_client_left_is_charged_for_what_was_sent() -> None:
    gateway = a_gateway()
    exchange = gateway.receive(a_request(body=a_chat(stream=True)))
    gateway.finish(exchange, "client_left", len(exchange.answer.pieces) // 2)
    spent = body_of(answered(gateway, a_get("/v1/me/usage?days=1")))[0]["output_tokens"]
    whole = body_of(answered(gateway, a_request()))["usage"]["completion_tokens"]
    assert spent == pytest.approx(whole / 2, abs=1)


def test_a_reset_forgets_everything() -> None:
    gateway = a_gateway(settings_of(an_account(requests_per_minute=1)))
    answered(gateway, a_request())
    gateway.faults.append(Fault(status=500))
    gateway.reset()
    assert len(gateway.log) == 0
    assert status_of(gateway, a_request(body=a_chat("get_weather", tools=[WEATHER]))) == 200
