"""What refuses a WebSocket goes out in one piece: some clients read no more of it than that."""

import asyncio

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from foxora_addon.proxy import fast
from foxora_addon.speed import Speed
from scripts.benchmark import own_streams
from tests.end_to_end.sockets import opening

_BODY = b'{"error": {"code": "not_found", "message": "No sockets here.", "param": null}}'
_HEAD = b"HTTP/1.1 404 No\r\ncontent-type: application/json\r\n"
ANSWERS = {
    "by its length": _HEAD + b"content-length: %d\r\n\r\n" % len(_BODY) + _BODY,
    "in chunks": _HEAD
    + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(_BODY), _BODY),
}


def pieces_sent(speed: Speed, asked: bytes, *said: bytes) -> int:
    """How many pieces a client gets that asks this, where the gateway says that.

    An empty piece is the end: the gateway leaves.
    """

    async def drive() -> int:
        with taddons.context(Proxyserver()), own_streams.observed() as way:
            fast.switch(speed)
            wire = way()
            wire.ask(asked)
            for piece in said:
                if piece:
                    wire.say(piece)
                else:
                    wire.leave()
            return wire.answered

    try:
        return asyncio.run(drive())
    finally:
        fast.switch(Speed.NONE)


@pytest.mark.parametrize("speed", Speed)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_error_for_a_websocket_goes_out_with_its_head(answer: bytes, speed: Speed) -> None:
    assert pieces_sent(speed, opening("sk-fake"), answer) == 1


def test_our_own_refusal_does_too() -> None:
    keyless = opening("sk-fake").replace(b"Authorization: Bearer sk-fake\r\n", b"")
    assert pieces_sent(Speed.NONE, keyless) == 1


def test_what_is_said_in_place_of_a_gateway_that_left_does_too() -> None:
    assert pieces_sent(Speed.NONE, opening("sk-fake"), b"") == 1


def test_an_error_without_a_body_gets_one_and_goes_out_with_it() -> None:
    answer = b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"
    assert pieces_sent(Speed.NONE, opening("sk-fake"), answer) == 1
