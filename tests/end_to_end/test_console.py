"""What mitmproxy's console shows of exchanges, in a terminal as a person has it."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.calls import make_calls
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
    console.command("view.filter.set ''", r"\[\d+/10\]")


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
