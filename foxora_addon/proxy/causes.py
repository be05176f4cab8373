"""Finds what made an exchange fail: what we did ourselves explains what the host saw of it.

How a failure is worded, once its cause is known, is `failures`' business.
"""

from mitmproxy.connection import Server
from mitmproxy.http import HTTPFlow
from mitmproxy.net.server_spec import ServerSpec

from foxora_addon.api.errors import full
from foxora_addon.exchange import Exchange
from foxora_addon.proxy import failures
from foxora_addon.proxy.deadlines import Connecting
from foxora_addon.proxy.failed_flows import FailedFlows
from foxora_addon.proxy.files import NO_FILES, FileBook
from foxora_addon.proxy.hold import Failure


class Causes:
    """What may lie behind a failure: deadlines of connections, the file limit, what was put down.

    `failed` has the flows whose failure was decided on before the host told of one.
    """

    def __init__(self, connecting: Connecting, files: FileBook, failed: FailedFlows) -> None:
        self._connecting = connecting
        self._files = files
        self._failed = failed

    def worded(self, flow: HTTPFlow, exchange: Exchange, failure: Failure) -> failures.Worded:
        """A failure of an open exchange, in our terms."""
        late = self._connecting.late_phases.get(failure.connection) if failure.connection else None
        if late is not None:
            return failures.timed_out(late.phase, late.seconds)
        if NO_FILES in failure.message:
            return failures.Worded("refused", full(self._files.most_calls))
        via, late = flow.server_conn.via, self._connecting.late_proxies.get(flow.client_conn)
        is_unsent = failure.code is None and not exchange.was_sent
        if via is not None and late is not None and is_unsent:
            return failures.timed_out(late.phase, late.seconds, proxy=_shown(via))
        gateway = exchange.gateway
        worded = failures.worded(
            failure,
            f"{gateway.host}:{gateway.port}" if gateway else "of the configuration",
            proxy=_proxy_before(flow, failure),
            is_streaming=exchange.observation is not None,
        )
        return worded if worded.error is None else self._failed.get(flow.id) or worded


def _proxy_before(flow: HTTPFlow, failure: Failure) -> str | None:
    """The upstream proxy, as it may be shown, where a connection came no further than that.

    mitmproxy notes what fails beyond it at the connection to the gateway.
    """
    via, failed = flow.server_conn.via, failure.connection
    if via is None or (isinstance(failed, Server) and failed.via is not None):
        return None
    return _shown(via)


def _shown(via: ServerSpec) -> str:
    _, (host, port, *_) = via
    return f"{host}:{port}"
