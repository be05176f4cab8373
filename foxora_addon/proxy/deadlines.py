"""Ends exchanges whose gateway keeps them waiting too long.

mitmproxy has no deadlines for connecting, TLS or answers: a mute peer hangs for ever
(mitmproxy-facts.md row 19). So the open exchanges are looked at a few times a second, and the
connection of one that is overdue is cancelled, which ends its stream like any lost connection.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mitmproxy import ctx
from mitmproxy.connection import Server
from mitmproxy.http import HTTPFlow

from foxora_addon.config import Gateway
from foxora_addon.exchange import Exchange, State
from foxora_addon.policy.hosts import canonical_host


@dataclass(frozen=True, slots=True)
class Overdue:
    """A deadline that has passed: what was waited for, in words, and how long it may take."""

    phase: str
    seconds: float


def overdue(exchange: Exchange, gateway: Gateway, now: float) -> Overdue | None:
    """Whether an exchange has waited too long in the phase that it is in; None: it has not."""
    phase = _phase_of(exchange, gateway)
    if phase is None or now - exchange.waiting_since <= phase.seconds:
        return None
    return phase


def _phase_of(exchange: Exchange, gateway: Gateway) -> Overdue | None:
    if exchange.refusal is not None or exchange.answered_status == 101:
        return None
    if exchange.state is State.RECORDED:
        return Overdue("to connect", gateway.connect_timeout_seconds)
    if exchange.state is State.SENT:
        return Overdue("to answer", gateway.response_timeout_seconds)
    if exchange.state is State.ANSWERING and exchange.observation is not None:
        return Overdue("between two parts of its answer", gateway.stream_idle_timeout_seconds)
    if exchange.state is State.ANSWERING:
        return Overdue("to finish its answer", gateway.response_timeout_seconds)
    return None


def cancel(flow: HTTPFlow, host: str, port: int) -> bool:
    """Cancel the connection that a flow waits for; False if it is not found.

    Before it is made, the flow does not know it yet: then it is the client's connection to the
    gateway that is still being made (row 21).
    """
    proxy = ctx.master.addons.get("proxyserver")
    handler = proxy.connections.get(flow.client_conn.id) if proxy else None
    if handler is None:
        return False
    found = [c for c in handler.transports if c is flow.server_conn]
    for connection in found or list(_unfinished(handler.transports, host, port)):
        task = handler.transports[connection].handler
        if task is not None:
            task.cancel("deadline")
            return True
    return False


def _unfinished(connections: object, host: str, port: int) -> Iterator[Server]:
    """The connections to the gateway that are not ready to carry a request."""
    for connection in list(connections) if isinstance(connections, dict) else ():
        if not isinstance(connection, Server) or connection.address is None:
            continue
        if (canonical_host(connection.address[0]), connection.address[1]) != (host, port):
            continue
        if not connection.connected or (connection.tls and not connection.tls_established):
            yield connection
