"""The line of an exchange: what stands in it, for whom it is coloured, and what may not be."""

import contextlib
import io
import logging
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from mitmproxy.addons.dumper import Dumper
from mitmproxy.addons.termlog import TermLogHandler
from mitmproxy.test import taddons
from rich.cells import cell_len

from foxora_addon.proxy.lines import Lines, is_coloured, line_of
from tests.test_tally import an_ending

NOON = time.mktime((2026, 11, 25, 12, 3, 44, 0, 0, -1))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def words_of(line: str) -> str:
    return " ".join(line.split())


def test_a_line_has_time_account_model_status_outcome_tokens_times_and_the_ids_head() -> None:
    assert words_of(line_of(an_ending(), NOON)) == (
        "12:03:44 acme gpt-4o-mini 200 completed 5+26 tokens first 12 ms 34 ms ex_01234567"
    )


def test_a_refusal_says_its_code() -> None:
    ending = an_ending(
        status=429,
        outcome="refused",
        error_code="rate_limit_exceeded",
        total_tokens=None,
        first_byte_ms=None,
    )
    words = words_of(line_of(ending, NOON))
    assert "429 refused rate_limit_exceeded - tokens first - 34 ms" in words


def test_a_code_that_says_the_same_as_the_outcome_is_not_said_twice() -> None:
    code = "gateway_unreachable"
    line = line_of(an_ending(status=502, outcome=code, error_code=code), NOON)
    assert line.count(code) == 1


def test_without_a_model_the_operation_is_named_and_without_a_status_there_is_a_dash() -> None:
    ending = an_ending(model=None, operation="models", status=None, outcome="aborted", account=None)
    assert "12:03:44 - models --- aborted" in words_of(line_of(ending, NOON))


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(0.4, "0 ms"), (999.4, "999 ms"), (1_240, "1.24 s"), (61_000, "61 s")],
)
def test_a_duration_is_in_the_unit_that_fits(milliseconds: float, shown: str) -> None:
    assert f" {shown}  ex_" in line_of(an_ending(duration_ms=milliseconds), NOON)


def test_foreign_text_can_neither_steer_a_terminal_nor_fill_it() -> None:
    line = line_of(an_ending(model="\x1b[2J\n\u202e" + "m" * 500), NOON)
    assert line.isprintable()
    assert len(line) < 200


LONG = an_ending(account="a-company-with-a-long-name", model="gpt-4o-mini-2024-07-18-for-this-one")
REFUSED = an_ending(status=429, outcome="refused", error_code="rate_limit_exceeded")


@pytest.mark.parametrize("room", [50, 80, 100, 114, 120, 150, 200])
def test_in_a_terminal_the_lines_fit_and_the_columns_stay_under_each_other(room: int) -> None:
    lines = [line_of(each, NOON, room=room) for each in (an_ending(), LONG, REFUSED)]
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= room
    assert {line.index("200 completed") for line in lines[:2]} == {lines[2].index("429 refused")}


def test_in_a_terminal_what_is_clipped_ends_with_an_ellipsis() -> None:
    assert "  a-compa…  gpt-4o-mini-202…  200" in line_of(LONG, NOON, room=99)
    assert "rate_limit_exceeded" in line_of(REFUSED, NOON, room=130)


@pytest.mark.parametrize("room", [50, 80, 114])
def test_a_line_fits_a_terminal_whose_letters_take_two_columns(room: int) -> None:
    line = line_of(an_ending(model="模型" * 15), NOON, room=room)
    assert cell_len(line) == len(line_of(LONG, NOON, room=room))


def test_colours_alone_clip_nothing() -> None:
    assert "模型" * 15 in line_of(an_ending(model="模型" * 15), NOON, is_coloured=True)


def test_in_a_pipe_nothing_is_clipped() -> None:
    line = line_of(LONG, NOON)
    assert "…" not in line
    assert f"{LONG.account}  {LONG.model}" in line


def test_colours_are_there_only_when_asked_for() -> None:
    assert "\x1b[32m" in line_of(an_ending(), NOON, is_coloured=True)
    assert "\x1b[31m" in line_of(an_ending(outcome="timeout"), NOON, is_coloured=True)
    assert "\x1b" not in line_of(an_ending(), NOON)


def test_colours_are_for_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert is_coloured(Terminal())
    assert not is_coloured(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_coloured(Terminal())


class FakeDumper:
    """mitmdump's dumper, as far as it is looked at; `outfp` is where it prints."""

    filter = None

    def __init__(self, outfp: Any = None) -> None:
        self.outfp = outfp

    def match(self, _: object) -> bool:
        return True


class FakeLog:
    """mitmdump's log."""

    def __init__(self, file: Any) -> None:
        self.logger = TermLogHandler(file)
        self.is_there = True

    def uninstall(self) -> None:
        self.is_there = False

    def say(self, text: str) -> None:
        self.logger.emit(logging.makeLogRecord({"msg": text}))


class ClosedPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@contextlib.contextmanager
def printing(
    out: Any, dumper: Any = None, log: Any = None, flow_detail: int = 1
) -> Iterator[Lines]:
    """Lines that have taken mitmdump's place; in the end they are all printed."""
    lines = Lines(out, lambda: NOON)
    with taddons.context() as context:
        context.options.add_option("flow_detail", int, 1, "as mitmdump has it")
        context.options.flow_detail = flow_detail
        lines.take_over(dumper or FakeDumper(), log)
        yield lines
        lines.flush()


def ends(lines: Lines, *exchanges: str) -> None:
    for exchange in exchanges:
        lines.ended(an_ending(exchange=exchange), None)


def last_words(out: io.StringIO) -> list[str]:
    return [line.split()[-1] for line in out.getvalue().splitlines()]


def test_each_exchange_is_a_line_in_the_order_of_their_ends() -> None:
    out = io.StringIO()
    with printing(out) as lines:
        ends(lines, "ex_1", "ex_2", "ex_3")
    assert last_words(out) == ["ex_1", "ex_2", "ex_3"]


def test_in_a_terminal_there_are_colours_and_the_lines_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with printing(out) as lines:
        ends(lines, "ex_1")
    assert "\x1b[32m" in out.getvalue()


def test_for_an_output_that_nobody_reads_any_more_no_line_is_made() -> None:
    with printing(ClosedPipe()) as lines:
        ends(lines, "ex_1")
        lines.flush()
        broken = an_ending(duration_ms=cast("Any", "no number"))
        lines.ended(broken, None)


def test_mitmdumps_own_lines_and_its_log_stand_in_the_same_order() -> None:
    out = io.StringIO()
    dumper, log = FakeDumper(out), FakeLog(out)
    print("before", file=out)
    with printing(out, dumper, log) as lines:
        log.say("banner")
        ends(lines, "ex_1")
        print("GET http://other.example", file=dumper.outfp)
        ends(lines, "ex_2")
        log.say("a warning")
    assert last_words(out) == [
        "before",
        "banner",
        "ex_1",
        "http://other.example",
        "ex_2",
        "warning",
    ]


def test_when_mitmdump_is_done_with_its_log_all_is_printed() -> None:
    out = io.StringIO()
    with printing(out, log=(log := FakeLog(out))) as lines:
        ends(lines, "ex_1")
        log.uninstall()
        assert not log.is_there
        assert last_words(out) == ["ex_1"]
        ends(lines, "ex_2")  # a call that the end of the program has cut off
    assert last_words(out) == ["ex_1", "ex_2"]


def test_an_output_that_is_another_than_ours_is_left_to_mitmdump() -> None:
    out, other = io.StringIO(), io.StringIO()
    dumper, log = FakeDumper(other), FakeLog(other)
    with printing(out, dumper, log):
        assert dumper.outfp is other
        assert log.logger.file is other


def test_who_wants_mitmdumps_own_output_has_it_as_it_is() -> None:
    out = io.StringIO()
    dumper, log = FakeDumper(out), FakeLog(out)
    with printing(out, dumper, log, flow_detail=2) as lines:
        ends(lines, "ex_1")
        assert dumper.outfp is out
        assert log.logger.file is out
    assert not out.getvalue()


def test_who_has_set_nothing_has_our_lines() -> None:
    out = io.StringIO()
    lines = Lines(out, lambda: NOON)
    with taddons.context(Dumper()):
        lines.take_over(FakeDumper(), None)
        ends(lines, "ex_1")
        lines.flush()
    assert last_words(out) == ["ex_1"]


def test_lines_go_to_what_is_standard_output_by_then(capsys: pytest.CaptureFixture[str]) -> None:
    with printing(None) as lines, contextlib.redirect_stdout(io.StringIO()) as other:
        ends(lines, "ex_1")
        lines.flush()
    assert last_words(other) == ["ex_1"]
    with printing(None) as lines:
        ends(lines, "ex_2")
    assert capsys.readouterr().out.split()[-1] == "ex_2"


def test_what_the_outputs_encoding_cannot_say_costs_no_other_line() -> None:
    raw = io.BytesIO()
    with printing(io.TextIOWrapper(raw, "ascii")) as lines:
        for model in ("one", "módèl", "three"):
            lines.ended(an_ending(model=model), None)
    assert [line.split()[2] for line in raw.getvalue().decode().splitlines()] == [
        "one",
        "m?d?l",
        "three",
    ]
