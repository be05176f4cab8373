"""What a call may put out, and what an answer did, for every dialect."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.output_tokens import counted_output_tokens, output_cap
from foxora_addon.api.sse import Decoder
from foxora_addon.api.token_text import Encoding
from foxora_addon.api.transcript import Transcript


def letters(text: str, _encoding: Encoding) -> int:
    return len(text)


@pytest.mark.parametrize(
    ("operation", "parsed", "cap"),
    [
        ("chat", {"max_tokens": 50}, 50),
        ("chat", {"max_completion_tokens": 40, "max_tokens": 50}, 40),
        ("chat", {"max_completion_tokens": None, "max_tokens": 50}, 50),
        ("chat", {"max_tokens": 50, "n": 3}, 150),
        ("chat", {"max_tokens": 50, "n": None, "best_of": 9}, 50),
        ("chat", {"max_tokens": 50.0}, 50),
        ("chat", {"n": 3}, None),
        ("chat", {}, None),
        ("responses", {"max_output_tokens": 60}, 60),
        ("completions", {"max_tokens": 50, "n": 2, "best_of": 4, "prompt": "a"}, 200),
        ("completions", {"max_tokens": 50, "prompt": ["a", "b"]}, 100),
        ("completions", {"max_tokens": 50, "prompt": [1, 2, 3]}, 50),
        ("completions", {"max_tokens": 50, "prompt": [[1, 2], [3]]}, 100),
        ("completions", {"max_tokens": 50, "prompt": []}, 50),
        ("embeddings", {"input": "a"}, 0),
        ("moderations", {"max_tokens": 5}, 0),
        ("embeddings", None, 0),
        ("audio_transcriptions", None, None),
        ("images", {"prompt": "a", "n": 2}, None),
        ("threads", {"assistant_id": "a"}, None),
        ("threads", None, 0),
        ("models", None, 0),
        ("files", None, 0),
        ("other", None, 0),
        ("fine_tuning", {"model": "a"}, 0),
    ],
)
def test_a_call_s_own_limit_counts_for_each_of_its_answers(
    operation: str, parsed: dict[str, Any] | None, cap: int | None
) -> None:
    assert output_cap(operation, parsed) == cap


@pytest.mark.parametrize("odd", [0, -1, True, "50", [50], float("nan"), float("-inf")])
def test_a_limit_that_is_none_is_not_taken_for_one(odd: object) -> None:
    assert output_cap("chat", {"max_tokens": odd}) is None
    assert output_cap("chat", {"max_tokens": 50, "n": odd}) == 50


@given(st.integers(1) | st.just(float("inf")), st.integers(1))
def test_no_number_overflows(cap: float, answers: int) -> None:
    most = output_cap("chat", {"max_tokens": cap, "n": answers})
    assert most is not None
    assert 1 <= most <= 2**64


CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"role": "assistant", "content": "abcde"}, 5),
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, 3 + 7),
        ({"role": "assistant", "content": None, "function_call": CALL["function"]}, 3 + 7),
        ({"role": "assistant", "content": None, "refusal": "no"}, 2),
        ({"role": "assistant", "content": "ab", "reasoning_content": "cde"}, 5),
        ({"role": "assistant", "content": "ab", "reasoning": "cd", "reasoning_content": "cd"}, 4),
        ({"role": "assistant", "content": [{"type": "text", "text": "abc"}]}, 3),
        ({"role": "assistant", "content": None, "audio": {"data": "AAAA", "transcript": "ab"}}, 2),
        ({"type": "message", "content": [{"type": "output_text", "text": "abc"}]}, 3),
        ({"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}, 2),
        ({}, 0),
    ],
)
def test_a_message_counts_all_that_the_model_wrote(message: dict[str, Any], tokens: int) -> None:
    assert counted_output_tokens(message, "gpt-4o", letters) == tokens
    answer = {"id": "x", "choices": [{"index": 0, "message": message}] * 2}
    assert counted_output_tokens(answer, "gpt-4o", letters) == 2 * tokens


def test_other_answers_count_too() -> None:
    assert counted_output_tokens({"choices": [{"text": "ab"}, {"text": "c"}]}, None, letters) == 3
    assert counted_output_tokens({"text": "spoken"}, None, letters) == 6
    assert counted_output_tokens({"object": "list", "data": [{"embedding": [0.1]}]}) == 0
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "ab"}]},
        {"type": "function_call", "name": "add", "arguments": "{}", "call_id": "call_1"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "c"}]},
        {"type": "web_search_call", "action": {"query": "found"}, "status": "completed"},
    ]
    assert counted_output_tokens({"object": "response", "output": output}, None, letters) == 8


def test_a_stream_that_was_cut_counts_what_was_seen() -> None:
    frames = (
        b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"ab"}}]}'
        b'\n\ndata: {"choices":[{"index":0,"delta":{"content":"cde"}}]}\n\n'
        b'data: {"choices":[{"index":1,"delta":{"content":"f"}}]}\n\ndata: {"choices":[{"ind'
    )
    transcript, decoder = Transcript(), Decoder()
    for event in decoder.feed(frames):
        transcript.add(event)
    completion = transcript.completion()
    assert completion is not None
    assert counted_output_tokens(completion, "gpt-4o", letters) == 6


NAMES = st.sampled_from(["message", "content", "text", "tool_calls", "name"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["choices", "output", "content", "message"]), JSON))
def test_nonsense_is_counted_without_an_error(answer: dict[str, Any]) -> None:
    assert counted_output_tokens(answer) >= 0


def test_an_answer_of_any_depth_is_counted() -> None:
    deep: Any = "word"
    for _ in range(100_000):
        deep = [deep]
    assert counted_output_tokens({"content": deep}) == 0
