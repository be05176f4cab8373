"""What is known again is read as it would have been the slow way."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foxora_addon.api.repeats import Frame, Patience, frame_of
from foxora_addon.api.sse import Event
from foxora_addon.api.transcript import Transcript
from foxora_addon.observation import Observation
from tests.builders import encoded

PLAIN = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'


def a_chunk(delta: object, /, choice: object = None, **fields: Any) -> dict[str, Any]:
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choices = [{"index": 0, "delta": delta, **(choice if isinstance(choice, dict) else {})}]
    return {**chunk, "choices": choices, **fields}


def event_of(value: object) -> bytes:
    return b"data: " + encoded(value) + b"\n\n"


def observed(pieces: list[bytes], *, most: int = 1_000_000) -> Observation:
    seen = Observation(
        content_encoding=None, is_event_stream=True, is_json=False, max_head_bytes=most
    )
    for piece in pieces:
        seen.feed(piece)
    return seen


def told_by(seen: Observation) -> dict[str, Any]:
    told = seen.transcript
    assert told is not None
    names = ("chunks", "done", "truncated", "error", "usage", "content_bytes")
    return {
        "unkept_bytes": told.unkept_bytes,
        "is_usage_of_all": told.usage is not None and told.is_usage_of_all,
        **{name: getattr(told, name) for name in names},
        "completion": told.completion(),
        "message": told.message(),
        "head": bytes(seen.head),
        "sha256": seen.sha256,
    }


TEXTS = st.text(max_size=8) | st.sampled_from(['"', "\\", "\n", "\u2028", "é", "\ud83d", '"},', ""])
DELTAS: st.SearchStrategy[Any] = (
    st.builds(lambda text: {"content": text}, TEXTS)
    | st.builds(lambda text, role: {"role": role, "content": text}, TEXTS, st.sampled_from("ab"))
    | st.builds(lambda text: {"content": text, "refusal": None}, TEXTS)
    | st.builds(lambda text: {"content": text, "reasoning": text}, TEXTS)
    | st.builds(lambda text: {"reasoning": text}, TEXTS)
    | st.sampled_from([{}, None, {"content": None}, {"content": ["a"]}, {"tool_calls": []}])
)
CHOICES = st.sampled_from(
    [{}, {"finish_reason": None}, {"finish_reason": "stop"}, {"logprobs": {"content": ["a"]}},
     {"index": 1}, {"index": None}, {"text": "x"}, {"content": "y"}]
)  # fmt: skip
FIELDS = st.sampled_from(
    [{}, {"usage": None}, {"usage": {"total_tokens": 3}}, {"error": {"message": "m"}}, {"id": "c2"},
     {"type": "response.created"}, {"content": "x"}, {"choices": []}, {"obfuscation": "abc"}]
)  # fmt: skip
VALUES = st.builds(lambda d, c, f: a_chunk(d, c, **f), DELTAS, CHOICES, FIELDS)
EVENTS = st.builds(event_of, VALUES) | st.sampled_from(
    [b"data: [DONE]\n\n", b": ping\n\n", b"event: error\n", b"data: {\n", b"data: no\n\n", b"\n"]
)
SAID = st.lists(st.sampled_from(["a", "b c", "é", ""]), max_size=4).map(
    lambda texts: [event_of(a_chunk({"content": text})) for text in texts]
)
STREAMS = st.lists(SAID | EVENTS.map(lambda event: [event]), max_size=8).map(
    lambda parts: [event for part in parts for event in part]
)


@given(STREAMS, st.sampled_from([700, 1_000_000]))
@example([b"\n", b'data: {"a":1,\n', b'data: "choices":[{"delta":{"content":"x"}}]}\n\n'] * 3, 700)
@example([PLAIN] * 9, 700)
def test_a_stream_says_the_same_however_it_is_cut(events: list[bytes], most: int) -> None:
    stream = b"".join(events)
    bytewise = [stream[at : at + 1] for at in range(len(stream))]

    assert told_by(observed(events, most=most)) == told_by(observed(bytewise, most=most))
    pairs = [b"".join(events[at : at + 2]) for at in range(0, len(events), 2)]
    assert told_by(observed(pairs, most=most)) == told_by(observed(bytewise, most=most))


def test_the_text_is_found_however_many_events_come_at_once() -> None:
    frame = frame_of(PLAIN)

    assert frame is not None
    assert frame.texts_in(PLAIN) == ["Hi"]
    assert frame.texts_in(PLAIN * 2 + PLAIN.replace(b"Hi", "Grüß dich".encode())) == [
        "Hi",
        "Hi",
        "Grüß dich",
    ]


@pytest.mark.parametrize(
    "middle", [b'a"b', b"a\\n", b"a\nb", b"\xff", b"\xe2\x80\xa8", b'","x":"', b"\x7f", b"a\r"]
)
def test_what_is_no_plain_text_is_read_the_slow_way(middle: bytes) -> None:
    frame = frame_of(PLAIN)

    assert frame is not None
    assert frame.texts_in(PLAIN.replace(b"Hi", middle)) is None


def test_what_both_ends_share_is_no_event() -> None:
    assert Frame(b'data: {"content":"', b'"content":"', 9).texts_in(b'data: {"content":"') is None


@pytest.mark.parametrize(
    "event",
    [
        PLAIN.replace(b"Hi", b"H\\u0069"),
        PLAIN.replace(b'"Hi"', b"null"),
        PLAIN.replace(b"}}", b'},"content":"Hi"}'),
        PLAIN.replace(b"\n\n", b"\r\n\r\n"),
        b"id: 1\n" + PLAIN,
        PLAIN + PLAIN,
        PLAIN.replace(b"choices", b"\xff"),
        b"event: a\n\n",
    ],
)
def test_an_event_that_is_not_plain_has_no_frame(event: bytes) -> None:
    assert frame_of(event) is None


def test_less_and_less_is_looked_for_what_never_repeats() -> None:
    patience, looks = Patience(), 0
    for _ in range(1_000):
        if patience.asks():
            patience.looked()
            looks += 1

    assert looks < 25
    patience.paid()
    assert patience.asks()


def test_what_comes_again_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Event] = []
    add = Transcript.add

    def noted(self: Transcript, event: Event) -> None:
        parsed.append(event)
        add(self, event)

    monkeypatch.setattr(Transcript, "add", noted)
    told = told_by(observed([event_of(a_chunk({"content": f"{n} "})) for n in range(100)]))

    assert told["message"]["content"] == "".join(f"{n} " for n in range(100))
    assert told["chunks"] == 100
    assert len(parsed) == 2
