"""Carries each flow through the pipeline, and fails closed.

Every entry is guarded: an exception becomes our own 500 and a record, and the flow never goes on as
it was (mitmproxy-facts.md row 11). Exchanges are kept here by flow id, never in a flow (row 14).
"""

import logging
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager

from cachetools import TTLCache
from mitmproxy import http, tls
from mitmproxy.connection import Client

from foxora_addon.api.errors import ApiError, request_too_large, unavailable
from foxora_addon.config import Config, Gateway
from foxora_addon.exchange import Exchange, Outcome
from foxora_addon.pipeline import Answer, Pipeline
from foxora_addon.policy.hosts import canonical_host
from foxora_addon.proxy import failures, flows, hold
from foxora_addon.proxy.answers import mark, observation_of, replace_body, tee
from foxora_addon.proxy.deadlines import cancel, overdue
from foxora_addon.proxy.trail import JournalTrail
from foxora_addon.rules import Rules

_log = logging.getLogger(__name__)

_MOST_FAILURES = 10_000


def _new_id() -> str:
    return f"ex_{uuid.uuid4().hex}"


class FlowDesk:
    """The desk of the hold (`hold.Desk`), and the flow hooks of the addon."""

    def __init__(self) -> None:
        self._pipeline: Pipeline | None = None
        self._listeners: Callable[[], flows.Listeners] = frozenset
        self._open: dict[str, Exchange] = {}
        self._flows: dict[str, http.HTTPFlow] = {}
        # What is not fetched by `answer_for` (nobody was there to be told) goes by itself.
        self._failures: MutableMapping[str, failures.Worded] = TTLCache(_MOST_FAILURES, ttl=60)
        self._failed_ids: MutableMapping[str, str] = TTLCache(_MOST_FAILURES, ttl=60)
        self._seen: set[str] = set()
        self._closed: str | None = "it is starting"

    # The addon's side.

    def take(
        self, rules: Rules, trail: JournalTrail, listeners: Callable[[], flows.Listeners]
    ) -> None:
        """Work by these rules from now on; open exchanges keep what they have."""
        if self._pipeline is None:
            self._pipeline = Pipeline(rules, trail, _new_id)
        self._pipeline.rules = rules
        self._listeners = listeners

    def open(self) -> None:
        """Take calls."""
        self._closed = None

    def close(self, why: str) -> None:
        """Refuse every call from now on; `why` is for the client. Open exchanges go on."""
        self._closed = why

    def abort_all(self) -> None:
        """End whatever is open: the program does."""
        for flow_id in list(self._open):
            self._lose(flow_id, "aborted")

    def client_left(self, client: Client) -> None:
        """End what is still open on a client's connection, by whomever it was closed."""
        outcome: Outcome = "client_disconnected" if self._closed is None else "aborted"
        self._seen.discard(client.id)
        for flow_id in [i for i, f in self._flows.items() if f.client_conn.id == client.id]:
            self._lose(flow_id, outcome)

    def end_overdue(self, gateway: Gateway) -> None:
        """End the exchanges that the gateway keeps waiting for longer than it may."""
        now = _now()
        for flow_id, exchange in list(self._open.items()):
            late = overdue(exchange, gateway, now)
            if late is None or flow_id in self._failures or self._pipeline is None:
                continue
            url = self._pipeline.rules.gateway
            if cancel(self._flows[flow_id], url.host, url.port):
                self._failures[flow_id] = failures.timed_out(late.phase, late.seconds)

    def socket_said(self, flow: http.HTTPFlow) -> None:
        """Take a message of a WebSocket down."""
        with self._guard(flow):
            exchange = self._open.get(flow.id)
            if exchange is None or self._pipeline is None or flow.websocket is None:
                return
            message = flow.websocket.messages[-1]
            self._pipeline.said(exchange, message.content, _now(), is_clients=message.from_client)

    def socket_ended(self, flow: http.HTTPFlow) -> None:
        """End the exchange of a WebSocket."""
        with self._guard(flow):
            exchange = self._open.get(flow.id)
            if exchange is not None and self._pipeline is not None:
                self._pipeline.streamed(exchange, _now())
                self._forget(flow.id)

    def look_at_hello(self, data: tls.ClientHelloData, config: Config | None) -> None:
        """Pass TLS to hosts that are not ours through as it is, unless all of it is asked for."""
        address = data.context.server.address
        if config is None or config.intercept.decrypt == "all" or address is None:
            return
        names = {canonical_host(name) for name in (address[0], data.client_hello.sni) if name}
        listeners = self._listeners()
        if self._pipeline is None or any((name, address[1]) in listeners for name in names):
            return
        territory = self._pipeline.rules.territory
        if not any(territory.holds(name, address[1]) for name in names if name):
            data.ignore_connection = True

    # The way of a request.

    def arrived(self, flow: http.HTTPFlow, arrival: hold.Arrival) -> None:
        """Recognise a request, and take the app's credentials out before anybody sees them."""
        self._seen.add(flow.client_conn.id)
        with self._guard(flow):
            self._arrive(flow, arrival)

    def _arrive(self, flow: http.HTTPFlow, told: hold.Arrival) -> None:
        if self._pipeline is None:
            flow.request.headers.clear()
            flow.response = flows.response_of(self._unavailable(), _new_id())
            return
        arrival = flows.arrival_of(flow, told, self._listeners())
        rewritten = self._pipeline.arrive(arrival, _now())
        if rewritten is None:
            return
        exchange = rewritten.exchange
        self._open[flow.id] = exchange
        self._flows[flow.id] = flow
        if self._closed is not None:
            exchange.refusal = self._unavailable()
        gateway = self._pipeline.rules.gateway
        flows.rewrite(flow.request, gateway, rewritten.fields, rewritten.target)
        if exchange.refusal is not None:
            flow.response = flows.response_of(exchange.refusal, exchange.id)
        else:
            declared = flow.request.headers.get("content-length", "")
            if declared.isdigit() and int(declared[:18]) > self._pipeline.rules.max_request_bytes:
                self._refuse(flow, exchange, self._too_large())

    def must_know(self, flow: http.HTTPFlow) -> None:
        """Refuse a flow that did not come past `arrived`: nothing is known of it."""
        if flow.client_conn.id not in self._seen:
            flow.request.headers.clear()
            flow.response = flows.response_of(self._unavailable(), _new_id())

    def body_grew(self, flow: http.HTTPFlow, size: int) -> http.Response | None:
        """Stop an upload that is over the configured size."""
        exchange = self._open.get(flow.id)
        if exchange is None or self._pipeline is None:
            return None
        if size <= self._pipeline.rules.max_request_bytes:
            return None
        with self._guard(flow):
            exchange.refusal = exchange.refusal or self._too_large()
            if exchange.may("record"):
                self._pipeline.admit(exchange, b"", None, _now())
            flow.response = flows.response_of(exchange.refusal, exchange.id)
        return flow.response

    def request(self, flow: http.HTTPFlow) -> None:
        """Decide on a whole request, and record it."""
        exchange = self._open.get(flow.id)
        if exchange is None or self._pipeline is None:
            return
        with self._guard(flow):
            body = flow.request.raw_content or b""
            encoding = flow.request.headers.get("content-encoding")
            self._pipeline.admit(exchange, body, encoding, _now())
            if exchange.refusal is not None:
                self._refuse(flow, exchange, exchange.refusal)
            elif exchange.sent_body is not body:
                flow.request.headers.pop("content-encoding", None)
                flow.request.raw_content = exchange.sent_body
                if "transfer-encoding" not in flow.request.headers:
                    flow.request.headers["content-length"] = str(len(exchange.sent_body))

    def outgoing(self, flow: http.HTTPFlow, request: http.Request) -> http.Request:
        """Put the key on a copy of the request, if all is as it was decided."""
        exchange = self._open.get(flow.id)
        if flow.id in self._failures:
            raise hold.Refused("refused by foxora-addon")
        if exchange is None:
            return request
        try:
            return self._with_key(flow, exchange, request)
        except Exception as error:
            self._report(error)
            self._failures[flow.id] = failures.internal()
            raise hold.Refused("refused by foxora-addon") from error

    def _with_key(
        self, flow: http.HTTPFlow, exchange: Exchange, request: http.Request
    ) -> http.Request:
        """The copy that is sent. Whatever other addons did to the flow, it must still fit."""
        if self._pipeline is None:
            raise RuntimeError("there is no pipeline")
        gateway = self._pipeline.rules.gateway
        url = f"{gateway.scheme}://{request.host}:{request.port}{request.path}"
        address = (request.scheme, canonical_host(request.host), request.port)
        if address != (gateway.scheme, gateway.host, gateway.port):
            raise RuntimeError(f"another addon turned exchange {exchange.id} to {url}")
        if (request.raw_content or b"") != exchange.sent_body:
            raise RuntimeError(
                f"another addon changed the body of exchange {exchange.id} after it was recorded; "
                "load that addon before foxora_addon"
            )
        if gateway.scheme == "http" and flow.server_conn.via:
            raise RuntimeError("an upstream proxy would see the key of an http:// gateway")
        key = self._pipeline.send(exchange, _now())
        copy = request.copy()
        copy.headers.pop("authorization", None)
        if key is not None:
            copy.headers["authorization"] = f"Bearer {key}"
        return copy

    # The way of a response.

    def answering(self, flow: http.HTTPFlow) -> None:
        """Decide how a response passes: as it comes, or as a whole."""
        exchange = self._open.get(flow.id)
        if exchange is None or flow.response is None or exchange.refusal is not None:
            return
        try:
            self._answer(flow, exchange, flow.response)
        except Exception as error:  # noqa: BLE001  # the body is still to come: `answered` replaces it
            self._report(error)
            flow.response.stream = False
            exchange.refusal = failures.INTERNAL

    def _answer(self, flow: http.HTTPFlow, exchange: Exchange, response: http.Response) -> None:
        if not exchange.may("answer"):
            return  # an addon of the host answers in the gateway's place (replay, map_local)
        exchange.step("answer")
        exchange.waiting_since = _now()
        exchange.answered_status = response.status_code
        exchange.gateway_request_id = response.headers.get("x-request-id")
        exchange.observation = observation_of(exchange, response, self._max_head_bytes())
        if exchange.observation is not None and response.status_code != 101:
            tee(
                flow,
                response,
                exchange.observation,
                lambda: self._piece_arrived(exchange),
                self._report,
            )
        self._scrub_headers(exchange, response)
        mark(response, exchange, "gateway")

    def _piece_arrived(self, exchange: Exchange) -> None:
        exchange.waiting_since = _now()
        if exchange.first_byte_at is None:
            exchange.first_byte_at = exchange.waiting_since

    def _scrub_headers(self, exchange: Exchange, response: http.Response) -> None:
        if self._pipeline is None:
            return
        for name, value in response.headers.items(multi=True):
            if (shown := self._pipeline.header_for_client(exchange, value)) != value:
                response.headers[name] = shown

    def answered(self, flow: http.HTTPFlow) -> None:
        """A response is complete: normalise it if it is an error, and close the exchange."""
        exchange = self._open.get(flow.id)
        if exchange is None or flow.response is None or self._pipeline is None:
            return
        if flow.response.status_code == 101 and exchange.refusal is None:
            return
        with self._guard(flow):
            self._conclude(flow, exchange, flow.response, self._pipeline)
            self._forget(flow.id)

    def _conclude(
        self,
        flow: http.HTTPFlow,
        exchange: Exchange,
        response: http.Response,
        pipeline: Pipeline,
    ) -> None:
        now = _now()
        if exchange.may("record"):  # refused while nobody calls our `request`: the script is gone
            pipeline.admit(exchange, flow.request.raw_content or b"", None, now)
        if exchange.refusal is failures.INTERNAL:
            flow.response = flows.response_of(exchange.refusal, exchange.id)
            pipeline.refused(exchange, exchange.refusal, "internal_error", now)
        elif exchange.refusal is not None:
            pipeline.refused(exchange, exchange.refusal, "refused", now)
        elif exchange.observation is not None:
            pipeline.streamed(exchange, now)
        else:
            headers = list(response.headers.items(multi=True))
            body = response.raw_content or b""
            exchange.first_byte_at = exchange.first_byte_at or now
            error = pipeline.answered(exchange, Answer(response.status_code, headers, body), now)
            if error is not None:
                replace_body(response, error, exchange)

    def failed(self, flow: http.HTTPFlow, failure: hold.Failure) -> None:
        """The flow ends without a whole response: close its exchange."""
        exchange = self._open.get(flow.id)
        if exchange is None or self._pipeline is None:
            return
        with self._guard(flow):
            self._fail(flow, exchange, failure, self._pipeline)
            self._forget(flow.id, keep_failure=True)

    def _fail(
        self,
        flow: http.HTTPFlow,
        exchange: Exchange,
        failure: hold.Failure,
        pipeline: Pipeline,
    ) -> None:
        gateway = f"{pipeline.rules.gateway.host}:{pipeline.rules.gateway.port}"
        worded = failures.worded(failure, gateway)
        if worded.error is not None:  # what we did ourselves explains what the host saw
            worded = self._failures.get(flow.id) or worded
        if self._closed is not None and exchange.was_sent:
            worded = failures.Worded("aborted", worded.error)  # it is us who end it: row 24
        self._failures[flow.id] = worded
        self._failed_ids[flow.id] = exchange.id
        now = _now()
        if exchange.may("record"):  # the upload was cut before there was a decision
            exchange.refusal = exchange.refusal or worded.error or self._unavailable()
            pipeline.admit(exchange, flow.request.raw_content or b"", None, now)
        if exchange.observation is not None:
            is_ours = worded.outcome in {"timeout", "aborted", "client_disconnected"}
            outcome: Outcome = worded.outcome if is_ours else "stream_broken"
            pipeline.lost(exchange, outcome, "network", now)
        elif worded.error is None:
            pipeline.lost(exchange, worded.outcome, "network", now)
        else:
            pipeline.refused(exchange, worded.error, worded.outcome, now)

    def answer_for(self, flow: http.HTTPFlow) -> http.Response | None:
        """Our JSON in place of the host's HTML, for the flows that are ours."""
        worded = self._failures.pop(flow.id, None)
        if worded is None or worded.error is None:
            return None
        return flows.response_of(worded.error, self._failed_ids.get(flow.id) or _new_id())

    # What all of it shares.

    @contextmanager
    def _guard(self, flow: http.HTTPFlow) -> Iterator[None]:
        """Turn an exception into our own answer and a record; the flow goes nowhere."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # promise 2: it must hold when our own code raises
            self._report(error)
            self._fail_closed(flow)

    def _fail_closed(self, flow: http.HTTPFlow) -> None:
        exchange = self._open.get(flow.id)
        self._forget(flow.id)
        self._failures[flow.id] = failures.internal()
        flow.request.headers.clear()
        flow.request.host, flow.request.port = "foxora-addon.invalid", 9
        flow.response = flows.response_of(failures.INTERNAL, exchange.id if exchange else _new_id())
        if exchange is not None:
            self._record_failure(exchange, failures.INTERNAL)

    def _record_failure(self, exchange: Exchange, error: ApiError) -> None:
        if self._pipeline is None:
            return
        try:
            if exchange.may("record"):
                exchange.refusal = error
                self._pipeline.admit(exchange, b"", None, _now())
            if exchange.may("close"):
                self._pipeline.refused(exchange, error, "internal_error", _now())
        except Exception as again:  # noqa: BLE001  # the answer stands; the log has why
            self._report(again)

    def _report(self, error: BaseException) -> None:
        """Say in the log what failed in our own code, without any secret."""
        text = "".join(traceback.format_exception(error))
        if self._pipeline is not None:
            text = self._pipeline.rules.redactor.scrub(text)
        _log.error("foxora: a call failed in the addon itself:\n%s", text)

    def _refuse(self, flow: http.HTTPFlow, exchange: Exchange, error: ApiError) -> None:
        exchange.refusal = error
        flow.response = flows.response_of(error, exchange.id)

    def _lose(self, flow_id: str, outcome: Outcome) -> None:
        exchange = self._open.get(flow_id)
        self._forget(flow_id)
        if exchange is None or self._pipeline is None:
            return
        try:
            if exchange.may("record"):
                exchange.refusal = exchange.refusal or self._unavailable()
                self._pipeline.admit(exchange, b"", None, _now())
            if exchange.may("close"):
                self._pipeline.lost(exchange, outcome, "addon", _now())
        except Exception as error:  # noqa: BLE001  # the others must end as well
            self._report(error)

    def _forget(self, flow_id: str, *, keep_failure: bool = False) -> None:
        self._open.pop(flow_id, None)
        self._flows.pop(flow_id, None)
        if not keep_failure:
            self._failures.pop(flow_id, None)

    def _max_head_bytes(self) -> int:
        return self._pipeline.rules.max_body_bytes if self._pipeline else 0

    def _too_large(self) -> ApiError:
        limit = self._pipeline.rules.max_request_bytes if self._pipeline else 0
        return request_too_large(
            f"The request's body is over {limit} bytes, the proxy's intercept.max_request_bytes."
        )

    def _unavailable(self) -> ApiError:
        why = self._closed or "it has stopped"
        return unavailable(f"The proxy takes no calls: {why}. Try again later.")


def _now() -> float:
    return time.monotonic()
