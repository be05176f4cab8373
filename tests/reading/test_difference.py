from typing import Any

import pytest

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


def a_schema(limit: int) -> dict[str, Any]:
    return {"type": "object", "properties": {"amount": {"description": "d" * 80, "maximum": limit}}}


def fields_of(before: Any, after: Any) -> dict[str, tuple[str, str]]:
    return {name: (old, new) for name, old, new in difference_of(before, after).fields}


def test_a_parameter_that_differs_beyond_what_is_shown_is_told_where_it_does() -> None:
    before, after = (
        a_call(
            "a",
            tools=[
                {"type": "function", "function": {"name": "pay", "parameters": a_schema(limit)}}
            ],
            response_format={"type": "json_schema", "json_schema": a_schema(limit)},
        )
        for limit in (10, 10_000_000)
    )
    fields = fields_of(before, after)
    for name in ("tools", "response_format"):
        old, new = fields[name]
        assert ('"maximum": 10}' in old, '"maximum": 10000000}' in new) == (True, True)
        assert max(len(old), len(new)) <= 62


@pytest.mark.parametrize(
    ("old", "new"), [(1, True), (0, 0.0), ("a" * 99, "a" * 98), ("a  " * 30, "a " * 30)]
)
def test_values_differ_that_json_writes_otherwise(old: Any, new: Any) -> None:
    told = fields_of(a_call("a", seed=old), a_call("a", seed=new))["seed"]
    assert told[0] != told[1]


def test_a_parameter_whose_names_come_in_another_order_is_the_same() -> None:
    before, after = ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert "metadata" not in fields_of(a_call("a", metadata=before), a_call("a", metadata=after))


def a_picture(letter: str) -> list[dict[str, Any]]:
    url = f"data:image/png;base64,{letter * 400}"
    return [{"type": "image_url", "image_url": {"url": url}}]


def test_other_pictures_of_the_same_size_are_a_difference() -> None:
    for role in ("user", "tool"):
        before, after, again = (
            recorded(a_request(body={"messages": [{"role": role, "content": a_picture(letter)}]}))
            for letter in "ABA"
        )
        (step,) = difference_of(before, after).steps
        assert step.change == "changed"
        signs = [sign for sign, line in lines_of_step(step) if "image png, 300 bytes" in line]
        assert signs == ["-", "+"]
        assert [step.change for step in difference_of(before, again).steps] == ["same"]


def not_kept(digest: str | None) -> Any:
    body = {"body": None, "body_bytes": 8, "body_sha256": digest, "level": "metadata"}
    return recorded(a_request() | body, a_response() | body)


def test_bodies_that_were_not_kept_differ_as_their_digests_do() -> None:
    difference = difference_of(not_kept("a" * 64), not_kept("b" * 64))
    for steps in (difference.steps, difference.answers):
        (step,) = steps
        assert step.change == "changed"
        (_, old), (_, new) = list(lines_of_step(step))[1:]
        assert (old[-20:], new[-20:]) == (f" digest {'a' * 12}", f" digest {'b' * 12}")
    assert difference_of(not_kept("a" * 64), not_kept("a" * 64)).is_nothing


def test_of_bodies_without_a_digest_nobody_claims_that_they_are_the_same() -> None:
    fields = fields_of(not_kept(None), not_kept(None))
    for name in ("request body", "answer body"):
        assert fields[name] == ("not kept", "not kept: whether it differs is not known")


def test_bodies_that_differ_in_nothing_that_is_shown_are_told_by_their_digests() -> None:
    before, after = (
        recorded(a_request(body={"messages": [{"role": "user", "content": "a", "x": x}]}))
        for x in (1, 2)
    )
    digests = tuple(
        f"sha256 {(each.request or {})['body_sha256'][:12]}" for each in (before, after)
    )
    assert fields_of(before, after)["request body"] == digests
    assert "request body" not in fields_of(before, before)
    assert "request body" not in fields_of(a_call("a"), a_call("b"))


def an_answer_of(number: int, **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "Good day.", **message}
    of_one = {"id": f"chatcmpl-{number}", "created": number, "system_fingerprint": f"fp_{number}"}
    usage = {"completion_tokens": 7, "prompt_tokens": number}
    return {**of_one, "choices": [{"index": 0, "message": said}], "usage": usage}


def spoken(number: int, data: str = "AAAA") -> dict[str, Any]:
    of_one = {"id": f"audio_{number}", "expires_at": number}
    return {"content": None, "audio": {**of_one, "data": data, "transcript": "Hi."}}


BODIES = {"request body", "answer body"}


@pytest.mark.parametrize("message", [lambda _: {}, spoken])
def test_the_same_call_that_is_answered_the_same_does_not_differ(message: Any) -> None:
    before, after = (
        recorded(a_request(), a_response(body=an_answer_of(number, **message(number))))
        for number in (1, 2)
    )
    assert difference_of(before, after).is_nothing
    assert not BODIES & fields_of(before, after).keys()


def test_nor_do_streams_that_say_the_same() -> None:
    said = {"message": {"role": "assistant", "content": "Hi."}, "chunks": 3, "body": None}
    before, after = (
        recorded(a_request(), a_response() | said | {"body_sha256": digit * 64}) for digit in "ab"
    )
    assert not BODIES & fields_of(before, after).keys()


def test_of_streams_that_were_cut_the_digests_tell_that_they_differ() -> None:
    said = {"message": {"role": "assistant", "content": "Hi."}, "chunks": 3, "body": None}
    before, after = (
        recorded(
            a_request(), a_response() | said | {"body_truncated": True, "body_sha256": digit * 64}
        )
        for digit in "ab"
    )
    assert "answer body" in fields_of(before, after)


def test_a_parameter_that_is_told_is_not_told_again_by_a_digest() -> None:
    item = {"type": "message", "role": "assistant", "content": "Good day."}
    before, after = (
        recorded(
            a_request(body={"input": "Hello.", "temperature": heat}),
            a_response(body={"id": f"resp_{heat}", "temperature": heat, "output": [item]}),
        )
        for heat in (0, 1)
    )
    fields = fields_of(before, after)
    assert fields["temperature"] == ("0", "1")
    assert not BODIES & fields.keys()


def test_another_sound_of_the_same_words_and_size_is_a_difference() -> None:
    before, after = (
        recorded(a_request(), a_response(body=an_answer_of(1, **spoken(1, data))))
        for data in ("AAAA", "BBBB")
    )
    assert not difference_of(before, after).is_nothing


def test_an_answer_that_differs_in_what_no_turn_shows_is_told_by_its_digest() -> None:
    before, after = (
        recorded(a_request(), a_response(body=an_answer_of(1) | {"model": model}))
        for model in ("gpt-4o-1", "gpt-4o-2")
    )
    assert "answer body" in fields_of(before, after)
