"""With what was asked for taken out again, a stream is what it would have been, byte for byte."""

import json
import re
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from foxora_addon.api import quick_json
from foxora_addon.api.sse import Decoder
from foxora_addon.api.usage_chunks import UsageChunks
from foxora_addon.api.usage_strip import DEFAULT_MAX_EVENT_BYTES, UsageStrip
from foxora_addon.mock.chat import complete
from foxora_addon.mock.chat_json import completion_events, usage_json
from foxora_addon.mock.chat_request import parse_chat
from foxora_addon.mock.legacy import continue_texts, legacy_events, parse_legacy

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpora"
RECORDED = sorted(CORPUS.glob("sse_streams/*"))

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
DONE = b"data: [DONE]\n\n"


def stripped(pieces: Iterable[bytes], **limits: int) -> bytes:
    strip = UsageStrip(**limits)
    return b"".join([*map(strip.feed, pieces), strip.end()])


def bytewise(stream: bytes, size: int = 1) -> Iterator[bytes]:
    return (stream[at : at + size] for at in range(0, len(stream), size))


def every_cut(stream: bytes) -> Iterator[list[bytes]]:
    return ([stream[:at], stream[at:]] for at in range(len(stream) + 1))


def a_choice(content: str) -> dict[str, Any]:
    return {"index": 0, "delta": {"content": content}, "finish_reason": None}


def an_event(value: Any, ending: str = "\n", **style: Any) -> bytes:
    text = json.dumps(value, **style)
    lines = ("data: " + line for line in text.split("\n"))
    return (ending.join(lines) + ending * 2).encode()


def compact(value: Any) -> bytes:
    return an_event(value, separators=(",", ":"))


TOKEN = compact({**HEAD, "choices": [a_choice("Hi")]})
ADDED = compact({**HEAD, "choices": [], "usage": USAGE})

# For each shape: the stream as it is with usage asked for, and without.
OPENAI = (
    compact({**HEAD, "choices": [a_choice("Hi")], "usage": None, "obfuscation": "aB3"})
    + compact({**HEAD, "choices": [a_choice("")], "usage": None, "obfuscation": ""})
    + compact({**HEAD, "choices": [], "usage": USAGE, "obfuscation": "xYz"})
    + DONE,
    compact({**HEAD, "choices": [a_choice("Hi")], "obfuscation": "aB3"})
    + compact({**HEAD, "choices": [a_choice("")], "obfuscation": ""})
    + DONE,
)
FILTERED = {
    "choices": [],
    "created": 0,
    "id": "",
    "model": "",
    "object": "",
    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
}
AZURE = (
    compact(FILTERED)
    + compact({"choices": [a_choice("Hi")], **HEAD, "usage": None})
    + compact({"choices": [], **HEAD, "obfuscation": "x", "usage": USAGE})
    + DONE,
    compact(FILTERED) + compact({"choices": [a_choice("Hi")], **HEAD}) + DONE,
)
# Azure's chunks may have the null member even where there are neither choices nor usage.
AZURE_NULLS = (
    compact({**FILTERED, "usage": None}) + AZURE[0][len(compact(FILTERED)) :],
    AZURE[1],
)
VLLM = (
    compact({**HEAD, "choices": [a_choice("Hi")], "usage": None})
    + compact({**HEAD, "choices": [], "usage": USAGE})
    + DONE,
    compact({**HEAD, "choices": [a_choice("Hi")]}) + DONE,
)
GROQ = (
    compact({**HEAD, "choices": [a_choice("Hi")], "x_groq": {"id": "req_1"}})
    + compact({**HEAD, "choices": [a_choice("")], "x_groq": {"id": "req_1", "usage": USAGE}})
    + compact({**HEAD, "choices": [], "usage": USAGE, "x_groq": {"id": "req_1", "usage": USAGE}})
    + DONE,
    compact({**HEAD, "choices": [a_choice("Hi")], "x_groq": {"id": "req_1"}})
    + compact({**HEAD, "choices": [a_choice("")], "x_groq": {"id": "req_1", "usage": USAGE}})
    + DONE,
)
OPENROUTER = (
    b": OPENROUTER PROCESSING\n\n" * 2
    + compact({"provider": "xAI", **HEAD, "choices": [a_choice("Hi")]})
    + b": OPENROUTER PROCESSING\n\n"
    + compact({"provider": "xAI", **HEAD, "choices": [], "usage": {**USAGE, "cost": 0.01}})
    + DONE,
    b": OPENROUTER PROCESSING\n\n" * 2
    + compact({"provider": "xAI", **HEAD, "choices": [a_choice("Hi")]})
    + b": OPENROUTER PROCESSING\n\n"
    + DONE,
)
LLAMA_CPP = (
    compact({"choices": [a_choice("Hi")], **HEAD, "system_fingerprint": "b1"})
    + compact({"choices": [], **HEAD, "system_fingerprint": "b1", "usage": USAGE})
    + DONE,
    compact({"choices": [a_choice("Hi")], **HEAD, "system_fingerprint": "b1"}) + DONE,
)
QWEN = (
    compact({"choices": [a_choice("Hi")], "usage": None, **HEAD, "system_fingerprint": None})
    + compact({"choices": [], "usage": USAGE, **HEAD, "system_fingerprint": None})
    + DONE,
    compact({"choices": [a_choice("Hi")], **HEAD, "system_fingerprint": None}) + DONE,
)
# As Vercel's v0 and ROCm's ATOM have it, and as Go writes a list that was never made.
NO_CHOICES = (
    compact({**HEAD, "choices": [a_choice("Hi")]}) + compact({**HEAD, "usage": USAGE}) + DONE,
    compact({**HEAD, "choices": [a_choice("Hi")]}) + DONE,
)
NULL_CHOICES = (
    compact({**HEAD, "choices": [a_choice("Hi")], "usage": None})
    + compact({**HEAD, "choices": None, "usage": USAGE})
    + DONE,
    compact({**HEAD, "choices": [a_choice("Hi")]}) + DONE,
)
# Reports usage in its last choice, asked or not; asked, the others have the null member.
DEEPSEEK = (
    compact({**HEAD, "choices": [a_choice("Hi")], "usage": None})
    + compact({**HEAD, "choices": [a_choice("")], "usage": USAGE})
    + DONE,
    compact({**HEAD, "choices": [a_choice("Hi")]})
    + compact({**HEAD, "choices": [a_choice("")], "usage": USAGE})
    + DONE,
)
SPACED = (
    an_event({"usage": None, **HEAD, "choices": [a_choice('say "usage": null')]})
    + an_event({**HEAD, "usage": None, "choices": [a_choice(', "usage": null')]})
    + an_event({**HEAD, "choices": [], "usage": USAGE})
    + DONE,
    an_event({**HEAD, "choices": [a_choice('say "usage": null')]})
    + an_event({**HEAD, "choices": [a_choice(', "usage": null')]})
    + DONE,
)
PRETTY = (
    an_event({**HEAD, "choices": [a_choice("Hi")], "usage": None}, indent=2)
    + an_event({"usage": None, **HEAD, "choices": [a_choice("Hi")]}, "\r\n", indent="\t")
    + an_event({**HEAD, "usage": None, "choices": [a_choice("Hi")]}, "\r", indent=0)
    + an_event({**HEAD, "choices": [], "usage": USAGE}, "\r\n", indent=1)
    + DONE,
    an_event({**HEAD, "choices": [a_choice("Hi")]}, indent=2)
    + an_event({**HEAD, "choices": [a_choice("Hi")]}, "\r\n", indent="\t")
    + an_event({**HEAD, "choices": [a_choice("Hi")]}, "\r", indent=0)
    + DONE,
)
IDS = (
    b"event: message\nid: 1\nretry: 10\n"
    + compact({**HEAD, "choices": [a_choice("Hi")], "usage": None})
    + b"event: message\nid: 2\n"
    + compact({**HEAD, "choices": [], "usage": USAGE})
    + b"id: 3\n"
    + DONE,
    b"event: message\nid: 1\nretry: 10\n"
    + compact({**HEAD, "choices": [a_choice("Hi")]})
    + b"id: 3\n"
    + DONE,
)
# Every line of the JSON is a data line; some begin like a chunk of their own.
CUT_JSON = (
    TOKEN
    + b'data: {"choices":[{}],"a":\ndata: 1,"b":\ndata: {},"usage":null}\n\n'
    + b'data: \ndata: {"choices":[],\ndata:"usage":\ndata: {}\ndata:}\n\n',
    TOKEN
    + b'data: {"choices":[{}],"a":\ndata: 1,"b":\ndata: {}}\n\n'
    + b'data: \ndata: {"choices":[],\ndata:"usage":\ndata: {}\ndata:}\n\n',
)
SHAPES = {
    name.lower(): shape
    for name, shape in globals().copy().items()
    if isinstance(shape, tuple) and name.isupper()
}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_stream_is_what_it_would_have_been_for_every_cut(
    shape: str, ending: bytes, mark: bytes
) -> None:
    asked, unasked = SHAPES[shape]
    if ending != b"\n" and b"\r" not in asked:
        asked, unasked = asked.replace(b"\n", ending), unasked.replace(b"\n", ending)
    assert stripped(bytewise(mark + asked)) == mark + unasked
    for pieces in every_cut(mark + asked):
        assert stripped(pieces) == mark + unasked
    assert stripped([mark + unasked]) == mark + unasked


@pytest.mark.parametrize("choices", [1, 3])
def test_the_mock_gateway_s_chats_are_what_they_would_have_been(choices: int) -> None:
    messages = [{"role": "user", "content": 'Say "usage": null, then é and \\u0041.'}]
    body = {"model": "m", "messages": messages, "n": choices, "stream": True}
    completion = complete(parse_chat(json.dumps(body).encode()), "chatcmpl_1")
    head = {"id": "chatcmpl_1", "created": 1, "model": "m"}
    asked = completion_events(completion, head, with_usage=True)
    unasked = completion_events(completion, head, with_usage=False)
    assert len(asked) == len(unasked) + 1
    assert stripped(asked) == stripped(bytewise(b"".join(asked))) == b"".join(unasked)


def test_the_mock_gateway_s_legacy_completions_are_what_they_would_have_been() -> None:
    body = {"model": "m", "prompt": ["Hello.", "Bye."], "stream": True}
    choices = continue_texts(parse_legacy(json.dumps(body).encode()))
    head = {"id": "cmpl_1", "created": 1, "model": "m"}
    asked = legacy_events(choices, head, usage_json(4, 5))
    unasked = legacy_events(choices, head, None)
    assert stripped(asked) == stripped(bytewise(b"".join(asked))) == b"".join(unasked)


@pytest.mark.parametrize(
    "stays",
    [
        b"",
        b"\n\n\r\r\n\n",
        b": ping\n\n:\n:ping\r\n",
        b"retry: 10\n\nid: 7\n\nevent: usage\n\n",
        DONE + b'data: "usage"\n\ndata: ["usage", null]\n\n',
        b'data: {"usage": null}\n\n',
        b'data: {"choices": [], "usage": null\n\n',
        b'data: {"choices": [], "usage": null}}\n\n',
        b'data: {"choices": {}, "usage": null}\n\n',
        b'data: {"choices": {}, "usage": {}}\n\n',
        b'data: {"object": "thread.run", "usage": {}}\n\n',
        b'data: {"usage": {}, "error": {"message": "x"}}\n\n',
        b'data: {"usage": {}, "citations": ["https://example.com"]}\n\n',
        b'data: {"choices": [], "object": "response", "usage": null}\n\n',
        b'data: {"choices": [], "object": 7, "usage": null}\n\n',
        b'data: {"choices": [], "error": {"message": "x"}, "usage": null}\n\n',
        b'data: {"choices": [], "error": {"message": "x"}, "usage": {}}\n\n',
        b'data: {"error": {"message": "\\"usage\\": null"}}\n\n',
        b'data: {"choices": [], "usage": null, "usage": null}\n\n',
        b'data: {"choices": [{}], "choices": [], "usage": {}}\n\n',
        b'data: {"choices": [{"usage": null}]}\n\n',
        b'data: {"choices": [{"usage": null}], "us\\u0061ge": 1}\n\n',
        b'data: {"choices": [], "usage": 7}\n\n',
        b'data: {"choices": [{}], "usage": {}}\n\n',
        b'data: {"choices": [], "prompt_filter_results": [{"usage": 1}]}\n\n',
        b'data: {"choices": [], "usage": {}, "citations": ["https://example.com"]}\n\n',
        b'data: {"choices": [], "usage": {}}\ndata: x\n\n',
        b'data: {"choices": [],\ndata: "x": 1\n: a comment\ndata: , "usage": null}\n\n',
        b'data: {"choices": [], "us\\u0061ge": null}\n\n',
        b'Data: {"choices": [], "usage": null}\n\n',
        b' data: {"choices": [], "usage": null}\n\n',
        b'data:  x{"choices": [], "usage": null}\n\n',
        b'data: {"choices": [{"x": "' + b"[" * 5_000 + b'"}], "usage": 0}\n\n',
        b'data: {"usage": ' + b"[" * 100_000 + b"]" * 100_000 + b', "choices": []}\n\n',
        b'data: {"choices": [], "usage": ' + b"9" * 5_000 + b"}\n\n",
        b'data: {"choices": [], "usage": \xff null}\n\n',
        b'data: {"choices": [], "us',
        b"data: [DONE]",
        b"dat",
    ],
)
def test_what_asking_did_not_add_passes_as_it_is(stays: bytes) -> None:
    for stream in (stays, TOKEN + stays):
        assert stripped([stream]) == stream
        assert stripped(bytewise(stream)) == stream


@pytest.mark.parametrize(
    ("asked", "unasked"),
    [
        ('{"choices":[],"usage":null}', '{"choices":[]}'),
        (' \t{"choices":[],"usage":null}', ' \t{"choices":[]}'),
        ('{"usage":null,"choices":[]}', '{"choices":[]}'),
        ('{"usage" : null , "choices":[]}', '{"choices":[]}'),
        ('{ "choices":[] , "usage" : null }', '{ "choices":[] }'),
        ('{"choices":[] ,"usage":null, "a": 1}', '{"choices":[], "a": 1}'),
        ('{"choices":[{"usage":null}],"us\\u0061ge":null}', '{"choices":[{"usage":null}]}'),
        ('{"choices":["\\"usage\\":null"],"usage":null}', '{"choices":["\\"usage\\":null"]}'),
        ('{"choices":["\\"usage"],"usage":null,"é":"😀"}', '{"choices":["\\"usage"],"é":"😀"}'),
        ('{"choices":[{"a":"\\u0041"}],"usage":null}', '{"choices":[{"a":"\\u0041"}]}'),
        ('{"choices":[],"usage":null,"error":null}', '{"choices":[],"error":null}'),
    ],
)
def test_a_null_member_goes_with_one_comma(asked: str, unasked: str) -> None:
    for before in (b"", TOKEN):
        stream = before + f"data: {asked}\n\ndata:{asked}\r\n\r\n".encode()
        expected = before + f"data: {unasked}\n\ndata:{unasked}\r\n\r\n".encode()
        assert stripped([stream]) == stripped(bytewise(stream)) == expected


def test_before_the_first_choice_no_chunk_is_an_added_one() -> None:
    assert stripped([ADDED + TOKEN + ADDED + DONE]) == ADDED + TOKEN + DONE
    assert stripped([compact(FILTERED) + ADDED]) == compact(FILTERED) + ADDED


def test_a_chunk_that_tells_more_than_the_first_one_stays_whole() -> None:
    first = compact({**HEAD, "choices": [a_choice("Hi")], "nonce": "a", "citations": []})
    empty = compact(
        {**HEAD, "choices": [], "usage": USAGE, "nonce": "b", "citations": [], "x": None}
    )
    telling = compact({**HEAD, "choices": [], "usage": USAGE, "citations": ["https://a.example"]})
    assert stripped([first + empty + telling + DONE]) == first + telling + DONE


def test_timings_go_with_the_added_chunk() -> None:
    # llama.cpp moves them there from the last choice; a client that reads every chunk's first
    # choice, as those that never ask do, would break on the chunk that has none.
    added = compact({**HEAD, "choices": [], "usage": USAGE, "timings": {"prompt_ms": 1.5}})
    assert stripped([TOKEN + added + DONE]) == TOKEN + DONE


def test_a_comment_inside_an_added_event_stays() -> None:
    stream = TOKEN + b": a\nid: 1\n: b\r\n" + ADDED[:-1] + b":c\n\n" + DONE
    for pieces in every_cut(stream):
        assert stripped(pieces) == TOKEN + b": a\n: b\r\n:c\n" + DONE


def test_extra_blank_lines_after_an_added_chunk_stay() -> None:
    assert stripped([TOKEN + ADDED + b"\n\r\n" + DONE]) == TOKEN + b"\n\r\n" + DONE


def test_a_line_feed_goes_with_the_carriage_return_before_it() -> None:
    stream = TOKEN + ADDED.replace(b"\n", b"\r\n") + b"\n" + DONE
    for pieces in (bytewise(stream), *every_cut(stream)):
        assert stripped(pieces) == TOKEN + b"\n" + DONE


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_stream_that_ends_within_its_last_event_is_judged_by_what_came(lost: int) -> None:
    stream = TOKEN + ADDED
    assert stripped([stream[: len(stream) - lost]]) == TOKEN
    null = compact({**HEAD, "choices": [a_choice("Hi")], "usage": None})
    assert stripped([null[: len(null) - lost]]) == TOKEN[: len(TOKEN) - lost]


def test_a_stream_that_breaks_off_gives_all_that_came() -> None:
    for end in range(1, len(ADDED) - 2):
        assert stripped([TOKEN, ADDED[:end]]) == TOKEN + ADDED[:end]


def test_every_event_comes_with_the_chunk_that_ends_it() -> None:
    asked, unasked = (
        re.findall(rb".*?\n\n", stream, re.DOTALL)
        for stream in (b"".join((OPENAI[0], AZURE[0])), b"".join((OPENAI[1], AZURE[1])))
    )
    strip = UsageStrip()
    out = [strip.feed(event) for event in asked]
    assert [event for event in out if event] == unasked
    assert strip.end() == b""


@pytest.mark.parametrize("begun", [b"", TOKEN])
@pytest.mark.parametrize("now", [b": OPENROUTER PROCESSING\r\n\r\n", b"\n", b"\r\n", b":\n:\n"])
def test_comments_and_blank_lines_pass_at_once(begun: bytes, now: bytes) -> None:
    strip = UsageStrip()
    assert strip.feed(begun) == begun
    for piece in bytewise(now):
        assert strip.feed(piece) == piece


@pytest.mark.parametrize("start", [b"data: [", b"data:x", b'data: "'])
def test_data_that_can_be_no_chunk_pass_as_soon_as_that_is_seen(start: bytes) -> None:
    strip = UsageStrip()
    assert [strip.feed(piece) for piece in bytewise(start)] == [b""] * (len(start) - 1) + [start]
    assert strip.feed(b"x") == b"x"
    assert strip.feed(b"\n\ndata: {") == b"\n\n"


def test_chunks_without_blank_lines_between_them_do_not_wait_for_one() -> None:
    line = TOKEN[:-1]
    strip = UsageStrip()
    out = [strip.feed(line) for _ in range(5)]
    assert out == [b"", line * 2, line, line, line]


def test_an_event_over_the_limit_passes_as_it_comes() -> None:
    strip = UsageStrip(max_event_bytes=20)
    pieces = [b"data: {", b'"choices":[]', b",", b'"usage":null}', b"\n", b"\n"]
    assert [strip.feed(piece) for piece in pieces] == [
        *(b"", b"", b"", b"".join(pieces[:4]), b"\n", b"\n"),
    ]
    assert strip.feed(b"data: {") == b""


def test_after_an_event_over_the_limit_the_next_is_judged_again() -> None:
    large = b'data: {"usage":null,"choices":[{"text":"' + b"x" * 300 + b'"}]}\n\n'
    stream = TOKEN + large + ADDED + DONE
    for pieces in (*every_cut(stream), bytewise(stream), bytewise(stream, len(TOKEN))):
        assert stripped(pieces, max_event_bytes=250) == TOKEN + large + DONE


def test_an_endless_line_costs_no_memory() -> None:
    strip, piece = UsageStrip(), b"x" * 65_536
    strip.feed(b'data: {"usage": "')
    tracemalloc.start()
    passed = sum(len(strip.feed(piece)) for _ in range(1_024))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert passed == 1_024 * len(piece) + len(b'data: {"usage": "')
    assert peak < 4 * DEFAULT_MAX_EVENT_BYTES


@pytest.mark.parametrize(("size", "piece"), [(2**26, 2**16), (2**26, 2**26), (2**19, 1)])
def test_a_large_event_is_passed_on_in_linear_time(size: int, piece: int) -> None:
    strip = UsageStrip()
    passed = len(strip.feed(b'data: {"usage": null, "choices": ["'))
    for _ in range(size // piece):
        passed += len(strip.feed(b"x" * piece))
    assert passed == size + len(b'data: {"usage": null, "choices": ["')


def calls_of(stream: bytes) -> int:
    """How many steps of Python's the filter takes, which time alone could not tell."""
    counted = 0

    class Counting(UsageStrip):
        def __getattribute__(self, name: str) -> object:
            nonlocal counted
            counted += 1
            return super().__getattribute__(name)

    strip = Counting()
    for piece in bytewise(stream):
        strip.feed(piece)
    return counted


@pytest.mark.parametrize("stream", [OPENAI[0], b"data: xyz\r\n: comment\r\n\r\n", b"event: x\n"])
def test_steps_grow_with_the_bytes_and_no_faster(stream: bytes) -> None:
    first, second = calls_of(stream * 10), calls_of(stream * 20)
    assert calls_of(stream * 30) - second == second - first


LINES = [
    *(b"data", b"data: ", b"data:", b"event: e", b"id: 1", b"retry: 5", b": comment", b"x"),
    *(b"data: {", b"data: }", b'data: "a": 1', b'data: ,"usage": null', b"[DONE]", b"\xff"),
    *(b'{"choices":[]', b'"usage":null', b'"usage":{}', b'{"choices":[{}]', b",", b"}"),
    *(TOKEN[:-2], ADDED[:-2], b'data: {"choices":[{}],"usage":null}', b"\xef\xbb\xbf"),
]
STREAMS = st.lists(
    st.sampled_from([*LINES, b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n"])
    | st.binary(max_size=3),
    max_size=40,
).map(b"".join)


@st.composite
def cut(draw: st.DrawFn) -> list[bytes]:
    """A stream in pieces."""
    stream = draw(STREAMS)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@given(cut(), st.sampled_from([DEFAULT_MAX_EVENT_BYTES, 200, 40, 8, 0]))
@example([b'data: {"choices":[{}]}\r', b"\n\n"], 24)
@example([b'data: {"choices":[],"usage":null}\r', b"\n\n"], 34)
@example([TOKEN + b"data: x", b"y\n\n", ADDED], 200)
@example([b'data: {"a"', b'\ndata: "b"\ndata: {', b'"c"\n\n'], 200)
def test_no_cut_changes_what_passes(pieces: list[bytes], limit: int) -> None:
    stream = b"".join(pieces)
    whole = stripped([stream], max_event_bytes=limit)
    assert stripped(pieces, max_event_bytes=limit) == whole
    assert stripped(bytewise(stream), max_event_bytes=limit) == whole


@given(st.lists(st.binary()))
def test_any_bytes_pass(pieces: list[bytes]) -> None:
    assert stripped(pieces) == b"".join(pieces)


def sdk_events(stream: bytes) -> list[tuple[object, ...]]:
    """The events of the SDK, which dispatches one at every blank line once an id was named."""
    events = SSEDecoder().iter_bytes(iter([stream]))
    return [(event.data, event.event, event.id, event.retry) for event in events]


def read_events(stream: bytes) -> list[tuple[object, ...]]:
    return [*Decoder().feed(stream)]


class Sent(NamedTuple):
    """An event as a gateway sends it: fields or comments, a line, and the ending of that line."""

    before: bytes
    line: bytes
    ending: bytes = b"\n"


def stream_of(events: Iterable[Sent]) -> bytes:
    return b"".join(before + line + ending * 2 for before, line, ending in events)


def unasked(events: Iterable[Sent]) -> list[Sent]:
    """What the gateway would have sent unasked: an added event is not there, nor is its id."""
    begun, sent = False, []
    for event in events:
        if begun and event.line == ADDED[:-2]:
            continue
        begun = begun or event.line in (TOKEN[:-2], NULL[:-2])
        sent.append(event._replace(line=event.line.replace(b',"usage":null', b"")))
    return sent


NULL = compact({**HEAD, "choices": [a_choice("Hi")], "usage": None})
FIELDS = [b": x\n", b"event: e\r\n", b"id: 1\r", b"id: 2\n", b"id\n", b"retry: 5\r\n", b"x\r"]
EVENTS = st.lists(
    st.builds(
        Sent,
        st.lists(st.sampled_from(FIELDS), max_size=2).map(b"".join),
        st.sampled_from(
            [b"data", b"data: ", b"retry: 5", b"id: 3", b": ping", b"x", DONE[:-2]]
            + [event[:-2] for event in (TOKEN, NULL, ADDED, compact(FILTERED))]
        ),
        st.sampled_from([b"\n", b"\r", b"\r\n"]),
    ),
    max_size=12,
)


@given(EVENTS)
@example([Sent(b"", TOKEN[:-2]), Sent(b"id: 1\r", ADDED[:-2]), Sent(b"", b": ping")])
def test_every_client_reads_the_events_that_it_would_have_read(events: list[Sent]) -> None:
    passed, expected = stripped([stream_of(events)]), stream_of(unasked(events))
    for read in (read_events, sdk_events):
        assert read(passed) == read(expected)


@given(EVENTS)
def test_a_second_pass_finds_nothing_more(events: list[Sent]) -> None:
    once = stripped([stream_of(events)])
    assert stripped([once]) == once


def unasked_data(events: Iterable[tuple[object, ...]]) -> list[str]:
    """The data without what was asked for; no recorded event has fields that outlive it."""
    read = [str(event[0]).replace(',"usage":null', "") for event in events]
    return [data for data in read if not ('"choices":[]' in data and '"usage":{' in data)]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_of_a_recorded_stream_only_what_was_asked_for_goes(recorded: Path) -> None:
    stream = recorded.read_bytes()
    events = re.split(rb"(?<=\n\n)", stream)
    expected = b"".join(
        event.replace(b',"usage":null', b"")
        for event in events
        if not (b'"choices":[]' in event and b'"usage":{' in event)
    )
    for size in (1, 7, 1_000, len(stream)):
        assert stripped(bytewise(stream, size)) == expected
    assert stripped([expected]) == expected
    for read in (read_events, sdk_events):
        assert [event[0] for event in read(expected)] == unasked_data(read(stream))


def asked(stream: bytes) -> bytes:
    """A recorded stream as OpenAI would have sent it with usage asked for."""
    chunk = re.compile(rb"(data: \{.*\"choices\":\[\{.*)\}(\r?\n\r?\n)")
    with_nulls = chunk.sub(rb'\1,"usage":null}\2', stream)
    done = with_nulls.rfind(b"data: [DONE]")
    return with_nulls[:done] + ADDED + with_nulls[done:]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_stream_that_is_asked_for_usage_is_what_it_was(recorded: Path) -> None:
    stream = recorded.read_bytes()
    if b'"usage"' in stream:
        stream = stripped([stream])
    if b'"usage"' in stream:
        pytest.skip("reports its usage unasked, in a chunk that has choices")
    with_usage = asked(stream)
    assert with_usage.count(b'"usage"') > 2
    for size in (1, 7, 1_000, len(with_usage)):
        assert stripped(bytewise(with_usage, size)) == stream


NULLS = st.sampled_from(
    [
        lambda text: {**HEAD, "choices": [a_choice(text)], "usage": None},
        lambda text: {"usage": None, **HEAD, "choices": [a_choice(text)]},
        lambda text: {**HEAD, "usage": None, "choices": [a_choice(text)]},
        lambda text: {**HEAD, "choices": [a_choice(text)], "usage": USAGE},
        lambda text: {**HEAD, "choices": [], "content": text, "usage": USAGE},
        lambda text: {**HEAD, "choices": [], "content": text, "usage": None},
        lambda text: {**HEAD, "choices": [{"usage": None, **a_choice(text)}], "us": None},
        lambda text: {**HEAD, "choices": [a_choice(text)]},
    ]
)
TEXTS = st.sampled_from(["a", "b c", "", "é", '"', "\\", "\n", '"usage":null,', "\u2028"])
RUNS = st.builds(
    lambda make, texts: [compact(make(text)) for text in texts], NULLS, st.lists(TEXTS, max_size=4)
)


@given(st.lists(RUNS, max_size=5), st.integers(1, 3))
def test_what_comes_again_is_changed_as_the_first_was(runs: list[list[bytes]], most: int) -> None:
    events = [TOKEN, *(event for run in runs for event in run), DONE]
    several = [b"".join(events[at : at + most]) for at in range(0, len(events), most)]

    assert stripped(several) == stripped(bytewise(b"".join(events)))


def test_what_comes_again_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[bytes] = []
    judge = UsageChunks.without_usage

    def noted(self: UsageChunks, event: bytes) -> bytes | None:
        judged.append(event)
        return judge(self, event)

    monkeypatch.setattr(UsageChunks, "without_usage", noted)
    texts = [f"{number} " for number in range(100)]
    asked = [compact({**HEAD, "choices": [a_choice(t)], "usage": None}) for t in texts]

    assert stripped(asked) == b"".join(
        compact({**HEAD, "choices": [a_choice(text)]}) for text in texts
    )
    assert len(judged) == 2


def test_events_that_are_no_chunks_are_not_read_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(quick_json, "read", read.append)
    stream = b"data:\n\n" * 1_000 + b'data: {"usage": null}\n\n'
    assert UsageStrip().feed(stream) == stream
    assert not read
