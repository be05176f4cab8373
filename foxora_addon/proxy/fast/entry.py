"""The entry of a connection: what comes on it goes to the layer that speaks HTTP at once."""

from collections.abc import Generator
from typing import Any

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import Layer, NextLayer
from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.proxy.layers.modes import HttpProxy


def handle_event(self: HttpProxy, event: events.Event) -> Generator[commands.Command, Any, None]:
    """`HttpProxy.handle_event`, which hands on what it would hand to the layer two below it.

    That one has taken all commands for its own, or its children's, for which somebody has to wait:
    the two above are never paused.
    """
    if self.debug is None and self._paused is None:
        following = getattr(self._handle_event, "__self__", None)
        if type(following) is NextLayer and type(following.layer) is HttpLayer:
            handed_on = following._handle  # noqa: SLF001  # None until it is decided
            if handed_on is not None:
                return handed_on(event)
    usual: Generator[commands.Command, Any, None] = Layer.handle_event(self, event)
    return usual
