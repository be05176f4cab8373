"""A line of the trail is strict JSON in strict UTF-8, whatever clients and gateways send."""

import base64
import json
import math
from datetime import datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.audit.chain import GENESIS, hash_of_line
from foxora_addon.audit.contents import SocketLog
from foxora_addon.audit.line import line_of
from foxora_addon.audit.record import body_fields
from foxora_addon.audit.redaction import Redactor, Scrub
from tests.builders import NOON, a_request_of, as_it_is

TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(TEXT, below, max_size=4),
    max_leaves=12,
)


def written(fields: dict[str, Any], scrub: Any = as_it_is) -> bytes:
    line, digest = line_of(fields, scrub, seq=1, unix_seconds=NOON, recovered=0, prev=GENESIS)
    assert hash_of_line(line.rstrip(b"\n")) == digest
    return line


@given(st.floats(-9e9, 9e9))
def test_a_moment_before_1970_is_written_as_any_other(seconds: float) -> None:
    fields = a_request_of("x1")
    line, _ = line_of(fields, as_it_is, seq=1, unix_seconds=seconds, recovered=0, prev=GENESIS)
    time = orjson.loads(line)["time"]
    assert abs(datetime.fromisoformat(time).timestamp() - seconds) < 1e-5
    assert len(time) == len("2026-11-29T12:00:00.000000Z")


@given(ANY, TEXT)
def test_each_line_is_one_that_strict_readers_take(value: Any, text: str) -> None:
    for scrub in (as_it_is, Scrub(Redactor(["foxora_sk_test_0"]), ())):
        line = written({**a_request_of("x1"), "message": {"any": value}, "model": text}, scrub)
        assert orjson.loads(line)["seq"] == 1
        assert line.count(b"\n") == 1


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\udcffb", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        ("\udc00\ud800x", "\ufffd\ufffdx"),
        ("\ud83d" + "\ude00", "\U0001f600"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_a_lone_surrogate_is_a_replacement_character_and_a_pair_what_it_means(
    text: str, kept: str
) -> None:
    line = written({**a_request_of("x1"), "model": text, "body": "after it"})
    assert orjson.loads(line)["model"] == kept
    assert orjson.loads(line)["body"] == "after it"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_has_not_is_null(number: float) -> None:
    line = written({**a_request_of("x1"), "message": {"a": [number, 1.5], "b": {"c": (number,)}}})
    assert json.loads(line)["message"] == {"a": [None, 1.5], "b": {"c": [None]}}


SECRET = "foxora_sk_test_0123456789"
OWN = "sk-client-0123456789-abcdef"
LOOK = "sk-proj-of-somebody-0123456789"
SCRUB = Scrub(Redactor([SECRET]), (OWN,))


def texts_of(fields: dict[str, Any]) -> str:
    """What a reader of the body on record can see in it, however that is encoded."""
    body = json.loads(written({**a_request_of("x1"), **fields}, SCRUB))
    data = base64.b64decode(body["body"]) if body["body_encoding"] == "base64" else body["body"]
    text = data.decode("latin-1") if isinstance(data, bytes) else str(data)
    return text.replace("\0", "")


@pytest.mark.parametrize("secret", [SECRET, OWN, LOOK])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_no_secret_is_hidden_in_a_body_of_another_unicode_encoding(
    secret: str, encoding: str
) -> None:
    body = json.dumps({"x": f"before {secret} after"}).encode(encoding)
    text = texts_of(body_fields(body, 1_000))
    assert secret not in text
    assert "before [redacted] after" in text


@pytest.mark.parametrize("secret", [SECRET, OWN, LOOK, OWN.replace("-", "\\u002d")])
def test_no_secret_is_hidden_in_a_body_that_is_base64_for_a_byte_of_it(secret: str) -> None:
    text = texts_of(body_fields(b"\xff\0 " + secret.encode() + b" \xfe", 1_000))
    assert text.replace(" ", "") in {"\xff[redacted]\xfe", "\xff\0[redacted]\xfe"}


@pytest.mark.parametrize("more", [b"", b"sk\0-of-nobody-0123456789"])
def test_bytes_in_base64_without_a_secret_are_as_they_were(more: bytes) -> None:
    body = bytes(range(256)) * 3 + more  # NULs do not yet make it UTF-16
    line = json.loads(written({**a_request_of("x1"), **body_fields(body, 1_000)}, SCRUB))
    assert base64.b64decode(line["body"]) == body


@pytest.mark.parametrize("member", ["http", "gateway_url"])
def test_no_secret_is_hidden_in_a_url_by_an_escape_that_it_does_not_need(member: str) -> None:
    url = f"http://gateway.test/v1/models/%73{OWN[1:]}?a=b%20c"
    told = {"method": "GET", "url": url, "version": "HTTP/1.1"} if member == "http" else url
    line = json.loads(written({**a_request_of("x1"), member: told}, SCRUB))
    kept = line["http"]["url"] if member == "http" else line[member]
    assert kept == "http://gateway.test/v1/models/[redacted]?a=b%20c"


@pytest.mark.parametrize("secret", [SECRET, OWN])
@pytest.mark.parametrize("ending", [b"", b"\xff"])
def test_half_a_secret_at_the_end_of_a_body_that_was_cut_is_taken_out(
    secret: str, ending: bytes
) -> None:
    for size in range(8, len(secret)):
        body = b"{" + ending + b'"x": "' + secret.encode()
        text = texts_of(body_fields(body, len(body) - len(secret) + size))
        assert text.endswith('"x": "[redacted]')
    whole = texts_of(body_fields(secret[:12].encode(), 1_000))
    assert whole == secret[:12]  # nothing was cut: it is no half of anything


BROKEN_OFF = (
    *("stream_broken", "client_disconnected", "timeout"),
    *("aborted", "internal_error", "gateway_unreachable"),
)


@pytest.mark.parametrize("secret", [SECRET, OWN])
@pytest.mark.parametrize("outcome", BROKEN_OFF)
def test_half_a_secret_at_the_end_of_an_answer_that_broke_off_is_taken_out(
    outcome: str, secret: str
) -> None:
    for size in range(8, len(secret)):
        said = f"It is {secret[:size]}"
        text = texts_of({"outcome": outcome, **body_fields(said.encode(), 1_000)})
        assert text == "It is [redacted]"
        told = {"outcome": outcome, "message": {"content": said, "role": "assistant"}}
        message = json.loads(written({**a_request_of("x1"), **told}, SCRUB))["message"]
        assert message == {"content": "It is [redacted]", "role": "assistant"}


@pytest.mark.parametrize("outcome", ["completed", "refused", "gateway_error"])
def test_what_begins_as_a_secret_does_stays_in_an_answer_that_came_whole(outcome: str) -> None:
    half = OWN[:12]
    assert texts_of({"outcome": outcome, **body_fields(half.encode(), 1_000)}) == half
    told = {"outcome": outcome, "message": {"content": half}}
    assert json.loads(written({**a_request_of("x1"), **told}, SCRUB))["message"] == told["message"]


@pytest.mark.parametrize("cut", range(5))
def test_half_a_secret_is_taken_out_though_the_cut_went_through_an_escape_of_a_url(
    cut: int,
) -> None:
    half = "".join(f"%{ord(letter):02x}" for letter in OWN[:12])
    body = b"filename*=UTF-8''" + half.encode() + b"%2541"[:cut]
    text = texts_of(body_fields(body + b" and more", len(body)))
    assert text.removesuffix("A") == "filename*=UTF-8''[redacted]"


@pytest.mark.parametrize("cut", range(6))
@pytest.mark.parametrize("size", [8, len(OWN) - 1])
def test_half_a_secret_is_taken_out_though_the_cut_went_through_an_escape(
    size: int, cut: int
) -> None:
    half = "".join(f"\\u{ord(letter):04x}" for letter in OWN[:size])
    body = b'{"x": "' + half.encode() + b"\\u0061"[:cut]
    text = texts_of(body_fields(body + b" and more", len(body)))
    assert text.rstrip("\\u06") == '{"x": "[redacted]'


def test_a_socket_has_no_secret_in_a_message_of_bytes() -> None:
    log = SocketLog(1_000)
    log.add(b"\xff " + LOOK.encode(), is_clients=True, at_ms=1.0)
    log.add(b"plain", is_clients=False, at_ms=2.0)
    line = json.loads(written({**a_request_of("x1"), "websocket": log.fields("full")}, SCRUB))
    first, second = line["websocket"]["messages"]
    assert base64.b64decode(first["text"]) == b"\xff [redacted]"
    assert second["text"] == "plain"


DELTAS = [json.dumps({"type": "a.delta", "delta": OWN[at : at + 5]}) for at in range(0, 30, 5)]


def test_no_secret_is_spread_over_the_messages_of_a_socket() -> None:
    log = SocketLog(1_000)
    for number, delta in enumerate(DELTAS):
        log.add(delta.encode(), is_clients=False, at_ms=number)
        log.add(b'{"type": "a.delta", "delta": "?"}', is_clients=True, at_ms=number)
        log.add(b"\xff", is_clients=False, at_ms=number)
    line = json.loads(written({**a_request_of("x1"), "websocket": log.fields("full")}, SCRUB))
    messages = line["websocket"]["messages"]
    said = [json.loads(each["text"])["delta"] for each in messages[::3]]
    assert said == ["[redacted]", "", "", "", "", ""]
    assert messages[1::3] == log.fields("full")["messages"][1::3]
    assert messages[2::3] == log.fields("full")["messages"][2::3]


def test_no_half_of_a_secret_is_spread_over_the_last_messages_of_a_socket_that_are_kept() -> None:
    log = SocketLog(sum(map(len, DELTAS[:3])))
    for number, delta in enumerate(DELTAS):
        log.add(delta.encode(), is_clients=False, at_ms=number)
    line = json.loads(written({**a_request_of("x1"), "websocket": log.fields("full")}, SCRUB))
    said = [json.loads(each["text"])["delta"] for each in line["websocket"]["messages"]]
    assert said == ["[redacted]", "", ""]


def test_no_half_of_a_secret_is_spread_over_the_last_messages_before_a_socket_was_lost() -> None:
    log = SocketLog(1_000)
    for number, delta in enumerate(DELTAS[:3]):
        log.add(delta.encode(), is_clients=False, at_ms=number)
    told = {"outcome": "stream_broken", "websocket": log.fields("full")}
    line = json.loads(written({**a_request_of("x1"), **told}, SCRUB))
    said = [json.loads(each["text"])["delta"] for each in line["websocket"]["messages"]]
    assert said == ["[redacted]", "", ""]


def test_no_half_of_a_secret_is_spread_over_the_last_events_before_a_stream_broke_off() -> None:
    body = "".join(f"data: {delta}\n\n" for delta in DELTAS[:3]).encode()
    kept = {"outcome": "stream_broken", "chunks": 3, **body_fields(body, 1_000)}
    said = [json.loads(event[6:])["delta"] for event in texts_of(kept).splitlines()[::2]]
    assert said == ["[redacted]", "", ""]


@pytest.mark.parametrize("more", ["", "\udcff"])
@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize("message", [None, {"role": "assistant", "content": "Hi."}])
def test_no_secret_is_spread_over_the_events_of_a_stream_that_are_kept(
    message: dict[str, Any] | None, cut: int, more: str
) -> None:
    """Nor is the half of one over those of one that was cut off."""
    stream = "".join(f"data: {delta}\n\n" for delta in DELTAS[: len(DELTAS) - cut])
    body = (stream + more).encode("utf-8", "surrogateescape")
    size = len(body) + cut
    kept = {"chunks": 6, "message": message, **body_fields(body, 1_000, size=size)}
    events = texts_of(kept).splitlines()[::2]
    said = [json.loads(event[6:])["delta"] for event in events if event.startswith("data: ")]
    assert said == ["[redacted]", *[""] * (5 - cut)]
