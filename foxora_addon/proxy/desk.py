"""Carries each flow through the pipeline, and fails closed.

Every entry is guarded: an exception becomes our own 500 and a record, and the flow never goes on as
it was (mitmproxy-facts.md row 11).
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NoReturn

from mitmproxy import http, tls
from mitmproxy.connection import Client, Connection
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from foxora_addon.api.errors import ApiError, full, unavailable
from foxora_addon.api.token_text import TextCounter
from foxora_addon.config import Config
from foxora_addon.ending import Ending, Open
from foxora_addon.exchange import Exchange, Outcome, State
from foxora_addon.pipeline import Pipeline
from foxora_addon.policy.mask import mask_forms_of
from foxora_addon.policy.plans import UNLIMITED
from foxora_addon.policy.scopes import Scope
from foxora_addon.policy.timeouts import Due
from foxora_addon.proxy import failures, flows, hold, requests, responses, sockets, tries
from foxora_addon.proxy.admission import Admission, Asking
from foxora_addon.proxy.answers import event_of, observation_of_bytes
from foxora_addon.proxy.arrivals import Arrivals, Listeners
from foxora_addon.proxy.capacity import is_behind, wait_for_reader
from foxora_addon.proxy.causes import Causes
from foxora_addon.proxy.deadlines import Connecting, Deadlines, Phase, outlast_silence
from foxora_addon.proxy.early_ends import EarlyEnds
from foxora_addon.proxy.failed_flows import FailedFlows
from foxora_addon.proxy.files import FileBook
from foxora_addon.proxy.flow_list import untell
from foxora_addon.proxy.handlers import handler_of, is_stale, notice_loss
from foxora_addon.proxy.host_reading import without_bytes
from foxora_addon.proxy.ids import new_exchange_id
from foxora_addon.proxy.local_routes import LocalRoutes
from foxora_addon.proxy.memory import Memory
from foxora_addon.proxy.open_exchanges import OpenExchanges
from foxora_addon.proxy.passed_messages import OpenSocket
from foxora_addon.proxy.proxy_auth import ProxyAuth
from foxora_addon.proxy.shown_answers import OpenStream
from foxora_addon.proxy.trail import JournalTrail
from foxora_addon.rules import Rules

_log = logging.getLogger(__name__)

_MOST_WHOLE_BYTES = 32 * 1_048_576
_WHY_LOST: Final[Mapping[Outcome, ApiError]] = {
    "client_disconnected": failures.LEFT,
    "internal_error": failures.INTERNAL,
}
"""What stands on record of a call that was lost before it was decided on."""

_OF_THE_GATEWAY: Final = frozenset({"gateway_error", "gateway_unreachable", "timeout"})
"""How a call fails whose answer does not come to its end: an error's head says more of it."""

_now: Final = time.monotonic


class FlowDesk:
    """The desk of the hold (`hold.Desk`), and the flow hooks of the addon."""

    def __init__(self) -> None:
        self._pipeline: Pipeline | None = None
        self._admission: Admission | None = None
        self.memory: Memory | None = None
        self._listeners: Callable[[], Listeners] = frozenset
        self._arrivals = Arrivals(frozenset)
        self._open = OpenExchanges()
        self._failed = FailedFlows()
        self.ends = EarlyEnds(self._open, self._failed, self._lose)
        self._deadlines = Deadlines(_now, self._late)
        self._connecting = Connecting()
        self.files = FileBook()
        self._causes = Causes(self._connecting, self.files, self._failed)
        self._seen: set[str] = set()
        self._closed: str | None = "it is starting"
        self.local_routes = LocalRoutes({})
        self.proxy_auth = ProxyAuth()
        self.ended: list[Callable[[Ending, http.HTTPFlow | None], None]] = []
        self._answer_watch = responses.Watch(_now, self._report, self._undecodable)

    # The addon's side.

    def take(
        self,
        rules: Rules,
        trail: JournalTrail,
        listeners: Callable[[], Listeners],
        asking: Asking,
    ) -> None:
        """Work by these rules from now on; so does what is open, but for what it arrived with."""
        if self._pipeline is None:
            self._pipeline = Pipeline(rules, trail, new_exchange_id)
            self._pipeline.ended = self._tell
            self.memory = Memory(trail.journal, self._pipeline.accounting)
            self.memory.recall(_now())
        self._pipeline.take(rules, _now(), self._open.values())
        for flow_id, exchange in self._open.items():
            self._watch(flow_id, exchange)
        self._connecting.may_lead_to(rules.gateway)
        self._listeners = listeners
        self._arrivals = Arrivals(listeners)
        if self._admission is None:
            self._admission = Admission(self._pipeline, trail, _now)
        self._admission.ask(asking)

    def open(self) -> None:
        """Take calls."""
        self._closed = None

    def close(self, why: str) -> None:
        """Refuse every call from now on; `why` is for the client. Open exchanges go on."""
        self._closed = why
        if self._admission is not None:
            self._admission.close()

    async def all_ended(self) -> None:
        """Wait until no exchange is open."""
        await self._open.all_ended()

    @property
    def open_exchanges(self) -> int:
        """How many exchanges are not over yet."""
        return len(self._open)

    @property
    def takes_calls(self) -> bool:
        """Whether calls are taken: not while it starts or shuts down."""
        return self._closed is None

    def open_streams(self) -> Iterator[OpenStream]:
        """The event streams that are passing, the newest first."""
        pipeline = self._pipeline
        for flow, exchange in self._open.newest_first():
            seen = exchange.observation
            if seen is not None and seen.transcript is not None and pipeline is not None:
                yield OpenStream(flow, seen.size, partial(pipeline.shown_so_far, exchange))

    def open_sockets(self) -> Iterator[OpenSocket]:
        """The WebSockets over which something was said."""
        for flow, exchange in self._open.newest_first():
            if exchange.socket is not None:
                yield OpenSocket(flow, exchange.socket.size)

    def open_calls(self) -> Iterator[tuple[http.HTTPFlow, Open]]:
        """The flows of open exchanges, the newest first, with what is known of each by now."""
        pipeline = self._pipeline
        for flow, exchange in self._open.newest_first():
            if pipeline is not None:
                yield flow, pipeline.open_of(exchange, _now())

    def standings(self) -> list[dict[str, Any]]:
        """How each account stands with its ceilings, as JSON has it."""
        return [] if self._pipeline is None else self._pipeline.accounting.balances(_now())

    def scopes_of(self, account: str, model: str | None, client: str | None) -> Sequence[Scope]:
        """What a call counts against, by the names that are on record."""
        if self._pipeline is None:
            return (Scope(account, "", UNLIMITED),)
        return self._pipeline.accounting.scopes_on_record(account, model, client)

    def _tell(self, ending: Ending) -> None:
        """Tell whoever listens that an exchange is closed; what they do can't hurt it."""
        flow = self._open.flow_told_of(ending.exchange)
        for listener in self.ended:
            try:
                listener(ending, flow)
            except Exception as error:  # noqa: BLE001  # the exchange is over and on record
                self._report(error)

    def tend(self) -> None:
        """What is due about once a second."""
        hold.end_killed()
        for flow, exchange in self._open.newest_first():
            if exchange.state is not State.ARRIVED:  # there the client is waited for
                outlast_silence(flow)
        if self._pipeline is not None and self.memory is not None:
            self._pipeline.accounting.tick(_now())
            self.memory.tend(_now())
            self.ends.end_late_uploads(_now(), self._pipeline.rules.timeouts.longest_call)

    @property
    def wants_counter(self) -> bool:
        """Whether a call was estimated that counts against a ceiling of tokens."""
        return self._pipeline is not None and self._pipeline.accounting.wants_counter

    def use_counter(self, counter: TextCounter) -> None:
        """Count the tokens of texts with this from now on, in place of estimates."""
        if self._pipeline is not None:
            self._pipeline.accounting.counter = counter

    def has_heard_of(self, client: Client) -> bool:
        """Whether a client has made a request on its connection."""
        return client.id in self._seen

    def client_left(self, client: Client) -> None:
        """End what is still open on a client's connection, by whomever it was closed."""
        self._seen.discard(client.id)
        self.ends.lose_client(client)

    def crashed(self, client: Client) -> None:
        """Mitmproxy has crashed on a client's connection: end what is open there."""
        self.ends.end_crashed(client)

    def connects(self, data: ServerConnectionHookData, phase: Phase) -> None:
        """A connection is at a phase; to the gateway, each has its deadline."""
        if self._pipeline is not None:
            is_proxy = self._is_before_gateway(data)
            self._connecting.at(data, phase, self._pipeline.rules.timeouts, is_proxy=is_proxy)

    def _is_before_gateway(self, data: ServerConnectionHookData) -> bool:
        """Whether a server is the upstream proxy that a client's open calls go through."""
        flows_of_client = map(self._open.flow, self._open.of(data.client))
        vias = [flow.server_conn.via for flow in flows_of_client if flow is not None]
        return any(via is not None and via[1] == data.server.address for via in vias)

    def tunnels(self, flow: http.HTTPFlow) -> None:
        """An upstream proxy is asked for a tunnel."""
        if self._pipeline is not None:
            self._connecting.tunnels(flow, self._pipeline.rules.timeouts)

    def connected(self, context: Context) -> None:
        """The TLS handshake with a server is over, well or not."""
        self._connecting.secured(context)

    def _late(self, flow_id: str, due: Due) -> None:
        """The gateway keeps an exchange waiting for longer than it may: end it."""
        flow = self._open.flow(flow_id)
        handler = handler_of(flow.client_conn) if flow else None
        if flow is None or handler is None:
            return
        exchange = self._open.get(flow_id)
        if exchange is not None and exchange.observation and is_behind(flow.client_conn, handler):
            _go_on_waiting(exchange)  # it is the client that is waited for
            self._watch(flow_id, exchange)
            return
        self.ends.end(flow, failures.timed_out(due.phase, due.seconds), handler)

    def socket_said(self, flow: http.HTTPFlow) -> None:
        """Take a message of a WebSocket down."""
        if flow.websocket is None:
            return
        try:
            message = flow.websocket.messages[-1]
            exchange = self._open.get(flow.id)
            if exchange is not None and self._pipeline is not None:
                sockets.passes(message, exchange, self._pipeline, _now())
            elif flows.is_ours(flow) and not flows.is_loaded(flow):
                message.drop()  # it has failed, and is being closed
        except Exception as error:  # noqa: BLE001  # promise 2: the flow goes nowhere
            self._fail_closed(flow, error)
            sockets.cut(flow)

    def forms_of_key(self, flow: http.HTTPFlow) -> tuple[bytes, ...]:
        """The ways in which the key of an open exchange may be written; none where it has none."""
        exchange = self._open.get(flow.id)
        return () if exchange is None else mask_forms_of(exchange.credential)

    def words_for(self, flow: http.HTTPFlow) -> list[bytes]:
        """What of our own the client of a WebSocket is to be told now; nothing a second time."""
        exchange = self._open.get(flow.id)
        return [] if exchange is None else sockets.words_for_client(exchange)

    def socket_ended(self, flow: http.HTTPFlow) -> None:
        """End the exchange of a WebSocket."""
        try:
            exchange = self._open.get(flow.id)
            if self.ends.is_last:
                self._lose(flow.id, "aborted")
            elif exchange is not None and self._pipeline is not None:
                sockets.end(flow, exchange, self._pipeline, _now())
                self._forget(flow.id)
        except Exception as error:  # noqa: BLE001  # promise 2: the flow goes nowhere
            self._fail_closed(flow, error)

    def look_at_hello(self, data: tls.ClientHelloData, config: Config | None) -> None:
        """Pass TLS to hosts that are not ours through as it is, unless all of it is asked for."""
        if config is not None and config.intercept.decrypt == "ours" and self._pipeline is not None:
            territory = self._pipeline.rules.territory
            if flows.is_to_strangers(data, territory, self._listeners()):
                data.ignore_connection = True

    # The way of a request.

    def arrived(self, flow: http.HTTPFlow, arrival: hold.SentHead) -> None:
        """Recognise a request, and take the app's credentials out before anybody sees them."""
        self._seen.add(flow.client_conn.id)
        try:
            self._arrive(flow, arrival)
        except Exception as error:  # noqa: BLE001  # promise 2: the flow goes nowhere
            self._fail_closed(flow, error)

    def _arrive(self, flow: http.HTTPFlow, told: hold.SentHead) -> None:
        if self._pipeline is None:
            flow.request.headers.clear()
            flow.response = flows.response_of(self._unavailable(), new_exchange_id())
            return
        arrival = self._arrivals.of(flow, told)
        territory = self._pipeline.rules.territory
        own = self.local_routes.answer(arrival.head, arrival.address, territory)
        if own is not None:
            flow.metadata[flows.PRIVATE] = True
            flow.response = own
            return
        given = flow.request.headers
        exchange = requests.take_in(flow, arrival, self._pipeline, _now())
        if exchange is None:
            if flows.is_ours(flow):  # a replay that was turned elsewhere
                untell(flow)
            return
        self.proxy_auth.look(flow, given)
        self._open.add(flow, exchange)
        flow.metadata[flows.EXCHANGE] = exchange.id
        if exchange.call is not None:
            flow.metadata[flows.OPERATION] = exchange.call.operation.name
        if self._closed is not None:
            exchange.refusal = self._unavailable()
        rules = self._pipeline.rules
        if len(self._open) > rules.max_exchanges:
            exchange.refusal = exchange.refusal or full(rules.max_exchanges)
        elif self.files.is_full and not (
            exchange.refusal or self.files.takes_call(flow.client_conn.id)
        ):
            exchange.refusal = full(self.files.most_calls)
        size = requests.declared_size(arrival)
        refusal = exchange.refusal or requests.too_large(size, rules.max_request_bytes)
        if refusal is not None:
            self._refuse(flow, exchange, refusal)

    def is_private(self, flow: http.HTTPFlow) -> bool:
        """Whether it is between a local program and us: no addon sees it, or keeps it."""
        return flows.PRIVATE in flow.metadata

    def must_know(self, flow: http.HTTPFlow) -> None:
        """Refuse a flow that did not come past `arrived`: nothing is known of it.

        What is read from a file comes past nobody else, and stays as it is.
        """
        if flow.client_conn.id not in self._seen and not flows.is_loaded(flow):
            flow.request.headers.clear()
            flow.response = flows.response_of(self._unavailable(), new_exchange_id())

    def inviting(self, flow: http.HTTPFlow) -> None:
        """Spare a client the upload of a call that was refused by its head."""
        exchange = self._open.get(flow.id)
        if exchange is not None and exchange.refusal is not None:
            self._failed.put(flow.id, failures.Worded("refused", exchange.refusal))
            raise hold.Refused("refused by foxora-addon")

    def body_grew(self, flow: http.HTTPFlow, size: int) -> http.Response | None:
        """Stop an upload that is over the configured size."""
        exchange = self._open.get(flow.id)
        if exchange is None or self._pipeline is None:
            return None
        refusal = requests.too_large(size, self._pipeline.rules.max_request_bytes)
        if refusal is None:
            return None
        try:
            self._refuse(flow, exchange, exchange.refusal or refusal)
            if exchange.may("record"):
                self._pipeline.record(exchange, b"", None, _now())
        except Exception as error:  # noqa: BLE001  # promise 2: the flow goes nowhere
            self._fail_closed(flow, error)
        return flow.response

    def request(self, flow: http.HTTPFlow) -> Coroutine[Any, Any, None] | None:
        """Decide on a whole request, and record it; what there is to wait for, if anything."""
        exchange = self._open.get(flow.id)
        if exchange is None or self._admission is None:
            return None
        try:
            body = flow.request.raw_content or b""
            encoding = requests.heed_head(flow.request, exchange)
            is_open = partial(self._is_open, flow.id)
            waiting = self._admission.admit(exchange, body, encoding, is_open)
            if waiting is not None:
                return self._decide_later(flow, exchange, body, waiting)
            self._decided(flow, exchange, body)
        except Exception as error:  # noqa: BLE001  # promise 2: the flow goes nowhere
            self._fail_closed(flow, error)
        return None

    async def _decide_later(
        self,
        flow: http.HTTPFlow,
        exchange: Exchange,
        body: bytes,
        waiting: Coroutine[Any, Any, bool],
    ) -> None:
        """The exchange may end while it waits, and so may the program."""
        try:
            with self.ends.deciding(flow.id):
                is_decided = await waiting
            if is_decided:
                self._decided(flow, exchange, body)
            else:
                readable = flows.readable_by(exchange.origin)
                flow.response = flows.response_of(self._unavailable(), exchange.id, readable)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not self.ends.is_last:
                raise
            task.uncancel()  # the hook goes on, to where nothing is sent and its client is told
            self._failed.put(flow.id, failures.ABORTED)
        except Exception as error:  # noqa: BLE001  # promise 2: the flow goes nowhere
            self._fail_closed(flow, error)

    def _decided(self, flow: http.HTTPFlow, exchange: Exchange, body: bytes) -> None:
        if exchange.refusal is not None:
            self._refuse(flow, exchange, exchange.refusal)
        elif exchange.sent_body is not body:
            exchange.own_fields = flow.request.headers.fields
            requests.put_body(flow.request, exchange.sent_body)

    def is_stale(self, client: Client, connection: Connection) -> bool:
        """Whether something has come on a connection that waits to be used again."""
        return is_stale(client, connection)

    def client_gone(self, flow: http.HTTPFlow) -> None:
        """A call that waits for its turn gives up its place as soon as its client leaves."""
        if self.ends.is_deciding(flow.id):
            self._lose(flow.id, "client_disconnected")

    def connecting(self, flow: http.HTTPFlow) -> None:
        """Have nobody but the gateway hear of a call, be it by a connection alone."""
        exchange = self._open.get(flow.id)
        if flow.id in self._failed:
            raise hold.Refused("refused by foxora-addon")
        if exchange is None or self._pipeline is None:
            return
        try:
            requests.check_decided(exchange, flow.request)
        except Exception as error:  # noqa: BLE001  # promise 2: nobody is connected to
            self._refuse_to_send(flow, error)

    def outgoing(self, flow: http.HTTPFlow, request: http.Request) -> http.Request:
        """Put the key on a copy of the request, if all is as it was decided."""
        exchange = self._open.get(flow.id)
        if flow.id in self._failed:
            raise hold.Refused("refused by foxora-addon")
        if exchange is None or self._pipeline is None:
            return request
        try:
            copy = requests.with_key(flow, exchange, request, self._pipeline, _now())
            self._watch(flow.id, exchange)
        except Exception as error:  # noqa: BLE001  # promise 2: nothing is sent
            self._refuse_to_send(flow, error)
        return copy

    def _refuse_to_send(self, flow: http.HTTPFlow, error: Exception) -> NoReturn:
        """End a flow whose request is not what was decided on, or that our own code failed on."""
        if isinstance(error, requests.NotSent):
            _log.error("foxora: nothing was sent: %s", error)
            worded = error.worded
        else:
            self._report(error)
            worded = failures.internal()
        self._failed.put(flow.id, worded)
        raise hold.Refused("refused by foxora-addon") from None

    # The way of a response.

    def answering(self, flow: http.HTTPFlow) -> None:
        """Decide how a response passes: as it comes, or as a whole."""
        exchange = self._open.get(flow.id)
        if exchange is None or flow.response is None or exchange.refusal is not None:
            return
        if self._pipeline is None:
            return
        try:
            responses.begin(flow, exchange, flow.response, self._pipeline, self._answer_watch)
            if exchange.observation is not None:  # what is whole is due later than its head was
                self._watch(flow.id, exchange)
        except Exception as error:  # noqa: BLE001  # the body is still to come: `answered` replaces it
            self._report(error)
            flow.response.stream = exchange.passing = False
            flow.response.headers.clear()  # they may not have been looked through for keys
            exchange.refusal = failures.INTERNAL

    def head_heard(self, flow: http.HTTPFlow) -> None:
        """Have bodies of ours pass as was decided, whatever other addons want of them.

        What is not taken whole would leave before it is decided on and recorded, and come back
        before it is looked through for the key.
        """
        exchange = self._open.get(flow.id)
        if exchange is not None:
            flow.request.stream = False
            if flow.response is not None:
                responses.keep_way(exchange, flow.response, self._report_other)

    def is_too_long(self, flow: http.HTTPFlow, size: int) -> bool:
        """Pass an answer on as it comes that is too long to look at; an error ends there."""
        exchange, response = self._open.get(flow.id), flow.response
        if size <= _MOST_WHOLE_BYTES or exchange is None or self._pipeline is None:
            return False
        if response is None or exchange.refusal is not None or exchange.observation is not None:
            return False
        try:
            if response.status_code >= 400:
                self._end_long_error(flow, exchange, response, self._pipeline)
                return False
            seen = observation_of_bytes(response, self._pipeline.rules.max_body_bytes)
            responses.observe(flow, exchange, response, seen, self._pipeline, self._answer_watch)
            self._watch(flow.id, exchange)
        except Exception as error:  # noqa: BLE001  # it is too long to be kept, so it ends here
            self._report(error)
            exchange.refusal, exchange.observation = failures.INTERNAL, None
            if (handler := handler_of(flow.client_conn)) is not None:
                self.ends.end(flow, failures.internal(), handler)
            return False
        return True

    def _end_long_error(
        self,
        flow: http.HTTPFlow,
        exchange: Exchange,
        response: http.Response,
        pipeline: Pipeline,
    ) -> None:
        """End an error that is too long to be taken whole, with all that its head says of it."""
        handler = handler_of(flow.client_conn)
        if handler is not None and flow.id not in self._failed:
            told = responses.told_by_head(response, exchange, pipeline, _now())
            self.ends.end(flow, told, handler)

    def _undecodable(self, flow: http.HTTPFlow, why: str) -> bytes:
        """A stream can't be decoded any further: end it; what its last event is to be."""
        exchange, handler = self._open.get(flow.id), handler_of(flow.client_conn)
        if exchange is not None and exchange.observation is not None:
            exchange.observation.fail(why)
            exchange.flaw = failures.UNDECODABLE.message
        if handler is not None:
            self.ends.end(flow, failures.Worded("stream_broken", failures.UNDECODABLE), handler)
        return event_of(exchange, failures.UNDECODABLE)

    def passed(self, flow: http.HTTPFlow, unread: Callable[[], int]) -> None:
        """Have the gateway wait for a client that reads slowly; where it can't, end the stream."""
        exchange, handler = self._open.get(flow.id), handler_of(flow.client_conn)
        if exchange is None or handler is None:
            return
        if not wait_for_reader(flow, handler, unread, partial(_go_on_waiting, exchange)):
            self.ends.end(flow, failures.SLOW_READER, handler)

    def again(self, flow: http.HTTPFlow, failure: hold.Failure | None) -> float | None:
        """Whether a call that failed is sent once more, and when: so many times as configured."""
        answer = flow.response
        if failure is None and (answer is None or answer.data.status_code < 400):
            return None  # it has not
        exchange = self._open.get(flow.id)
        if exchange is None or self._pipeline is None or self._closed is not None:
            return None
        if exchange.refusal is not None:
            return None
        try:
            return self._pause_before_retry(flow, exchange, failure, self._pipeline)
        except Exception as error:  # noqa: BLE001  # it ends as it would have without retries
            self._report(error)
            return None

    def _pause_before_retry(
        self,
        flow: http.HTTPFlow,
        exchange: Exchange,
        failure: hold.Failure | None,
        pipeline: Pipeline,
    ) -> float | None:
        worded = None if failure is None else self._worded(flow, exchange, failure, pipeline)
        pause = tries.pause_before_next(flow, exchange, pipeline, worded, _now())
        if pause is not None:
            self._deadlines.forget(flow.id)
            self._failed.forget(flow.id)
        return pause

    def wait_more(self, flow: http.HTTPFlow) -> float:
        """How long a further try waits still for its account to have room; 0: no longer."""
        exchange = self._open.get(flow.id)
        if exchange is None or self._pipeline is None:
            return 0.0
        try:
            room = tries.wait_for_room(exchange, self._pipeline, _now())
        except Exception as error:  # noqa: BLE001  # promise 2: nothing is sent
            self._report(error)
            room = failures.internal()
        if isinstance(room, failures.Worded):
            self._failed.put(flow.id, room)
            return 0.0
        return room

    def answered(self, flow: http.HTTPFlow) -> None:
        """A response is complete: normalise it if it is an error, and close the exchange."""
        exchange = self._open.get(flow.id)
        if exchange is None or flow.response is None or self._pipeline is None:
            return
        try:
            if flow.response.status_code == 101 and sockets.opens(flow, exchange):
                notice_loss(flow.client_conn)
                return
            responses.conclude(flow, exchange, flow.response, self._pipeline, _now())
            self._forget(flow.id)
        except Exception as error:  # noqa: BLE001  # promise 2: the flow goes nowhere
            self._fail_closed(flow, error)

    def failed(self, flow: http.HTTPFlow, failure: hold.Failure) -> None:
        """The flow ends without a whole response: close its exchange."""
        exchange = self._open.get(flow.id)
        if exchange is None or self._pipeline is None:
            return
        try:
            self._fail(flow, exchange, failure, self._pipeline)
            self._forget(flow.id, keep_failure=True)
        except Exception as error:  # noqa: BLE001  # promise 2: the flow goes nowhere
            self._fail_closed(flow, error)

    def _fail(
        self,
        flow: http.HTTPFlow,
        exchange: Exchange,
        failure: hold.Failure,
        pipeline: Pipeline,
    ) -> None:
        worded = self._worded(flow, exchange, failure, pipeline)
        self._failed.put(flow.id, worded)
        if flow.error is not None:  # it stays with the flow, and may quote what came
            quoteless = without_bytes(flow.error.msg)
            flow.error.msg = pipeline.rules.redactor.scrub(quoteless, exchange.secrets)
        responses.end_failed(flow, exchange, worded, pipeline, _now())
        if worded.error is None:
            return  # nobody is there to be told
        more = self._more_of(exchange)
        if exchange.retries:
            more.append((b"x-foxora-retries", b"%d" % exchange.retries))
        self._failed.name(flow.id, exchange.id, more)

    def _worded(
        self,
        flow: http.HTTPFlow,
        exchange: Exchange,
        failure: hold.Failure,
        pipeline: Pipeline,
    ) -> failures.Worded:
        """A failure in our terms; where the gateway has begun to tell of an error, that it is."""
        worded = self._causes.worded(flow, exchange, failure)
        if self.ends.is_last and exchange.was_sent:
            return failures.Worded("aborted", worded.error)  # it is us who end it: row 24
        response = flow.response
        if worded.outcome not in _OF_THE_GATEWAY or response is None:
            return worded
        if not responses.is_error(response, exchange):
            return worded
        return responses.told_by_head(response, exchange, pipeline, _now())

    def answer_for(self, flow: http.HTTPFlow) -> http.Response | None:
        """Our JSON in place of the host's HTML, for the flows that are ours."""
        return self._failed.answer_for(flow)

    def last_words(self, flow: http.HTTPFlow) -> bytes | None:
        """What ends a stream that broke, cleanly; None: it is torn off there."""
        return self._failed.last_words(flow)

    # What all of it shares.

    def _fail_closed(self, flow: http.HTTPFlow, error: Exception) -> None:
        """Turn an exception into our own answer and a record; the flow goes nowhere (promise 2).

        Each entry has its own `try`: a guard around them all takes twice as long.
        """
        self._report(error)
        exchange = self._open.get(flow.id)
        self._forget(flow.id)
        self._failed.put(flow.id, failures.internal())
        flow.request.headers.clear()
        flow.request.host, flow.request.port = "foxora-addon.invalid", 9
        name, origin = (exchange.id, exchange.origin) if exchange else (new_exchange_id(), None)
        flow.response = flows.response_of(failures.INTERNAL, name, flows.readable_by(origin))
        if exchange is not None:
            self._record_failure(exchange)

    def _record_failure(self, exchange: Exchange) -> None:
        if self._pipeline is None:
            return
        try:
            if exchange.may("record"):
                exchange.refusal = failures.INTERNAL
                self._pipeline.record(exchange, b"", None, _now())
            if exchange.may("close"):
                self._pipeline.refused(exchange, failures.INTERNAL, "internal_error", _now())
        except Exception as again:  # noqa: BLE001  # the answer stands; the log has why
            self._report(again)

    def _report_other(self, error: Exception) -> None:
        """Say in the log that another addon's callable failed on a stream."""
        self._report(error, "flow.response.stream of another addon failed; it gets no more of it")

    def _report(
        self, error: BaseException, what: str = "a call failed in the addon itself"
    ) -> None:
        """Say in the log what failed, by default in our own code, without any secret."""
        text = "".join(traceback.format_exception(error))
        if self._pipeline is not None:
            text = self._pipeline.rules.redactor.scrub(text)
        _log.error("foxora: %s:\n%s", what, text)

    def _refuse(self, flow: http.HTTPFlow, exchange: Exchange, error: ApiError) -> None:
        exchange.refusal = error
        more = self._more_of(exchange)
        if self._closed is not None and not (flow.request.is_http2 or flow.request.is_http3):
            more.append((b"connection", b"close"))  # else it is torn under a further call
        flow.response = flows.response_of(error, exchange.id, more)

    def _more_of(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        """Further headers of an answer of ours: what is left of the ceilings, and who may read."""
        left = self._pipeline.accounting.headers(exchange, (), _now()) if self._pipeline else []
        return [*left, *flows.readable_by(exchange.origin)]

    def _lose(self, flow_id: str, outcome: Outcome) -> None:
        exchange, flow = self._open.get(flow_id), self._open.flow(flow_id)
        self._forget(flow_id)
        if exchange is None or flow is None or self._pipeline is None:
            return
        try:
            left = outcome == "client_disconnected"
            if exchange.may("record"):
                exchange.refusal = _WHY_LOST.get(outcome) or self._unavailable()
                requests.record_undecided(flow, exchange, self._pipeline, _now())
            if exchange.may("close"):
                self._pipeline.lost(exchange, outcome, "network" if left else "addon", _now())
        except Exception as error:  # noqa: BLE001  # the others must end as well
            self._report(error)

    def _is_open(self, flow_id: str) -> bool:
        return flow_id in self._open

    def _watch(self, flow_id: str, exchange: Exchange) -> None:
        if self._pipeline is not None:
            self._deadlines.watch(flow_id, exchange, self._pipeline.rules.timeouts)

    def _forget(self, flow_id: str, *, keep_failure: bool = False) -> None:
        self._deadlines.forget(flow_id)
        exchange = self._open.end(flow_id)
        if exchange is not None and self._admission is not None:
            self._admission.left(exchange)
        if not keep_failure:
            self._failed.forget(flow_id)

    def _unavailable(self) -> ApiError:
        why = self._closed or "it has stopped"
        return unavailable(f"The proxy takes no calls: {why}. Try again later.")


def _go_on_waiting(exchange: Exchange) -> None:
    exchange.waiting_since = _now()
