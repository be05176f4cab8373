from typing import Any

from foxora_addon.reading.difference import difference_of, lines_of_step
from tests.reading.builders import a_request, a_response, recorded


def a_call(*texts: str, answer: str = "Good day.", **more: Any) -> Any:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    body = {"choices": [{"message": {"role": "assistant", "content": answer}}]}
    return recorded(a_request(body={"messages": messages} | more), a_response(body=body))


def test_a_call_does_not_differ_from_itself() -> None:
    difference = difference_of(a_call("a"), a_call("a"))
    assert difference.is_nothing
    assert difference.fields == []


def test_a_conversation_that_grew_shows_its_new_turns_alone() -> None:
    difference = difference_of(a_call("a", "b"), a_call("a", "b", "c"))
    assert [step.change for step in difference.steps] == ["same", "added"]
    lines = [line for step in difference.steps for line in lines_of_step(step)]
    assert lines == [(" ", "2 turns the same"), ("+", "user"), ("+", "  c")]


def test_a_changed_turn_shows_the_lines_that_changed() -> None:
    difference = difference_of(a_call("one\ntwo"), a_call("one\n2"))
    (step,) = difference.steps
    assert list(lines_of_step(step)) == [
        (" ", "user"),
        (" ", "  one"),
        ("-", "  two"),
        ("+", "  2"),
    ]


def test_a_turn_that_is_gone_is_told() -> None:
    difference = difference_of(a_call("a", "b"), a_call("a"))
    assert [step.change for step in difference.steps] == ["same", "removed"]


def test_parameters_tools_and_figures_are_compared() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    before = a_call("a", temperature=0.2)
    after = a_call("a", temperature=1, tools=[tool], seed=None)
    fields = {name: (old, new) for name, old, new in difference_of(before, after).fields}
    assert fields["temperature"] == ("0.2", "1")
    assert fields["seed"] == ("-", "null")
    assert "f" in fields["tools"][1]


def test_another_answer_is_a_difference() -> None:
    difference = difference_of(a_call("a"), a_call("a", answer="Bye."))
    assert not difference.is_nothing
    assert [step.change for step in difference.answers] == ["changed"]


def test_a_stored_prompt_is_compared() -> None:
    before, after = (
        recorded(a_request(body={"input": "Well?", "prompt": {"id": f"pmpt_{name}"}}))
        for name in ("hire", "fire")
    )
    fields = {name: (old, new) for name, old, new in difference_of(before, after).fields}
    assert fields["prompt"] == ('{"id": "pmpt_hire"}', '{"id": "pmpt_fire"}')
