"""Has mitmproxy treat a WebSocket's control frames as its messages are: without the key in them.

It tells no addon of a ping, a pong or a closing, passes them as they came, logs what pings and
pongs hold, and keeps the reason of a closing with the flow. Gateways say there which key they do
not take.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.layers import websocket
from wsproto.events import CloseConnection, Event, Ping, Pong

from foxora_addon.policy.mask import masked
from foxora_addon.proxy.host_reading import quietly

type FormsOf = Callable[[HTTPFlow], Sequence[bytes]]

_private: Any = websocket
_relay_messages: Callable[..., Generator[Any, Any, None]] = _private.WebsocketLayer.relay_messages
_forms_of: FormsOf = lambda _: ()  # noqa: E731  # replaced as a whole


class MaskedSide(websocket.WebsocketConnection):
    """One side of a WebSocket. `forms`: the ways in which a key may stand in what it says."""

    forms: Sequence[bytes] = ()

    def events(self) -> Generator[Event, None, None]:
        """What has come."""
        for event in super().events():
            yield _without_key(event, self.forms)


def _without_key(event: Event, forms: Sequence[bytes]) -> Event:
    if isinstance(event, Ping | Pong):
        return replace(event, payload=masked(bytes(event.payload), forms))
    if isinstance(event, CloseConnection) and event.reason:
        return replace(event, reason=masked(event.reason.encode(), forms).decode())
    return event


def _relayed(self: Any, event: Any) -> Iterator[Any]:
    self.server_ws.forms = _forms_of(self.flow)
    yield from quietly(_relay_messages(self, event))


def mask(forms_of: FormsOf) -> None:
    """Mask keys from now on; `forms_of` gives the ways in which that of a flow may be written."""
    global _forms_of  # noqa: PLW0603  # as what it is put into, there is one of it
    _forms_of = forms_of
    _private.WebsocketConnection = MaskedSide
    _private.WebsocketLayer.relay_messages = _relayed
