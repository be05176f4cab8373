"""A stream that goes straight from one connection to the other is what it would have been."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import ctx, http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import commands, events
from mitmproxy.test import taddons

from foxora_addon.observation import Observation
from foxora_addon.proxy import fast, hold, host_reading
from foxora_addon.proxy.fast.streams import content_of
from foxora_addon.proxy.tee import Tee
from foxora_addon.speed import Speed
from scripts.benchmark.load import request_of
from tests.proxy.wires import Hooks, Wire, a_desk

REQUEST = request_of("/v1/chat/completions", stream=True)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n%s\r\n\r\n"
CHUNKED = HEAD % b"transfer-encoding: chunked"
LAST = b"0\r\n\r\n"
TEXTS = st.sampled_from(["Hi ", "é", '"', "\n", ""])
CHUNK = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def event_of(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: " + json.dumps({**CHUNK, "choices": [choice], "usage": None}).encode() + b"\n\n"


EVENT = event_of("Hi ").replace(b', "usage": null', b"")


def chunk_of(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def unchunked(data: bytes) -> bytes:
    found = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if int(size, 16) == 0:
            assert data == b"\r\n"
            return found
        found, data = found + data[: int(size, 16)], data[int(size, 16) + 2 :]


class Client(Wire):
    """A wire that keeps what its client was sent."""

    def __init__(self, *arguments: Any) -> None:
        self.received = b""
        self.desk = arguments[0]
        super().__init__(*arguments)

    def _reaction_to(self, command: commands.Command) -> Iterator[events.Event]:
        if isinstance(command, commands.SendData) and command.connection is self.client:
            self.received += command.data
        yield from super()._reaction_to(command)


type NewClient = Callable[[], Client]
type OnALine = Callable[[Callable[[NewClient], None]], None]


def on_a_line(check: Callable[[NewClient], None], speed: Speed) -> None:
    """Check something with clients of a desk, where a loop runs."""

    async def checked() -> None:
        with taddons.context(Proxyserver()), a_desk() as desk:
            fast.switch(speed)
            assert hold.install(desk) is None
            ctx.master.addons.add(Hooks(desk))
            try:
                check(lambda: Client(desk))
            finally:
                fast.switch(Speed.NONE)

    host_reading.widen()
    asyncio.run(checked())


@pytest.fixture(params=Speed, ids=["as it is", "unseen", "sped up"])
def line(request: pytest.FixtureRequest) -> OnALine:
    return lambda check: on_a_line(check, request.param)


def streamed(client: Client, head: bytes, pieces: list[bytes]) -> bytes:
    """The body of an answer as the client has it."""
    client.ask(REQUEST)
    client.received = b""
    for piece in (head, *pieces):
        client.say(piece)
    body = client.received.partition(b"\r\n\r\n")[2]
    return unchunked(body) if b"transfer-encoding: chunked" in client.received else body


def test_what_the_gateway_sends_arrives_however_it_is_cut(line: OnALine) -> None:
    def check(new_client: NewClient) -> None:
        @given(st.lists(TEXTS, max_size=6), st.data())
        def cut(texts: list[str], data: st.DataObject) -> None:
            body = b"".join(map(event_of, texts)) + b"data: [DONE]\n\n"
            chunks = pieces_of(body, data.draw(st.lists(st.integers(0, len(body)), max_size=4)))
            sent = b"".join(map(chunk_of, chunks)) + LAST
            pieces = pieces_of(sent, data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))

            expected = body.replace(b', "usage": null', b"")
            assert streamed(new_client(), CHUNKED, pieces) == expected
            assert streamed(new_client(), CHUNKED, [*map(chunk_of, chunks), LAST]) == expected

        cut()

    line(check)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in pairwise(at) if start < end]


def test_a_connection_is_ready_for_the_next_call_after_a_stream(line: OnALine) -> None:
    def check(new_client: NewClient) -> None:
        client = new_client()
        for _ in range(3):
            pieces = [chunk_of(EVENT), chunk_of(b"data: [DONE]\n\n") + LAST]
            assert streamed(client, CHUNKED, pieces) == EVENT + b"data: [DONE]\n\n"

    line(check)


def test_rare_chunks_are_read_as_well(line: OnALine) -> None:
    def check(new_client: NewClient) -> None:
        odd = b"%X;a=b\r\n%s\r\n" % (len(EVENT), EVENT)
        pieces = [odd, chunk_of(EVENT), b"0\r\nx-trailer: 1\r\n\r\n"]
        assert streamed(new_client(), CHUNKED, pieces) == EVENT * 2

    line(check)


def test_a_body_without_chunks_passes_as_ever(line: OnALine) -> None:
    def check(new_client: NewClient) -> None:
        head = HEAD % (b"content-length: %d" % (2 * len(EVENT)))
        assert streamed(new_client(), head, [EVENT, EVENT]) == EVENT * 2

    line(check)


@pytest.mark.parametrize("bad", [b"zz\r\nab\r\n", b"2\r\nabXX", b"-2\r\nab\r\n"])
def test_bytes_that_are_no_chunks_break_the_stream(line: OnALine, bad: bytes) -> None:
    def check(new_client: NewClient) -> None:
        client = new_client()
        client.ask(REQUEST)
        for piece in (CHUNKED, chunk_of(EVENT), bad):
            client.say(piece)
        assert client.received.count(EVENT) == 1
        assert b'"error"' in client.received

    line(check)


@pytest.mark.parametrize(
    ("speed", "at_once"), [(Speed.NONE, False), (Speed.UNSEEN, True), (Speed.ALL, True)]
)
def test_what_is_plain_goes_past_the_layers(
    monkeypatch: pytest.MonkeyPatch, speed: Speed, at_once: bool
) -> None:
    two = chunk_of(EVENT) * 2
    taken = taken_of(monkeypatch, [two, two + LAST], speed)
    assert taken == [*([EVENT * 2] if at_once else [EVENT] * 2), EVENT, EVENT, b""]


@pytest.mark.parametrize("speed", Speed)
def test_no_bytes_at_all_are_not_the_end_of_an_answer(
    monkeypatch: pytest.MonkeyPatch, speed: Speed
) -> None:
    pieces = [chunk_of(EVENT), b"", chunk_of(EVENT), LAST]
    assert taken_of(monkeypatch, pieces, speed) == [EVENT, EVENT, b""]


def taken_of(monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], speed: Speed) -> list[bytes]:
    """What the tee was given of a streamed answer that came in pieces."""
    taken: list[bytes] = []
    call = Tee.__call__

    def called(self: Tee, chunk: bytes) -> Iterable[bytes]:
        taken.append(chunk)
        return call(self, chunk)

    def check(new_client: NewClient) -> None:
        streamed(new_client(), CHUNKED, pieces)

    monkeypatch.setattr(Tee, "__call__", called)
    on_a_line(check, speed)
    return taken


@pytest.mark.parametrize("speed", Speed)
def test_another_addons_callable_gets_each_chunk_by_itself(speed: Speed) -> None:
    taken: list[bytes] = []

    class Taking:
        def responseheaders(self, flow: http.HTTPFlow) -> None:
            assert flow.response is not None
            flow.response.stream = self.take

        def take(self, data: bytes) -> bytes:
            taken.append(data)
            return data

    def check(new_client: NewClient) -> None:
        ctx.master.addons.add(Taking())
        assert streamed(new_client(), CHUNKED, [chunk_of(EVENT) * 2, LAST]) == EVENT * 2

    on_a_line(check, speed)
    assert taken == [EVENT, EVENT, b""]


# What passes goes first, and is looked at then.


@pytest.mark.parametrize("speed", Speed)
@pytest.mark.parametrize(
    ("head", "pieces"),
    [(CHUNKED, [chunk_of(EVENT)]), (CHUNKED + chunk_of(EVENT), [])],
    ids=["by itself", "with the head"],
)
def test_a_client_has_an_event_before_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, head: bytes, pieces: list[bytes], speed: Speed
) -> None:
    heard: list[str] = []
    feed = Observation.feed

    def fed(self: Observation, chunk: bytes) -> None:
        heard.append("seen")
        feed(self, chunk)

    class Listening(Client):
        def _reaction_to(self, command: commands.Command) -> Iterator[events.Event]:
            if isinstance(command, commands.SendData) and command.connection is self.client:
                heard.append("sent")
            yield from super()._reaction_to(command)

    def check(new_client: NewClient) -> None:
        streamed(new_client(), head, [*pieces, LAST])

    monkeypatch.setattr(Observation, "feed", fed)
    monkeypatch.setitem(globals(), "Client", Listening)
    on_a_line(check, speed)
    assert heard == ["sent", "sent", "seen", "sent"]


def test_a_client_has_an_event_with_no_key_in_it(line: OnALine) -> None:
    def check(new_client: NewClient) -> None:
        leaky = event_of("foxora_sk_fake_own")
        received = streamed(new_client(), CHUNKED, [chunk_of(leaky), LAST])
        assert b"foxora_sk_fake_own" not in received
        assert b"*" * len("foxora_sk_fake_own") in received

    line(check)


def test_records_are_the_same_however_a_stream_ends() -> None:
    plain = records(Speed.NONE)
    assert len(plain[1]) == 8
    assert [records(Speed.UNSEEN), records(Speed.ALL)] == [plain] * 2


@pytest.mark.parametrize("speed", Speed)
def test_a_stream_that_can_not_be_looked_at_passes_and_is_on_record(
    monkeypatch: pytest.MonkeyPatch, speed: Speed
) -> None:
    def fed(self: Observation, chunk: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Observation, "feed", fed)
    ended = EVENT + b"data: [DONE]\n\n"
    sent, found = records(speed)
    assert unchunked(sent[0]) == ended
    assert (found[1]["outcome"], found[1]["body_bytes"]) == ("stream_broken", 0)


DONE = chunk_of(b"data: [DONE]\n\n")
ENDINGS = (
    [chunk_of(EVENT), DONE + LAST],
    [chunk_of(EVENT), chunk_of(EVENT), LAST],
    [chunk_of(EVENT), b"zz"],
)


def records(speed: Speed) -> tuple[list[bytes], list[dict[str, Any]]]:
    """What clients have of such streams, the last of them leaving, and the trail of all that.

    Without what is another one each time: moments and names.
    """
    sent: list[bytes] = []
    found: list[dict[str, Any]] = []

    def check(new_client: NewClient) -> None:
        for pieces in (*ENDINGS, [chunk_of(EVENT)]):
            client = new_client()
            client.ask(REQUEST)
            for piece in (CHUNKED, *pieces):
                client.say(piece)
            client.desk.client_left(client.client)
            sent.append(client.received.partition(b"\r\n\r\n")[2])
            trail = client.desk.memory._journal.path.read_text()
            found[:] = map(json.loads, trail.splitlines())

    on_a_line(check, speed)
    own = {"time", "exchange", "client", "sent_ms", "prev", "hash", "duration_ms", "first_byte_ms"}
    return sent, [{name: v for name, v in each.items() if name not in own} for each in found]


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b"2\r\nab\r\n", b"ab"),
        (b"2\r\nab\r\n1\r\nc\r\n", b"abc"),
        (b"00A\r\n0123456789\r\n", b"0123456789"),
        (b"", None),
        (b"2\r\nab\r\n0\r\n\r\n", None),
        (b"2\r\nab", None),
        (b"2\r\nab\r", None),
        (b"2\r\nabc\r\n", None),
        (b"0x2\r\nab\r\n", None),
        (b" 2\r\nab\r\n", None),
        (b"2 \r\nab\r\n", None),
        (b"+2\r\nab\r\n", None),
        (b"1_0\r\n0123456789abcdef\r\n", None),
        (b"2;x\r\nab\r\n", None),
        (b"2\nab\n", None),
        (b"000000002\r\nab\r\n", None),
    ],
)
def test_only_whole_chunks_are_taken_at_once(data: bytes, content: bytes | None) -> None:
    assert content_of(data) == content
