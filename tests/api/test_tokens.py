"""What a call puts in: every kind of part, and no body that costs more than it should."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.token_text import Encoding, text_tokens
from foxora_addon.api.tokens import estimated_input_tokens
from foxora_addon.bpe import load_counter

COUNTER = load_counter()
CORPORA = Path(__file__).parents[3] / "shared" / "corpora"
TEXT = "What is the weather like in Paris today, and should I take an umbrella?"
SOUND = base64.b64encode(bytes(90_000)).decode()
PICTURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 512, 512) + bytes(90_000)


def tokens_of(parsed: dict[str, Any], operation: str = "chat", model: str = "gpt-4o") -> int:
    return estimated_input_tokens(operation, parsed, 0, model)


def a_message(content: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content} | fields]}


def letters(text: str, _encoding: Encoding) -> int:
    """A tokenizer for which all that a test expects can be told by heart."""
    return len(text)


def counted(parsed: dict[str, Any], operation: str = "chat", model: str = "gpt-4o") -> int:
    return estimated_input_tokens(operation, parsed, 0, model, letters)


def test_a_chat_is_its_texts_and_what_frames_them() -> None:
    assert counted(a_message("abcde")) == 5 + 4 + 3
    assert counted(a_message("abcde", name="me")) == 5 + 2 + 4 + 3
    assert counted({"messages": [{"role": "user", "content": "ab"}] * 3}) == 3 * (2 + 4) + 3


def test_a_text_in_parts_is_the_same_as_in_one() -> None:
    assert counted(a_message([{"type": "text", "text": "abcde"}])) == counted(a_message("abcde"))


def test_a_call_of_a_tool_counts_its_name_and_arguments_and_its_answer() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    assistant = {"role": "assistant", "content": None, "tool_calls": [call]}
    answer = {"role": "tool", "tool_call_id": "call_1", "content": "12"}
    assert counted({"messages": [assistant, answer]}) == (3 + 2 + 6 + 4) + (2 + 4) + 3


MESSAGES = st.fixed_dictionaries(
    {"role": st.just("user")},
    optional={
        "content": st.sampled_from(["", "abc", "data:", "data:text/plain;base64,AAAABBBB", None]),
        "name": st.just("me"),
    },
)


@given(st.lists(MESSAGES, min_size=1, max_size=4))
def test_a_conversation_costs_what_its_messages_do(messages: list[Any]) -> None:
    # Those that are but a role and a text are read all at once, where there is no other.
    alone = sum(counted({"messages": [{"unknown": 1} | message]}) - 3 for message in messages)
    assert counted({"messages": messages}) == alone + 3
    assert counted({"messages": [*messages, "de"]}) == alone + 2 + 3


def test_prompts_of_other_operations_are_read() -> None:
    assert counted({"prompt": "abc", "suffix": "d"}, "completions") == 4
    assert counted({"prompt": ["abc", "de"]}, "completions") == 5
    assert counted({"input": ["abc", "de"], "model": "x"}, "embeddings") == 5
    assert counted({"input": "abc", "voice": "alloy"}, "audio_speech") == 3
    assert counted({"instructions": "ab", "input": "abc"}, "responses") == 5 + 3
    items = [{"role": "user", "content": [{"type": "input_text", "text": "abc"}]}]
    assert counted({"input": items}, "responses") == 3 + 4 + 3


def test_token_numbers_count_as_themselves() -> None:
    assert tokens_of({"input": [15339, 1917, 0]}, "embeddings") == 3
    assert tokens_of({"input": [[15339, 1917], [7]]}, "embeddings") == 3
    assert tokens_of({"prompt": list(range(1000))}, "completions") == 1000


def test_tools_count_by_their_names_and_texts() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    bare, with_tool = a_message(TEXT), a_message(TEXT) | {"tools": [tool]}
    assert 25 <= tokens_of(with_tool) - tokens_of(bare) <= 45
    newer = tokens_of(with_tool, model="gpt-5-mini") - tokens_of(bare, model="gpt-5-mini")
    assert 100 <= newer <= 125
    assert tokens_of(bare | {"tools": [], "functions": None}) == tokens_of(bare)


def test_the_form_of_the_answer_counts_if_it_is_a_schema() -> None:
    bare = a_message(TEXT)
    schema = {"name": "joke", "schema": {"type": "object", "properties": {"a": {}, "b": {}}}}
    described = {"type": "json_schema", "json_schema": schema}
    assert tokens_of(bare | {"response_format": {"type": "json_object"}}) == tokens_of(bare)
    assert tokens_of(bare | {"response_format": described}) > tokens_of(bare) + 15
    response = {"input": TEXT, "text": {"format": {"type": "json_schema", **schema}}}
    assert tokens_of(response, "responses") > tokens_of({"input": TEXT}, "responses") + 15


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        ({"type": "image_url", "image_url": {"url": "https://e.com/a.png", "detail": "low"}}, 85),
        ({"type": "image_url", "image_url": {"url": "https://e.com/a.png"}}, 765),
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{SOUND}"}}, 765),
        ({"type": "image_url", "image_url": "https://e.com/a.png"}, 765),
        ({"type": "input_image", "image_url": "https://e.com/a.png", "detail": "low"}, 85),
        ({"type": "input_image", "image_url": f"data:image/png;base64,{SOUND}"}, 765),
        ({"type": "input_image", "file_id": "file_1", "detail": "low"}, 85),
        ({"type": "input_audio", "input_audio": {"data": SOUND, "format": "mp3"}}, 100),
        ({"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}}, 30),
        ({"type": "input_audio", "input_audio": {"data": SOUND, "format": ["wav"]}}, 100),
        ({"type": "input_audio", "audio": SOUND}, 30),
        ({"type": "file", "file": {"file_data": f"data:application/pdf;base64,{SOUND}"}}, 1406),
        ({"type": "input_file", "file_data": f"data:text/plain;base64,{SOUND[:4000]}"}, 754),
        ({"type": "file", "file": {"file_id": "file_1"}}, 1000),
        ({"type": "input_file", "file_url": "https://e.com/a.pdf"}, 1000),
        ({"type": "reasoning", "encrypted_content": SOUND[:16_000]}, 3000),
        ({"type": "image_generation_call", "result": f"data:image/png;base64,{SOUND}"}, 765),
        ({"type": "image_generation_call", "result": SOUND}, 765),
        ({"type": "image_generation_call", "result": base64.b64encode(PICTURE).decode()}, 255),
        ({"type": "image_generation_call", "result": None}, 0),
        ({"type": "hosted_tool_call", "result": "abc"}, 3),
    ],
)
def test_what_is_no_text_never_counts_as_the_base64_it_comes_in(
    part: dict[str, Any], tokens: int
) -> None:
    assert counted(a_message([part])) - counted(a_message([])) == tokens


def test_a_text_that_only_speaks_of_data_urls_is_text() -> None:
    text = "data: see the table; an image starts with data:image/png;base64,"
    assert counted(a_message(text)) == len(text) + 7


@pytest.mark.parametrize(
    ("operation", "size", "tokens"),
    [
        ("audio_transcriptions", 90_000, 100),
        ("images", 500_000, 765),
        ("images", 0, 0),
        ("other", 400, 100),
        ("other", 20_000_000, 2_000),
        ("responses", 400, 100),
        ("files", 20_000_000, 0),
        ("models", 0, 0),
    ],
)
def test_a_body_that_is_not_read_is_judged_by_its_operation_and_size(
    operation: str, size: int, tokens: int
) -> None:
    assert estimated_input_tokens(operation, None, size) == tokens


@pytest.mark.parametrize("field", ["messages", "input", "tools", "response_format"])
@pytest.mark.parametrize("shape", ["list", "object"])
def test_no_depth_is_too_deep(field: str, shape: str) -> None:
    value: Any = "word"
    for _ in range(100_000):
        value = [value] if shape == "list" else {"json_schema": value}
    assert tokens_of({field: value}) >= 0


NAMES = st.sampled_from(
    [
        *("role", "content", "type", "text", "image_url", "url", "detail", "input_audio", "data"),
        *("file", "file_data", "file_id", "result", "name", "arguments", "function", "tool_calls"),
        *("encrypted_content", "json_schema", "format", "schema"),
    ]
)
FIELDS = st.sampled_from(
    ["messages", "input", "prompt", "tools", "functions", "response_format", "text"]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES | st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(FIELDS, JSON))
def test_any_body_has_an_estimate_in_proportion_to_its_size(parsed: dict[str, Any]) -> None:
    tokens = tokens_of(parsed)
    assert isinstance(tokens, int)
    assert 0 <= tokens <= 1_000 * len(json.dumps(parsed))


@pytest.mark.skipif(not CORPORA.exists(), reason="the recorded traffic is not part of the project")
@pytest.mark.parametrize(("is_counted", "worst", "total"), [(False, 0.25, 0.06), (True, 0.1, 0.01)])
def test_recorded_chats_of_text_are_told_as_their_gateway_did(
    is_counted: bool, worst: float, total: float
) -> None:
    chats = recorded_chats()
    estimates = [
        estimated_input_tokens("chat", body, 0, body["model"], COUNTER if is_counted else None)
        for body, _ in chats
    ]
    off = [
        abs(told - tokens) > max(2, worst * tokens)
        for told, (_, tokens) in zip(estimates, chats, strict=True)
    ]
    assert len(chats) > 30
    assert sum(off) <= 0.05 * len(chats)  # a search model leaves its system prompt out
    assert sum(estimates) == pytest.approx(sum(tokens for _, tokens in chats), rel=total)


def recorded_chats() -> list[tuple[dict[str, Any], int]]:
    """Bodies of text alone that went to OpenAI itself, with the prompt tokens that it reported."""
    chats = []
    for line in (CORPORA / "manifest.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        if entry["host"] != "api.openai.com" or not entry["file"].startswith("json_bodies"):
            continue
        answer = json.loads((CORPORA / entry["file"]).read_text("utf-8"))
        usage = answer.get("usage") if isinstance(answer, dict) else None
        asked = entry.get("request_file")
        if not usage or not asked:
            continue
        body = json.loads((CORPORA / asked).read_text("utf-8"))
        if not body.keys() & {"tools", "functions", "response_format"} and is_text(body):
            chats.append((body, usage["prompt_tokens"]))
    return chats


def is_text(body: dict[str, Any]) -> bool:
    return not any(kind in json.dumps(body) for kind in ("image_url", "input_audio", "file_data"))


def test_the_tokens_of_a_chat_are_those_of_its_texts() -> None:
    plain = a_message(TEXT)
    assert tokens_of(plain) == text_tokens([TEXT], "gpt-4o", None) + 7
