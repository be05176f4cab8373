"""A line between a client and a gateway that are not there, through mitmproxy's own layers.

What comes of each event is done at once, as mitmproxy's server does it. A desk with a real trail
may stand at it, or one that lets all pass.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mitmproxy import ctx, http
from mitmproxy.connection import Client, Connection, ConnectionState, Server
from mitmproxy.proxy import commands, events, mode_specs
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler

from foxora_addon.audit.journal import FOLLOW_SECONDS, Journal
from foxora_addon.config import load
from foxora_addon.gateway.client import Trust
from foxora_addon.proxy import hold
from foxora_addon.proxy.admission import Asking
from foxora_addon.proxy.desk import FlowDesk
from foxora_addon.proxy.trail import JournalTrail
from foxora_addon.rules import rules_of

_CONFIG = """
gateway: {base_url: "http://127.0.0.1:9/v1"}
accounts:
  - name: acme
    default: true
    key: {env: FOXORA_API_KEY}
    plan: team
    limits: {requests_per_minute: 10000000, tokens_per_minute: 100000000000}
audit: {path: trail.jsonl}
"""


_MODES = {"regular": HTTPMode.regular, "upstream": HTTPMode.upstream}


class Wire:
    """An HTTP layer between a client and a gateway that are not there."""

    def __init__(self, desk: FlowDesk | None, mode: str = "regular") -> None:
        self._desk = desk
        self.client = Client(
            peername=("127.0.0.1", 1),
            sockname=("127.0.0.1", 8080),
            timestamp_start=0.0,
            state=ConnectionState.OPEN,
            proxy_mode=mode_specs.ProxyMode.parse(mode),
        )
        context = Context(self.client, ctx.options)
        context.server.address = ("127.0.0.1", 9)
        name = mode.partition(":")[0] if desk else "transparent"
        self._layer = HttpLayer(context, _MODES.get(name, HTTPMode.transparent))
        self._server: Server | None = None
        self.answered = 0
        handler = object.__new__(ProxyConnectionHandler)
        handler.transports = {}
        ctx.master.addons.get("proxyserver").connections[self.client.id] = handler
        self._feed(events.Start())

    def another(self) -> "Wire":
        """A further connection to the same desk."""
        return Wire(self._desk)

    def exchange(self, request: bytes, answer: bytes) -> None:
        """One request and its answer, each in one piece."""
        self.ask(request)
        self.say(answer)

    def ask(self, request: bytes) -> None:
        """What the client sends."""
        self._feed(events.DataReceived(self.client, request))

    def say(self, answer: bytes) -> None:
        """What the gateway sends, or a piece of it."""
        assert self._server is not None
        self._feed(events.DataReceived(self._server, answer))

    def leave(self) -> None:
        """The gateway closes its connection."""
        assert self._server is not None
        self._server.state = ConnectionState.CLOSED
        self._feed(events.ConnectionClosed(self._server))

    @property
    def is_ours(self) -> bool:
        """Whether there is a desk on the line."""
        return self._desk is not None

    def _feed(self, event: events.Event) -> None:
        waiting = [event]
        while waiting:
            for command in self._layer.handle_event(waiting.pop(0)):
                waiting.extend(self._reaction_to(command))

    def _reaction_to(self, command: commands.Command) -> Iterator[events.Event]:
        match command:
            case commands.SendData() if command.connection is self.client:
                self.answered += 1
            case commands.OpenConnection():
                command.connection.state = ConnectionState.OPEN
                self._server = command.connection
                yield events.OpenConnectionCompleted(command, None)
            case commands.StartHook():
                self._told(command)
                if command.blocking:
                    yield events.HookCompleted(command)
            case _:
                pass

    def _told(self, hook: commands.StartHook) -> None:
        """Tell the addons, where the hold has not done so at once."""
        try:
            ctx.master.addons.handle_lifecycle(hook).send(None)
        except StopIteration:
            return
        raise AssertionError(f"the hook {hook.name} waits, for which there is no time here")


class Hooks:
    """What the addon answers of a request's hooks."""

    def __init__(self, desk: FlowDesk) -> None:
        self._desk = desk

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        self._desk.must_know(flow)

    def request(self, flow: http.HTTPFlow) -> object:
        return self._desk.request(flow)


class Silent:
    """A desk that lets all pass as it is."""

    def arrived(self, flow: http.HTTPFlow, arrival: hold.SentHead) -> None:
        """Nothing is done with it."""

    def is_private(self, _flow: http.HTTPFlow) -> bool:
        """Addons hear of all."""
        return False

    def inviting(self, flow: http.HTTPFlow) -> None:
        """No client waits for that."""

    def body_grew(self, _flow: http.HTTPFlow, _size: int) -> None:
        """It may grow."""

    def connecting(self, flow: http.HTTPFlow) -> None:
        """It may go where it likes."""

    def outgoing(self, _flow: http.HTTPFlow, request: http.Request) -> http.Request:
        """As it is."""
        return request

    def is_stale(self, _client: Client, _connection: Connection) -> bool:
        """There is no socket to ask."""
        return False

    def client_gone(self, flow: http.HTTPFlow) -> None:
        """Nothing waits."""

    def crashed(self, client: Client) -> None:
        """Nothing is open."""

    def answering(self, flow: http.HTTPFlow) -> None:
        """Nothing is done with it."""

    def head_heard(self, _flow: http.HTTPFlow) -> None:
        """Nothing is done with it."""

    def is_too_long(self, _flow: http.HTTPFlow, _size: int) -> bool:
        """Nothing is."""
        return False

    def passed(self, flow: http.HTTPFlow, unread: Callable[[], int]) -> None:
        """Nobody is waited for."""

    def again(self, _flow: http.HTTPFlow, _failure: hold.Failure | None) -> None:
        """Nothing is sent again."""

    def wait_more(self, _flow: http.HTTPFlow) -> float:
        """There is room."""
        return 0.0

    def answered(self, flow: http.HTTPFlow) -> None:
        """Nothing is done with it."""

    def failed(self, flow: http.HTTPFlow, failure: hold.Failure) -> None:
        """Nothing is done with it."""

    def answer_for(self, _flow: http.HTTPFlow) -> None:
        """Mitmproxy's own answer."""

    def last_words(self, _flow: http.HTTPFlow) -> None:
        """None are said."""


@contextlib.contextmanager
def a_desk() -> Iterator[FlowDesk]:
    """A desk with a trail in a folder of its own, as `foxora-proxy run` has it."""
    with tempfile.TemporaryDirectory(prefix="foxora-own-") as name:
        folder = Path(name)
        (folder / "foxora.yaml").write_text(_CONFIG)
        config = load({}, {"FOXORA_API_KEY": "foxora_sk_fake_own"}, folder)
        journal = Journal.open(
            config.audit.path,
            sync="none",
            wall_clock=time.time,
            follow_seconds=FOLLOW_SECONDS,
        )
        trail = JournalTrail(journal, "refuse", time.monotonic)
        desk = FlowDesk()
        rules = rules_of(config, frozenset(), None)
        asking = Asking("http://127.0.0.1:9/v1", Trust(None, verifies=True), 0)
        desk.take(rules, trail, lambda: frozenset({("127.0.0.1", 8080)}), asking)
        desk.open()
        try:
            yield desk
        finally:
            journal.close()
