"""What is said over a WebSocket is charged as it is said, and asks for room as a call does."""

import json
from decimal import Decimal
from typing import Any

import pytest

from foxora_addon.api.prices import Price
from foxora_addon.api.usage import Usage
from foxora_addon.exchange import Exchange
from foxora_addon.policy.accounting import Accounting
from foxora_addon.policy.allowances import Reserved
from foxora_addon.policy.payers import AccountRules, LimitRules
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.questions import ME
from foxora_addon.policy.spending import PriceRules
from foxora_addon.policy.talk import Talk
from foxora_addon.policy.waiting import Bounds
from tests.builders import NOON, an_exchange

CREATE = {"type": "response.create", "response": {"max_output_tokens": 50}}
DOLLAR, CENT = Price(Decimal(1), Decimal(2)), Price(Decimal("0.01"), Decimal("0.02"))
HELD = 3 + 50
"""What an answer's frame counts as, and what it may say."""
BEGUN = {"type": "response.created", "response": {}}


class Session:
    """A WebSocket of an account, with all that it may have."""

    def __init__(
        self,
        tokens_per_minute: int | None = 1_000,
        cap_usd: str | None = None,
        *,
        is_shadow: bool = False,
        models: dict[str, Ceilings] | None = None,
        bounds: Bounds | None = None,
        model: str | None = "gpt-realtime",
        refuses_unknown: bool = False,
    ) -> None:
        rules = AccountRules(
            Ceilings(None, tokens_per_minute),
            asks=False,
            cap_usd=None if cap_usd is None else Decimal(cap_usd),
            models=models or {},
        )
        known = {"gpt-realtime": DOLLAR, "gpt-4o-transcribe": CENT}
        prices = PriceRules(known, refuses_unknown, is_shadow)
        self.accounting = Accounting(
            LimitRules({"acme": rules}, bounds, prices=prices, is_shadow=is_shadow)
        )
        self.accounting.wall_offset = NOON
        self.talk = Talk(model)
        self.exchange = self.called()

    def called(self, now: float = 0.0) -> Exchange:
        exchange = an_exchange(payer="acme", output_cap=0)
        assert self.accounting.reserve(exchange, now) is None
        self.accounting.mark_sent(exchange, now)
        exchange.was_sent = True
        return exchange

    def ask(self, now: float = 0.0, message: Any = CREATE) -> Any:
        """What the client is told; None: its message passes."""
        content = json.dumps(message).encode()
        told = self.accounting.talks.client_said(self.exchange, self.talk, content, now)
        return json.loads(told) if told else told

    def hear(self, message: Any, now: float = 0.0) -> None:
        content = json.dumps(message).encode()
        self.accounting.talks.gateway_said(self.exchange, self.talk, content, now)

    def end(self, now: float = 0.0) -> None:
        self.accounting.talks.end(self.exchange, self.talk, now)

    def waits(self, tokens: int, now: float) -> bool:
        """A call over HTTP; whether it stands in line. One that does not is over at once."""
        call = an_exchange(payer="acme", input_tokens=tokens, output_cap=0)
        assert self.accounting.reserve(call, now) is None
        self.go_on(now)
        if call.ticket is not None:
            return self.accounting._lines.waiting("acme") > 0
        self.accounting.mark_sent(call, now)
        call.was_sent = True
        self.accounting.settle(call, Usage(tokens, 0, tokens, "reported"), now)
        return False

    def go_on(self, now: float) -> int:
        """Have those go on who may; how many did."""
        ended = self.accounting.wake("acme", now).ended
        for each in ended:
            assert isinstance(each.answer, Reserved)
            self.accounting._allowances.settle(each.answer, each.ticket.tokens, now)
        return len(ended)

    def used(self, now: float = 0.0) -> int:
        (balance,) = self.accounting.balances(now)
        used: int = balance["tokens"]["used"]
        return used

    def spent(self, now: float = 0.0) -> float:
        (balance,) = self.accounting.balances(now)
        spent: float = balance["spend"]["used_usd"]
        return spent


def done(input_tokens: int, output_tokens: int, kind: str = "response.done", **more: Any) -> Any:
    usage = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }
    return {"type": kind, "response": {"usage": usage, **more}}


@pytest.mark.parametrize(
    "kind", ["response.done", "response.completed", "response.incomplete", "response.failed"]
)
def test_what_an_answer_used_is_charged_at_once_and_for_a_minute(kind: str) -> None:
    session = Session()
    assert session.ask() is None
    session.hear(done(600, 700, kind), 1.0)
    assert session.used(1.0) == 1_300
    assert session.spent(1.0) == 2.0
    assert session.used(61.2) == 1_300
    assert session.used(61.3) == 0


@pytest.mark.parametrize(("asked", "spent"), [("gpt-realtime:free", 0.0), ("gpt-realtime", 2.0)])
def test_by_the_price_of_another_model_than_was_asked_for_a_cost_is_an_estimate(
    asked: str, spent: float
) -> None:
    session = Session(None)
    session.ask(message=CREATE | {"response": {"model": asked}})
    session.hear(done(600, 700, model="gpt-realtime"), 1.0)
    assert session.spent(1.0) == 2.0
    assert session.accounting.ask("acme", ME, 2.0) == 0
    me = json.dumps({"id": "usr_1", "usage": {"spend_usd": 0}}).encode()
    assert session.accounting.take_me("acme", me, 3.0)
    assert session.spent(3.0) == spent
    assert session.ask(4.0, CREATE | {"response": {"model": "gpt-realtime"}}) is None
    session.hear(done(1, 0, model="gpt-realtime"), 4.0)
    session.end(5.0)
    assert session.exchange.is_cost_certain is (spent > 0)


def test_in_debt_no_further_answer_is_asked_for_until_there_is_room() -> None:
    session = Session()
    session.ask()
    session.hear(done(600, 700), 1.0)
    told = session.ask(2.0, CREATE | {"event_id": "e7"})
    assert told["type"] == "error"
    assert told["error"]["code"] == "rate_limit_exceeded"
    assert told["error"]["event_id"] == "e7"
    assert "used 1300" in told["error"]["message"]
    assert session.ask(61.3) is None


def test_a_call_over_http_waits_for_what_was_said_over_a_socket() -> None:
    session = Session()
    session.ask()
    session.hear(done(600, 700), 1.0)
    call = an_exchange(payer="acme", input_tokens=5)
    error = session.accounting.reserve(call, 2.0)
    assert error is not None
    assert error.code == "rate_limit_exceeded"
    assert session.accounting.reserve(call, 61.3) is None


def test_answers_that_are_open_hold_what_they_may_use() -> None:
    session = Session(130)
    assert session.ask() is None
    assert session.used() == HELD
    assert session.ask() is None
    assert session.ask()["error"]["code"] == "rate_limit_exceeded"
    session.hear(done(4, 6))
    assert session.used() == 10 + HELD
    assert session.ask() is None


LINE = Bounds(100, 300.0)


def answer_of(tokens: int) -> Any:
    return CREATE | {"response": {"max_output_tokens": tokens - (HELD - 50)}}


def wait_of(told: Any) -> float:
    return float(told["error"]["message"].split("try again in ")[1].rstrip("s."))


def test_answers_pass_one_that_waits_by_half_and_half_and_do_not_cost_it_its_turn() -> None:
    session = Session(bounds=LINE)
    for second in range(10):
        assert not session.waits(100, float(second))
    assert session.waits(300, 10.0)
    answers = 0
    for quarter in range(240, 280):
        now = quarter / 4
        if session.go_on(now):
            break
        if session.ask(now, answer_of(90)) is None:
            session.hear(done(9, 81), now)
            answers += 1
    assert answers == 1  # with twice as much free; less than half of what it asked for
    assert now == 63.25  # when four hundred had become free


def test_a_refused_answer_keeps_no_room_from_others_that_is_far_off_for_itself() -> None:
    session = Session(bounds=LINE)
    assert not session.waits(950, 0.0)
    assert wait_of(session.ask(5.0, answer_of(100))) == 55.25
    assert not session.waits(10, 5.1)


@pytest.mark.parametrize("does", ["leave", "come back"])
def test_what_is_kept_for_an_answer_is_free_once_its_session_is_over(does: str) -> None:
    session = Session(bounds=LINE)
    assert not session.waits(950, 0.0)
    assert wait_of(session.ask(57.0, answer_of(100))) == 3.25
    if does == "leave":
        session.end(57.1)
    assert session.waits(10, 57.2) == (does == "come back")


def test_nobody_waits_for_what_is_kept_where_nobody_may_wait() -> None:
    session = Session(bounds=Bounds(0, 300.0))
    assert not session.waits(950, 0.0)
    session.ask(57.0, answer_of(100))
    assert not session.waits(10, 57.2)


@pytest.mark.parametrize("is_heard", [False, True], ids=["silent", "with sound"])
def test_an_answer_that_was_refused_has_its_turn_though_others_wait_all_the_time(
    is_heard: bool,
) -> None:
    session, back = Session(bounds=LINE), 1.0
    told: Any = ()
    for _ in range(4):
        session.waits(500, 0.0)
    for quarter in range(4, 600):
        now = quarter / 4
        for _ in range(session.go_on(now)):
            assert session.waits(500, now)
        if told is not None and now >= back:
            told = session.ask(now, answer_of(700))
            back = now + wait_of(told) if told else now
        if is_heard:
            session.ask(now, SOUND)
    assert told is None


def test_what_an_answer_asked_for_is_kept_for_it_while_it_comes_when_it_is_told_to() -> None:
    session = Session(bounds=LINE)
    assert not session.waits(950, 0.0)
    told = session.ask(59.5, answer_of(100))
    assert wait_of(told) == 0.75
    assert session.waits(950, 60.25)
    assert session.ask(60.25, answer_of(100)) is None
    assert session.go_on(60.25) == 0
    session.hear(done(10, 40), 60.5)
    assert session.go_on(60.5) == 1


def test_nothing_is_kept_for_an_answer_that_is_not_asked_for_again() -> None:
    session = Session(bounds=LINE)
    assert not session.waits(950, 0.0)
    session.ask(59.5, answer_of(100))
    assert session.waits(950, 60.25)
    called = session.accounting.wake("acme", 60.5)
    assert called.ended == []
    assert called.next_at is not None
    assert called.next_at < 63.0
    assert session.go_on(called.next_at) == 1


def test_where_nobody_waits_no_answer_takes_the_room_that_is_kept_for_who_was_refused() -> None:
    session = Session()
    assert session.ask(0.0, answer_of(950)) is None
    session.hear(done(50, 900), 0.0)
    call = an_exchange(payer="acme", input_tokens=600, output_cap=0)
    assert session.accounting.reserve(call, 1.0) is not None
    told = session.ask(60.26, answer_of(500))
    assert "due now" in told["error"]["message"]
    assert session.accounting.reserve(call, 60.27) is None


def test_where_nobody_waits_sound_takes_no_room_that_is_kept_for_an_answer() -> None:
    session = Session()
    assert session.ask(0.0, answer_of(950)) is None
    session.hear(done(50, 900), 0.0)
    assert wait_of(session.ask(1.0, answer_of(600))) == 59.25
    for moment in (2.0, 30.0, 60.26):
        session.ask(moment, SOUND)
    call = an_exchange(payer="acme", input_tokens=600, output_cap=0)
    refusal = session.accounting.reserve(call, 60.26)
    assert refusal is not None
    assert "due now" in refusal.message
    assert session.ask(60.27, answer_of(600)) is None


def test_a_message_counts_as_no_request() -> None:
    session = Session()
    session.ask()
    session.hear(done(1, 1))
    (balance,) = session.accounting.balances(0.0)
    assert balance["requests"]["used"] == 1
    assert balance["concurrent"]["used"] == 1


def words_of(count: int) -> Any:
    return {"type": "response.create", "response": {"input": "many words " * count}}


def test_what_can_never_fit_is_told_so() -> None:
    session = Session(100)
    assert "can never fit" in session.ask(message=words_of(200))["error"]["message"]


def test_over_the_months_cap_no_answer_is_asked_for() -> None:
    session = Session(None, cap_usd="2.00")
    assert session.ask() is None
    session.hear(done(600, 650), 1.0)
    assert session.spent(1.0) == 1.9
    told = session.ask(2.0, {"type": "response.create", "response": {"max_output_tokens": 60}})
    assert told["error"]["code"] == "spend_limit_reached"
    assert session.ask(2.0, {"type": "session.update"}) is None


def test_in_shadow_mode_all_passes_and_is_counted() -> None:
    session = Session(100, cap_usd="0.10", is_shadow=True)
    for _ in range(3):
        assert session.ask() is None
        session.hear(done(100, 100))
    assert session.used() == 600
    assert session.spent() == pytest.approx(0.9)


def test_a_models_ceiling_holds_for_the_model_that_the_socket_names() -> None:
    session = Session(models={"gpt-realtime": Ceilings(None, 60)})
    assert session.ask() is None
    assert "Model 'gpt-realtime'" in session.ask()["error"]["message"]
    assert session.ask(message=CREATE | {"response": {"model": "other"}}) is None


def test_a_models_ceiling_holds_though_the_gateway_names_a_snapshot_of_it() -> None:
    session = Session(models={"gpt-realtime": Ceilings(None, 60)})
    named = {"type": "session.created", "session": {"model": "gpt-realtime-2025-08-28"}}
    session.hear(named)
    assert session.ask() is None
    session.hear(named | {"type": "session.updated"})
    assert "Model 'gpt-realtime'" in session.ask()["error"]["message"]
    (spoken,) = session.accounting.talks.spoken(0.0).values()
    assert spoken.model == "gpt-realtime"


def test_of_a_session_that_asks_for_no_model_the_gateways_ceiling_holds() -> None:
    session = Session(model=None, models={"gpt-realtime": Ceilings(None, 60)})
    session.hear({"type": "session.created", "session": {"model": "gpt-realtime"}})
    assert session.ask() is None
    assert "Model 'gpt-realtime'" in session.ask()["error"]["message"]


def test_an_answer_that_nobody_asked_for_is_held_from_its_beginning_and_charged() -> None:
    session = Session()
    session.hear(BEGUN)
    held = session.used()
    assert held >= 300  # what an answer is taken for before any is known
    session.hear(done(5, 5))
    assert session.used() == 10
    session.hear(done(5, 5))  # of a gateway that does not say when one begins
    assert session.used() == 20


def test_an_answer_that_begins_as_asked_is_held_once() -> None:
    session = Session()
    session.ask()
    session.hear(BEGUN)
    assert session.used() == HELD


def test_sound_passes_while_there_is_room_for_an_answer_and_is_warned_of_once() -> None:
    session = Session(400)
    sound = {"type": "input_audio_buffer.append", "audio": "AAAA"}
    assert session.ask(message=sound) is None
    assert session.used() == 0
    session.hear(done(300, 100))
    assert session.ask(message=sound)["error"]["code"] == "rate_limit_exceeded"
    assert session.ask(message=sound) == b""
    assert session.ask()["error"]["code"] == "rate_limit_exceeded"
    assert session.ask(61.0, sound) is None


@pytest.mark.parametrize(
    "refusal",
    [{"type": "error", "error": {"code": "no"}}, done(0, 0) | {"response": {"status": "failed"}}],
)
def test_an_answer_that_was_not_given_costs_nothing(refusal: Any) -> None:
    session = Session()
    session.ask()
    session.hear(refusal)
    session.end()
    assert session.used() == 0
    assert session.talk.usage is None
    assert session.exchange.cost_usd is None


@pytest.mark.parametrize("usage", [{"output_tokens": 70}, {"total_tokens": 70, "input_tokens": -1}])
def test_a_report_that_lacks_a_figure_is_charged_by_the_others(usage: Any) -> None:
    session = Session()
    session.ask()
    session.hear({"type": "response.done", "response": {"usage": usage}})
    assert session.used() == 70


def test_what_a_transcript_used_is_charged_and_ends_no_answer() -> None:
    session = Session()
    session.ask()
    kind = "conversation.item.input_audio_transcription.completed"
    session.hear({"type": kind, "usage": {"input_tokens": 7, "output_tokens": 3}})
    assert session.used() == HELD + 10


WRITES = {"audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}}
SOUND = {"type": "input_audio_buffer.append", "audio": "AAAA"}
TRANSCRIPT = {
    "type": "conversation.item.input_audio_transcription.completed",
    "usage": {"input_tokens": 1_000, "output_tokens": 1_000},
}


def test_a_transcript_in_a_conversation_has_the_price_of_the_model_that_writes_it() -> None:
    session = Session(None)
    session.hear({"type": "session.created", "session": WRITES | {"model": "gpt-realtime"}})
    session.hear(TRANSCRIPT)
    assert session.spent() == 0.03
    session.hear(done(1_000, 0))
    assert session.spent() == 1.03
    assert session.talk.main_model == "gpt-realtime"


def test_a_transcript_by_a_model_without_a_price_has_the_price_of_the_conversation() -> None:
    session = Session(None)
    session.hear({"type": "session.created", "session": {"model": "gpt-realtime"}})
    session.hear(
        {
            "type": "session.updated",
            "session": {"input_audio_transcription": {"model": "unpriced"}},
        }
    )
    session.hear(TRANSCRIPT)
    assert session.spent() == 3


@pytest.mark.parametrize("usage", [{"type": "duration", "seconds": 3}, None])
def test_a_transcript_that_reports_no_tokens_makes_the_cost_of_a_session_an_estimate(
    usage: Any,
) -> None:
    session = Session(None)
    session.ask()
    session.hear(done(1_000, 0))
    session.hear(TRANSCRIPT | {"usage": usage})
    session.end()
    assert session.exchange.cost_usd == 1
    assert not session.exchange.is_cost_certain


@pytest.mark.parametrize("teller", ["client", "gateway"])
def test_a_session_of_transcripts_alone_costs_and_is_held_to_the_cap(teller: str) -> None:
    session = Session(None, "0.05", model=None, refuses_unknown=True)
    assert session.ask(message=SOUND)["error"]["param"] == "model"
    if teller == "client":
        assert session.ask(message={"type": "session.update", "session": WRITES}) is None
    else:
        session.hear({"type": "session.created", "session": WRITES})
    assert session.ask(message=SOUND) is None
    session.hear(TRANSCRIPT)
    session.hear(TRANSCRIPT)
    assert session.spent() == 0.06
    assert session.ask(message=SOUND)["error"]["code"] == "spend_limit_reached"
    session.end()
    assert session.exchange.cost_usd == Decimal("0.06")
    assert session.talk.main_model == "gpt-4o-transcribe"


def test_transcripts_count_against_the_ceiling_of_the_model_that_writes_them() -> None:
    models = {"gpt-4o-transcribe": Ceilings(None, 1_500)}
    session = Session(None, model=None, models=models)
    session.hear({"type": "session.created", "session": WRITES})
    session.hear(TRANSCRIPT)
    assert session.ask(message=SOUND)["error"]["code"] == "rate_limit_exceeded"
    (spoken,) = session.accounting.talks.spoken(0.0).values()
    assert (spoken.model, spoken.tokens) == ("gpt-4o-transcribe", 2_000)


@pytest.mark.parametrize("bounds", [None, LINE])
def test_in_a_conversation_sound_is_held_to_the_ceiling_of_the_model_that_writes_it_down(
    bounds: Bounds | None,
) -> None:
    models = {"gpt-realtime": Ceilings(None, 9_000), "gpt-4o-transcribe": Ceilings(None, 1_500)}
    session = Session(None, models=models, bounds=bounds)
    session.hear({"type": "session.created", "session": WRITES | {"model": "gpt-realtime"}})
    assert session.ask(message=SOUND) is None
    session.hear(TRANSCRIPT)
    assert "Model 'gpt-4o-transcribe'" in session.ask(message=SOUND)["error"]["message"]
    assert session.ask() is None
    assert session.ask(61.3, SOUND) is None


def test_in_shadow_mode_sound_passes_the_ceiling_of_the_model_that_writes_it_down() -> None:
    models = {"gpt-4o-transcribe": Ceilings(None, 1_500)}
    session = Session(None, models=models, is_shadow=True)
    session.hear({"type": "session.created", "session": WRITES})
    session.hear(TRANSCRIPT)
    assert session.ask(message=SOUND) is None


def test_what_a_client_says_of_a_sessions_transcripts_is_not_believed_over_the_gateway() -> None:
    session = Session(None)
    session.hear({"type": "session.created", "session": WRITES})
    other = {"audio": {"input": {"transcription": {"model": "cheaper"}}}}
    assert session.ask(message={"type": "session.update", "session": other}) is None
    assert session.talk.transcription_model == "gpt-4o-transcribe"


def test_the_session_adds_up_and_its_record_has_the_sum() -> None:
    session = Session()
    for _ in range(2):
        session.ask()
        session.hear(done(10, 5, model="gpt-realtime"))
    session.end()
    assert session.talk.usage == (20, 10, 30, "reported")
    assert session.talk.told_model == "gpt-realtime"
    assert session.exchange.cost_usd == Decimal("0.04")
    assert session.used() == 30


def test_the_price_is_of_the_model_that_answered_else_of_the_one_that_was_asked() -> None:
    session = Session()
    session.talk.model = "unknown"
    session.hear(done(1_000, 0))
    assert session.spent() == 0
    session.hear(done(1_000, 0, model="gpt-realtime-2025-08-28"))
    assert session.spent() == 1


def test_who_leaves_in_the_middle_of_an_answer_pays_what_was_held_for_it() -> None:
    session = Session()
    session.ask()
    session.end()
    assert session.used() == HELD
    assert session.talk.usage == (3, None, HELD, "estimated")
    session.end()
    session.hear(done(1, 1))
    assert session.used() == HELD


def test_a_guess_makes_a_guess_of_the_sum() -> None:
    session = Session()
    session.ask()
    session.hear(done(10, 5))
    session.ask()
    session.end()
    assert session.talk.usage is not None
    assert session.talk.usage.source == "estimated"


def test_the_next_answer_is_expected_to_read_the_conversation_so_far() -> None:
    session = Session()
    session.ask()
    session.hear(done(100, 20))
    words = {"type": "input_text", "text": "word " * 40}
    item = {"type": "message", "role": "user", "content": [words]}
    session.ask(message={"type": "conversation.item.create", "item": item})
    before = session.used()
    session.ask()
    assert session.used() - before > 120 + 50 + 30


def test_of_answers_that_are_never_told_to_be_over_the_oldest_is_charged_and_none_refused() -> None:
    session = Session(None)
    assert [session.ask(1.0) for _ in range(1_010)] == [None] * 1_010
    assert len(session.talk.pending) == 1_000
    assert session.talk.usage == (10 * 3, None, 10 * HELD, "estimated")
    assert session.used(1.0) == 1_010 * HELD
    session.end(2.0)
    assert session.used(61.3) == 1_000 * HELD
    assert session.used(62.3) == 0


ERROR = {"type": "error", "error": {"code": "no"}}


def test_an_answer_that_broke_off_leaves_nothing_held() -> None:
    session = Session()
    session.ask()
    session.hear(BEGUN)
    session.hear(ERROR)
    assert session.used() == 0
    for _ in range(2):
        session.ask()
        session.hear(BEGUN)
        session.hear(done(1, 1))
    assert session.used() == 4


def test_an_error_of_a_realtime_session_frees_what_was_asked_for_and_has_not_begun() -> None:
    session = Session()
    session.ask()
    session.hear(BEGUN)
    session.ask(message=CREATE | {"response": {"max_output_tokens": 70}})
    error = ERROR | {"event_id": "event_1"}
    session.hear(error)
    assert session.used() == HELD
    session.hear(error)  # about some other message
    assert session.used() == HELD
    session.hear(done(1, 1))
    assert session.used() == 2


def test_an_answer_that_is_told_twice_to_be_over_is_charged_once() -> None:
    session = Session()
    session.ask()
    session.hear({"type": "response.created", "response": {"id": "r1"}})
    for kind in ("response.completed", "response.done", "response.done"):
        session.hear(done(10, 5, kind, id="r1"))
    assert session.used() == 15
    session.ask()  # of a gateway that has one id for all its answers
    session.hear(done(10, 5, id="r1"))
    assert session.used() == 30


LAB = LimitRules(
    {"lab": AccountRules(Ceilings(1, 1), asks=False)}, prices=PriceRules({"gpt-realtime": DOLLAR})
)


def test_of_an_account_that_is_taken_out_what_is_open_keeps_its_ceilings_and_its_cap() -> None:
    session = Session(60, models={"mini": Ceilings(None, 20)})
    session.ask()
    session.hear(done(2, 20))
    for now in (1.0, 2.0):  # a second change takes nothing out
        session.accounting.take_rules(LAB, now)
        session.accounting.tick(now)
    told = session.ask(3.0)["error"]["message"]
    assert "Account 'acme' is at its limit of tokens per minute: limit 60, used 22" in told
    mini = CREATE | {"response": {"model": "mini", "max_output_tokens": 10}}
    assert session.ask(4.0, mini) is None
    assert "Model 'mini'" in session.ask(4.0, mini)["error"]["message"]

    session = Session(None, cap_usd="0.05")
    session.accounting.take_rules(LAB, 1.0)
    assert session.ask(1.0)["error"]["code"] == "spend_limit_reached"


def test_an_account_that_is_taken_out_and_comes_back_has_its_new_ceilings() -> None:
    session = Session(60)
    session.accounting.take_rules(LAB, 1.0)
    back = AccountRules(Ceilings(None, 50), asks=False)
    session.accounting.take_rules(LimitRules({"acme": back}), 2.0)
    assert "can never fit" in session.ask(2.0, words_of(60))["error"]["message"]
    assert session.accounting.payers.ceilings("acme").tokens_per_minute == 50


def test_an_account_that_is_taken_out_is_forgotten_once_nothing_of_it_counts() -> None:
    session = Session(60)
    session.accounting.take_rules(LAB, 1.0)
    session.accounting.tick(1_000.0)
    assert session.accounting.payers.ceilings("acme").tokens_per_minute == 60
    session.end(1_000.0)
    session.accounting.settle(session.exchange, None, 1_000.0)
    session.accounting.tick(1_061.0)
    assert session.accounting.payers.ceilings("acme") == Ceilings()


def test_a_call_that_nobody_pays_for_passes() -> None:
    session = Session(10)
    session.exchange.payer = None
    assert session.ask() is None
    session.hear(done(5, 5))
    assert session.talk.usage is None
