"""Which messages of an open WebSocket are let go, and which stay."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from mitmproxy import connection, ctx
from mitmproxy.http import HTTPFlow
from mitmproxy.websocket import WebSocketData, WebSocketMessage

from foxora_addon.proxy.passed_messages import (
    KEPT_BYTES,
    KEPT_MESSAGES,
    LOOK_BYTES,
    MOST_MESSAGES,
    OpenSocket,
    PassedMessages,
)


@pytest.fixture(autouse=True)
def options(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Those that decide whether all are kept."""
    made = SimpleNamespace(foxora_keep_bytes=1, save_stream_file=None, hardump="")
    monkeypatch.setattr(ctx, "options", made, raising=False)
    return made


def a_socket(contents: Sequence[bytes]) -> OpenSocket:
    client = connection.Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
    flow = HTTPFlow(client, connection.Server(address=None))
    messages = [WebSocketMessage(1, False, content) for content in contents]
    flow.websocket = WebSocketData(messages)
    return OpenSocket(flow, sum(map(len, contents)))


def kept(*sockets: OpenSocket) -> list[list[bytes]]:
    """What stays of each, when they are looked at once."""
    PassedMessages().tidy(sockets)
    return [contents_of(socket) for socket in sockets]


def contents_of(socket: OpenSocket) -> list[bytes]:
    assert socket.flow.websocket is not None
    return [message.content for message in socket.flow.websocket.messages]


def test_few_stay_as_they_are_and_of_many_the_newest_stay() -> None:
    few, many = ([b"%d" % i for i in range(MOST_MESSAGES + more)] for more in (0, 1))
    assert kept(a_socket(few), a_socket(many), a_socket([])) == [few, many[-KEPT_MESSAGES:], []]


def test_of_large_ones_so_many_bytes_stay_and_the_newest_always() -> None:
    large = [bytes([i]) * (KEPT_BYTES // 2) for i in range(5)]
    huge = [b"a", b"b" * (KEPT_BYTES + LOOK_BYTES)]
    assert kept(a_socket(large), a_socket(huge)) == [large[-2:], huge[-1:]]


def test_they_are_looked_at_again_after_so_many_more_bytes() -> None:
    passed = PassedMessages()
    socket = a_socket([b"a" * (LOOK_BYTES // 2)] * 3)
    passed.tidy([socket])
    assert len(contents_of(socket)) == 2
    assert socket.flow.websocket is not None
    more = WebSocketMessage(1, False, b"b" * (LOOK_BYTES // 2))
    for count in (3, 2):
        socket.flow.websocket.messages.append(more)
        socket = socket._replace(size=socket.size + len(more.content))
        passed.tidy([socket])
        assert len(contents_of(socket)) == count


@pytest.mark.parametrize(
    "saved", [{"save_stream_file": "flows"}, {"hardump": "har"}, {"foxora_keep_bytes": 0}]
)
def test_all_stay_that_are_to_be_saved_or_kept(
    saved: dict[str, object], options: SimpleNamespace
) -> None:
    vars(options).update(saved)
    many = [b"m"] * (2 * MOST_MESSAGES)
    assert kept(a_socket(many)) == [many]
