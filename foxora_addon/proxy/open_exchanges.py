"""The exchanges that are not over, and their flows: the desk's book of who is there.

It refuses to know what becomes of them.
"""

import asyncio
from collections.abc import Iterator

from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow

from foxora_addon.exchange import Exchange


class OpenExchanges(dict[str, Exchange]):
    """Open exchanges by the id of their flow, as they came.

    Kept here and in no flow, for mitmproxy copies and saves those (mitmproxy-facts.md row 14).
    """

    def __init__(self) -> None:
        super().__init__()
        self._flows: dict[str, HTTPFlow] = {}
        self._untold: dict[str, HTTPFlow] = {}  # by exchange: open, and nobody asked for its flow
        self._ended_untold: tuple[str, HTTPFlow] | None = None  # the last that ended so
        self._idle: asyncio.Event | None = None

    def add(self, flow: HTTPFlow, exchange: Exchange) -> None:
        """An exchange has come with a flow."""
        self[flow.id] = exchange
        self._flows[flow.id] = flow
        self._untold[exchange.id] = flow

    def end(self, flow_id: str) -> Exchange | None:
        """The exchange of a flow is over; None if it was before, or there was none."""
        exchange = self.pop(flow_id, None)
        self._flows.pop(flow_id, None)
        if exchange is not None and (flow := self._untold.pop(exchange.id, None)) is not None:
            self._ended_untold = exchange.id, flow
        if not self and self._idle is not None:
            self._idle.set()
        return exchange

    def flow(self, flow_id: str) -> HTTPFlow | None:
        """The flow of an open exchange."""
        return self._flows.get(flow_id)

    def flow_told_of(self, exchange_id: str) -> HTTPFlow | None:
        """The flow of an exchange that is being closed, or has just ended here.

        It is asked for once.
        """
        flow = self._untold.pop(exchange_id, None)
        ended = self._ended_untold
        if flow is None and ended is not None and ended[0] == exchange_id:
            flow, self._ended_untold = ended[1], None
        return flow

    def flows(self) -> list[HTTPFlow]:
        """The flows of all, as they came."""
        return list(self._flows.values())

    def of(self, client: Client) -> list[str]:
        """The ids of the flows on a client's connection."""
        return [flow.id for flow in self._flows.values() if flow.client_conn.id == client.id]

    def newest_first(self) -> Iterator[tuple[HTTPFlow, Exchange]]:
        """Each with its flow, the newest first."""
        for flow_id, exchange in reversed(self.items()):
            if (flow := self._flows.get(flow_id)) is not None:
                yield flow, exchange

    async def all_ended(self) -> None:
        """Wait until none is open."""
        if self:
            self._idle = asyncio.Event()
            await self._idle.wait()
