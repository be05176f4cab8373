"""Times what the gateway is waited for: a timer for all exchanges, and one for each connection.

mitmproxy has no deadlines for connecting, TLS or answers: a mute peer hangs for ever
(mitmproxy-facts.md row 19). An exchange that is late is ended by the hold, its stream alone;
a connection that is late is cancelled (row 21), and whoever waits for it fails. How long each may
take is `policy.timeouts`' business; the one deadline that mitmproxy has, `tcp_timeout`, knows
nothing of it and tells nobody, so it is not to be the one that ends a call.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final, Literal
from weakref import WeakKeyDictionary

from mitmproxy import http
from mitmproxy.connection import Client, Connection, Server
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._upstream_proxy import HttpUpstreamProxy
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from foxora_addon.exchange import Exchange
from foxora_addon.policy.hosts import BaseUrl, canonical_host
from foxora_addon.policy.timeouts import Due, Timeouts, due_of, not_due_before
from foxora_addon.proxy.capacity import is_behind, is_held_up
from foxora_addon.proxy.handlers import handler_of
from foxora_addon.proxy.hold import lose_connection

type Phase = Literal["tcp", "tls", "over"]
"""What a connection that is being made comes to."""

_STALL_SECONDS: Final = 0.1
_MOMENT_SECONDS: Final = 0.25
"""How long what came during a stall has to be read, before anybody is called late for it."""


def outlast_silence(flow: http.HTTPFlow) -> None:
    """Put off `tcp_timeout` for a client whose call is the gateway's to go on with.

    One that has something to read yet, and does not, is still closed by it: its socket is full, or
    on HTTP/2 it makes no room for what mitmproxy keeps for it.
    """
    client = flow.client_conn
    handler = handler_of(client)
    if handler is None or is_behind(client, handler) or is_held_up(flow, handler):
        return
    handler.timeout_watchdog.register_activity()


class Deadlines:
    """When all exchanges are due, by flow id. `late` is called once for each that is overdue.

    One timer for all of them, which fires before the first can be due; when that is, is worked out
    then. Where it fires long after it should, it was this process that stood still: what was waited
    for may have come, and is read first.
    """

    def __init__(self, now: Callable[[], float], late: Callable[[str, Due], None]) -> None:
        self._now = now
        self._late = late
        self._watched: dict[str, tuple[Exchange, Timeouts]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = math.inf

    def watch(self, flow_id: str, exchange: Exchange, timeouts: Timeouts) -> None:
        """Watch an exchange whose phase has changed."""
        self._watched[flow_id] = exchange, timeouts
        self._fire_by(not_due_before(exchange, timeouts))

    def forget(self, flow_id: str) -> None:
        """The exchange is over, or waits for nothing."""
        self._watched.pop(flow_id, None)

    def _fire_by(self, moment: float) -> None:
        if moment >= self._fires_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        now = self._now()
        self._fires_at = max(moment, now)
        self._timer = asyncio.get_running_loop().call_later(self._fires_at - now, self._fire)

    def _fire(self) -> None:
        if self._now() - self._fires_at < _STALL_SECONDS:
            self._look()
            return
        self._fires_at = -math.inf  # nothing brings the look forward
        self._timer = asyncio.get_running_loop().call_later(_MOMENT_SECONDS, self._look)

    def _look(self) -> None:
        self._timer, self._fires_at = None, math.inf
        now = self._now()
        for flow_id, (exchange, timeouts) in list(self._watched.items()):
            due = due_of(exchange, timeouts)
            if due is None:
                self.forget(flow_id)
            elif due.at <= now:
                self.forget(flow_id)
                self._late(flow_id, due)
            else:
                self._fire_by(due.at)


class Connecting:
    """The timers of connections that are being made.

    `late_phases`: what a connection that was cancelled took too long for. One to an upstream proxy
    is another than what a call waits for, so `late_proxies` has that of a client, the last one.
    """

    def __init__(self) -> None:
        self._gateways: set[tuple[str | None, int]] = set()
        self.late_phases: WeakKeyDictionary[Connection, Due] = WeakKeyDictionary()
        self.late_proxies: WeakKeyDictionary[Client, Due] = WeakKeyDictionary()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._losing: set[asyncio.Task[None]] = set()

    def may_lead_to(self, gateway: BaseUrl) -> None:
        """Calls are sent here from now on; those that came before may still be sent elsewhere."""
        self._gateways.add((gateway.host, gateway.port))

    def at(
        self, data: ServerConnectionHookData, phase: Phase, timeouts: Timeouts, *, is_proxy: bool
    ) -> None:
        """A connection is at a phase; those to others than a gateway have no deadline of ours.

        But for an upstream proxy before it.
        """
        if phase == "over" or not (is_proxy or self._leads_to_gateway(data.server)):
            self.end(data.server)
        elif phase == "tcp":
            self.late_proxies.pop(data.client, None)
            self._begin(data.client, data.server, timeouts.connect, "to connect")
            asyncio.get_running_loop().call_soon(self._follow, data.client, data.server)
        elif data.server.tls:
            self._begin(data.client, data.server, timeouts.tls, "for the TLS handshake")
        else:
            self.end(data.server)

    def tunnels(self, flow: http.HTTPFlow, timeouts: Timeouts) -> None:
        """An upstream proxy is asked for a tunnel; in one to a gateway there will be TLS."""
        if self._is_gateway(flow.request.host, flow.request.port):
            seconds = timeouts.connect + timeouts.tls
            phase = "for the tunnel to the gateway"
            self._begin(flow.client_conn, flow.server_conn, seconds, phase)

    def secured(self, context: Context) -> None:
        """The TLS handshake of a connection is over, well or not."""
        self.end(_with_the_socket(context))

    def _leads_to_gateway(self, server: Server) -> bool:
        return server.address is not None and self._is_gateway(*server.address[:2])

    def _is_gateway(self, host: str, port: int) -> bool:
        return (canonical_host(host), port) in self._gateways

    def _begin(self, client: Client, server: Server, seconds: float, phase: str) -> None:
        """A phase of a connection begins, and the one before is over."""
        self.end(server)
        loop = asyncio.get_running_loop()
        due = Due(loop.time() + seconds, seconds, phase)
        self._timers[server.id] = loop.call_later(seconds, self._fire, client, server, due)

    def _follow(self, client: Client, server: Server) -> None:
        """See to it that whoever waits for a connection hears of its end.

        mitmproxy's task for a peer that resets the connection as soon as it is made dies of a
        failed assertion, and tells nobody.
        """
        handler = handler_of(client)
        transport = handler.transports.get(server) if handler else None
        if handler is None or transport is None or transport.handler is None:
            return

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                losing = asyncio.get_running_loop().create_task(lose_connection(server, handler))
                self._losing.add(losing)
                losing.add_done_callback(self._losing.discard)

        transport.handler.add_done_callback(ended)

    def end(self, server: Connection) -> None:
        """A connection is ready, or has failed."""
        if (timer := self._timers.pop(server.id, None)) is not None:
            timer.cancel()

    def _fire(self, client: Client, server: Server, due: Due) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - due.at < _STALL_SECONDS:
            self._cancel(client, server, due)
            return
        wait = _MOMENT_SECONDS
        self._timers[server.id] = loop.call_later(wait, self._cancel, client, server, due)

    def _cancel(self, client: Client, server: Server, due: Due) -> None:
        self._timers.pop(server.id, None)
        handler = handler_of(client)
        transport = handler.transports.get(server) if handler else None
        if transport is not None and transport.handler is not None:
            self.late_phases[server] = due
            self.late_proxies[client] = due
            transport.handler.cancel("deadline")


def _with_the_socket(context: Context) -> Connection:
    """The connection to a server, or to the upstream proxy through which it goes."""
    for layer in reversed(context.layers):
        if isinstance(layer, HttpUpstreamProxy):
            return layer.tunnel_connection
    return context.server
