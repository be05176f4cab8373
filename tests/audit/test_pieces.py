"""A secret that is said a few letters at a time does not show where its pieces are joined."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.audit.pieces import events_scrubbed, messages_scrubbed
from foxora_addon.audit.redaction import Redactor, Scrub
from tests.builders import ACCOUNT_KEY, APP_KEY

SCRUB = Scrub(Redactor([ACCOUNT_KEY], presets=("secrets", "pii")), (APP_KEY,))
SECRETS = {
    ACCOUNT_KEY: "[redacted]",
    APP_KEY: "[redacted]",
    "sk-proj-of-somebody-0123456789": "[redacted]",
    "4111 1111 1111 1111": "[redacted:card]",
    "4242424242424242": "[redacted:card]",  # all its pieces are the same
    "jane.doe@example.com": "[redacted:email]",
}

type Event = dict[str, Any]


def a_delta(text: str, number: int, **members: Any) -> Event:
    return {
        "type": "response.output_text.delta",
        "event_id": f"event_{number}",
        "item_id": "item_1",
        "content_index": 0,
        "delta": text,
        **members,
    }


def of_a_thread(text: str, number: int) -> Event:
    content = {"index": 0, "type": "text", "text": {"value": text}}
    return {"object": "thread.message.delta", "id": "msg_1", "delta": {"content": [content]}}


def of_a_tool(text: str, number: int) -> Event:
    named = {} if number else {"id": "call_1", "type": "function"}
    call = {"index": 0, **named, "function": {"arguments": text}}
    return {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}


def of_a_token(text: str, number: int) -> Event:
    return a_delta("", number, logprobs=[{"token": text, "logprob": -0.1}])


def in_pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def written(events: Sequence[Event]) -> list[str]:
    return [json.dumps(event) for event in events]


def kept_of(events: Sequence[Event]) -> list[Any]:
    return [json.loads(text) for text in messages_scrubbed(written(events), SCRUB)]


def texts_in(value: Any) -> str:
    """All that is no member of an event's frame, joined."""
    match value:
        case str():
            return value
        case list():
            return "".join(map(texts_in, value))
        case dict():
            frame = {"type", "object", "id", "event_id", "item_id"}
            return "".join(texts_in(each) for name, each in value.items() if name not in frame)
        case _:
            return ""


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("event", [a_delta, of_a_thread, of_a_tool, of_a_token])
def test_a_secret_in_pieces_goes_whatever_they_stand_in(
    event: Callable[[str, int], Event], size: int, secret: str
) -> None:
    pieces = in_pieces(f"So it is {secret} “and no other”.", size)
    kept = kept_of([event(piece, number) for number, piece in enumerate(pieces)])
    assert texts_in(kept) == f"So it is {SECRETS[secret]} “and no other”."


def test_all_but_a_secrets_own_pieces_stay_byte_for_byte() -> None:
    pieces = ["It", " is ", APP_KEY[:4], APP_KEY[4:9], f"{APP_KEY[9:]}.", " Well", "!"]
    given = [json.dumps(a_delta(piece, n), indent=1) for n, piece in enumerate(pieces)]
    kept = messages_scrubbed(given, SCRUB)
    assert [*kept[:2], *kept[-2:]] == [*given[:2], *given[-2:]]
    deltas = [json.loads(text)["delta"] for text in kept[2:-2]]
    assert deltas == ["[redacted].", "", ""]
    assert kept[3] != given[3]


def test_what_is_said_of_several_items_at_once_is_each_a_text_of_its_own() -> None:
    texts = ("my card: 4111 1111 1111 1111!", f"and the key: {APP_KEY}")
    size = max(map(len, texts))
    events = [
        a_delta(letter, 0, item_id=f"item_{item}")
        for letters in zip(*(text.ljust(size, "!") for text in texts), strict=True)
        for item, letter in enumerate(letters)
    ]
    kept = kept_of(events)
    assert texts_in(kept[::2]).rstrip("!") == "my card: [redacted:card]"
    assert texts_in(kept[1::2]).rstrip("!") == "and the key: [redacted]"


@pytest.mark.parametrize("kind", ["conversation.item.create", "of.any"])
def test_what_is_in_one_message_alone_is_left_to_who_looks_at_each(kind: str) -> None:
    said = ("I am jane@example.com!", "My card is 4111 1111 1111 1111", "Thanks!")
    items = [{"type": kind, "item": {"content": [{"text": text}]}} for text in said]
    assert messages_scrubbed(written(items), SCRUB) == written(items)


def test_texts_that_are_each_said_at_once_are_not_taken_for_pieces_of_one() -> None:
    said = ("I am jane@example.com", "my number is 415", " 555 0100")
    items = [{"type": "conversation.item.create", "item": {"text": text}} for text in said]
    assert messages_scrubbed(written(items), SCRUB) == written(items)


def test_sound_is_left_as_it_is() -> None:
    sound = base64.b64encode(bytes(range(256)) * 20).decode()
    events = [
        a_delta(piece, n, type="response.output_audio.delta")
        for n, piece in enumerate(in_pieces(sound, 400))
    ]
    assert messages_scrubbed(written(events), SCRUB) == written(events)


@pytest.mark.parametrize("odd", ["{", "[" * 5_000, '{"a":' * 300 + "1" + "}" * 300, "", "null"])
def test_messages_of_any_kind_are_taken(odd: str) -> None:
    given = [*written([a_delta(APP_KEY[:9], 1)]), odd, *written([a_delta(APP_KEY[9:], 2)]), odd]
    kept = messages_scrubbed(given, SCRUB)
    assert [json.loads(text)["delta"] for text in kept[::2]] == ["[redacted]", ""]
    assert kept[1::2] == [odd, odd]


def test_pieces_that_are_no_json_are_looked_at_as_one() -> None:
    assert messages_scrubbed(["so: ", APP_KEY[:9], APP_KEY[9:]], SCRUB) == [
        "so: ",
        "[redacted]",
        "",
    ]


@given(st.lists(st.text(max_size=5) | st.sampled_from([APP_KEY, APP_KEY[:9], APP_KEY[9:]])))
def test_what_is_left_says_what_all_of_it_says_redacted(pieces: list[str]) -> None:
    kept = kept_of([a_delta(piece, number) for number, piece in enumerate(pieces)])
    each = "".join(SCRUB(event["delta"]) for event in kept)
    assert each == SCRUB("".join(pieces))
    assert len(kept) == len(pieces)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff", ": a comment\n", "event: x\n"])
def test_of_an_event_stream_the_data_alone_is_changed(start: str, end: str) -> None:
    pieces = in_pieces(f"It is {APP_KEY}.", 5)
    data = [*written([of_a_thread(piece, 0) for piece in pieces]), "[DONE]"]
    given = start + "".join(f"data: {each}{end}event: x{end}{end}" for each in data)
    lines = events_scrubbed(given, SCRUB).removeprefix(start).split(end)
    assert [line for line in lines if not line.startswith("data: {")] == [
        line for line in given.removeprefix(start).split(end) if not line.startswith("data: {")
    ]
    said = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert texts_in(said) == "It is [redacted]."


def test_an_event_stream_without_a_secret_is_as_it_was() -> None:
    given = 'data:{"a":\t"data: it"}\n\n data: x\ndata:  \ndata\n: data: y\r\rdata: {"a": "b"}'
    assert events_scrubbed(given, SCRUB) == given


LOOKALIKE = "sk-proj-AbCdEfGhIjKlMnOpQrStUv"


@pytest.mark.parametrize(
    ("texts", "left"),
    [
        (["id AKIA", "ABCDEFGHIJKLMNOP ok ", "the key is", LOOKALIKE], "id [redacted] ok "),
        ([APP_KEY[:9], APP_KEY[9:], "hello", LOOKALIKE, "world"], "[redacted]hello"),
        ([LOOKALIKE, " hello", APP_KEY[:9], APP_KEY[9:], "world"], "[redacted] hello"),
        ([f"{LOOKALIKE} and {APP_KEY[:9]}", APP_KEY[9:], LOOKALIKE], "[redacted]"),
    ],
)
def test_a_secret_of_one_piece_stays_out_though_another_is_joined(
    texts: list[str], left: str
) -> None:
    kept = messages_scrubbed([json.dumps({"d": text}) for text in texts], SCRUB)
    joined = "".join(json.loads(message)["d"] for message in kept)
    assert joined.startswith(left)
    assert LOOKALIKE not in joined
    assert LOOKALIKE[3:] not in joined
    assert APP_KEY not in joined


def test_where_many_pieces_have_their_own_secrets_nothing_between_is_kept() -> None:
    texts = [APP_KEY[:9], APP_KEY[9:], *[f"{LOOKALIKE}x{number} " for number in range(99)], "end"]
    kept = messages_scrubbed([json.dumps({"d": text}) for text in texts], SCRUB)
    assert "sk-proj" not in "".join(kept)


@pytest.mark.parametrize("size", [8, len(APP_KEY) - 1])
@pytest.mark.parametrize("before", [[], ["a "], [APP_KEY[:4], APP_KEY[4:], " b "]])
def test_half_a_secret_at_the_end_of_what_is_kept_goes_though_it_is_in_one_piece(
    before: list[str], size: int
) -> None:
    texts = [json.dumps({"d": text}) for text in [*before, f"c {APP_KEY[:size]}"]]
    cut = messages_scrubbed(texts, SCRUB, SCRUB.of_beginning)
    assert "".join(json.loads(text)["d"] for text in cut).endswith("c [redacted]")


def test_no_more_than_so_many_texts_are_looked_at() -> None:
    hostile = '{"a":' * 200 + "[" + ",".join(['""'] * 60_000) + "]" + "}" * 200
    assert messages_scrubbed([hostile] * 2, SCRUB) == [hostile] * 2
    many = ['{"d":"x"}'] * 60_000
    assert messages_scrubbed(many, SCRUB) == many
