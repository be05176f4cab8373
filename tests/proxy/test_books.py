"""What becomes of the gateway's answers to our own questions."""

import pytest

from foxora_addon.exchange import Exchange
from foxora_addon.gateway.client import Reply
from foxora_addon.pipeline import Pipeline
from foxora_addon.policy.questions import ME, MODELS
from foxora_addon.proxy.books import AccountBooks
from tests.builders import CHAT, a_pipeline, admit, an_arrival, encoded


@pytest.fixture
def pipeline() -> Pipeline:
    return a_pipeline()


def called(pipeline: Pipeline, now: float) -> Exchange:
    """A call that was decided on."""
    rewritten = pipeline.arrive(an_arrival(), now)
    assert rewritten is not None
    admit(pipeline, rewritten.exchange, encoded(CHAT), now)
    return rewritten.exchange


@pytest.mark.parametrize("path", [ME, MODELS])
def test_a_429_closes_the_account_for_calls_and_further_questions_until_its_time(
    pipeline: Pipeline, path: str
) -> None:
    books = AccountBooks(pipeline)
    assert books.ask("default", path, 100.0) == 0.0
    busy = Reply(429, [("Retry-After", "60")], b"{}")
    assert not books.answered("default", path, busy, 101.0)

    refusal = called(pipeline, 105.0).refusal
    assert refusal is not None
    assert refusal.retry_after_seconds == pytest.approx(56.0)
    assert books.ask("default", path, 106.0) == pytest.approx(55.0)
    assert books.ask("default", path, 161.5) == 0.0


@pytest.mark.parametrize("status", [401, 500, 503])
def test_another_failure_closes_nothing(pipeline: Pipeline, status: int) -> None:
    books = AccountBooks(pipeline)
    failed = Reply(status, [("Retry-After", "60")], b"{}")
    assert not books.answered("default", ME, failed, 101.0)
    assert called(pipeline, 105.0).refusal is None
