"""Ends exchanges before their time: the program ends, mitmproxy crashed, a body comes too slowly.

Whoever can be told is told by `hold.give_up`, in the words that stand in `FailedFlows` by then; an
exchange of which nobody can be told any more is closed by `lose`. It refuses to know what is put
on record, and what waits for the gateway (see `deadlines`).
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakSet

from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.server import ConnectionHandler

from foxora_addon.api.errors import overdue
from foxora_addon.exchange import Outcome, State
from foxora_addon.proxy import failures, hold
from foxora_addon.proxy.failed_flows import FailedFlows
from foxora_addon.proxy.handlers import handler_of
from foxora_addon.proxy.open_exchanges import OpenExchanges

_LAST_WORDS_SECONDS: Final = 1.0
"""How long the end of the program waits for hooks that it has cut short; some wait for a user."""

_TURNS_TO_GO_ON: Final = 3  # of the loop: for who waits, for its hook, and for what that ends


class EarlyEnds:
    """What ends open exchanges before their time, and whether the program does."""

    def __init__(
        self,
        exchanges: OpenExchanges,
        failed: FailedFlows,
        lose: Callable[[str, Outcome], None],
    ) -> None:
        self._open = exchanges
        self._failed = failed
        self._lose = lose
        self._tasks: set[asyncio.Task[None]] = set()
        self._crashed: WeakSet[Client] = WeakSet()
        self._deciding: dict[str, asyncio.Task[Any] | None] = {}
        self.is_last = False
        """Whether the program ends, and all that is open with it."""

    @contextmanager
    def deciding(self, flow_id: str) -> Iterator[None]:
        """The task that runs waits until a call is decided on; at the program's end it is cut."""
        self._deciding[flow_id] = asyncio.current_task()
        try:
            yield
        finally:
            del self._deciding[flow_id]

    def is_deciding(self, flow_id: str) -> bool:
        """Whether a call waits for that."""
        return flow_id in self._deciding

    def end(self, flow: HTTPFlow, worded: failures.Worded, handler: ConnectionHandler) -> None:
        """End an exchange in these words."""
        self._failed.put(flow.id, worded)
        self._go_on_with(hold.give_up(flow, handler))

    def end_late_uploads(self, now: float, most_seconds: float) -> None:
        """End the calls whose body is still coming once so many seconds are over.

        No deadline is watched for each: nearly all are whole as soon as they arrive. What waits for
        its turn, or for a user, has its body. One that ends here may leave the book at once, for
        mitmproxy's loop runs a task as it is made.
        """
        latest = now - most_seconds
        for flow_id, exchange in list(self._open.items()):  # as they came
            if exchange.arrived_at > latest:
                return
            flow = self._open.flow(flow_id)
            is_late = exchange.state is State.ARRIVED and flow_id not in self._failed
            if flow is None or not is_late or flow.request.timestamp_end is not None:
                continue
            if (handler := handler_of(flow.client_conn)) is not None:
                refusal = exchange.refusal or overdue(most_seconds)
                self.end(flow, failures.Worded("refused", refusal), handler)

    def end_crashed(self, client: Client) -> None:
        """End what is open on a client's connection, and that, for mitmproxy is lost there."""
        handler = handler_of(client)
        if handler is not None and client not in self._crashed:
            self._crashed.add(client)
            self._go_on_with(self._tell_crashed(handler))

    async def _tell_crashed(self, handler: ConnectionHandler) -> None:
        client = handler.client
        for flow_id in self._open.of(client):
            if (flow := self._open.flow(flow_id)) is not None:
                self._failed.put(flow_id, failures.internal())
                await hold.give_up(flow, handler)
        for flow_id in self._open.of(client):  # what can't be told of it any more
            self._lose(flow_id, "internal_error")
        if client in handler.transports:
            handler.close_connection(client)

    async def end_held(self) -> None:
        """Let go of what a user of mitmweb or the console holds, to be told as the others are.

        A stream that waits for that hears of nothing else before.
        """
        for flow in self._open.flows():
            if flow.intercepted:
                self._failed.put(flow.id, failures.ABORTED)
                flow.resume()
        for _ in range(_TURNS_TO_GO_ON):
            await asyncio.sleep(0)

    async def end_all(self) -> None:
        """Tell whoever still waits for an answer that none will come: the program ends."""
        self.is_last = True
        deciding = [task for task in self._deciding.values() if task is not None]
        for task in deciding:
            task.cancel()
        for flow in self._open.flows():
            handler = handler_of(flow.client_conn)
            if handler is not None:
                self._failed.put(flow.id, failures.ABORTED)
                await hold.give_up(flow, handler)
        if deciding:  # a stream is given up behind the hook that it waits in
            await asyncio.wait(deciding, timeout=_LAST_WORDS_SECONDS)

    def lose_all(self) -> None:
        """Close whatever is still open, for nobody: the program is over."""
        for flow_id in list(self._open):
            self._lose(flow_id, "aborted")

    def lose_client(self, client: Client) -> None:
        """Close what is still open on a client's connection, by whomever that was closed."""
        outcome: Outcome = "aborted" if self.is_last else "client_disconnected"
        for flow_id in self._open.of(client):
            self._lose(flow_id, outcome)

    def _go_on_with(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
