"""How flows have failed, or are to, until their clients are told.

What is to be said is `failures`' business, when it is said the hold's.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from mitmproxy import http

from foxora_addon.proxy import flows
from foxora_addon.proxy.answers import last_event
from foxora_addon.proxy.failures import Worded
from foxora_addon.proxy.ids import new_exchange_id

_MOST_UNFETCHED: Final = 32_768
"""More than exchanges can be open (`listen.max_exchanges`): all of them may fail at one moment."""


class FailedFlows:
    """Failures by the id of their flow. What nobody is there to be told of goes by itself."""

    def __init__(self) -> None:
        self._worded = _Unfetched[Worded]()
        self._named = _Unfetched[tuple[str, Sequence[tuple[bytes, bytes]]]]()

    def __contains__(self, flow_id: str) -> bool:
        return flow_id in self._worded

    def get(self, flow_id: str) -> Worded | None:
        """How a flow has failed."""
        return self._worded.get(flow_id)

    def put(self, flow_id: str, worded: Worded) -> None:
        """A flow has failed, or is made to."""
        self._worded[flow_id] = worded

    def name(self, flow_id: str, exchange_id: str, more: Sequence[tuple[bytes, bytes]]) -> None:
        """The exchange that a flow had is over; `more` are further headers of its answer."""
        self._named[flow_id] = exchange_id, more

    def forget(self, flow_id: str) -> None:
        """A flow has not failed after all, or nobody is to be told."""
        self._worded.pop(flow_id, None)
        self._named.pop(flow_id, None)

    def answer_for(self, flow: http.HTTPFlow) -> http.Response | None:
        """Our JSON in place of the host's HTML, for the flows that are ours."""
        worded, named = self._worded.pop(flow.id, None), self._named.pop(flow.id, None)
        if worded is None or worded.error is None:
            return None
        exchange_id, more = named or (new_exchange_id(), ())
        return flows.response_of(worded.error, exchange_id, more)

    def last_words(self, flow: http.HTTPFlow) -> bytes | None:
        """The event that tells the reader of a stream that it broke; see `last_event`."""
        worded = self._worded.pop(flow.id, None)
        self._named.pop(flow.id, None)
        if worded is None or worded.error is None:
            return None
        return last_event(flow, worded.error)


class _Unfetched[Value](OrderedDict[str, Value]):
    """By flow id; of too many the oldest goes."""

    def __setitem__(self, flow_id: str, value: Value) -> None:
        if len(self) >= _MOST_UNFETCHED:
            self.popitem(last=False)
        super().__setitem__(flow_id, value)
