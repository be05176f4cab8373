"""What mitmproxy's console shows of exchanges, in a terminal as a person has it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.end_to_end.calls import app_of, make_calls
from tests.end_to_end.console import Console, has_tmux, running_console
from tests.end_to_end.test_leaks import FOXORA_KEY, found_in

pytestmark = [
    pytest.mark.real_server,
    pytest.mark.skipif(not has_tmux(), reason="there is no tmux here"),
]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("console")
    with running_console(folder, environment={"FOXORA_API_KEY": FOXORA_KEY}) as running:
        make_calls(running.proxy)
        running.wait_for(r"\[1/10\]")
        yield running


def test_refusals_and_failures_are_marked_in_the_list(console: Console) -> None:
    lines = console.wait_for("404.*✖").split("\n")
    assert [line for line in lines if "⚠" in line and " 400 " in line]


def test_the_comments_stand_in_the_list(console: Console) -> None:
    lines = console.wait_for(r"✖ +model_not_found \(gateway_error\)").split("\n")
    assert [line for line in lines if " 200 " in line and " tok · gpt-4o-mini" in line]


def test_an_open_call_stands_in_line_with_the_others_and_is_read(console: Console) -> None:
    slow = {"x-mock-fault": "mute-after=9"}
    asked = [{"role": "user", "content": "Still open?"}]
    call = {"model": "gpt-4o-mini", "messages": asked, "stream": True}
    with (
        app_of(console.proxy) as app,
        app.stream("POST", "/chat/completions", json=call, headers=slow) as said,
    ):
        pieces = said.iter_bytes()  # kept, since its end would close the connection
        next(pieces)
        lines = console.wait_for(r"\[1/11\]").split("\n")
        rows = [line for line in lines if " 200 " in line]
        assert [line for line in rows if " tok · " in line] != rows
        assert len({line.index(" 200 ") for line in rows}) == 1
        console.command("view.filter.set '~bq Still.open'", r"\[1/1\]")
        console.press("Enter", "Tab")
        console.wait_for("open: the answer is still coming")
        console.wait_for("You asked: ")
    console.wait_for("client_disconnected, status 200")
    console.press("Tab", "Tab", "q")  # the next flow is shown by the same tab
    console.wait_for(r"^Flows")
    console.command("view.filter.set ''", r"\[\d+/1\d\]")


def test_an_answer_that_is_waited_for_comes_with_its_figures(console: Console) -> None:
    asked = [{"role": "user", "content": "Who is awaited?"}]
    call = {"model": "gpt-4o-mini", "messages": asked}
    console.command("view.filter.set '~bq awaited'", r"\[0/0\]")
    with app_of(console.proxy, **{"x-mock-fault": "delay=3"}) as app, ThreadPoolExecutor() as pool:
        answer = pool.submit(app.post, "/chat/completions", json=call)
        console.wait_for(r"\[1/1\]")
        console.press("Enter", "Tab")
        console.wait_for("No response")
        assert answer.result().is_success
    console.wait_for("ended by +stop")
    console.press("Tab", "Tab", "q")
    console.wait_for(r"^Flows")
    console.command("view.filter.set ''", r"\[\d+/1\d\]")


def test_a_stream_is_read_as_a_conversation(console: Console) -> None:
    console.command("view.filter.set '~bq stream.*the.sea'", r"\[1/1\]")
    console.press("Enter")
    request = console.wait_for("What is the sea like")
    assert "Foxora" in request
    console.press("Tab")
    answer = console.wait_for("folded into one message")
    assert "assistant" in answer
    assert "ended by" in answer
    console.press("Tab")
    details = console.wait_for(r"Comment: \$0\.\d+ \d+\+\d+ tok · ")
    assert found_in((request + answer + details).encode()) == []
    console.press("q")
    console.wait_for(r"^Flows")
    console.command("view.filter.set ''", r"\[\d+/1\d\]")


def test_commands_are_completed_and_answer(console: Console) -> None:
    console.press(":")
    console.wait_for(r"\n:\s*\Z")
    console.press("-l", "foxora.a")
    console.press("Tab")
    console.wait_for("foxora.account")
    console.press("-l", " ")
    console.press("Tab")
    console.wait_for("foxora.account default")
    console.press("Enter")
    console.wait_for("requests a minute: ")
    console.press("q")
    console.wait_for(r"^Flows")
    assert "forwarded" in console.command("foxora.why @focus", "decision: ")
