"""Messages that go through the layers in one step are what they would have been, event by event."""

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Final, Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import ctx, http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events, layer
from mitmproxy.test import taddons

from foxora_addon.proxy import fast, hold, host_reading
from foxora_addon.proxy.desk import FlowDesk
from foxora_addon.proxy.fast import whole
from foxora_addon.proxy.hold_whole import WholeAnswer, WholeRequest
from foxora_addon.speed import Speed as HowFast
from scripts.benchmark import upstream
from scripts.benchmark.load import request_of
from tests.proxy.wires import Hooks, Wire, a_desk

type Heard = dict[str, list[str]]
"""What happened, in its order: to the client, to the gateway, in hooks and in the log.

Which of them comes first where that does not matter is not the same with speed-ups.
"""

CHAT = request_of("/v1/chat/completions", stream=False)
STREAM = request_of("/v1/chat/completions", stream=True)
JSON = upstream.ANSWER
EVENTS = b'data: {"id":"c","object":"chat.completion.chunk","choices":[]}\n\ndata: [DONE]\n\n'
IDS = re.compile(rb"ex_[0-9a-f]{32}")
RESETS = re.compile(rb"(x-ratelimit-reset-\w+: )[^\r]*")


class Ears:
    """Hears of each hook of a flow, and how far it is by then."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def _hear(self, hook: str, flow: http.HTTPFlow) -> None:
        request, response = flow.request, flow.response
        answer = response and (response.status_code, response.raw_content, response.stream and 1)
        body, is_over = request.raw_content, bool(request.timestamp_end)
        self._heard["hooks"].append(f"{hook} {body!r} {is_over} {answer}")

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        self._hear("requestheaders", flow)

    def request(self, flow: http.HTTPFlow) -> None:
        self._hear("request", flow)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        self._hear("responseheaders", flow)

    def response(self, flow: http.HTTPFlow) -> None:
        self._hear("response", flow)

    def error(self, flow: http.HTTPFlow) -> None:
        self._hear(f"error {flow.error}", flow)


class Line(Wire):
    """A wire that keeps what both sides were sent, and whether they were closed."""

    def __init__(self, desk: FlowDesk, heard: Heard, mode: str) -> None:
        self._heard = heard
        super().__init__(desk, mode)

    def _reaction_to(self, command: commands.Command) -> Iterator[events.Event]:
        side = "client" if getattr(command, "connection", None) is self.client else "gateway"
        if isinstance(command, commands.SendData):
            self._sent(side, command.data)
        elif isinstance(command, commands.CloseConnection):
            self._heard[side].append("closed")
            command.connection.state = ConnectionState.CLOSED
        elif isinstance(command, commands.Log):
            self._heard["log"].append(command.message)
        yield from super()._reaction_to(command)

    def _sent(self, side: str, data: bytes) -> None:
        """What is sent in one go is one thing, in however many pieces it is."""
        text = RESETS.sub(rb"\1-", IDS.sub(b"ex_-", data)).decode("latin-1")
        heard = self._heard[side]
        if heard and heard[-1] not in {"closed", "opened"}:
            heard[-1] += text
        else:
            heard.append(text)

    def crashed(self, error: Exception) -> None:
        """A layer has raised what the server logs."""
        self._heard["log"].append(f"crashed: {type(error).__name__}")

    def hear_of(self, data: bytes, *, from_client: bool) -> None:
        """Feed what comes, where the connection that it comes on is open."""
        connection: Any = self.client if from_client else self._server
        if connection is not None and connection.state is ConnectionState.OPEN:
            self._feed(events.DataReceived(connection, data))

    def hang_up(self, *, is_client: bool) -> None:
        """The peer is gone."""
        connection: Any = self.client if is_client else self._server
        if connection is not None and connection.state is ConnectionState.OPEN:
            connection.state = ConnectionState.CLOSED
            self._feed(events.ConnectionClosed(connection))


type Turn = tuple[str, bytes]
"""Who sends what: "ask", "say"; or who hangs up."""


type Speed = Literal["as it is", "unseen", "but for whole messages", "but for hooks", "all"]
_SWITCHES: Final = {"as it is": HowFast.NONE, "unseen": HowFast.UNSEEN}


def heard_of(
    turns: list[Turn],
    speed: Speed,
    also: Callable[[Heard], object] | None = None,
    mode: str = "regular",
    **options: object,
) -> Heard:
    """All that happens on the line and in the hooks when these turns are taken.

    `also` makes an addon that is there as well.
    """
    heard: Heard = {side: [] for side in ("client", "gateway", "hooks", "log")}

    async def run() -> None:
        with taddons.context(Proxyserver()), a_desk() as desk:
            ctx.options.update(**options)
            fast.switch(_SWITCHES.get(speed, HowFast.ALL))
            assert hold.install(desk) is None
            ctx.master.addons.add(Hooks(desk), Ears(heard), *([also(heard)] if also else []))
            try:
                with pytest.MonkeyPatch.context() as patch:
                    if speed == "but for whole messages":
                        patch.setattr(whole, "_whole_in", lambda *_, **__: None)
                    elif speed == "but for hooks":
                        hold.tell_at_once(None)
                    take(Line(desk, heard, mode), turns)
            finally:
                fast.switch(HowFast.NONE)

    host_reading.widen()
    root = logging.getLogger()
    before = root.handlers[:]
    try:
        asyncio.run(run())
    finally:
        root.handlers[:] = before  # a master's own, which logs to a loop that has ended
    return heard


def take(line: Line, turns: list[Turn]) -> None:
    for who, data in turns:
        try:
            if who.startswith("hang up"):
                line.hang_up(is_client=who.endswith("client"))
            else:
                line.hear_of(data, from_client=who == "ask")
        except Exception as error:  # noqa: BLE001  # a server says so in its log and goes on
            line.crashed(error)


def with_header(message: bytes, *lines: bytes) -> bytes:
    head, _, rest = message.partition(b"\r\n")
    return b"\r\n".join((head, *lines, rest))


def chunked(body: bytes, *, size: int = 40, last: bytes = b"0\r\n\r\n") -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + last


def answer(status: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    """An answer whose length is said, unless its lines say how it ends."""
    told = [b"content-length: %d" % len(body)] if UNSAID not in lines else []
    said = [line for line in lines if line != UNSAID]
    return b"\r\n".join((b"HTTP/1.1 " + status, *said, *told, b"", body))


UNSAID = b"the length is not said"


def unframed(message: bytes) -> bytes:
    return re.sub(rb"\r\ncontent-length: \d+", b"", message)


BODY = JSON.partition(b"\r\n\r\n")[2]
ASKED = CHAT.partition(b"\r\n\r\n")[2]
HEAD = unframed(CHAT).partition(b"\r\n\r\n")[0]
IS_JSON, IS_CHUNKED = b"content-type: application/json", b"transfer-encoding: chunked"
IN_CHUNKS = IS_CHUNKED, UNSAID
IS_STREAM = b"content-type: text/event-stream"
LIST = b"GET /v1/models HTTP/1.1\r\nhost: api.openai.com\r\nauthorization: Bearer sk-x\r\n\r\n"
FOREIGN = b"http://127.0.0.1:9/elsewhere"
REQUESTS = {
    "chat": CHAT,
    "stream": STREAM,
    "a list": LIST,
    "no JSON": CHAT.replace(b'"model"', b"'model'"),
    "closes": with_header(CHAT, b"connection: close"),
    "keeps alive": with_header(CHAT, b"Connection: keep-alive"),
    "HTTP/1.0": CHAT.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/3.0": CHAT.replace(b"HTTP/1.1", b"HTTP/3.0"),
    "expects": with_header(CHAT, b"expect: 100-continue"),
    "chunked": HEAD + b"\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(ASKED),
    "both framings": with_header(CHAT, IS_CHUNKED),
    "two lengths": with_header(CHAT, b"content-length: 3"),
    "the same length twice": with_header(CHAT, b"content-length: %d" % len(ASKED)),
    "a bad length": HEAD + b"\r\ncontent-length: 1_0\r\n\r\n" + b"0123456789",
    "a signed length": HEAD + b"\r\ncontent-length: +10\r\n\r\n" + b"0123456789",
    "no length": HEAD + b"\r\n\r\n",
    "an odd header": with_header(CHAT, b"x odd: 1"),
    "a header without a name": with_header(CHAT, b": 1"),
    "a folded header": with_header(CHAT, b"x-folded: 1", b"  2"),
    "a bare line feed": CHAT.replace(b"\r\nhost", b"\nhost", 1),
    "an empty line before": b"\r\n" + CHAT,
    "no request line": b"nonsense\r\n\r\n",
    "a HEAD": LIST.replace(b"GET", b"HEAD"),
    "OPTIONS": LIST.replace(b"GET", b"OPTIONS"),
    "small letters": LIST.replace(b"GET", b"get"),
    "not ours": b"GET %s HTTP/1.1\r\nhost: 127.0.0.1:9\r\n\r\n" % FOREIGN,
    "not ours, with a body": b"PUT %s HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi" % FOREIGN,
    "a tunnel": b"CONNECT 127.0.0.1:9 HTTP/1.1\r\nhost: 127.0.0.1:9\r\n\r\n",
    "too large": CHAT.replace(b"content-length: ", b"content-length: 9999999"),
    "a WebSocket": with_header(LIST, b"upgrade: websocket", b"connection: upgrade"),
}  # fmt: skip
ANSWERS = {
    "JSON": JSON,
    "chunked JSON": answer(b"200 OK", IS_JSON, *IN_CHUNKS, body=chunked(BODY)),
    "a stream": answer(b"200 OK", IS_STREAM, *IN_CHUNKS, body=chunked(EVENTS)),
    "a stream with a length": answer(b"200 OK", IS_STREAM, body=EVENTS),
    "no chunk": answer(b"200 OK", IS_STREAM, *IN_CHUNKS, body=chunked(b"")),
    "trailers": answer(
        b"200 OK", IS_JSON, *IN_CHUNKS, body=chunked(BODY, last=b"0\r\nx-t: 1\r\n\r\n")
    ),
    "an error": answer(b"500 Oh", IS_JSON, body=b'{"error":{"message":"m"}}'),
    "a bare error": answer(b"503 Gone"),
    "no reason": answer(b"200", IS_JSON, body=BODY),
    "closes": with_header(JSON, b"connection: close"),
    "HTTP/1.0": JSON.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/2.0": JSON.replace(b"HTTP/1.1", b"HTTP/2.0"),
    "until it closes": answer(b"200 OK", IS_JSON, UNSAID, body=BODY),
    "nothing": answer(b"204 No Content", UNSAID),
    "unmodified": answer(b"304 Not Modified", b"content-length: 5", UNSAID),
    "interim": answer(b"103 Early Hints", UNSAID) + JSON,
    "an empty body": answer(b"200 OK", IS_JSON),
    "bytes": answer(b"200 OK", b"content-type: audio/mpeg", body=b"\x00\x01"),
    "another protocol": answer(b"101 Switching Protocols", UNSAID),
    "both framings": with_header(JSON, IS_CHUNKED),
    "two lengths": with_header(JSON, b"content-length: 3"),
    "an odd header": with_header(JSON, b"x odd: 1"),
    "too much": JSON + b"more",
    "no answer": b"\x00\x01\r\n\r\n",
    "a bad status": JSON.replace(b"200", b"2x0"),
    "a low status": JSON.replace(b"200", b"99", 1),
    "a protocol after two spaces": answer(b" 101 Switching", IS_JSON),
    "a hint after two spaces": answer(b" 103 Early Hints") + JSON,
    "a status of four digits": JSON.replace(b"200", b"1200"),
}
WAYS = st.sampled_from(["whole", "whole", "cut"])


def cut(data: st.DataObject, who: str, message: bytes) -> list[Turn]:
    """The pieces in which a message comes, as turns."""
    if data.draw(WAYS) == "whole":
        return [(who, message)]
    cuts = data.draw(st.lists(st.integers(0, len(message)), max_size=4))
    at = [0, *sorted(cuts), len(message)]
    return [(who, message[start:end]) for start, end in pairwise(at) if start < end]


def alike(turns: list[Turn], **more: Any) -> None:
    """What happens is the same with and without speed-ups."""
    usual = heard_of(turns, "as it is", **more)
    assert heard_of(turns, "all", **more) == usual
    assert heard_of(turns, "but for hooks", **more) == usual
    assert heard_of(turns, "unseen", **more) == usual


@pytest.mark.parametrize("asked", REQUESTS)
def test_each_kind_of_request_comes_to_what_it_would(asked: str) -> None:
    alike([("ask", REQUESTS[asked]), ("say", JSON), ("ask", CHAT), ("say", JSON)])


@pytest.mark.parametrize("said", ANSWERS)
@pytest.mark.parametrize("asked", ["chat", "stream", "a HEAD", "not ours", "a WebSocket"])
def test_each_kind_of_answer_comes_to_what_it_would(asked: str, said: str) -> None:
    turns: list[Turn] = [("ask", REQUESTS[asked]), ("say", ANSWERS[said])]
    alike([*turns, ("ask", CHAT), ("say", JSON)])
    alike([*turns, ("hang up gateway", b""), ("hang up client", b"")])


@given(st.data())
def test_calls_on_one_connection_come_to_what_they_would(data: st.DataObject) -> None:
    turns: list[Turn] = []
    for _ in range(data.draw(st.integers(1, 3))):
        asked = REQUESTS[data.draw(st.sampled_from(sorted(REQUESTS)))]
        said = ANSWERS[data.draw(st.sampled_from(sorted(ANSWERS)))]
        if data.draw(st.booleans()):
            asked += CHAT  # the next one comes before this one is answered
        turns += [*cut(data, "ask", asked), *cut(data, "say", said)]
        if data.draw(st.integers(0, 4)) == 0:
            side = data.draw(st.sampled_from(["hang up client", "hang up gateway"]))
            turns.insert(data.draw(st.integers(0, len(turns))), (side, b""))
    assert heard_of(turns, "all") == heard_of(turns, "but for whole messages")


def test_what_follows_the_head_of_a_tunnel_at_once_is_read_as_it_would_be() -> None:
    """Mitmproxy hands that down as it buffered it."""
    buffered = cast("bytes", bytearray(CHAT))
    alike([("ask", buffered), ("say", JSON)])
    assert heard_of([("ask", buffered), ("say", JSON)], "all")["gateway"]


UPLOAD = b"PUT %s HTTP/1.1\r\nhost: 127.0.0.1:9\r\n" % FOREIGN
NEXT: list[list[Turn]] = [
    [("hang up gateway", b""), ("ask", b"0" * 10)],
    [("hang up client", b"")],
    [("ask", b"0" * 10), ("ask", LIST), ("say", JSON)],
    [("ask", b"0" * 10 + LIST), ("say", JSON), ("hang up gateway", b"")],
]


@pytest.mark.parametrize("then", NEXT)
@pytest.mark.parametrize("body", [b"", b"no"])
def test_a_whole_answer_may_come_before_the_end_of_what_it_answers(
    body: bytes, then: list[Turn]
) -> None:
    begun = UPLOAD + b"content-length: 20\r\n\r\n" + b"1" * 10
    turns: list[Turn] = [("ask", begun), ("say", answer(b"413 Too Much", body=body)), *then]
    alike(turns, stream_large_bodies="1")


def test_a_request_that_ends_as_its_connection_does_is_sent_so() -> None:
    begun = UPLOAD + b"transfer-encoding: gzip\r\n\r\n123"
    alike([("ask", begun), ("hang up client", b"")], validate_inbound_headers=False)


class Tap:
    """Has each piece of an answer pass by it."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        if flow.response is not None:
            flow.response.stream = self._passes

    def _passes(self, piece: bytes) -> bytes:
        self._heard["hooks"].append(f"piece {piece!r}")
        return piece


def test_the_chunks_of_a_whole_answer_pass_an_addon_one_by_one() -> None:
    turns: list[Turn] = [("ask", REQUESTS["not ours"]), ("say", ANSWERS["chunked JSON"])]
    alike(turns, also=Tap)
    pieces = [each for each in heard_of(turns, "all", Tap)["hooks"] if each.startswith("piece")]
    assert len(pieces) > 3


class Nonsense:
    """Puts a length on requests that is none."""

    def __init__(self, _: Heard) -> None:
        pass

    def request(self, flow: http.HTTPFlow) -> None:
        flow.request.headers["content-length"] = "many"


def test_a_length_that_is_none_stops_a_call_as_it_would() -> None:
    alike([("ask", REQUESTS["not ours, with a body"]), ("say", JSON)], also=Nonsense)


def test_whole_messages_are_one_event_each(monkeypatch: pytest.MonkeyPatch) -> None:
    heard_of([], "all")  # the hold is installed once a process: what is patched must be that
    seen: list[str] = []
    handle = layer.Layer.handle_event

    def handled(self: layer.Layer, event: events.Event) -> Any:
        seen.append(type(event).__name__)
        return handle(self, event)

    goes: list[list[str]] = []
    put = whole._put

    def noted(self: Any, head: bytes, body: bytes) -> Any:
        goes.append([])
        for command in put(self, head, body):
            goes[-1].append(type(command).__name__)
            yield command

    monkeypatch.setattr(whole, "_put", noted)
    monkeypatch.setattr(hold, "_entry", handled)
    heard_of([("ask", CHAT), ("say", JSON)], "all")
    assert seen[:1] == [WholeRequest.__name__]
    assert seen[-1:] == [WholeAnswer.__name__]
    assert goes == [["Passed"], ["Passed"]]  # before what is left to do


def kills(flow: http.HTTPFlow) -> None:
    if flow.killable:
        flow.kill()


def answers(flow: http.HTTPFlow) -> None:
    flow.response = http.Response.make(203, b"an addon's", {"x-of": "an addon"})


def forgets_bodies(flow: http.HTTPFlow) -> None:
    flow.request.raw_content = None
    if flow.response is not None:
        flow.response.raw_content = None


def passes_requests(flow: http.HTTPFlow) -> None:
    flow.request.stream = True


def passes_answers(flow: http.HTTPFlow) -> None:
    if flow.response is not None:
        flow.response.stream = True


def says_more(flow: http.HTTPFlow) -> None:
    message = flow.response or flow.request
    message.headers["transfer-encoding"] = "chunked"
    message.headers.pop("content-length", None)
    message.trailers = http.Headers(x_more="1")


def waits_to_send(flow: http.HTTPFlow) -> None:
    flow.request.headers["expect"] = "100-continue"


def asks_for_the_head(flow: http.HTTPFlow) -> None:
    flow.request.method = "HEAD"


def goes_elsewhere(flow: http.HTTPFlow) -> None:
    flow.request.host, flow.request.port = "127.0.0.1", 19


def goes_wrong(flow: http.HTTPFlow) -> None:
    raise ValueError(f"an addon's at {flow.request.path}")


def loses_speed(_: http.HTTPFlow) -> None:
    fast.switch(HowFast.NONE)


def limits_bodies(_: http.HTTPFlow) -> None:
    ctx.options.update(body_size_limit="10")


def passes_large_bodies(_: http.HTTPFlow) -> None:
    ctx.options.update(stream_large_bodies="10")


MEDDLING = (kills, answers, forgets_bodies, passes_requests, passes_answers, says_more)
MORE_MEDDLING = (waits_to_send, asks_for_the_head, goes_elsewhere, goes_wrong, loses_speed)
LIMITING = (limits_bodies, passes_large_bodies)


@pytest.mark.parametrize("meddles", MEDDLING + MORE_MEDDLING + LIMITING)
@pytest.mark.parametrize("hook", ["requestheaders", "request", "responseheaders", "response"])
@pytest.mark.parametrize("asked", ["chat", "a list", "not ours, with a body"])
def test_what_addons_do_on_the_way_comes_to_what_it_would(
    asked: str, hook: str, meddles: Callable[[http.HTTPFlow], None]
) -> None:
    turns: list[Turn] = [("ask", REQUESTS[asked]), ("say", JSON), ("ask", CHAT), ("say", JSON)]
    alike(turns, also=lambda _: SimpleNamespace(**{hook: meddles}))


@pytest.mark.parametrize("asked", ["chat", "not ours, with a body", "a HEAD"])
@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("mode", ["reverse:http://127.0.0.1:9", "transparent", "upstream:http://b"])
def test_other_modes_come_to_what_they_would(mode: str, asked: str, *, keeps: bool) -> None:
    turns: list[Turn] = [("ask", REQUESTS[asked]), ("say", JSON), ("ask", CHAT), ("say", JSON)]
    alike(turns, mode=mode, keep_host_header=keeps)


@pytest.mark.parametrize("hook", ["requestheaders", "request", "responseheaders", "response"])
@pytest.mark.parametrize("said", ["JSON", "a stream"])
def test_a_stream_goes_on_where_the_speed_ups_end_in_the_midst_of_it(hook: str, said: str) -> None:
    turns: list[Turn] = [("ask", CHAT), ("say", ANSWERS[said]), ("ask", CHAT), ("say", JSON)]
    ends = SimpleNamespace(**{hook: lambda _: fast.switch(HowFast.NONE)})
    assert heard_of(turns, "all", lambda _: ends) == heard_of(turns, "as it is", lambda _: ends)
