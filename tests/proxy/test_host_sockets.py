"""What mitmproxy does with a WebSocket once that is changed."""

import pytest
from mitmproxy.proxy.layers import websocket

from foxora_addon.proxy import host_sockets

MIB = 1_048_576
_CHANGED = (
    (host_sockets, "_forms_of"),
    (host_sockets, "_words_for"),
    (websocket, "WebsocketConnection"),
    (websocket.Fragmentizer, "FRAGMENT_SIZE"),
    (websocket.WebsocketLayer, "relay_messages"),
)


@pytest.fixture(autouse=True)
def changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is changed for one test."""
    for owner, name in _CHANGED:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    host_sockets.take_over(lambda _: (), lambda _: ())


def test_a_message_of_another_length_goes_out_in_one_frame_however_long_it_is() -> None:
    text = "x" * (16 * MIB - 1) + "é"
    (frame,) = websocket.Fragmentizer([text[1:].encode()], is_text=True)(text.encode())
    assert frame.data == text
