"""The facts of a closed exchange: told once, by everything that closes one, without secrets."""

from foxora_addon.answer import Answer
from foxora_addon.api.errors import invalid_request
from foxora_addon.ending import Ending, ending_of, open_of
from foxora_addon.exchange import Exchange
from foxora_addon.pipeline import Pipeline
from tests.builders import CHAT, a_pipeline, a_response_of, admit, an_arrival, an_exchange, encoded

ANSWER = {"model": "gpt-4o-mini", "usage": {"prompt_tokens": 5, "completion_tokens": 26}}


def told_by(pipeline: Pipeline) -> list[Ending]:
    endings: list[Ending] = []
    pipeline.ended = endings.append
    return endings


def admitted(pipeline: Pipeline) -> Exchange:
    """A chat that came at 100.0 and was let go at 100.1."""
    arrived = pipeline.arrive(an_arrival(), 100.0)
    assert arrived is not None
    admit(pipeline, arrived.exchange, encoded(CHAT), 100.1)
    return arrived.exchange


def test_a_completed_exchange_tells_its_tokens_and_times() -> None:
    pipeline = a_pipeline()
    endings = told_by(pipeline)
    exchange = admitted(pipeline)
    pipeline.send(exchange, 100.2)
    json = [(b"content-type", b"application/json")]
    pipeline.answered(exchange, Answer(200, json, encoded(ANSWER)), 101.5)
    (ending,) = endings
    assert (ending.exchange, ending.account, ending.operation) == ("x1", "default", "chat")
    assert (ending.model, ending.status, ending.outcome) == ("gpt-4o-mini", 200, "completed")
    assert (ending.input_tokens, ending.output_tokens) == (5, 26)
    assert ending.duration_ms == 1500.0


def test_who_pays_is_called_as_in_the_records() -> None:
    pipeline = a_pipeline()
    endings = told_by(pipeline)
    exchange = admitted(pipeline)
    exchange.account, exchange.account_name = None, "usr_1"  # as of a key that passes through
    assert pipeline.open_of(exchange, 100.2).account == "usr_1"
    pipeline.lost(exchange, "client_disconnected", "network", 100.2)
    assert endings[0].account == "usr_1"


def test_a_refused_exchange_tells_why() -> None:
    pipeline = a_pipeline()
    endings = told_by(pipeline)
    arrived = pipeline.arrive(an_arrival(), 100.0)
    assert arrived is not None
    admit(pipeline, arrived.exchange, b"{}", 100.0)
    refusal = arrived.exchange.refusal
    assert refusal is not None
    pipeline.refused(arrived.exchange, refusal, "refused", 100.1)
    (ending,) = endings
    assert (ending.status, ending.outcome, ending.error_code) == (400, "refused", "invalid_request")


def test_texts_that_others_chose_are_scrubbed() -> None:
    record = a_response_of("x1") | {"error": {"code": "sk-secret", "message": "", "param": None}}
    exchange = an_exchange(model="sk-secret", refusal=invalid_request("no"))
    ending = ending_of(exchange, record, lambda text: text.replace("sk-secret", "[redacted]"))
    assert ending.model == "[redacted]"
    assert ending.error_code == "[redacted]"
    assert open_of(exchange, lambda text: text.replace("sk-secret", "***"), 0.0).model == "***"
