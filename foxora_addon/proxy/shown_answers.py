"""Puts what streams have said into their flows, for display: mitmproxy keeps no body of a stream.

The client waits for none of it: an open stream is looked at about once a second, a closed one when
its last byte is gone.
"""

import asyncio
from collections.abc import Callable, Iterable, MutableMapping
from itertools import islice
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from mitmproxy import ctx, hooks, http
from mitmproxy.net import encoding

from foxora_addon.ending import Ending
from foxora_addon.proxy import flows
from foxora_addon.shown import Shown

_MOST_LOOKED_AT: Final = 32
_SMALL: Final = 65_536
"""Bytes up to which a stream is looked at whenever there is more of it."""
_GROWTH: Final = 1.125
"""So much more must there be of a larger one: looking costs as much as there is of it."""


class OpenStream(NamedTuple):
    """A stream that is passing: its flow, its bytes by now, and what may be seen of them."""

    flow: http.HTTPFlow
    size: int
    shown: Callable[[], Shown]


class SoFar(NamedTuple):
    """What was shown of an open stream when it had this size; None where there was nothing."""

    size: int = 0
    content: bytes | None = None

    def is_old(self, size: int) -> bool:
        """Whether it is worth another look at that size."""
        return size > self.size * (1 if self.size < _SMALL else _GROWTH)


class ShownAnswers:
    """What is shown of streams, and what it has put into the flows of those that are open."""

    def __init__(self) -> None:
        self._so_far: MutableMapping[http.HTTPFlow, SoFar] = WeakKeyDictionary()

    def show_open(self, streams: Iterable[OpenStream]) -> None:
        """Show what the newest of these have said, if that is news."""
        for flow, size, shown in islice(streams, _MOST_LOOKED_AT):
            so_far = self._so_far.get(flow, SoFar())
            if so_far.is_old(size):
                content = _put(flow, shown(), so_far.content)
                self._so_far[flow] = SoFar(size, content)
                _tell(flow)

    def show_soon(self, flow: http.HTTPFlow, ending: Ending) -> None:
        """Show it once the client has its last byte, for which nothing here may be waited."""
        try:
            asyncio.get_running_loop().call_soon(self._show_and_tell, flow, ending)
        except RuntimeError:  # the loop has ended: nobody waits any more
            self.show(flow, ending)

    def _show_and_tell(self, flow: http.HTTPFlow, ending: Ending) -> None:
        self.show(flow, ending)
        _tell(flow)

    def show(self, flow: http.HTTPFlow, ending: Ending) -> None:
        """Put into a flow what can be seen of it besides, in place of what was there so far."""
        _put(flow, ending.shown(), self._so_far.pop(flow, SoFar()).content)


def _tell(flow: http.HTTPFlow) -> None:
    ctx.master.addons.trigger(hooks.UpdateHook([flow]))


def _put(flow: http.HTTPFlow, shown: Shown, before: bytes | None) -> bytes | None:
    """Put it there, and give back what the flow has of ours now; a body of its own stays.

    A streamed answer has none in mitmproxy; what is put there is for display only (row 18).
    `before` is what was put there the last time.
    """
    flow.metadata[flows.FACTS] = shown.facts
    response = flow.response
    if response is None or response.raw_content is not before:
        return None
    if shown.answer is None:
        response.raw_content = None
    else:
        response.raw_content = _encoded(shown.answer, response.headers.get("content-encoding"))
    return response.raw_content


def _encoded(body: bytes, name: str | None) -> bytes:
    """A body as the headers say that it is encoded; as it is, where they name what is unknown."""
    try:
        return encoding.encode(body, name or "identity")
    except ValueError:
        return body
