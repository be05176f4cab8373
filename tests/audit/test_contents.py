"""WebSocket messages and uploaded files, as they are kept on record."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.audit.contents import SocketLog, files_of
from foxora_addon.audit.schema import RECORD
from foxora_addon.config.accounts import Level
from tests.builders import a_request_of, a_response_of, sealed


def a_talk(max_bytes: int = 100) -> SocketLog:
    log = SocketLog(max_bytes)
    log.add(b"hello", is_clients=True, at_ms=1.5)
    log.add(b"\xff\x00", is_clients=False, at_ms=2.5)
    return log


def test_messages_are_kept_in_their_order_as_text_or_as_base64() -> None:
    found = a_talk().fields("full")
    assert found == {
        "count": 2,
        "bytes": 7,
        "messages": [
            {"sender": "client", "at_ms": 1.5, "text": "hello", "encoding": "utf-8"},
            {"sender": "gateway", "at_ms": 2.5, "text": "/wA=", "encoding": "base64"},
        ],
    }
    RECORD.validate_python(sealed(a_response_of("x1") | {"websocket": found}))


@pytest.mark.parametrize(
    ("level", "senders"),
    [("full", ["client", "gateway"]), ("request", ["client"]), ("metadata", []), ("minimal", [])],
)
def test_each_level_keeps_what_it_says(level: Level, senders: list[str]) -> None:
    found = a_talk().fields(level)
    assert [message["sender"] for message in found["messages"]] == senders
    assert (found["count"], found["bytes"]) == (2, 7)


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(0, 200))
def test_what_is_kept_is_the_beginning_and_within_the_bound(
    contents: list[bytes], limit: int
) -> None:
    log = SocketLog(limit)
    for content in contents:
        log.add(content, is_clients=True, at_ms=0.0)
    kept = len(log.fields("full")["messages"])
    assert log.fields("full")["count"] == len(contents)
    assert sum(map(len, contents[:kept])) <= limit
    assert kept == len(contents) or sum(map(len, contents[: kept + 1])) > limit


def a_form(*files: tuple[str, str, bytes, str]) -> bytes:
    parts = [(field, (name, content, kind)) for field, name, content, kind in files]
    return httpx.Request("POST", "http://x", data={"model": "whisper-1"}, files=parts).read()


def test_the_files_of_a_form_are_named() -> None:
    files = files_of(
        a_form(
            ("file", "voice.mp3", b"\xff\xfb\r\n--" * 50, "audio/mpeg"),
            ("mask", "Zürich.png", b"", "image/png"),
        )
    )
    assert files == [
        {"field": "file", "filename": "voice.mp3", "content_type": "audio/mpeg", "bytes": 300},
        {"field": "mask", "filename": "Zürich.png", "content_type": "image/png", "bytes": 0},
    ]
    record = a_request_of("x1") | {"files": files}
    RECORD.validate_python(sealed(record))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ('name=file; filename="a \\"b.wav"', 'a \\"b.wav'),
        ("name=file; filename=a.wav", "a.wav"),
        ("name=file; filename*=UTF-8''Z%C3%BCrich.png", "Zürich.png"),
        ("name=file; filename=Z.png; filename*=utf-8'de'Z%C3%BCrich.png", "Zürich.png"),
        ('filename=""; name="file"', ""),
    ],
)
def test_a_name_of_a_file_is_written_in_several_ways(given: str, name: str) -> None:
    body = f"--b\r\nContent-Disposition: form-data; {given}\r\n\r\nx\r\n--b--\r\n".encode()
    (file,) = files_of(body)
    assert (file["field"], file["filename"]) == ("file", name)


def test_a_form_without_files_and_any_other_body_have_none() -> None:
    boundary = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n'
    assert files_of(boundary) == []
    for body in (b"", b"{}", b"--", b"--b\r\n", b'{"a": "--b\\r\\n"}', b"-" * 10_000):
        assert files_of(body) == []


@given(st.binary(max_size=200), st.integers(0, 400))
def test_nothing_in_a_form_raises(noise: bytes, place: int) -> None:
    form = a_form(("file", "a.bin", b"abc", "x/y"))
    for body in (form[:place], form[:place] + noise + form[place:]):
        assert len(files_of(body)) <= 64
