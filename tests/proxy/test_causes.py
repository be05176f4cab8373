"""What a failure is taken for when we ourselves know more of it than the host says."""

import pytest
from mitmproxy.connection import Client, Server
from mitmproxy.http import HTTPFlow
from mitmproxy.net.server_spec import ServerSpec

from foxora_addon.api.errors import unavailable
from foxora_addon.observation import Observation
from foxora_addon.policy.hosts import parse_base_url
from foxora_addon.policy.timeouts import Due
from foxora_addon.proxy.causes import Causes
from foxora_addon.proxy.deadlines import Connecting
from foxora_addon.proxy.failed_flows import FailedFlows
from foxora_addon.proxy.failures import Worded
from foxora_addon.proxy.files import NO_FILES, FileBook
from foxora_addon.proxy.hold import ErrorCode, Failure
from tests.builders import an_exchange

VIA: ServerSpec = ("http", ("proxy.example", 3128))
LATE = Due(10.0, 5.0, "to connect")


class Known:
    """What the causes look at, and the flow that failed."""

    def __init__(self) -> None:
        self.connecting = Connecting()
        self.failed = FailedFlows()
        self.causes = Causes(self.connecting, FileBook(), self.failed)
        client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
        self.flow = HTTPFlow(client, Server(address=("gateway.example", 443)))
        self.exchange = an_exchange(gateway=parse_base_url("https://gateway.example/v1"))

    def worded(self, failure: Failure) -> Worded:
        return self.causes.worded(self.flow, self.exchange, failure)

    def message(self, failure: Failure) -> str:
        error = self.worded(failure).error
        assert error is not None
        return error.message


@pytest.fixture
def known() -> Known:
    return Known()


def test_a_connection_that_we_gave_up_was_late_whatever_the_host_says(known: Known) -> None:
    known.connecting.late_phases[known.flow.server_conn] = LATE
    worded = known.worded(Failure("cancelled", None, connection=known.flow.server_conn))
    assert (worded.outcome, worded.is_late) == ("timeout", True)
    assert worded.error is not None
    assert worded.error.message.startswith("The gateway took longer than 5 s to connect.")


def test_a_connection_that_got_no_file_is_told_of_our_limit(known: Known) -> None:
    worded = known.worded(Failure(f"OSError: {NO_FILES}", None))
    assert worded.outcome == "refused"
    assert worded.error is not None
    assert (worded.error.status, worded.error.source) == (503, "addon")


def test_a_late_proxy_is_named_where_nothing_was_sent_through_it(known: Known) -> None:
    known.flow.server_conn.via = VIA
    known.connecting.late_proxies[known.flow.client_conn] = LATE
    unsent = Failure("cancelled", None)
    assert known.message(unsent).startswith("The upstream proxy proxy.example:3128 took longer")
    known.exchange.was_sent = True
    assert known.message(unsent).startswith("The upstream proxy proxy.example:3128 can't be")


def test_what_fails_beyond_a_proxy_is_the_gateways(known: Known) -> None:
    known.flow.server_conn.via = VIA
    failure = Failure("Connect call failed", None, connection=known.flow.server_conn)
    assert "gateway gateway.example:443 refused the connection" in known.message(failure)
    assert "proxy proxy.example:3128 refused" in known.message(failure._replace(connection=None))


def test_a_stream_that_breaks_off_is_not_told_as_an_answer_that_never_came(known: Known) -> None:
    reset = Failure("reset by peer", ErrorCode.GENERIC_SERVER_ERROR)
    assert known.worded(reset).outcome == "gateway_unreachable"
    known.exchange.observation = Observation(
        content_encoding=None, is_event_stream=True, is_json=False, max_head_bytes=100
    )
    assert known.worded(reset).outcome == "stream_broken"


def test_what_was_put_down_before_is_told_but_to_one_who_has_left(known: Known) -> None:
    ours = Worded("aborted", unavailable("It ends."))
    known.failed.put(known.flow.id, ours)
    assert known.worded(Failure("Connect call failed", None)) is ours
    left = Failure("client closed connection", ErrorCode.CLIENT_DISCONNECTED)
    assert known.worded(left) == Worded("client_disconnected", None)
