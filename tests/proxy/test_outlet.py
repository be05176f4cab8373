"""Lines for an output that may take nothing: who says them goes on, and what becomes of them."""

import errno
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foxora_addon.proxy import outlet as module
from foxora_addon.proxy.outlet import MOST_CHARACTERS, MOST_LINES, Outlet, Promptly, has_room

SECONDS = 30.0


class Raw(io.RawIOBase):
    """The bytes of an output; `write` stands still until it is told to go on."""

    def __init__(self, *errors: Exception | None) -> None:
        super().__init__()
        self.errors = list(errors)
        self.pieces: list[bytes] = []
        self.is_asked = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        assert isinstance(data, bytes)
        self.is_asked.set()
        assert self.may_go_on.wait(SECONDS)
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        self.pieces.append(data)
        return len(data)

    @property
    def lines(self) -> list[str]:
        return b"".join(self.pieces).decode().splitlines()


def an_outlet(raw: Raw) -> Outlet:
    return Outlet(io.TextIOWrapper(io.BufferedWriter(raw), "utf-8"))


def standing(raw: Raw) -> Outlet:
    """An outlet whose output has been asked to take the line `first`, and does not."""
    raw.may_go_on.clear()
    outlet = an_outlet(raw)
    outlet.say("first")
    assert raw.is_asked.wait(SECONDS)
    return outlet


def ended(outlet: Outlet, raw: Raw) -> list[str]:
    """What was written of all that was said."""
    raw.may_go_on.set()
    assert outlet.drain(SECONDS)
    return raw.lines


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_without_a_line_nothing_is_started() -> None:
    before = threading.active_count()
    outlet = an_outlet(Raw())
    assert threading.active_count() == before
    assert outlet.drain(SECONDS)


def test_while_an_output_stands_still_lines_wait_and_then_come_in_their_order() -> None:
    outlet = standing(raw := Raw())
    said = [f"line {number}" for number in range(500)]
    for line in said:
        outlet.say(line)
    assert not raw.pieces
    assert ended(outlet, raw) == ["first", *said]


def test_beyond_a_number_the_oldest_are_left_out_and_one_line_says_how_many() -> None:
    outlet = standing(raw := Raw())
    for number in range(MOST_LINES + 1_234):
        outlet.say(f"{number}")
    first, notice, *rest = ended(outlet, raw)
    assert first == "first"
    assert notice == "foxora: 1,234 lines are left out here, for this output took none"
    assert rest == [f"{number}" for number in range(1_234, MOST_LINES + 1_234)]


def test_beyond_a_size_the_oldest_are_left_out_too() -> None:
    outlet = standing(raw := Raw())
    for number in range(8):
        outlet.say(f"{number}" * (MOST_CHARACTERS // 4))
    _, notice, *rest = ended(outlet, raw)
    assert "4 lines are left out" in notice
    assert [line[0] for line in rest] == ["4", "5", "6", "7"]


def test_of_what_is_left_out_each_line_counts() -> None:
    outlet = standing(raw := Raw())
    outlet.write("an error\nand where\nit was\n")
    outlet.say("x" * MOST_CHARACTERS)
    assert "3 lines are left out" in ended(outlet, raw)[1]


def test_a_line_above_the_bound_is_not_left_out_by_itself() -> None:
    outlet = an_outlet(raw := Raw())
    outlet.say("x" * (MOST_CHARACTERS + 1))
    assert ended(outlet, raw) == ["x" * (MOST_CHARACTERS + 1)]


def test_after_lines_were_left_out_as_many_fit_as_before() -> None:
    outlet = standing(raw := Raw())
    for _ in range(MOST_LINES + 1):
        outlet.say("x" * 50)
    assert "1 line is left out" in ended(outlet, raw)[1]
    assert (outlet._came - outlet._left, len(outlet._waiting)) == (0, 0)
    raw.is_asked.clear()
    outlet.say("it goes on")
    assert ended(outlet, raw)[-1] == "it goes on"


def test_the_end_does_not_wait_for_an_output_that_takes_nothing() -> None:
    outlet = standing(raw := Raw())
    assert not outlet.drain(0.01)
    outlet.say("last")
    assert ended(outlet, raw) == ["first", "last"]


def test_lines_of_one_moment_leave_together() -> None:
    outlet = an_outlet(raw := Raw())
    for number in range(20):
        outlet.say(f"{number}")
    assert ended(outlet, raw) == [f"{number}" for number in range(20)]
    assert len(raw.pieces) < 20


def test_each_piece_has_whole_lines_and_no_more_than_a_pipe_takes_at_once() -> None:
    outlet = standing(raw := Raw())
    for number in range(1_000):
        outlet.say(f"{number} " + "x" * (number % 300))
    ended(outlet, raw)
    assert {piece[-1:] for piece in raw.pieces} == {b"\n"}
    assert max(map(len, raw.pieces)) <= 4_096
    assert len(raw.pieces) < 60


def test_parts_of_a_line_leave_as_one() -> None:
    outlet = an_outlet(raw := Raw())
    print("what mitmproxy", "prints", file=outlet)
    outlet.write("in two ")
    outlet.say("ours")
    outlet.write("parts\n")
    print(file=outlet, flush=True)
    assert ended(outlet, raw) == ["what mitmproxy prints", "ours", "in two parts", ""]


def test_a_line_of_a_log_is_written_when_its_writer_goes_on() -> None:
    outlet = an_outlet(raw := Raw())
    for number in range(50):
        outlet.say("a call")
        print(f"{number}", file=Promptly(outlet))
        assert outlet._is_late or raw.lines[-1] == f"{number}"
    assert ended(outlet, raw)[-1] == "49"
    assert len(raw.pieces) > 1


def test_a_log_waits_for_an_output_that_stands_still_but_once() -> None:
    outlet = standing(raw := Raw())
    print("second", file=Promptly(outlet))
    assert outlet._is_late
    outlet._settled.wait = lambda _=None: pytest.fail("it waits again")  # type: ignore[method-assign,assignment]
    print("third", file=Promptly(outlet))
    raw.may_go_on.set()
    wait_until(lambda: not outlet._is_late)
    assert ended(outlet, raw) == ["first", "second", "third"]


def test_an_output_that_is_full_is_tried_again_and_told_what_it_missed() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    outlet = standing(raw := Raw(full, full))
    raw.may_go_on.set()
    wait_until(lambda: len(raw.errors) == 1)
    outlet.say("second")
    wait_until(lambda: not raw.errors)
    outlet.say("third")
    assert ended(outlet, raw) == [
        "foxora: 2 lines are left out here, for this output took none",
        "third",
    ]


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_an_output_that_nobody_reads_any_more_gets_no_further_line(error: Exception) -> None:
    outlet = an_outlet(raw := Raw(error))
    outlet.say("first")
    wait_until(lambda: outlet.is_gone and outlet._thread is None)
    outlet.say("second")
    assert not outlet._waiting
    assert ended(outlet, raw) == []


def test_an_output_that_is_closed_is_gone_from_the_start() -> None:
    out = io.StringIO()
    out.close()
    outlet = Outlet(out)
    assert outlet.is_gone
    outlet.say("line")
    assert outlet.drain(SECONDS)


def test_what_is_no_file_gets_its_lines_too() -> None:
    outlet = Outlet(out := io.StringIO())
    outlet.say("ça va")
    assert outlet.drain(SECONDS)
    assert out.getvalue() == "ça va\n"


def test_lines_of_several_threads_are_all_there_each_ones_in_order() -> None:
    outlet = an_outlet(raw := Raw())

    def say_many(name: str) -> None:
        for number in range(1_000):
            outlet.say(f"{name} {number}")

    threads = [threading.Thread(target=say_many, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = ended(outlet, raw)
    assert len(lines) == 4_000
    for name in "abcd":
        own = [line for line in lines if line.startswith(name)]
        assert own == [f"{name} {number}" for number in range(1_000)]


def test_where_no_thread_can_be_started_any_more_the_end_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(module.threading.Thread, "start", start)  # type: ignore[attr-defined]
    outlet = an_outlet(raw := Raw())
    outlet.say("first")
    outlet.say("second")
    assert ended(outlet, raw) == ["first", "second"]


class Pipe:
    """A real one, whose reader comes late."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.reader, self.out = os.fdopen(reading, "rb"), os.fdopen(writing, "w")

    def close(self) -> None:
        self.out.close()
        self.reader.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def filled(pipe: Pipe) -> tuple[Outlet, list[str]]:
    """An outlet that has more to say than the pipe takes, and what it says."""
    outlet = Outlet(pipe.out)
    said = [f"{number} " + "x" * 150 for number in range(2_000)]
    for line in said:
        outlet.say(line)
    wait_until(lambda: not has_room(pipe.out))
    return outlet, said


def test_a_pipe_that_is_read_late_has_every_line_and_stays_as_it_was(pipe: Pipe) -> None:
    outlet, said = filled(pipe)
    assert not outlet.drain(0.01)
    assert os.get_blocking(pipe.out.fileno())
    lines = [pipe.reader.readline().decode().rstrip() for _ in said]
    assert lines == said
    assert outlet.drain(SECONDS)


def test_a_pipe_that_others_have_made_one_that_does_not_wait_has_every_line(pipe: Pipe) -> None:
    os.set_blocking(pipe.out.fileno(), False)
    outlet, said = filled(pipe)
    assert [pipe.reader.readline().decode().rstrip() for _ in said] == said
    assert outlet.drain(SECONDS)


def test_what_is_let_go_takes_all_and_holds_whole_lines_alone(pipe: Pipe) -> None:
    outlet, said = filled(pipe)
    assert not outlet.drain(0.01)
    outlet.let_go()
    pipe.out.write("x" * 1_000_000)
    pipe.out.flush()
    lines = pipe.reader.read().decode().splitlines()
    assert lines == said[: len(lines)]
    assert outlet.drain(SECONDS)


def test_what_has_no_descriptor_has_room_and_can_be_let_go() -> None:
    assert has_room(io.StringIO())
    Outlet(io.StringIO()).let_go()


FORKING = """
import os, sys
from foxora_addon.proxy.outlet import Outlet
outlet = Outlet(sys.stdout)
outlet.say("before")
assert outlet.drain(30)
outlet.say("parent's")
while outlet._waiting:
    pass
with outlet._lock:  # or the thread may have it just now
    child = os.fork()
if child == 0:
    outlet.say("child's")
    os._exit(0 if outlet.drain(30) else 1)
assert os.waitpid(child, 0)[1] == 0
outlet.say("after")
assert outlet.drain(30)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_its_own_thread() -> None:
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=SECONDS * 2,
        check=True,
    )
    assert said.stdout.splitlines() == ["before", "parent's", "child's", "after"]
