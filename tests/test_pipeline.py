import gzip
import json
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from foxora_addon.answer import Answer
from foxora_addon.api.errors import gateway_unreachable, rate_limit_exceeded, unavailable
from foxora_addon.api.prices import Price
from foxora_addon.api.promised_json import NOT_JSON
from foxora_addon.api.transcript import DEFAULT_MAX_BYTES
from foxora_addon.audit.record import milliseconds
from foxora_addon.audit.redaction import Redactor
from foxora_addon.config.accounts import Level
from foxora_addon.ending import Ending
from foxora_addon.exchange import Exchange, IllegalStep, Outcome
from foxora_addon.observation import Observation
from foxora_addon.pipeline import Ahead, Pipeline, Rewritten
from foxora_addon.policy.levels import Levels
from foxora_addon.policy.payers import AccountRules, LimitRules
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.questions import ME
from foxora_addon.policy.remembered import charged_tokens
from foxora_addon.policy.spending import PriceRules
from foxora_addon.policy.timeouts import Timeouts
from foxora_addon.policy.validation import ModelRules
from tests.builders import (
    ACCOUNT_KEY,
    APP_KEY,
    CHAT,
    ListTrail,
    a_head,
    a_pipeline,
    admit,
    an_arrival,
    encoded,
    some_rules,
)

JSON = (b"content-type", b"application/json")
ANSWER = {
    "id": "chatcmpl-1",
    "model": "m-2",
    "choices": [{"index": 0, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
}


@dataclass
class Desk:
    """What stands around a pipeline: its trail, and one clock that only goes on."""

    pipeline: Pipeline
    trail: ListTrail

    def arrived(self, now: float = 100.0, **more: Any) -> Rewritten:
        rewritten = self.pipeline.arrive(an_arrival(**more), now)
        assert rewritten is not None
        return rewritten

    def admitted(self, body: bytes = encoded(CHAT), now: float = 100.0, **more: Any) -> Exchange:
        exchange = self.arrived(now, **more).exchange
        admit(self.pipeline, exchange, body, now)
        return exchange

    def sent(self, body: bytes = encoded(CHAT), now: float = 100.0, **more: Any) -> Exchange:
        exchange = self.admitted(body, now, **more)
        self.pipeline.send(exchange, now)
        return exchange

    def streaming(self, *chunks: bytes) -> Exchange:
        exchange = self.sent(encoded(CHAT | {"stream": True}))
        exchange.step("answer")
        exchange.answered_status = 200
        exchange.observation = an_observation()
        for chunk in chunks:
            exchange.observation.feed(chunk)
        return exchange

    @property
    def response(self) -> dict[str, Any]:
        (record,) = self.trail.of_kind("response")
        return record


def limited(requests_per_minute: int, *, is_shadow: bool = False) -> LimitRules:
    """Limits with a ceiling of requests for the default account."""
    accounts = {"default": AccountRules(Ceilings(requests_per_minute))}
    return LimitRules(accounts, is_shadow=is_shadow)


def a_desk(**changes: Any) -> Desk:
    trail = ListTrail()
    return Desk(a_pipeline(trail, **changes), trail)


def an_observation(most: int = 10_000) -> Observation:
    return Observation(
        content_encoding=None, is_event_stream=True, is_json=False, max_head_bytes=most
    )


def a_chunk(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + encoded({"id": "c1", "model": "m-2", "choices": [choice]}) + b"\n\n"


def test_the_rules_for_models_and_money_hold_however_a_path_is_spelt() -> None:
    capped = AccountRules(Ceilings(), cap_usd=Decimal("0.0001"))
    prices = PriceRules({"small": Price(Decimal(1), Decimal(1))})
    desk = a_desk(
        models=ModelRules({"gpt-4o-mini": "small"}),
        limits=LimitRules({"default": capped}, prices=prices),
    )
    exchange = desk.admitted(head=a_head("/v1/chat/complet%69ons"))
    assert exchange.model == "small"
    assert exchange.refusal is not None
    assert exchange.refusal.code == "spend_limit_reached"


def test_a_call_is_forwarded_with_the_accounts_key_and_both_records() -> None:
    desk = a_desk()
    rewritten = desk.arrived()
    exchange = rewritten.exchange
    admit(desk.pipeline, exchange, encoded(CHAT), 100.0)
    (request,) = desk.trail.records
    key = desk.pipeline.send(exchange, 100.1)
    exchange.gateway_request_id = "req-1"
    error = desk.pipeline.answered(exchange, Answer(200, [JSON], encoded(ANSWER)), 101.0)

    assert rewritten.target == "/v1/chat/completions"
    assert exchange.sent_body == encoded(CHAT)
    assert (key, error) == (ACCOUNT_KEY, None)
    assert (request["account"], request["decision"]["verdict"]) == ("default", "forward")
    assert request["body"] == encoded(CHAT).decode()
    assert request["gateway_url"] == "https://api.foxora.ai/v1/chat/completions"
    assert desk.response["outcome"] == "completed"
    assert desk.response["gateway_request_id"] == "req-1"
    assert desk.response["usage"]["total_tokens"] == 5
    assert desk.response["finish_reasons"] == ["stop"]
    assert desk.response["duration_ms"] == 1000.0


@pytest.mark.parametrize(
    ("status", "body", "output"),
    [
        (204, b"", 0),
        (202, b"", 0),
        (202, b"[]", None),
        (304, b"", "nothing"),
        (307, b"<", "nothing"),
    ],
)
def test_an_answer_in_which_no_model_speaks_is_charged_no_output(
    status: int, body: bytes, output: object
) -> None:
    desk = a_desk()
    exchange = desk.admitted()
    desk.pipeline.send(exchange, 100.1)
    assert desk.pipeline.answered(exchange, Answer(status, [], body), 101.0) is None
    assert (desk.response["status"], desk.response["outcome"]) == (status, "completed")
    usage = desk.response["usage"]
    if output == "nothing":
        assert usage is None
    else:
        assert (usage["output_tokens"], usage["source"]) == (output, "estimated")
        assert (usage["total_tokens"] == usage["input_tokens"]) == (output == 0)


@pytest.mark.parametrize("body", [b"", b'{"id": "resp_1", "deleted": true}'])
@pytest.mark.parametrize("headers", [[], [JSON]])
def test_a_deletion_whose_answer_no_client_reads_may_be_answered_with_nothing(
    headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    desk = a_desk()
    exchange = desk.admitted(b"", head=a_head("/v1/responses/resp_1", method="DELETE"))
    desk.pipeline.send(exchange, 100.1)
    assert desk.pipeline.answered(exchange, Answer(200, headers, body), 101.0) is None
    assert (desk.response["status"], desk.response["outcome"]) == (200, "completed")


@pytest.mark.parametrize(
    ("status", "outcome", "code"),
    [(200, "completed", None), (304, "completed", None), (429, "refused", "answered_by_addon")],
)
def test_an_answer_of_another_addon_says_nothing_of_the_gateway(
    status: int, outcome: str, code: str | None
) -> None:
    desk = a_desk(limits=limited(1))
    exchange = desk.admitted()
    answer = Answer(status, [JSON, (b"retry-after", b"30")], encoded(ANSWER))
    error = desk.pipeline.answered_inside(exchange, answer, 101.0)

    assert (error and error.code) == code
    told = desk.response
    assert (told["status"], told["outcome"], told["source"]) == (status, outcome, "addon")
    assert (told["usage"], told["cost_usd"], told["sent_ms"]) == (None, None, None)
    assert json.loads(told["body"]) == ANSWER
    assert desk.admitted(now=101.0).refusal is None  # neither closed nor charged


def test_what_is_not_ours_opens_no_exchange() -> None:
    desk = a_desk()
    head = a_head(addressed="host", hosts=("example.com",))

    assert desk.pipeline.arrive(an_arrival(head), 100.0) is None
    assert desk.trail.records == []


def test_a_call_without_a_key_is_refused_with_401() -> None:
    desk = a_desk()
    exchange = desk.admitted(fields=())

    assert exchange.refusal is not None
    assert (exchange.refusal.status, exchange.refusal.code) == (401, "missing_api_key")
    desk.pipeline.refused(exchange, exchange.refusal, "refused", 100.5)
    assert desk.trail.of_kind("request")[0]["decision"]["reason"] == "missing_api_key"
    assert (desk.response["status"], desk.response["source"]) == (401, "addon")
    assert json.loads(desk.response["body"])["error"]["code"] == "missing_api_key"


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", "invalid_json"), (b'{"messages":[]}', "invalid_request"), (b"", "invalid_json")],
)
def test_a_bad_body_is_refused_with_400_and_never_sent(body: bytes, code: str) -> None:
    desk = a_desk()
    exchange = desk.admitted(body)

    assert exchange.refusal is not None
    assert (exchange.refusal.status, exchange.refusal.code) == (400, code)
    with pytest.raises(IllegalStep):
        desk.pipeline.send(exchange, 100.1)


PACKED = gzip.compress(ACCOUNT_KEY.encode(), mtime=0)
UNDECODABLE = pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", PACKED[:-8] + bytes(8)), ("x-own", PACKED)],
    ids=["broken", "unknown"],
)


@UNDECODABLE
def test_a_body_that_is_not_as_encoded_as_it_says_is_refused_and_not_kept(
    encoding: str, body: bytes
) -> None:
    desk = a_desk()
    exchange = desk.arrived().exchange
    admit(desk.pipeline, exchange, body, 100.0, encoding=encoding)

    assert exchange.refusal is not None
    assert exchange.refusal.status == 400
    assert_kept_by_size_and_hash(desk.trail.records[0], body)


@pytest.mark.parametrize("status", [200, 500])
@UNDECODABLE
def test_an_answer_that_is_not_as_encoded_as_it_says_is_not_kept(
    encoding: str, body: bytes, status: int
) -> None:
    desk = a_desk()
    head = [(b"content-encoding", encoding.encode())]
    error = desk.pipeline.answered(desk.sent(), Answer(status, head, body), 101.0)

    assert error is not None
    assert_kept_by_size_and_hash(desk.response, body)


def test_nor_is_one_of_another_addon() -> None:
    desk = a_desk()
    answer = Answer(200, [(b"content-encoding", b"gzip")], b"no gzip")
    desk.pipeline.answered_inside(desk.admitted(), answer, 101.0)

    assert_kept_by_size_and_hash(desk.response, b"no gzip")


@pytest.mark.parametrize("is_all_kept", [True, False])
def test_of_a_call_that_nobody_gets_no_more_than_a_megabyte_is_decoded(is_all_kept: bool) -> None:
    desk = a_desk()
    exchange = desk.arrived().exchange
    exchange.refusal = gateway_unreachable("refused by its head, or its client has left")
    plain = b" " * (1_048_576 + (not is_all_kept))
    body = gzip.compress(plain, mtime=0)
    desk.pipeline.record(exchange, body, "gzip", 100.0)

    [record] = desk.trail.records
    if is_all_kept:
        assert record["body_sha256"] == sha256(plain).hexdigest()
    else:
        assert_kept_by_size_and_hash(record, body)


def assert_kept_by_size_and_hash(record: dict[str, Any], body: bytes) -> None:
    assert (record["body"], record["body_bytes"]) == (None, len(body))
    assert record["body_sha256"] == sha256(body).hexdigest()


FILE_HEAD = a_head("/v1/files/f1/content", method="GET")


@pytest.mark.parametrize("status", [200, 206, 302])
@UNDECODABLE
def test_what_cant_be_looked_through_for_the_key_is_refused_whatever_was_asked_for(
    encoding: str, body: bytes, status: int
) -> None:
    desk = a_desk()
    exchange = desk.sent(b"", head=FILE_HEAD)
    answer = Answer(status, [JSON, (b"content-encoding", encoding.encode())], body)
    error = desk.pipeline.answered(exchange, desk.pipeline.without_key(exchange, answer), 101.0)

    assert error is not None
    assert (error.status, error.code) == (502, "bad_gateway_answer")


def test_one_that_is_too_long_once_it_is_decoded_says_so_and_is_not_asked_for_again() -> None:
    desk = a_desk()
    packed = zstandard.ZstdCompressor().compressobj()
    pieces = [packed.compress(bytes(1_048_576)) for _ in range(129)]
    head = [JSON, (b"content-encoding", b"zstd")]
    answer = Answer(200, head, b"".join(pieces) + packed.flush())
    error = desk.pipeline.answered(desk.sent(), answer, 101.0)

    assert error is not None
    assert (error.status, error.code, error.should_retry) == (502, "bad_gateway_answer", False)
    assert error.message == "The gateway's answer is over 128 MiB once it is decoded."
    assert_kept_by_size_and_hash(desk.response, answer.body)


def test_it_passes_where_no_key_was_sent() -> None:
    desk = a_desk()
    preflight = a_head("/v1/files/f1/content", method="OPTIONS", asks_preflight=True)
    exchange = desk.sent(b"", head=preflight, fields=())
    assert exchange.credential is None
    answer = Answer(200, [JSON, (b"content-encoding", b"x-own")], PACKED)
    assert desk.pipeline.answered(exchange, answer, 101.0) is None


def test_an_answer_may_be_longer_than_a_request() -> None:
    desk = a_desk(max_request_bytes=100)
    exchange = desk.sent(b"", head=FILE_HEAD)
    body = gzip.compress(encoded({"key": ACCOUNT_KEY, "rows": ["row"] * 100}))
    answer = Answer(200, [JSON, (b"content-encoding", b"gzip")], body)
    clean = desk.pipeline.without_key(exchange, answer)

    assert json.loads(clean.body)["key"] == "*" * len(ACCOUNT_KEY)
    assert desk.pipeline.answered(exchange, clean, 101.0) is None
    assert desk.response["outcome"] == "completed"


def test_to_make_a_realtime_session_is_charged_nothing_and_its_model_is_on_record() -> None:
    desk = a_desk(models=ModelRules({"gpt-realtime": "small"}))
    asked = {"model": "gpt-realtime", "instructions": "Be brief."}
    exchange = desk.sent(encoded(asked), head=a_head("/v1/realtime/sessions"))
    desk.pipeline.answered(exchange, Answer(200, [JSON], encoded({"id": "sess_1"})), 101.0)
    [request] = desk.trail.of_kind("request")
    assert (request["operation"], request["model"]) == ("realtime", "small")
    assert request["sent"]["changed"] == {"model": "small"}
    assert desk.response["usage"] is None


def test_an_answer_is_undone_by_the_encodings_of_all_lines() -> None:
    desk = a_desk()
    exchange = desk.sent()
    body = gzip.compress(gzip.compress(encoded(ANSWER | {"key": ACCOUNT_KEY})))
    answer = Answer(200, [JSON, *[(b"content-encoding", b"gzip")] * 2], body)
    clean = desk.pipeline.without_key(exchange, answer)

    assert json.loads(clean.body)["key"] == "*" * len(ACCOUNT_KEY)
    assert desk.pipeline.answered(exchange, clean, 101.0) is None
    assert desk.response["usage"]["total_tokens"] == 5


@pytest.mark.parametrize("is_large", [False, True])
def test_the_files_of_a_form_are_found_under_its_content_encoding(is_large: bool) -> None:
    desk = a_desk()
    exchange = desk.arrived(head=a_head("/v1/files")).exchange
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nhi\r\n--b--'
    ahead = Ahead(form, NOT_JSON, sha256(form).hexdigest()) if is_large else None
    desk.pipeline.record(exchange, gzip.compress(form), "gzip", 100.0, ahead)

    (file,) = desk.trail.records[0]["files"]
    assert (file["filename"], file["bytes"]) == ("a", 2)


def test_a_path_that_repeats_the_key_is_refused() -> None:
    desk = a_desk()
    exchange = desk.admitted(head=a_head(f"/v1/models/{APP_KEY}", method="GET"))

    assert exchange.refusal is not None
    assert exchange.refusal.status == 400
    assert APP_KEY not in json.dumps(desk.trail.records)


def test_over_the_ceiling_a_call_is_refused_with_429_and_when_to_try_again() -> None:
    desk = a_desk(limits=limited(2))
    desk.sent(now=100.0)
    desk.sent(now=110.0)
    exchange = desk.admitted(now=120.0)

    assert exchange.refusal is not None
    assert exchange.refusal.status == 429
    assert exchange.refusal.retry_after_seconds == pytest.approx(40.25)
    assert "Please try again in 40.250s." in exchange.refusal.message
    assert desk.admitted(now=160.25).refusal is None


def test_clients_that_send_the_same_head_are_told_by_their_connections() -> None:
    desk = a_desk(limits=limited(2))
    desk.sent(now=100.0)
    desk.sent(now=110.0)

    assert [told_to(desk, port, 120.0) for port in (40_001, 40_002, 40_001)] == [
        pytest.approx(40.25),
        pytest.approx(50.25),
        pytest.approx(40.25),
    ]


def told_to(desk: Desk, port: int, now: float) -> float | None:
    """How many seconds a call that comes on a connection is told to wait."""
    rewritten = desk.pipeline.arrive(an_arrival()._replace(port=port), now)
    assert rewritten is not None
    admit(desk.pipeline, rewritten.exchange, encoded(CHAT), now)
    refusal = rewritten.exchange.refusal
    return None if refusal is None else refusal.retry_after_seconds


def test_in_shadow_mode_nothing_is_refused() -> None:
    desk = a_desk(limits=limited(1, is_shadow=True))

    assert [desk.sent().refusal for _ in range(3)] == [None, None, None]


def test_in_shadow_mode_the_record_says_what_would_have_been_refused() -> None:
    desk = a_desk(limits=limited(1, is_shadow=True))
    desk.sent(now=100.0)
    desk.sent(now=110.0)

    first, second = (record["decision"] for record in desk.trail.of_kind("request"))
    assert first["shadow"] is None
    assert (second["verdict"], second["reason"]) == ("forward", None)
    assert second["shadow"] == {
        "code": "rate_limit_exceeded",
        "message": (
            "Account 'default' is at its limit of requests per minute: limit 1, used 1, "
            "requested 1. Please try again in 50.250s."
        ),
        "retry_after_ms": 50_250.0,
    }


def test_at_the_least_level_shadow_mode_names_no_client() -> None:
    account = AccountRules(Ceilings(), clients={"carol": Ceilings(0)})
    limits = LimitRules({"default": account}, is_shadow=True)
    said = []
    for level in ("minimal", "metadata"):
        desk = a_desk(limits=limits, levels=Levels(level))
        exchange = desk.arrived().exchange
        exchange.client = exchange.client._replace(name="carol")
        admit(desk.pipeline, exchange, encoded(CHAT), 100.0)
        said.append(desk.trail.records[0])

    least, more = (record["decision"]["shadow"] for record in said)
    assert "Client 'carol'" in more["message"]
    assert least == {**more, "message": None}
    assert "carol" not in json.dumps(said[0])


def test_in_shadow_mode_a_call_that_never_fits_and_one_over_the_cap_are_told_apart() -> None:
    small = AccountRules(Ceilings(tokens_per_minute=10))
    spent = AccountRules(cap_usd=Decimal(0))
    large = encoded(CHAT | {"messages": [{"role": "user", "content": "word " * 500}]})
    shadows = []
    for account in (small, spent):
        prices = PriceRules({str(CHAT["model"]): Price(Decimal(1), Decimal(1))}, is_shadow=True)
        rules = LimitRules({"default": account}, is_shadow=True, prices=prices)
        desk = a_desk(limits=rules)
        desk.sent(large)
        (record,) = desk.trail.of_kind("request")
        shadows.append(record["decision"]["shadow"])

    assert [shadow["code"] for shadow in shadows] == ["rate_limit_exceeded", "spend_limit_reached"]
    assert [shadow["retry_after_ms"] for shadow in shadows] == [None, None]


def test_a_further_try_is_held_to_the_ceilings_in_force_and_not_to_those_of_the_first() -> None:
    desk = a_desk(limits=limited(5))
    exchange = desk.sent(now=100.0)
    desk.pipeline.again(exchange, gateway_unreachable("no route"), 101.0)
    desk.pipeline.take(some_rules(limits=limited(1)), 101.0)

    refusal = desk.pipeline.renew(exchange, 101.0)
    assert refusal is not None
    assert "limit 1, used 1" in refusal.message


def test_an_answer_to_a_call_that_is_no_call_says_what_is_left_as_well() -> None:
    desk = a_desk(limits=limited(5))
    exchange = desk.admitted(b"{}")

    assert exchange.refusal is not None
    headers = dict(desk.pipeline.accounting.headers(exchange, (), 100.0))
    assert headers[b"x-ratelimit-remaining-requests"] == b"5"


def test_what_never_left_gives_its_request_back() -> None:
    desk = a_desk(limits=limited(1))
    exchange = desk.admitted()
    desk.pipeline.refused(
        exchange, gateway_unreachable("no route"), "gateway_unreachable", now=100.5
    )

    assert desk.admitted(now=101.0).refusal is None


def test_the_gateways_own_429_closes_the_account_for_as_long_as_it_said() -> None:
    desk = a_desk()
    answer, exchange = Answer(429, [(b"retry-after", b"7")], b"{}"), desk.sent()
    desk.pipeline.answering(exchange, answer, 101.0)
    refusal = desk.admitted(now=102.0).refusal

    assert refusal is not None
    assert refusal.retry_after_seconds == pytest.approx(6.0)
    desk.pipeline.answered(exchange, answer, 104.0)  # its head has said so, and is not asked again
    assert desk.admitted(now=108.0).refusal is None


def test_a_429_of_our_own_closes_nothing() -> None:
    desk = a_desk()
    error = rate_limit_exceeded("no room", 7.0)
    desk.pipeline.refused(desk.sent(), error, "refused", 101.0)
    assert desk.admitted(now=102.0).refusal is None


def test_a_429_that_says_no_time_closes_the_account_for_a_second() -> None:
    desk = a_desk()
    desk.pipeline.answering(desk.sent(), Answer(429, [], b""), 101.0)
    refusal = desk.admitted(now=101.5).refusal

    assert refusal is not None
    assert refusal.retry_after_seconds == pytest.approx(0.5)
    assert desk.admitted(now=102.0).refusal is None


@pytest.mark.parametrize(("is_shadow", "told_ms"), [(False, 1_000.0), (True, None)])
def test_a_429_that_says_no_time_tells_its_client_for_how_long_it_closes_the_account(
    is_shadow: bool, told_ms: float | None
) -> None:
    desk = a_desk(limits=limited(5, is_shadow=is_shadow))
    error = desk.pipeline.answered(desk.sent(), Answer(429, [], b""), 101.0)
    assert error is not None
    assert (("retry-after", "1") in error.headers()) is not is_shadow
    assert desk.response["error"]["retry_after_ms"] == told_ms


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error":{"message":"m","code":"c"}}', b"\xff"])
def test_an_error_of_the_gateway_is_normalised_and_recorded_as_it_came(body: bytes) -> None:
    desk = a_desk()
    error = desk.pipeline.answered(desk.sent(), Answer(503, [JSON], body), 101.0)

    assert error is not None
    assert error.status == 503
    assert set(json.loads(error.body())["error"]) == {"code", "message", "param"}
    assert (desk.response["outcome"], desk.response["source"]) == ("gateway_error", "gateway")
    assert desk.response["error"]["code"] == error.code
    assert desk.response["body_bytes"] == len(body)


@pytest.mark.parametrize("key", [ACCOUNT_KEY, APP_KEY])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_long_error_of_the_gateway_is_cut_behind_a_key_that_it_quotes(
    key: str, as_json: bool
) -> None:
    for size in range(8, len(key)):
        text = "x" * (1_998 - size) + f" {key} is no key"
        body = encoded({"error": {"message": text}}) if as_json else text.encode()
        desk = a_desk()
        error = desk.pipeline.answered(desk.sent(), Answer(401, [JSON], body), 101.0)
        assert error is not None
        assert key[:8] not in error.message
        assert key[:8] not in json.dumps(desk.response)


LEVELS_AND_WORDS: list[tuple[Level, str | None, str | None]] = [
    ("full", "No such thing: my secret plan", "my secret plan, all of it"),
    ("request", "The gateway's own words are on record at level full only.", None),
    ("metadata", "The gateway's own words are on record at level full only.", None),
    ("minimal", None, None),
]


@pytest.mark.parametrize(("level", "message", "param"), LEVELS_AND_WORDS)
@pytest.mark.parametrize("is_stream", [False, True])
def test_what_an_error_of_the_gateway_quotes_is_on_record_where_answers_are(
    level: Level, message: str | None, param: str | None, is_stream: bool
) -> None:
    desk = a_desk(levels=Levels(level))
    error = {"code": "nope", "message": "No such thing: my secret plan"}
    body = encoded({"error": error | {"param": "my secret plan, all of it"}})
    if is_stream:
        exchange = desk.streaming(b"data: " + body + b"\n\n")
        desk.pipeline.streamed(exchange, 101.0)
    else:
        told = desk.pipeline.answered(
            desk.sent(), Answer(400, [JSON, (b"retry-after", b"7")], body), 101
        )
        assert told is not None
        assert told.message == error["message"], "the client is told all of it"
        assert desk.response["error"]["retry_after_ms"] == 7_000.0
    found = desk.response["error"]
    assert (found["code"], found["message"], found["param"]) == ("nope", message, param)
    assert ("secret plan" in json.dumps(desk.response)) is (level == "full")


@pytest.mark.parametrize("level", ["full", "metadata"])
def test_our_own_words_and_the_names_of_fields_stay_at_each_level(level: Level) -> None:
    desk = a_desk(levels=Levels(level))
    exchange = desk.admitted(b'{"model": "m"}')
    assert exchange.refusal is not None
    desk.pipeline.refused(exchange, exchange.refusal, "refused", 101.0)
    assert desk.response["error"]["message"] == "The 'messages' field is required."
    assert (desk.response["body"] is None) is (level == "metadata")
    desk = a_desk(levels=Levels(level))
    body = encoded({"error": {"code": "c", "message": "m", "param": "messages[0].content"}})
    desk.pipeline.answered(desk.sent(), Answer(400, [JSON], body), 101.0)
    assert desk.response["error"]["param"] == "messages[0].content"


def test_a_call_whose_time_is_up_before_it_is_sent_is_refused_and_charged_nothing() -> None:
    timeouts = Timeouts(connect=1, tls=1, response=30, stream_idle=5, exchange=5)
    desk = a_desk(timeouts=timeouts)
    in_time, late = desk.arrived(100.0).exchange, desk.arrived(100.0).exchange
    admit(desk.pipeline, in_time, encoded(CHAT), 104.9)
    admit(desk.pipeline, late, encoded(CHAT), 105.0)
    assert in_time.refusal is None
    assert late.refusal is not None
    assert (late.refusal.code, late.refusal.source) == ("unavailable", "addon")
    assert desk.trail.of_kind("request")[1]["decision"]["verdict"] == "refuse"
    with pytest.raises(IllegalStep):
        desk.pipeline.send(late, 105.0)
    desk.pipeline.refused(late, late.refusal, "refused", 105.0)
    assert (desk.response["status"], desk.response["usage"]) == (503, None)
    (account,) = desk.pipeline.accounting.balances(105.0)
    assert (account["requests"]["used"], account["concurrent"]["used"]) == (1, 1)


def test_a_try_says_how_long_the_gateway_asked_to_wait() -> None:
    desk = a_desk()
    exchange = desk.sent()
    error = desk.pipeline.error_of(exchange, Answer(429, [(b"retry-after", b"3")], b""))
    desk.pipeline.again(exchange, error, 101.0, 429)
    desk.pipeline.lost(exchange, "client_disconnected", "addon", 102.0)
    assert [each["retry_after_ms"] for each in desk.response["tries"]] == [3_000.0]


def test_a_try_says_when_it_was_sent_and_what_it_was_charged() -> None:
    desk = a_desk()
    exchange = desk.sent()
    exchange.estimated_tokens, exchange.input_tokens = 100, 8
    sent_at = exchange.sent_at or 0.0
    failed = desk.pipeline.error_of(exchange, Answer(503, [], b""))
    desk.pipeline.again(exchange, failed, sent_at + 0.5, 503)
    desk.pipeline.again(exchange, failed, sent_at + 0.75)  # it came to no connection
    desk.pipeline.send(exchange, sent_at + 1.0)
    desk.pipeline.again(exchange, failed, sent_at + 1.5, 429)
    desk.pipeline.lost(exchange, "client_disconnected", "addon", sent_at + 2.0)
    head_ms = round((sent_at - exchange.arrived_at) * 1_000, 3)
    assert [(each["sent_ms"], each["tokens"]) for each in desk.response["tries"]] == [
        (head_ms, 8),
        (None, 0),
        (head_ms + 1_000.0, 0),
    ]


def test_a_try_that_nobody_answered_is_charged_its_prompt_and_all_tries_cost_together() -> None:
    prices = PriceRules({"gpt-4o-mini": Price(Decimal(1), Decimal(1))})
    desk = a_desk(limits=LimitRules({"default": AccountRules()}, prices=prices))
    exchange = desk.sent(encoded({**CHAT, "max_tokens": 4_000}))
    prompt = exchange.input_tokens
    for now in (101.0, 102.0):
        desk.pipeline.again(exchange, gateway_unreachable("It is gone."), now)
        assert desk.pipeline.renew(exchange, now) is None
        desk.pipeline.send(exchange, now)
    exchange.step("answer")
    assert desk.pipeline.answered(exchange, Answer(200, [JSON], encoded(ANSWER)), 103.0) is None

    assert [each["tokens"] for each in desk.response["tries"]] == [prompt] * 2
    assert charge_of(desk) == 2 * prompt + 5
    assert desk.response["cost_usd"] == pytest.approx((2 * prompt + 5) / 1_000)
    assert (desk.response["usage"]["source"], desk.response["cost_source"]) == (
        "reported",
        "estimated",
    )


BACKGROUND = {"model": "m-1", "input": "Tell me all.", "background": True}
QUEUED: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "model": "m-1",
    "output": [],
    "usage": None,
}
WHOLE = QUEUED | {"usage": {"input_tokens": 900, "output_tokens": 500, "total_tokens": 1_400}}
REPORTED = {"input_tokens": 900, "output_tokens": 500, "total_tokens": 1_400, "source": "reported"}


def a_priced_desk() -> Desk:
    accounts = {"default": AccountRules(Ceilings(None, 100_000))}
    prices = PriceRules({"m-1": Price(Decimal(1), Decimal(2))})
    return a_desk(limits=LimitRules(accounts, prices=prices))


def answer_to(
    desk: Desk, method: str, path: str, answer: dict[str, Any], call: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Call and have that answered; the response record."""
    head = a_head(f"/v1{path}", method=method)
    exchange = desk.admitted(encoded(call) if call else b"", head=head)
    desk.pipeline.send(exchange, 100.0)
    exchange.step("answer")
    assert desk.pipeline.answered(exchange, Answer(200, [JSON], encoded(answer)), 101.0) is None
    return desk.trail.of_kind("response")[-1]


def standing_of(desk: Desk) -> tuple[int, Any]:
    """The tokens and dollars that are used by the books."""
    (balance,) = desk.pipeline.accounting.balances(101.0)
    return balance["tokens"]["used"], balance["spend"]["used_usd"]


NOTHING_YET = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize("told", [None, NOTHING_YET], ids=["nothing", "zeros"])
def test_a_background_response_is_charged_once_and_priced_by_what_it_reports(
    told: dict[str, Any] | None,
) -> None:
    desk = a_priced_desk()
    queued = QUEUED | {"usage": told}
    answer_to(desk, "POST", "/responses", queued, BACKGROUND)
    answer_to(desk, "GET", "/responses/resp_1", queued)
    first = answer_to(desk, "GET", "/responses/resp_1", WHOLE)
    again = answer_to(desk, "GET", "/responses/resp_1", WHOLE)
    cancelled = answer_to(desk, "POST", "/responses/resp_1/cancel", WHOLE)

    assert first["usage"]["output_tokens"] == 500
    assert (again["usage"], again["cost_usd"]) == (None, 0)
    assert (cancelled["usage"], cancelled["cost_usd"]) == (None, 0)
    assert standing_of(desk) == (1_400, 1.9)
    responses = desk.trail.of_kind("response")
    assert sum(charged_tokens(response) for response in responses) == 1_400
    assert sum(response["cost_usd"] for response in responses) == pytest.approx(1.9)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/responses/resp_1"), ("GET", "/chat/completions/resp_1"), ("GET", "/batches/b")),
        *(("POST", "/chat/completions/resp_1"), ("POST", "/threads/t/runs/r/cancel")),
    ],
)
def test_a_stored_answer_was_charged_when_it_was_made(method: str, path: str) -> None:
    desk = a_priced_desk()
    answer_to(desk, "POST", "/responses", WHOLE, BACKGROUND)
    charged = standing_of(desk)
    read = answer_to(desk, method, path, WHOLE)
    assert (read["usage"], read["cost_usd"]) == (None, 0)
    assert json.loads(read["body"])["usage"] == WHOLE["usage"]
    assert standing_of(desk) == charged == (1_400, 1.9)


@pytest.mark.parametrize("model", ["m-1", "m-2"])
def test_to_have_tokens_counted_costs_nothing(model: str) -> None:
    desk = a_priced_desk()
    call, told = {"model": model, "input": "Tell me all."}, {"input_tokens": 4}
    counted = answer_to(desk, "POST", "/responses/input_tokens", told, call)
    assert (counted["usage"], counted["cost_usd"]) == (None, 0)
    assert standing_of(desk) == (0, 0)


def test_a_run_that_goes_on_is_charged_by_the_model_that_it_names() -> None:
    desk = a_priced_desk()
    path = "/threads/t/runs/r/submit_tool_outputs"
    told = answer_to(desk, "POST", path, WHOLE, {"tool_outputs": []})
    assert (told["usage"], told["cost_usd"]) == (REPORTED, 1.9)
    assert standing_of(desk) == (1_400, 1.9)


def test_a_run_that_goes_on_is_charged_what_it_had_not_told_before() -> None:
    desk = a_priced_desk()
    first = WHOLE | {"usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}}
    answer_to(desk, "POST", "/threads/t/runs", first, {"assistant_id": "a", "instructions": "Go."})
    path = "/threads/t/runs/resp_1/submit_tool_outputs"
    told = answer_to(desk, "POST", path, WHOLE, {"tool_outputs": [{"output": "It rains."}]})
    assert (told["usage"]["input_tokens"], told["usage"]["output_tokens"]) == (800, 490)
    assert standing_of(desk) == (1_400, 1.9)


@pytest.mark.parametrize(("model", "cost"), [("m-1", 1.9), ("m-2", None)])
def test_a_call_that_names_no_model_costs_what_the_one_does_that_answers(
    model: str, cost: float | None
) -> None:
    desk = a_priced_desk()
    call = {"prompt": {"id": "pmpt_1"}}
    assert answer_to(desk, "POST", "/responses", WHOLE | {"model": model}, call)["cost_usd"] == cost


@pytest.mark.parametrize(("asked", "spent"), [("m-1:free", 0), ("m-1", 1.9), (None, 1.9)])
def test_by_the_price_of_another_model_than_was_asked_for_a_cost_is_an_estimate(
    asked: str | None, spent: float
) -> None:
    desk = a_priced_desk()
    call = {"input": "Tell me all."}
    if asked is not None:
        call["model"] = asked
    record = answer_to(desk, "POST", "/responses", WHOLE, call)
    assert (record["cost_usd"], record["usage"]["source"]) == (1.9, "reported")
    assert record["cost_source"] == ("reported" if spent else "estimated")
    accounting = desk.pipeline.accounting
    assert accounting.ask("default", ME, 102.0) == 0
    me = encoded({"id": "usr_1", "usage": {"spend_usd": 0}})
    assert accounting.take_me("default", me, 103.0)
    assert standing_of(desk)[1] == spent


@pytest.mark.parametrize(
    ("path", "said", "most", "output", "source"),
    [
        ("/audio/transcriptions", b"The fox is quick.", 1_000, 4, "counted"),
        ("/audio/translations", b"WEBVTT\n\n\xff", 1_000, 5, "counted"),
        ("/audio/transcriptions", b"The fox is quick.", 4, None, "estimated"),
        ("/audio/speech", b"ID3", 1_000, None, None),
    ],
    ids=["text", "subtitles", "more than is kept", "sound"],
)
def test_what_was_heard_is_counted_where_it_comes_as_text(
    path: str, said: bytes, most: int, output: int | None, source: str | None
) -> None:
    usage = what_is_heard(path, said, most)["usage"] or {"output_tokens": None, "source": None}
    assert (usage["output_tokens"], usage["source"]) == (output, source)


def what_is_heard(path: str, said: bytes, most: int = 1_000, status: int = 200) -> dict[str, Any]:
    """The response record of an upload of sound that is answered by no JSON."""
    desk = a_desk()
    exchange = desk.admitted(b"\x00" * 9_000, head=a_head(f"/v1{path}"))
    desk.pipeline.send(exchange, 100.0)
    exchange.step("answer")
    exchange.answered_status = status
    exchange.observation = Observation(
        content_encoding=None, is_event_stream=False, is_json=False, max_head_bytes=most
    )
    exchange.observation.feed(said)
    desk.pipeline.streamed(exchange, 102.0)
    return desk.response


def test_of_a_redirect_nothing_was_heard() -> None:
    page = b"<a href=/v2>Moved</a>"
    assert what_is_heard("/audio/transcriptions", page, status=307)["usage"] is None


@pytest.mark.parametrize("fields", [[], [(b"content-type", b"text/plain")]])
def test_the_usage_of_an_answer_that_names_no_json_is_read_where_that_is_due(
    fields: list[tuple[bytes, bytes]],
) -> None:
    desk = a_desk()
    exchange = desk.sent()
    exchange.step("answer")
    assert desk.pipeline.answered(exchange, Answer(200, fields, encoded(ANSWER)), 101.0) is None
    assert desk.response["usage"]["total_tokens"] == 5
    assert desk.response["usage"]["source"] == "reported"


def test_a_key_in_an_error_of_the_gateway_reaches_nobody() -> None:
    desk = a_desk()
    body = encoded({"error": {"message": f"bad key {ACCOUNT_KEY}", "code": "invalid_key"}})
    error = desk.pipeline.answered(desk.sent(), Answer(401, [JSON], body), 101.0)

    assert error is not None
    assert ACCOUNT_KEY not in error.message
    assert ACCOUNT_KEY not in json.dumps(desk.trail.records)


def test_a_key_that_is_changed_is_known_for_as_long_as_its_calls_are_open() -> None:
    desk = a_desk()
    exchange = desk.streaming(a_chunk(f"Your key is {ACCOUNT_KEY} "), b"data: [DONE]\n\n")
    endings: list[Ending] = []
    desk.pipeline.ended = endings.append
    without_it = some_rules(redactor=Redactor((), presets=()), keys={})
    desk.pipeline.take(without_it, 101.0, [exchange])
    assert desk.pipeline.header_for_client(exchange, ACCOUNT_KEY) == "[redacted]"
    so_far = desk.pipeline.shown_so_far(exchange).answer
    desk.pipeline.streamed(exchange, 102.0)

    assert desk.response["message"]["content"] == "Your key is [redacted] "
    for shown in (so_far, endings[0].shown().answer):
        assert b"Your key is [redacted] " in (shown or b"")


def test_what_is_shown_of_a_closed_exchange_is_redacted_as_its_record() -> None:
    desk = a_desk()
    endings: list[Ending] = []
    desk.pipeline.ended = endings.append
    desk.pipeline.streamed(desk.streaming(a_chunk(f"Your key is {ACCOUNT_KEY} ")), 101.0)
    desk.pipeline.take(some_rules(redactor=Redactor((), presets=()), keys={}), 102.0)

    assert b"Your key is [redacted] " in (endings[0].shown().answer or b"")


def test_plain_words_in_an_error_of_the_gateway_reach_the_client() -> None:
    desk = a_desk()
    exchange = desk.sent()
    exchange.step("answer")
    words = "Your Basic subscription lacks it. See https://foxora.ai/plans?key=comparison"
    error = encoded({"error": {"code": "plan_required", "message": words}})
    told = desk.pipeline.answered(exchange, Answer(403, [JSON], error), 101.0)
    assert told is not None
    assert told.message == desk.response["error"]["message"] == words


def test_a_stream_is_folded_into_its_message() -> None:
    desk = a_desk()
    exchange = desk.streaming(a_chunk("Hel"), a_chunk("lo", "stop"), b"data: [DONE]\n\n")
    desk.pipeline.streamed(exchange, 102.0)

    assert desk.response["outcome"] == "completed"
    assert desk.response["message"]["content"] == "Hello"
    assert desk.response["finish_reasons"] == ["stop"]
    assert (desk.response["body"], desk.response["status"]) == (None, 200)
    assert desk.response["body_bytes"] > 0


SEARCHED = {"output": [{"type": "message"}, {"type": "web_search_call"}]}


FURTHER = [
    {"id": "c1", "choices": [{"index": 1, "delta": {"content": "Or so."}}]},
    {"id": "c1", "choices": [{"index": 1, "text": "Or so."}]},
    {"type": "response.completed", "response": SEARCHED | {"usage": {"input_tokens": 3}}},
]


@pytest.mark.parametrize("more", FURTHER)
def test_of_a_stream_that_says_more_than_a_message_all_is_folded(more: dict[str, Any]) -> None:
    desk = a_desk()
    said = a_chunk("Hello"), b"data: " + encoded(more) + b"\n\n", b"data: [DONE]\n\n"
    desk.pipeline.streamed(desk.streaming(*said), 102.0)

    assert desk.response["message"] is not None
    choices = desk.response["folded"].get("choices", [])
    assert len(choices) == 2 or desk.response["folded"] == SEARCHED
    assert (desk.response["body"], desk.response["body_truncated"]) == (None, False)


def test_logprobs_of_a_stream_are_on_record() -> None:
    desk = a_desk()
    probable = [{"token": token, "logprob": -0.1} for token in ("Hel", "lo")]
    said = [
        {"index": 0, "delta": {"content": each["token"]}, "logprobs": {"content": [each]}}
        for each in probable
    ]
    events = [b"data: " + encoded({"choices": [choice]}) + b"\n\n" for choice in said]
    desk.pipeline.streamed(desk.streaming(*events, b"data: [DONE]\n\n"), 102.0)

    (choice,) = desk.response["folded"]["choices"]
    assert choice["logprobs"] == {"content": probable}
    assert choice["message"] == desk.response["message"]
    assert desk.response["message"]["content"] == "Hello"
    assert desk.response["body"] is None


@pytest.mark.parametrize("more", FURTHER)
def test_where_that_is_too_large_its_beginning_is_kept_beside_the_message(
    more: dict[str, Any],
) -> None:
    desk = a_desk(max_body_bytes=50)
    exchange = desk.streaming()
    exchange.observation = an_observation(desk.pipeline.rules.max_body_bytes)
    said = a_chunk("Hello"), b"data: " + encoded(more) + b"\n\n", b"data: [DONE]\n\n"
    for chunk in said:
        exchange.observation.feed(chunk)
    desk.pipeline.streamed(exchange, 102.0)

    assert desk.response["message"] is not None
    assert desk.response["folded"] is None
    assert desk.response["body"].encode() == b"".join(said)[:50]
    assert desk.response["body_truncated"]


def of_choice(index: int, **delta: Any) -> bytes:
    return b"data: " + encoded({"choices": [{"index": index, "delta": delta}]}) + b"\n\n"


def test_a_body_that_is_kept_whole_is_not_called_cut_for_what_memory_had_no_room_for() -> None:
    desk = a_desk()
    sound = of_choice(1, audio={"data": "A" * (DEFAULT_MAX_BYTES * 3 // 4)})
    exchange = desk.streaming()
    exchange.observation = an_observation(desk.pipeline.rules.max_body_bytes)
    for chunk in (said := [of_choice(0, content="Hello"), sound, b"data: [DONE]\n\n"]):
        exchange.observation.feed(chunk)
    desk.pipeline.streamed(exchange, 102.0)

    assert desk.response["folded"] is None
    assert desk.response["body"].encode() == b"".join(said)
    assert not desk.response["body_truncated"]


def test_nor_does_a_message_that_memory_had_no_room_for_end_in_half_a_key() -> None:
    desk = a_desk()
    exchange = desk.streaming()
    exchange.observation = an_observation(desk.pipeline.rules.max_body_bytes)
    much = b'data: {"choices": [{"index": 1, "delta": {"content": "%b"}}]}\n\n'
    halves = [of_choice(0, content=half) for half in (ACCOUNT_KEY[:10], ACCOUNT_KEY[10:])]
    exchange.observation.feed(halves[0] + much % ("я" * (DEFAULT_MAX_BYTES // 4)).encode())
    exchange.observation.feed(halves[1] + b"data: [DONE]\n\n")
    desk.pipeline.streamed(exchange, 102.0)

    assert desk.response["message"]["content"] == "[redacted]"
    assert not desk.response["body_truncated"]


@pytest.mark.parametrize("level", ["minimal", "metadata", "request"])
def test_below_level_full_nothing_is_folded(level: Level) -> None:
    desk = a_desk(levels=Levels(level))
    said = b"data: " + encoded(FURTHER[-1]) + b"\n\n"
    desk.pipeline.streamed(desk.streaming(said), 102.0)

    assert desk.response["message"] is desk.response["folded"] is desk.response["body"] is None


def test_no_key_and_no_half_of_one_is_in_what_is_folded() -> None:
    desk = a_desk()
    halves = ACCOUNT_KEY[:10], ACCOUNT_KEY[10:]
    said = [
        b"data: " + encoded({"choices": [{"index": at, "delta": {"content": text}}]}) + b"\n\n"
        for at, text in ((0, "Hello"), (1, halves[0]), (1, halves[1]), (2, halves[0]))
    ]
    exchange = desk.streaming(*said)
    desk.pipeline.lost(exchange, "stream_broken", "network", 102.0)

    texts = [choice["message"]["content"] for choice in desk.response["folded"]["choices"]]
    assert texts == ["Hello", "[redacted]", "[redacted]"]


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (b"data: [DONE]\n", "completed"),
        (b"data: [DONE]\r", "completed"),
        (b"data:[DONE]", "completed"),
        (b"event: x\ndata: [DONE]", "completed"),
        (b"data: [DONE", "stream_broken"),
        (b"data: [DONE]x\n", "stream_broken"),
        (b"data: {}\ndata: [DONE]\n", "stream_broken"),
        (b": [DONE]", "stream_broken"),
        (a_chunk("?").strip(), "stream_broken"),
    ],
)
def test_at_a_clean_end_its_last_line_needs_no_blank_one(last: bytes, outcome: str) -> None:
    desk = a_desk()
    desk.pipeline.streamed(desk.streaming(a_chunk("Hel"), last), 102.0)

    assert desk.response["outcome"] == outcome
    assert desk.response["message"]["content"] == "Hel"


def test_at_a_broken_end_it_does() -> None:
    desk = a_desk()
    exchange = desk.streaming(a_chunk("Hel"), b"data: [DONE]\n")
    desk.pipeline.lost(exchange, "stream_broken", "network", 102.0)

    assert exchange.observation is not None
    assert exchange.observation.transcript is not None
    assert not exchange.observation.transcript.done


USAGE = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
TOLD = b"data: " + encoded({"id": "c1", "choices": [], "usage": USAGE}) + b"\n\n"
DONE = b"data: [DONE]\n\n"


def answered_as_json(desk: Desk, exchange: Exchange, body: bytes, *more: Any) -> Answer:
    pipeline, exchange.answered_status = desk.pipeline, 200
    answer = pipeline.as_stream(exchange, Answer(200, [JSON, *more], body))
    assert pipeline.answered(exchange, answer, 102.0) is None
    return answer


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b": hello\n\n"])
def test_a_stream_that_is_named_json_passes_and_is_folded(start: bytes) -> None:
    desk = a_desk(asks_usage=False)
    body = start + a_chunk("Hel") + a_chunk("lo", "stop") + TOLD + DONE
    exchange = desk.sent(encoded(CHAT | {"stream": True}))
    answer = answered_as_json(desk, exchange, body)

    assert (answer.body, answer.is_changed) == (body, False)
    assert (desk.response["status"], desk.response["outcome"]) == (200, "completed")
    assert desk.response["message"]["content"] == "Hello"
    assert desk.response["usage"]["total_tokens"] == 5
    assert desk.response["body_bytes"] == len(body)


def test_its_usage_is_taken_out_where_the_client_did_not_ask() -> None:
    desk = a_desk()
    exchange = desk.sent(encoded(CHAT | {"stream": True}))
    packed = gzip.compress(a_chunk("Hi", "stop") + TOLD + DONE)
    answer = answered_as_json(desk, exchange, packed, (b"content-encoding", b"gzip"))

    assert (answer.body, answer.is_changed) == (a_chunk("Hi", "stop") + DONE, True)
    assert answer.encoding is None
    assert desk.response["usage"]["total_tokens"] == 5


def test_one_that_ends_early_is_broken_as_any_other() -> None:
    desk = a_desk()
    answered_as_json(desk, desk.sent(encoded(CHAT | {"stream": True})), a_chunk("Hel"))
    assert desk.response["outcome"] == "stream_broken"


@pytest.mark.parametrize(("status", "body"), [(500, DONE), (200, b"database"), (200, b"")])
def test_what_is_no_stream_is_none_where_one_was_asked_for(status: int, body: bytes) -> None:
    desk = a_desk()
    exchange = desk.sent(encoded(CHAT | {"stream": True}))
    answer = desk.pipeline.as_stream(exchange, Answer(status, [JSON], body))
    error = desk.pipeline.answered(exchange, answer, 102.0)
    assert error is not None
    assert desk.response["outcome"] == "gateway_error"


def test_a_stream_that_is_over_is_not_counted_once_more() -> None:
    desk = a_priced_desk()
    counted = 0

    def counter(text: str, _: str) -> int:
        nonlocal counted
        counted += 1
        return len(text) // 4

    call = encoded({"model": "m-1", "input": "Hi.", "stream": True})
    exchange = desk.sent(call, head=a_head("/v1/responses"))
    desk.pipeline.accounting.counter = counter
    seen, text = an_observation(100_000), "and so on " * 900
    said = {"type": "message", "content": [{"type": "output_text", "text": text}]}
    for event, is_counted in (
        ({"type": "response.output_text.delta", "output_index": 0, "delta": text}, True),
        ({"type": "response.completed", "response": WHOLE | {"output": [said]}}, False),
    ):
        counted = 0
        seen.feed(b"data: " + encoded(event) + b"\n\n")
        desk.pipeline.count_so_far(exchange, seen, 101.0)
        assert (counted > 0) is is_counted


def looks_at(*, logprobs: object) -> int:
    """How often a stream of 400 words is counted as it passes."""
    desk = a_desk(limits=limited(10))
    exchange, looks = desk.streaming(), 0
    assert exchange.observation is not None
    desk.pipeline.accounting.streams(exchange)
    choice = {"index": 0, "delta": {"content": "word "}, "logprobs": logprobs}
    for _ in range(400):
        exchange.observation.feed(b"data: " + encoded({"choices": [choice]}) + b"\n\n")
        if exchange.observation.content_bytes >= exchange.counts_at:
            looks += 1
            desk.pipeline.count_so_far(exchange, exchange.observation, 101.0)
    return looks


def test_a_stream_is_counted_no_more_often_for_its_logprobs() -> None:
    token = {"token": "word", "logprob": -1.5, "bytes": [119, 111, 114, 100]}
    logprobs = {"content": [{**token, "top_logprobs": [token] * 5}]}
    assert 0 < looks_at(logprobs=logprobs) <= looks_at(logprobs=None) < 10


def test_a_stream_without_its_end_is_broken() -> None:
    desk = a_desk()
    desk.pipeline.streamed(desk.streaming(a_chunk("Hel")), 102.0)

    assert desk.response["outcome"] == "stream_broken"


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (a_chunk("Hel"), "stream_broken"),
        (a_chunk("Hel") + b"data: [DONE]\n\n", "completed"),
        (b'data: {"type":"response.created","response":{}}\n\n', "stream_broken"),
        (b'data: {"type":"response.completed","response":{}}\n\n', "completed"),
        (b'data: {"object":"thread.run"}\n\n', "stream_broken"),
        (b'data: {"type":"speech.audio.delta"}\n\n', "stream_broken"),
        (b'data: {"type":"of.any"}\n\n', "completed"),
        (b"", "completed"),
    ],
)
def test_a_stream_whose_call_does_not_say_that_it_wants_one_is_judged_by_what_it_says(
    said: bytes, outcome: str
) -> None:
    desk = a_desk()
    exchange = desk.streaming(said)
    exchange.stream = False
    desk.pipeline.streamed(exchange, 102.0)
    assert desk.response["outcome"] == outcome


@pytest.mark.parametrize(("asked", "outcome"), [(1, "completed"), (2, "stream_broken")])
def test_a_stream_with_fewer_pictures_than_were_asked_for_is_broken(
    asked: int, outcome: str
) -> None:
    desk = a_desk()
    exchange = desk.streaming(b'data: {"type":"image_generation.completed"}\n\n')
    desk.pipeline.streamed(exchange, 102.0, lambda: asked)
    assert desk.response["outcome"] == outcome


@pytest.mark.parametrize(
    ("status", "chunks", "outcome"),
    [
        (204, [], "completed"),
        (202, [], "completed"),
        (200, [], "stream_broken"),
        (202, [a_chunk("Hel")], "stream_broken"),
    ],
)
def test_a_stream_that_was_not_to_come_is_not_broken(
    status: int, chunks: list[bytes], outcome: str
) -> None:
    desk = a_desk()
    exchange = desk.streaming(*chunks)
    exchange.answered_status = status
    desk.pipeline.streamed(exchange, 102.0)
    assert desk.response["outcome"] == outcome


@pytest.mark.parametrize(
    ("event", "is_counted"),
    [
        ({"type": "transcript.text.done", "text": "The fox is quick."}, True),
        ({"type": "speech.audio.done"}, False),
        ({"type": "image_generation.completed"}, False),
    ],
)
def test_a_stream_of_text_pictures_or_sound_that_reports_no_usage_is_charged_more_than_nothing(
    event: dict[str, Any], is_counted: bool
) -> None:
    desk = a_desk()
    exchange = desk.streaming(b"data: " + encoded(event) + b"\n\n")
    desk.pipeline.streamed(exchange, 102.0)
    usage = desk.response["usage"]
    assert usage["source"] == ("counted" if is_counted else "estimated")
    assert (usage["output_tokens"] is not None) == is_counted
    assert usage["total_tokens"] > usage["input_tokens"]


def a_usage(*figures: int, text: str = "") -> bytes:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    choices = [{"index": 0, "delta": {"content": text}}] if text else []
    usage = dict(zip(names, figures, strict=False))
    return b"data: " + encoded({"id": "c1", "choices": choices, "usage": usage}) + b"\n\n"


def charge_of(desk: Desk) -> int:
    return int(desk.pipeline.accounting.balances(102.0)[0]["tokens"]["used"])


@pytest.mark.parametrize("limit", [1, 500])
def test_what_a_stream_is_charged_does_not_hang_on_how_much_of_it_is_kept(limit: int) -> None:
    desks = a_desk(), a_desk(max_body_bytes=limit)
    for desk in desks:
        words = [a_chunk("words and words ") for _ in range(100)]
        exchange = desk.streaming()
        exchange.observation = an_observation(desk.pipeline.rules.max_body_bytes)
        for chunk in words:
            exchange.observation.feed(chunk)
        desk.pipeline.streamed(exchange, 102.0)
    usual, little = (desk.response for desk in desks)
    assert little["usage"] == usual["usage"]
    assert little["usage"]["output_tokens"] > 100
    assert charge_of(desks[0]) == charge_of(desks[1]) == usual["usage"]["total_tokens"]
    assert len(usual["message"]["content"]) == 1_600
    assert little["message"]["content"] == usual["message"]["content"][:limit]
    assert (usual["body_truncated"], little["body_truncated"]) == (False, True)


@pytest.mark.parametrize("size", range(8, len(ACCOUNT_KEY) + 1))
def test_half_a_key_at_the_end_of_what_is_kept_of_a_message_is_no_part_of_it(size: int) -> None:
    desk = a_desk(max_body_bytes=len("It is ") + size)
    exchange = desk.streaming()
    exchange.observation = an_observation(desk.pipeline.rules.max_body_bytes)
    for piece in ("It ", "is ", ACCOUNT_KEY[:10], ACCOUNT_KEY[10:], ", and that is all."):
        exchange.observation.feed(a_chunk(piece))
    desk.pipeline.streamed(exchange, 102.0)
    assert desk.response["message"]["content"] == "It is [redacted]"


def test_half_a_key_at_the_end_of_a_stream_that_broke_off_is_no_part_of_its_message() -> None:
    desk = a_desk()
    exchange = desk.streaming(a_chunk("It is "), a_chunk(APP_KEY[:9]), a_chunk(APP_KEY[9:14]))
    endings: list[Ending] = []
    desk.pipeline.ended = endings.append
    desk.pipeline.lost(exchange, "client_disconnected", "network", 102.0)
    assert desk.response["message"]["content"] == "It is [redacted]"
    assert APP_KEY[:9].encode() not in (endings[0].shown().answer or b"")


def test_a_usage_after_which_more_is_said_is_no_usage_of_all() -> None:
    desk = a_desk()
    early, words = a_usage(2, 0, 2), a_chunk("words and words " * 20)
    desk.pipeline.lost(desk.streaming(early, words), "client_disconnected", "network", 102.0)
    usage = desk.response["usage"]
    assert usage["source"] == "counted"
    assert usage["input_tokens"] == 2
    assert usage["output_tokens"] > 40
    assert charge_of(desk) == usage["total_tokens"] == usage["output_tokens"] + 2


def test_what_was_told_of_hidden_words_stays_where_more_is_said_after_it() -> None:
    desk = a_desk()
    told = a_usage(2, 1, 900, text="words"), a_chunk(" and more")
    desk.pipeline.streamed(desk.streaming(*told), 102.0)
    usage = desk.response["usage"]
    assert usage["output_tokens"] > 1
    assert usage["total_tokens"] == 900 + usage["output_tokens"] - 1 == charge_of(desk)


@pytest.mark.parametrize(
    "chunks",
    [
        (a_chunk("words " * 20), a_usage(2, 3, 5)),
        (a_chunk("words " * 20), a_usage(2, 3, 5), a_chunk("", "stop")),
        (a_usage(2, 1, 3, text="words " * 20), a_usage(2, 3, 5, text="words " * 20)),
    ],
)
def test_a_usage_that_is_told_with_the_last_words_or_after_them_is_believed(
    chunks: tuple[bytes, ...],
) -> None:
    desk = a_desk()
    desk.pipeline.streamed(desk.streaming(*chunks, b"data: [DONE]\n\n"), 102.0)
    usage = {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5, "source": "reported"}
    assert desk.response["usage"] == usage


@pytest.mark.parametrize(
    ("reported", "tokens"),
    [
        ({"completion_tokens": 400}, range(401, 500)),
        ({"prompt_tokens": 7}, range(8, 100)),
        ({"prompt_tokens": 8, "completion_tokens": 400, "total_tokens": 0}, range(408, 409)),
        ({"total_tokens": 9}, range(9, 10)),
    ],
)
def test_a_usage_that_lacks_a_part_or_does_not_add_up_is_charged_in_full(
    reported: dict[str, int], tokens: range
) -> None:
    desk = a_desk()
    exchange = desk.sent()
    exchange.step("answer")
    said = [{"index": 0, "message": {"role": "assistant", "content": "words"}}]
    body = encoded({**ANSWER, "choices": said, "usage": reported})
    assert desk.pipeline.answered(exchange, Answer(200, [JSON], body), 101.0) is None
    assert charge_of(desk) in tokens


def test_an_answer_in_which_nothing_was_found_teaches_nothing() -> None:
    desk = a_desk()
    estimates = []
    for _turn in range(3):
        exchange = desk.streaming()
        estimates.append(exchange.estimated_tokens)
        exchange.answered_status = 204
        desk.pipeline.streamed(exchange, 102.0)
    assert desk.trail.of_kind("response")[0]["usage"]["output_tokens"] == 0
    assert estimates == estimates[:1] * 3


def test_a_client_that_leaves_a_stream_has_what_it_got_on_record() -> None:
    desk = a_desk()
    desk.pipeline.lost(desk.streaming(a_chunk("Hel")), "client_disconnected", "network", 102.0)

    assert desk.response["outcome"] == "client_disconnected"
    assert desk.response["message"]["content"] == "Hel"


def test_a_client_that_leaves_before_an_answer_has_no_status() -> None:
    desk = a_desk()
    desk.pipeline.lost(desk.sent(), "client_disconnected", "network", 102.0)

    assert (desk.response["status"], desk.response["body_bytes"]) == (None, 0)


@pytest.mark.parametrize("outcome", ["client_disconnected", "aborted"])
@pytest.mark.parametrize("status", [307, 402, 429])
def test_a_refusal_whose_body_nobody_waits_for_is_charged_nothing(
    outcome: Outcome, status: int
) -> None:
    for told in (None, unavailable("It ends.")):
        desk = a_desk()
        exchange = desk.sent()
        exchange.estimated_tokens, exchange.input_tokens = 100, 8
        exchange.answered_status = status
        if told is None:
            desk.pipeline.lost(exchange, outcome, "network", 102.0)
        else:
            desk.pipeline.refused(exchange, told, outcome, 102.0)
        assert desk.response["usage"] is None


def test_a_call_that_cannot_be_recorded_is_refused() -> None:
    desk = a_desk()
    desk.trail.works = False
    exchange = desk.admitted()

    assert exchange.refusal is not None
    assert exchange.refusal.status == 503
    desk.trail.works = True
    desk.pipeline.refused(exchange, exchange.refusal, "refused", 101.0)
    assert desk.trail.records == []


def test_a_call_whose_record_turns_out_not_to_be_kept_is_refused_with_both_its_records() -> None:
    desk = a_desk()
    exchange = desk.admitted(encoded(CHAT))
    desk.pipeline.not_kept(exchange)

    assert exchange.refusal is not None
    assert exchange.refusal.status == 503
    desk.pipeline.refused(exchange, exchange.refusal, "refused", 101.0)
    assert desk.response["outcome"] == "refused"


def test_a_call_that_cannot_be_recorded_may_pass_where_that_is_allowed() -> None:
    desk = a_desk(needs_record=False)
    desk.trail.works = False

    assert desk.sent().refusal is None


@pytest.mark.parametrize(
    ("level", "bodies", "is_known"),
    [
        ("full", [True, False], True),
        ("request", [True, False], True),
        ("metadata", [False, False], True),
        ("minimal", [False, False], False),
    ],
)
def test_each_level_keeps_what_it_says(level: Level, bodies: list[bool], is_known: bool) -> None:
    desk = a_desk(levels=Levels(level))
    desk.pipeline.streamed(desk.streaming(a_chunk("Hel"), b"data: [DONE]\n\n"), 102.0)
    request, response = desk.trail.records

    assert [record["level"] for record in (request, response)] == [level, level]
    assert [record["body"] is not None for record in (request, response)] == bodies
    assert (response["message"] is not None) is (level == "full")
    assert (response["body_sha256"] is not None) is is_known
    assert (request["http"]["url"] is not None) is is_known
    assert (request["client"]["user_agent"] is not None) is is_known
    assert (request["model"], request["operation"], response["outcome"]) == (
        CHAT["model"],
        "chat",
        "completed",
    )


def test_at_the_least_level_no_word_of_the_clients_is_on_record() -> None:
    desk = a_desk(levels=Levels("minimal"))
    exchange = desk.admitted(encoded(CHAT | {"user": "a secret plan"}))
    error = {"error": {"message": "what a secret plan", "param": "secret"}}
    desk.pipeline.send(exchange, 100.1)
    desk.pipeline.answered(exchange, Answer(400, [JSON], encoded(error)), 101.0)

    written = json.dumps(desk.trail.records)
    assert "secret" not in written
    assert "10.0.0.7" not in written
    assert desk.response["error"]["code"]


def headers(**more: str) -> tuple[tuple[bytes, bytes], ...]:
    given = {"authorization": f"Bearer {APP_KEY}"} | more
    return tuple((name.replace("_", "-").encode(), text.encode()) for name, text in given.items())


@pytest.mark.parametrize(
    ("configured", "asked", "kept"),
    [
        ("full", "metadata", "metadata"),
        ("full", " Minimal ", "minimal"),
        ("metadata", "full", "metadata"),
        ("minimal", "request", "minimal"),
    ],
)
def test_a_client_can_ask_for_more_privacy_and_not_for_less(
    configured: Level, asked: str, kept: str
) -> None:
    desk = a_desk(levels=Levels(configured))
    desk.admitted(encoded(CHAT), fields=headers(x_foxora_audit=asked))

    assert desk.trail.records[0]["level"] == kept


def test_a_slip_in_what_a_client_asks_for_is_refused_and_kept_at_the_least() -> None:
    desk = a_desk()
    exchange = desk.admitted(encoded(CHAT), fields=headers(x_foxora_audit="metdata"))

    assert exchange.refusal is not None
    assert "must be one of: minimal, metadata, request, full" in exchange.refusal.message
    assert desk.trail.records[0]["level"] == "minimal"


def test_labels_and_the_trace_are_on_record_and_only_the_trace_travels_on() -> None:
    desk = a_desk()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    fields = headers(x_foxora_tag="nightly, team a,nightly", traceparent=trace)
    rewritten = desk.arrived(fields=fields)
    admit(desk.pipeline, rewritten.exchange, encoded(CHAT), 100.0)

    assert desk.trail.records[0]["tags"] == ["nightly", "team a"]
    assert desk.trail.records[0]["traceparent"] == trace
    sent = dict(rewritten.head.fields)
    assert sent[b"traceparent"] == trace.encode()
    assert not [name for name in sent if name.startswith(b"x-foxora-")]


def test_a_preflight_is_sent_without_a_key() -> None:
    desk = a_desk()
    exchange = desk.admitted(b"", head=a_head(method="OPTIONS", asks_preflight=True), fields=())

    assert exchange.refusal is None
    assert desk.pipeline.send(exchange, 100.1) is None


def test_nothing_is_sent_that_is_not_recorded() -> None:
    desk = a_desk()

    with pytest.raises(IllegalStep):
        desk.pipeline.send(desk.arrived().exchange, 100.0)


STEPS = st.sampled_from(["admit", "send", "observe", "feed", "answer", "error", "end", "lose"])
BODIES = st.sampled_from(
    [
        encoded(CHAT),
        encoded(CHAT | {"user": f"{APP_KEY} {ACCOUNT_KEY}"}),
        APP_KEY.encode(),
        b"\xff" + ACCOUNT_KEY.encode(),
        a_chunk(f"my key is {APP_KEY}"),
        encoded({"error": {"message": ACCOUNT_KEY}}),
    ]
)


def take(desk: Desk, exchange: Exchange, step: str, body: bytes, now: float) -> None:
    pipeline = desk.pipeline
    if step == "admit":
        admit(pipeline, exchange, body, now)
    elif step == "send":
        pipeline.send(exchange, now)
    elif step == "observe":
        exchange.step("answer")
        exchange.observation = an_observation()
    elif step == "feed" and exchange.observation is not None:
        exchange.observation.feed(body)
    elif step == "answer":
        pipeline.answered(exchange, Answer(200, [JSON], body), now)
    elif step == "error":
        pipeline.answered(exchange, Answer(500, [JSON], body), now)
    elif step == "end":
        pipeline.streamed(exchange, now)
    elif step == "lose":
        pipeline.lost(exchange, "aborted", "network", now)


@given(
    st.lists(st.tuples(STEPS, BODIES), max_size=10),
    st.sampled_from(["/v1/chat/completions", "/v1/nothing", f"/v1/a?key={APP_KEY}", f"/{APP_KEY}"]),
)
@settings(max_examples=200)
def test_any_steps_leave_one_record_of_each_kind_and_no_key(
    steps: list[tuple[str, bytes]], target: str
) -> None:
    desk = a_desk()
    exchange = desk.arrived(head=a_head(target)).exchange
    for now, (step, body) in enumerate([*steps, ("admit", b""), ("lose", b"")], 101):
        try:
            take(desk, exchange, step, body, float(now))
        except IllegalStep:
            continue

    assert [record["event"] for record in desk.trail.records] == ["request", "response"]
    text = json.dumps(desk.trail.records)
    assert APP_KEY not in text
    assert ACCOUNT_KEY not in text


CARD = "4111 1111 1111 1111"


@pytest.mark.parametrize(
    "redactor",
    [Redactor([], presets=["secrets", "pii"]), Redactor([], patterns=[("card", "4[ 0-9]{18}")])],
    ids=["pii", "own pattern"],
)
def test_no_part_is_seen_of_what_has_spaces_while_its_stream_is_open(redactor: Redactor) -> None:
    for size in range(1, len(CARD)):
        desk = a_desk(redactor=redactor)
        exchange = desk.streaming(a_chunk("Card "), a_chunk(CARD[:size]))
        assert b"4" not in (desk.pipeline.shown_so_far(exchange).answer or b"4")


def test_words_are_seen_while_their_stream_is_open_where_only_credentials_are_redacted() -> None:
    desk = a_desk()
    exchange = desk.streaming(a_chunk("Good day"))
    assert b'"Good "' in (desk.pipeline.shown_so_far(exchange).answer or b"")


PASSWORD = "correct horse battery staple"


@pytest.mark.parametrize("size", [9, 15, len(PASSWORD) - 1])
def test_no_part_of_a_clients_own_secret_is_seen_while_its_stream_is_open(size: int) -> None:
    desk = a_desk()
    exchange = desk.streaming(a_chunk("So it is "), a_chunk(PASSWORD[:size]))
    exchange.secrets = (PASSWORD,)
    assert b"correct" not in (desk.pipeline.shown_so_far(exchange).answer or b"correct")


def test_the_time_of_a_message_is_rounded_as_all_times_of_records_are() -> None:
    desk = a_desk()
    exchange = desk.admitted(now=0.0)
    desk.pipeline.said(exchange, b"{}", 0.0000005, is_clients=True)
    assert exchange.socket is not None
    (message,) = exchange.socket.fields("full")["messages"]
    assert message["at_ms"] == milliseconds(0.0000005)


OPENING = a_head("/v1/realtime?model=gpt-realtime", method="GET")


@pytest.mark.parametrize("level", ["full", "minimal"])
def test_the_opening_of_a_realtime_session_is_on_record_with_its_model(level: Level) -> None:
    desk = a_desk(levels=Levels(level))
    desk.admitted(b"", head=OPENING)
    (request,) = desk.trail.records
    assert request["model"] == "gpt-realtime"


@pytest.mark.parametrize(
    ("query", "model"),
    [("model=gpt%2Drealtime", "gpt-realtime"), ("model=&model=other", None), ("model=a", "b")],
)
def test_what_is_said_in_a_session_is_of_the_model_that_its_opening_counts_as(
    query: str, model: str | None
) -> None:
    desk = a_desk(models=ModelRules({"a": "b"}))
    exchange = desk.sent(b"", head=a_head(f"/v1/realtime?{query}", method="GET"))
    desk.pipeline.said(exchange, b"{}", 101.0, is_clients=True)
    assert exchange.socket is not None
    assert exchange.socket.talk.model == exchange.model == model


def test_an_opening_is_a_request_of_its_model_and_takes_no_tokens_nor_needs_a_price() -> None:
    models = {"gpt-realtime": Ceilings(1, 1_000)}
    limits = LimitRules(
        {"default": AccountRules(models=models)}, prices=PriceRules(refuses_unknown=True)
    )
    desk = a_desk(limits=limits)
    first, second = (desk.admitted(b"", head=OPENING) for _ in range(2))
    assert (first.refusal, first.estimated_tokens) == (None, 0)
    assert second.refusal is not None
    assert "Model 'gpt-realtime' of account 'default' is at its limit of requests" in (
        second.refusal.message
    )


def test_a_session_of_transcripts_is_on_record_with_the_model_that_wrote_them() -> None:
    desk = a_desk()
    head = a_head("/v1/realtime?intent=transcription", method="GET")
    exchange = desk.sent(b"", head=head)
    exchange.step("answer")
    exchange.answered_status, exchange.observation = 101, an_observation()
    kind = "conversation.item.input_audio_transcription.completed"
    for message in (
        {"type": "session.created", "session": {"input_audio_transcription": {"model": "m"}}},
        {"type": kind, "usage": {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}},
    ):
        assert desk.pipeline.said(exchange, encoded(message), 101.0, is_clients=False)
    desk.pipeline.streamed(exchange, 102.0)
    assert (desk.response["model"], desk.response["usage"]["total_tokens"]) == ("m", 5)


def test_the_guard_that_calls_are_counted_with_is_on_record_where_it_is_not_the_usual_one() -> None:
    trail = ListTrail()
    pipeline = a_pipeline(trail, guard_seconds=7.5)
    pipeline.take(some_rules(guard_seconds=0.25), 0.0)  # that needs a restart
    for at, each in enumerate((pipeline, a_pipeline(trail))):
        rewritten = each.arrive(an_arrival(), at)
        assert rewritten is not None
        admit(each, rewritten.exchange, encoded(CHAT), at)
    assert [record["decision"].get("guard_seconds") for record in trail.records] == [7.5, None]
