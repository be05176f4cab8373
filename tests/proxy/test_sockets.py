"""How the messages of a WebSocket pass, and what its end is taken for."""

from typing import Any

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client, Server
from mitmproxy.http import HTTPFlow, Response
from mitmproxy.test import taddons
from mitmproxy.websocket import WebSocketData, WebSocketMessage

from foxora_addon.exchange import Exchange
from foxora_addon.observation import Observation
from foxora_addon.pipeline import Pipeline
from foxora_addon.policy.payers import AccountRules, LimitRules
from foxora_addon.policy.plans import Ceilings
from foxora_addon.proxy import responses, sockets
from tests.builders import ACCOUNT_KEY, ListTrail, a_head, a_pipeline, admit, an_arrival

KEY = ACCOUNT_KEY.encode()
CREATE = b'{"type": "response.create", "response": {"max_output_tokens": 3000}}'


class Socket:
    """An open WebSocket of an account with 5,000 tokens a minute."""

    def __init__(self) -> None:
        self.trail = ListTrail()
        limits = LimitRules({"default": AccountRules(Ceilings(tokens_per_minute=5_000))})
        self.pipeline: Pipeline = a_pipeline(self.trail, limits=limits)
        head = a_head("/v1/realtime?model=gpt-realtime", method="GET")
        rewritten = self.pipeline.arrive(an_arrival(head), 100.0)
        assert rewritten is not None
        self.exchange: Exchange = rewritten.exchange
        admit(self.pipeline, self.exchange, b"", 100.0)
        self.pipeline.send(self.exchange, 100.0)
        self.exchange.step("answer")
        self.exchange.answered_status = 101
        self.exchange.observation = Observation(
            content_encoding=None, is_event_stream=False, is_json=False, max_head_bytes=100
        )
        client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
        self.flow = HTTPFlow(client, Server(address=("gateway.example", 443)))

    def message(self, content: bytes, *, from_client: bool) -> WebSocketMessage:
        """What a message has become once it may pass."""
        message = WebSocketMessage(1, from_client, content)
        sockets.passes(message, self.exchange, self.pipeline, 101.0)
        return message

    def ended(self, **told: Any) -> dict[str, Any]:
        """The response record of one that ended so."""
        self.flow.websocket = WebSocketData(**told)
        sockets.end(self.flow, self.exchange, self.pipeline, 102.0)
        (record,) = self.trail.of_kind("response")
        return record


@pytest.fixture
def socket() -> Socket:
    return Socket()


def test_only_a_101_of_the_gateways_that_is_read_as_one_opens_it(socket: Socket) -> None:
    assert not sockets.opens(socket.flow, socket.exchange)
    socket.flow.websocket = WebSocketData()
    assert sockets.opens(socket.flow, socket.exchange)
    socket.exchange.answered_status = None
    assert not sockets.opens(socket.flow, socket.exchange)


DEFLATE = "permessage-deflate"


@pytest.mark.parametrize(
    "agreed",
    [
        "",
        "x; server_max_window_bits=8",
        DEFLATE,
        f"y, {DEFLATE}; server_max_window_bits=9; x",
        f"{DEFLATE}\u00a0; server_max_window_bits=8",  # another's name, as mitmproxy reads it
    ],
)
def test_a_compression_that_can_be_read_is_no_flaw(agreed: str) -> None:
    headers = {"sec-websocket-extensions": agreed}
    assert sockets.flaw_of_opening(Response.make(101, b"", headers)) is None


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("bits", ["=8", "=16", "=99", "=x", "=", '="8"', "", "=\uff19"])
def test_a_compression_that_mitmproxy_crashes_on_is_a_flaw(side: str, bits: str) -> None:
    agreed = f"x , {DEFLATE} ;{side}_max_window_bits{bits}"
    headers = {"sec-websocket-extensions": agreed}
    assert sockets.flaw_of_opening(Response.make(101, b"", headers)) is not None


def test_a_flaw_in_the_opening_keeps_it_shut(socket: Socket) -> None:
    socket.flow.websocket = WebSocketData()
    socket.exchange.flaw = "It can't be read."
    assert not sockets.opens(socket.flow, socket.exchange)


def test_a_101_that_opens_nothing_is_not_left_to_mitmproxy(socket: Socket) -> None:
    response = Response.make(101, b"", {"connection": "upgrade"})
    flow = socket.flow
    flow.response, flow.websocket = response, WebSocketData()
    responses.conclude(flow, socket.exchange, response, socket.pipeline, 102.0)
    assert vars(flow)["websocket"] is None, "what mitmproxy reads as one it crashes on"
    (record,) = socket.trail.of_kind("response")
    assert record["outcome"] == "gateway_error"


def test_what_has_no_key_passes_as_it_came(socket: Socket) -> None:
    for content in (b'{"type": "session.created"}', b"\x00\xff"):
        message = socket.message(content, from_client=False)
        assert (message.content, message.dropped) == (content, False)


def test_the_key_goes_from_what_the_gateway_says(socket: Socket) -> None:
    said = socket.message(b'{"type": "error", "key": "%b"}' % KEY, from_client=False).content
    assert KEY not in said
    assert len(said) == len(b'{"type": "error", "key": "%b"}' % KEY)


def test_a_turn_over_the_ceiling_is_dropped_and_the_client_told_once(socket: Socket) -> None:
    first, second = (socket.message(CREATE, from_client=True) for _ in range(2))
    assert (first.dropped, second.dropped) == (False, True)
    (words,) = sockets.words_for_client(socket.exchange)
    assert b'"type":"error"' in words.replace(b" ", b"")
    assert sockets.words_for_client(socket.exchange) == []


def test_nothing_is_told_before_anything_was_said(socket: Socket) -> None:
    assert sockets.words_for_client(socket.exchange) == []


@pytest.mark.parametrize(
    ("told", "outcome", "source"),
    [
        ({"close_code": 1000, "closed_by_client": True}, "completed", "gateway"),
        ({"close_code": 1011, "closed_by_client": False}, "completed", "gateway"),
        ({"close_code": 1006, "closed_by_client": True}, "client_disconnected", "network"),
        ({"close_code": 1006, "closed_by_client": False}, "stream_broken", "network"),
        (
            {"close_code": 1006, "closed_by_client": False, "close_reason": "No frames."},
            "stream_broken",
            "gateway",
        ),
    ],
)
def test_an_end_that_nobody_has_closed_is_told_by_the_side_that_left(
    socket: Socket, told: dict[str, Any], outcome: str, source: str
) -> None:
    record = socket.ended(**told)
    assert (record["outcome"], record["source"], record["status"]) == (outcome, source, 101)


def test_one_that_is_cut_sends_its_last_message_nowhere(socket: Socket) -> None:
    last = WebSocketMessage(1, True, b"x")
    socket.flow.websocket = WebSocketData([WebSocketMessage(1, True, b"w"), last])
    with taddons.context(Proxyserver()):
        sockets.cut(socket.flow)
    assert [message.dropped for message in socket.flow.websocket.messages] == [False, True]
