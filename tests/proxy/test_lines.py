"""The line of an exchange: what stands in it, for whom it is coloured, and what may not be."""

import asyncio
import errno
import io
import time
from typing import Any

import pytest
from mitmproxy.test import taddons

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
    """mitmdump's dumper, as far as it is looked at."""

    filter = None

    def match(self, _: object) -> bool:
        return True


class CountingPipe(io.StringIO):
    """Counts what would be system calls."""

    flushes = 0

    def flush(self) -> None:
        self.flushes += 1


class FullPipe(io.StringIO):
    """Has no room for the first line."""

    error: Exception | None = OSError(errno.ENOSPC, "No space left on device")

    def write(self, text: str) -> int:
        error, self.error = self.error, None
        if error is not None:
            raise error
        return super().write(text)


def ids_printed(out: Any, *exchanges: str) -> list[str]:
    """The ids of the exchanges whose lines were printed, each by itself."""
    lines = Lines(out, lambda: NOON)
    with taddons.context() as context:
        context.options.add_option("flow_detail", int, 1, "as mitmdump has it")
        lines.take_over(FakeDumper(), None)
        for exchange in exchanges:
            lines.ended(an_ending(exchange=exchange), None)  # there is no loop: at once
    return [] if out.closed else [line.split()[-1] for line in out.getvalue().splitlines()]


def test_an_output_that_is_full_is_tried_again_with_the_next_line() -> None:
    assert ids_printed(FullPipe(), "ex_1", "ex_2", "ex_3") == ["ex_2", "ex_3"]


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_an_output_that_nobody_reads_any_more_gets_no_further_line(error: Exception) -> None:
    pipe = FullPipe()
    pipe.error = error
    assert ids_printed(pipe, "ex_1", "ex_2") == []


def test_what_the_outputs_encoding_cannot_say_costs_no_other_line() -> None:
    raw = io.BytesIO()
    lines = Lines(io.TextIOWrapper(raw, "ascii"), lambda: NOON)
    with taddons.context() as context:
        context.options.add_option("flow_detail", int, 1, "as mitmdump has it")
        lines.take_over(FakeDumper(), None)

        async def several() -> None:
            for model in ("one", "módèl", "three"):
                lines.ended(an_ending(model=model), None)
            lines.flush()

        asyncio.run(several())
    assert [line.split()[2] for line in raw.getvalue().decode().splitlines()] == [
        "one",
        "m?d?l",
        "three",
    ]


def test_at_a_pipe_lines_of_one_moment_leave_together_and_in_order() -> None:
    pipe = CountingPipe()
    lines = Lines(pipe, lambda: NOON)

    async def several() -> None:
        for number in range(5):
            lines.ended(an_ending(exchange=f"ex_{number}"), None)
        assert not pipe.getvalue()
        for _ in range(200):
            if pipe.getvalue():
                return
            await asyncio.sleep(0.01)

    with taddons.context() as context:
        context.options.add_option("flow_detail", int, 1, "as mitmdump has it")
        lines.take_over(FakeDumper(), None)
        asyncio.run(several())
        assert pipe.flushes == 1
        ids = [line.split()[-1] for line in pipe.getvalue().splitlines()]
        assert ids == [f"ex_{number}" for number in range(5)]
        lines.ended(an_ending(exchange="ex_last"), None)  # there is no loop any more
    assert pipe.getvalue().split()[-1] == "ex_last"
