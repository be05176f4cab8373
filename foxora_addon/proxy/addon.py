"""The addon: its life in mitmproxy, from options to the last record.

It loads the configuration, opens the trail, starts the mock gateway, keeps the port to this machine
and follows changes. What happens to a single request is the `desk`'s business.
"""

import asyncio
import atexit
import logging
import os
import signal
import stat
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from mitmproxy import contentviews, ctx, hooks, http, tls
from mitmproxy.addonmanager import Loader
from mitmproxy.connection import Client
from mitmproxy.exceptions import OptionsError
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from foxora_addon import __version__, first_start
from foxora_addon.audit.chain import GENESIS
from foxora_addon.audit.checkpoint import CheckpointUnusable
from foxora_addon.audit.journal import FOLLOW_SECONDS, Journal
from foxora_addon.audit.running_file import TrailTaken, TrailUnavailable
from foxora_addon.bpe import load_counter
from foxora_addon.config import Audit, Config, ConfigError, file_of, load, why_not_live
from foxora_addon.gateway.client import Trust
from foxora_addon.policy.scopes import Scope
from foxora_addon.proxy import (
    capacity,
    collector,
    draining,
    fast,
    hold,
    hold_crash,
    host_hooks,
    host_pages,
    host_playback,
    host_reading,
    host_sockets,
    listening,
)
from foxora_addon.proxy.accepting import Accepting
from foxora_addon.proxy.admission import Asking
from foxora_addon.proxy.commands import Commands
from foxora_addon.proxy.desk import FlowDesk
from foxora_addon.proxy.files import NO_FILES
from foxora_addon.proxy.flow_list import KEEP_OPTIONS, FlowList
from foxora_addon.proxy.flows import is_local
from foxora_addon.proxy.handlers import handler_of, ids_of_connections
from foxora_addon.proxy.hold_check import flaw_of_hold
from foxora_addon.proxy.lines import Lines
from foxora_addon.proxy.local_routes import LocalRoutes
from foxora_addon.proxy.notices import Door, Notices, told_of
from foxora_addon.proxy.passed_messages import PassedMessages
from foxora_addon.proxy.proxy_auth import ProxyAuth
from foxora_addon.proxy.trail import JournalTrail, checkpoints_of, compare, keeping_of
from foxora_addon.proxy.views import Conversation
from foxora_addon.rules import rules_of
from foxora_addon.speed import Speed, wanted
from foxora_addon.tally import Tally

_log = logging.getLogger(__name__)

OPTIONS: Final = {
    "foxora_config": "YAML file with the configuration; foxora.yaml if it is there.",
    "foxora_base_url": "Base URL of the Foxora gateway, or 'mock' for an embedded one.",
    "foxora_audit": "Path of the trail, the JSONL file with every exchange.",
    "foxora_store": "Where the limits are kept: memory.",
}
FAST_OPTION: Final = "foxora_fast"
_FAST_TEXT: Final = (
    "Speed mitmproxy itself up: true or false. Unless it is said: true in foxora-proxy run, and "
    "elsewhere only where no addon and no log can tell."
)
_CA_FILE: Final = "mitmproxy-ca-cert.pem"
_WATCH_SECONDS: Final = 0.25
_TEND_SECONDS: Final = 1.0
_WATCHED: Final = {
    *(*OPTIONS, *KEEP_OPTIONS, *listening.SAFE),
    *("listen_host", "mode"),
}

type Stamp = tuple[int, ...]
"""What tells whether a file was edited, or exchanged: size and age alone may be as they were."""

_MISTAKES: Final = (ConfigError, CheckpointUnusable, TrailUnavailable, listening.Unusable)


class Foxora:
    """The addon. One lives in a process, however often its script is loaded.

    `is_tied`: a command owns the proxy, and only through `door` it is held for others. `taken`
    tells what is known by now of the proxy that has the trail, if one has.
    """

    name = "foxora"

    def __init__(self) -> None:
        self.desk = FlowDesk()
        self._files = self.desk.files
        self._accepting = Accepting(self._files)
        self._tally = Tally()
        self._lines = Lines()
        self._notices = Notices()
        self.is_tied = False
        self.door: Door | None = None
        self.taken: Callable[[], dict[str, Any]] | None = None
        self._flow_list = FlowList()
        self._messages = PassedMessages()
        self.desk.ended += [
            lambda ending, _: self._tally.take(ending),
            self._flow_list.ended,
            self._lines.ended,
        ]
        self.desk.local_routes = LocalRoutes(
            {"status": self.status, "limits": self.limits, "totals": self.totals}
        )
        self._commands = Commands(self)
        self._config: Config | None = None
        self._trail: JournalTrail | None = None
        self._mock: object | None = None
        self._mock_url: str | None = None
        self._watch: asyncio.Task[None] | None = None
        self._stamp: Stamp | None = None
        self._seen_stamp: Stamp | None = None
        self._is_running = False
        self._is_binding = False
        self._listened: frozenset[tuple[str, int]] = frozenset()
        self._has_begun = asyncio.Event()
        self._is_unfit = False
        self._wrong_option: str | None = None
        self.usual_speed = Speed.UNSEEN
        self._tended_at = 0.0
        self._loading: asyncio.Task[None] | None = None
        atexit.register(self._exit)

    # Life.

    def load(self, loader: Loader) -> None:
        """Add our options, and take the host's that we need unless the user chose otherwise."""
        self._heed_hangups()
        for option, text in OPTIONS.items():
            loader.add_option(option, str, "", text)
        self._flow_list.load(loader)
        contentviews.add(Conversation())
        ctx.master.commands.collect_commands(self._commands)
        loader.add_option(FAST_OPTION, str, "", _FAST_TEXT)
        self._wrong_option = listening.flaw_of_given(ctx.options)
        if not ctx.options.has_changed("connection_strategy"):
            ctx.options.update(connection_strategy="lazy")  # row 7: eager contacts the original
        why = hold.install(self.desk) or flaw_of_hold(ctx.options)
        host_pages.replace(all_of_them=why is not None)
        host_reading.widen()
        host_sockets.take_over(self.desk.forms_of_key, self.desk.words_for)
        self._accepting.bound(ctx.master.event_loop)
        host_hooks.see_to_their_end(ctx.master.addons)
        self.desk.proxy_auth = ProxyAuth(ctx.master.addons.get("proxyauth"))
        host_playback.begin_after(self._has_begun, ctx.master.addons.get("clientplayback"))
        if why:
            self._is_unfit = True
            self.desk.close("this release of mitmproxy can't be used with it")
            _log.error("foxora: this mitmproxy can't be used, nothing is forwarded: %s", why)

    def configure(self, updated: set[str]) -> None:
        """Take options that change while we run. Those of the start are all there in `running`."""
        if self._is_binding:
            updated = updated - {"mode"}  # nothing that we go by is another
        if self._is_running and FAST_OPTION in updated:
            self._change_speed()
        if self._is_running and updated & _WATCHED:
            self._put_back(updated)
            self._change()

    def running(self) -> None:
        """Begin: load the configuration; then `_follow` the rest.

        Until here every call is refused. An ERROR makes mitmproxy exit with status 1 after this
        hook, and without a traceback, as an exception would not (row 4).
        """
        first_start.is_over()
        try:
            if self._wrong_option is not None:
                raise ConfigError(self._wrong_option)
            self._choose_speed()
            config, stamp = self._loaded()
            self._take_first(config, stamp)
        except _MISTAKES as error:
            _log.error("foxora: %s", error)  # one line, no traceback
            return
        self._share_files(config, self._accepting.begin)
        self._flow_list.running()
        self._lines.take_over(ctx.master.addons.get("dumper"), ctx.master.addons.get("termlog"))
        self._is_running = True  # for the addons behind us, which begin now
        if not self._is_unfit:
            self.desk.open()
        self._has_begun.set()
        draining.heed_signals()
        self._watch = asyncio.get_running_loop().create_task(self._follow())

    def done(self) -> Awaitable[None] | None:
        """We are removed, or the program ends: whatever comes now is refused (row 24).

        The hold stays, so that a proxy whose script is gone never passes a call on as it is.
        """
        self._is_running = False
        self.desk.close("it is shutting down")
        fast.switch(Speed.NONE)
        collector.restore()
        self._accepting.end()
        self._tell_of_files(is_last=True)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        return self._drained() if draining.is_ending() else None

    async def _drained(self) -> None:
        """Let the open calls finish, and end those that do not."""
        grace = self._config.listen.grace_seconds if self._config else 0.0
        if count := self.desk.open_exchanges:
            calls = "1 call is" if count == 1 else f"{count:,} calls are"
            _log.info("foxora: %s open, with %gs to end; a second signal ends it all now",
                      calls, grace)  # fmt: skip
        self._listeners()  # while there are any: calls that name one are ours to the end
        await draining.finished_or_hurried(self.desk.all_ended(), grace)
        await self.desk.ends.end_held()
        await self.desk.ends.end_all()

    def _exit(self) -> None:
        """The last moment: what is still open ends as aborted, and the trail is closed.

        Each step is taken whatever becomes of those before it.
        """
        with ExitStack() as steps:  # the last one first
            steps.callback(self._lines.flush)
            if self.desk.memory is not None:
                steps.callback(self.desk.memory.close)  # behind the last record, or it counts twice
            if self._trail is not None:
                steps.callback(self._trail.close)
            steps.callback(self.desk.ends.lose_all)
            steps.callback(self._notices.withdraw)

    # Configuration.

    def _change(self) -> None:
        """Put a changed configuration in force if it is valid; if not, the old one stays."""
        try:
            config, stamp = self._loaded()
            self._take(config, stamp)
        except _MISTAKES as error:
            _log.error("foxora: the configuration in force stays: %s", error)
        else:
            _log.info("foxora: the changed configuration is in force")
            self._share_files(config, self._accepting.share)

    def _share_files(self, config: Config, share: Callable[..., str | None]) -> None:
        """Share the open files out among the calls that may be open at once."""
        too_few = share(config.listen.max_exchanges, is_mock=config.gateway.is_mock)
        if too_few is not None:
            _warn(too_few)

    def _put_back(self, updated: set[str]) -> None:
        """Undo at once what would break a promise from the next call on, whoever has set it.

        An error would do so as well, and end the flow in whose hook an addon has set it.
        """
        found = {} if self._config is None else listening.unsafe(ctx.options, self._config)
        for name in updated & found.keys():
            _log.error("foxora: %s; it was put back", found[name])
        if wrong := {name: listening.SAFE[name] for name in updated & found.keys()}:
            ctx.options.update(**wrong)

    def _change_speed(self) -> None:
        try:
            self._choose_speed()
        except ConfigError as error:
            _log.error("foxora: the speed stays as it is: %s", error)

    def _choose_speed(self) -> None:
        """Speed mitmproxy up, or leave it as it is: option over environment over default."""
        option = getattr(ctx.options, FAST_OPTION)
        try:
            speed = wanted(option, os.environ.get("FOXORA_FAST", ""), default=self.usual_speed)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        fast.switch(speed)
        collector.relax(rarely=speed is Speed.ALL)

    def _loaded(self) -> tuple[Config, Stamp | None]:
        """The configuration as it is now, which may be another one; raises `ConfigError`.

        With its file's stamp of before it was read: what came meanwhile is seen by the next look.
        """
        listening.check_names(ctx.options)
        options = {name: getattr(ctx.options, name) for name in OPTIONS}
        stamp = _stamp_of(file_of(options, os.environ, Path.cwd()))
        config = load(options, os.environ, Path.cwd(), is_live=self._config is not None)
        listening.check(ctx.options, config)
        if self._config is not None and (why := why_not_live(self._config, config)) is not None:
            raise ConfigError(why)
        return config, stamp

    def _take_first(self, config: Config, stamp: Stamp | None) -> None:
        try:
            self._take(config, stamp)
        except TrailTaken:
            self.taken = partial(told_of, config, _confdir())
            raise

    def _take(self, config: Config, stamp: Stamp | None) -> None:
        """Put a configuration in force: all of it, or none."""
        if self._trail is None:
            self._trail = _opened(config.audit)
        if config.gateway.is_mock and self._mock_url is None:
            self._start_mock()
        rules = rules_of(config, listening.own_names(ctx.options), self._mock_url)
        if (rules.gateway.host, rules.gateway.port) in self._listeners():
            raise listening.Unusable(
                f"the gateway {rules.gateway} is this proxy itself; set gateway.base_url"
            )
        self._trail.take(config.audit)
        is_past_proxy = listening.has_upstream_proxy(ctx.options)
        refresh = config.limits.refresh_seconds
        asking = Asking(str(rules.gateway), _trust(), refresh, is_past_proxy)
        self.desk.take(rules, self._trail, self._listeners, asking)
        self._stamp = stamp
        for warning in config.warnings if config != self._config else ():
            _log.warning("foxora: %s", warning)
        self._config = config

    def _listeners(self) -> frozenset[tuple[str, int]]:
        """Where we listen; once we do no more, where we did: open connections are still used."""
        self._listened = listening.listeners(ctx.master) or self._listened
        return self._listened

    def _start_mock(self) -> None:
        """Start the embedded mock gateway in this loop; its import is costly, so it stands here."""
        from foxora_addon.mock.server import MockGateway  # noqa: PLC0415

        mock = MockGateway()
        mock.start()
        self._mock, self._mock_url = mock, mock.base_url

    def _heed_hangups(self) -> None:
        """Reopen the trail at SIGHUP, as logrotate asks for; at a terminal it ends us, as ever."""
        if not os.isatty(0) and hasattr(signal, "SIGHUP"):
            draining.on_signal(signal.SIGHUP, self._reopen)

    def _reopen(self) -> None:
        if self._trail is not None:
            self._trail.reopen()

    async def _load_counter(self) -> None:
        """Load the tokenizer of the `tokens` extra, which takes a second or two: in a thread."""
        try:
            counter = await asyncio.to_thread(load_counter)
        except Exception as error:  # noqa: BLE001  # a broken extra is no reason to take no calls
            _log.warning("foxora: tokens are estimated: the tokenizer can't be loaded (%s)", error)
        else:
            if counter is not None:
                self.desk.use_counter(counter)

    async def _follow(self) -> None:
        """Keep the port to this machine, and say how to point here.

        Then take an edited configuration file live, and so on, and force records to the disk.
        """
        await listening.free_datagrams(ctx.master)
        await listening.let_in()
        self._bind()
        await listening.settled(ctx.master)
        _log.info("foxora: %s", self._banner())
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                self._tick()
            except Exception:  # noqa: BLE001  # the watch goes on; the log has what it met
                _log.exception("foxora: the watch failed")

    def _bind(self) -> None:
        """Keep the port to this machine, in the modes that there are now."""
        self._is_binding = True
        try:
            listening.bind_to_loopback(ctx.options)
        except OptionsError as error:  # of another addon, for one
            _log.error("foxora: the port can't be bound to 127.0.0.1 alone; other machines are "
                       "turned away as they connect: %s", error)  # fmt: skip
        finally:
            self._is_binding = False

    def _tick(self) -> None:
        if self._trail is not None:
            self._trail.tend()
        now = time.monotonic()
        if now - self._tended_at >= _TEND_SECONDS:
            self._tended_at = now
            self._tend_files()
            self.desk.tend()
            self._flow_list.tell_open(self.desk.open_calls())
            self._flow_list.show_open(self.desk.open_streams())
            self._flow_list.tidy()
            self._messages.tidy(self.desk.open_sockets())
            if self.desk.wants_counter and self._loading is None:
                self._loading = asyncio.get_running_loop().create_task(self._load_counter())
        self.be_found()
        self._heed_the_file()

    def _tend_files(self) -> None:
        self._accepting.tend()
        if self._files.is_full or not self._files.room_for_clients:
            self._files.keep_only(ids_of_connections())
        self._tell_of_files()

    def _tell_of_files(self, *, is_last: bool = False) -> None:
        if (news := self._files.news(time.monotonic(), is_last=is_last)) is not None:
            _warn(news)

    def _heed_the_file(self) -> None:
        """Take a file that was edited, once it has been the same at two looks.

        Who writes it anew empties it first. One that is gone may come back; what it said stays.
        """
        stamp = None if self._config is None else _stamp_of(self._config.file)
        before, self._seen_stamp = self._seen_stamp, stamp
        if stamp == self._stamp or stamp != before:
            return
        if stamp is None:
            _log.error("foxora: the configuration in force stays: its file is gone")
        else:
            self._change()
        self._stamp = stamp

    def be_found(self) -> None:
        """Let other runs in this folder find this proxy, if they may."""
        port = listening.http_port(ctx.master)
        if self._config is None or self._trail is None or port is None:
            return
        if self.door is not None or not self.is_tied:
            trail = self._trail.journal.path.absolute()
            self._notices.keep(self._config, trail, _confdir(), port, self.door)

    def _banner(self) -> str:
        config = self._config
        if config is None or self._trail is None:
            return "not configured"
        which = "the embedded mock at " if config.gateway.is_mock else ""
        way = listening.way_here(ctx.master)
        return f"{way} leads to {which}{self._gateway_url}; trail: {self._trail.journal.path}"

    @property
    def _gateway_url(self) -> str | None:
        """Where calls go by the configuration in force; None before there is one.

        The mock may run on when they go elsewhere: a later change may lead back to it.
        """
        if self._config is None:
            return None
        gateway = self._config.gateway
        return self._mock_url if gateway.is_mock else gateway.base_url

    # What is asked of us by programs on this machine.

    def status(self) -> dict[str, Any]:
        """How this proxy is reached and what it does, as JSON has it; no secret.

        `url` is None until it listens. `heeds_client_keys`: which key a client brings matters.
        `takes_tunnels`: HTTPS_PROXY may name it.
        """
        config = self._config
        return {
            "version": __version__,
            "pid": os.getpid(),
            "takes_calls": self.desk.takes_calls,
            "url": listening.url_here(ctx.master),
            "gateway": self._gateway_url,
            "is_mock": config is not None and config.gateway.is_mock,
            "trail": str(self._trail.journal.path.absolute()) if self._trail else None,
            "ca": str(_confdir() / _CA_FILE),
            "heeds_client_keys": config is not None and listening.heeds_client_keys(config),
            "takes_tunnels": listening.takes_tunnels(ctx.options),
        }

    def limits(self) -> dict[str, Any]:
        """How each account stands with its ceilings."""
        return {"accounts": self.desk.standings()}

    def scopes_of(self, account: str, model: str | None, client: str | None) -> Sequence[Scope]:
        """What a call counts against, by the names that are on record."""
        return self.desk.scopes_of(account, model, client)

    def base_path(self) -> str:
        """What the paths of the gateway begin with, where the clients' begin with /v1."""
        return urlsplit(self._gateway_url or "").path.rstrip("/")

    def totals(self) -> dict[str, Any]:
        """What went by since the start, as JSON has it."""
        unrecorded = self._trail.unrecorded if self._trail else {}
        return {**self._tally.totals(self.desk.open_exchanges), "unrecorded": unrecorded}

    # Hooks.

    def client_connected(self, client: Client) -> None:
        """Keep other machines out unless clients must prove who they are (row 27)."""
        handler = handler_of(client)
        capacity.widen_connections(handler)
        hold_crash.guard(handler)
        if not is_local(client) and not listening.admits_others(self._config):
            client.error = "Only this machine may use the proxy."
        elif not self._files.client_came(client.id):
            client.error = NO_FILES

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """Leave TLS to hosts that are not ours closed (row 27)."""
        self.desk.look_at_hello(data, self._config)
        if data.ignore_connection:
            self._tally.tunnelled(_host_of(data.context))

    def tls_failed_client(self, data: tls.TlsData) -> None:
        """A client broke off TLS: as a rule it does not trust mitmproxy's certificate authority."""
        self._tally.distrusted(_host_of(data.context))

    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """The whole request is there: decide on it. Waiting blocks no other flow (row 12)."""
        return self.desk.request(flow)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """The hold has seen the head already; if it has not, nothing may pass."""
        self.desk.must_know(flow)

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        """A message goes over a WebSocket."""
        self.desk.socket_said(flow)

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """A connection is about to be made, if there is a file for it."""
        if not self._files.gateway_wanted(data.client.id, data.server.id):
            data.server.error = NO_FILES
            return
        self.desk.connects(data, "tcp")

    def server_connected(self, data: ServerConnectionHookData) -> None:
        """A connection is there, and TLS is what comes next, if any."""
        self.desk.connects(data, "tls")

    def server_connect_error(self, data: ServerConnectionHookData) -> None:
        """A connection could not be made."""
        self._files.gateway_left(data.client.id, data.server.id)
        self.desk.connects(data, "over")

    def server_disconnected(self, data: ServerConnectionHookData) -> None:
        """A connection is over."""
        self._files.gateway_left(data.client.id, data.server.id)
        self.desk.connects(data, "over")

    def http_connect_upstream(self, flow: http.HTTPFlow) -> None:
        """An upstream proxy is there, and a tunnel is what comes next."""
        self.desk.tunnels(flow)

    def tls_established_server(self, data: tls.TlsData) -> None:
        """A connection is ready for requests."""
        self.desk.connected(data.context)

    def tls_failed_server(self, data: tls.TlsData) -> None:
        """The TLS handshake has failed."""
        self.desk.connected(data.context)

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        """A WebSocket is over, and with it its exchange."""
        self.desk.socket_ended(flow)

    def client_disconnected(self, client: Client) -> None:
        """Nothing of a client's outlives its connection."""
        if client.tls_established and not self.desk.has_heard_of(client):
            # As wget does: some look at a certificate only once the handshake is over.
            self._tally.distrusted(client.sni or "unknown")
        self.desk.client_left(client)
        self._files.client_left(client.id)


def _confdir() -> Path:
    """Where mitmproxy's CA lies."""
    return Path(ctx.options.confdir).expanduser().absolute()


def _trust() -> Trust:
    """How the gateway proves itself to us: as it does to mitmproxy."""
    authorities: str | None = ctx.options.ssl_verify_upstream_trusted_ca
    return Trust(authorities, verifies=not ctx.options.ssl_insecure)


def _opened(audit: Audit) -> JournalTrail:
    """The trail, with the exchanges ended that a crash has left open in it."""
    checkpoints = checkpoints_of(audit)
    journal = Journal.open(
        audit.path,
        sync=audit.sync,
        wall_clock=time.time,
        follow_seconds=FOLLOW_SECONDS,
        keeping=keeping_of(audit),
        say=_warn,
        known=checkpoints.known if checkpoints else (0, GENESIS),
    )
    compare(checkpoints, journal)
    trail = JournalTrail(journal, audit.on_failure, time.monotonic, checkpoints)
    if count := trail.end_left_open():
        _log.warning("foxora: %d exchanges that a crash left open are on record as aborted", count)
    return trail


def _warn(words: str) -> None:
    _log.warning("foxora: %s", words)


def _host_of(context: Context) -> str:
    """The host that a TLS client means."""
    address = context.server.address
    return context.client.sni or (address[0] if address else "unknown")


def _stamp_of(file: Path | None) -> Stamp | None:
    """The stamp of a file; None where there is none.

    What is read from a pipe changes its times, and is no edit.
    """
    try:
        found = None if file is None else file.stat()
    except OSError:
        return None
    if found is None:
        return None
    which = found.st_dev, found.st_ino
    if not stat.S_ISREG(found.st_mode):
        return which
    return *which, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def hooks_of(addon: Foxora) -> dict[str, Callable[..., Any]]:
    """The addon's methods that mitmproxy calls, by name, for a script that has them itself.

    mitmproxy walks through all addons at each hook of a flow, and through those below an addon one
    generator deeper: to have them at the script spares 2 % of what a call costs it.
    """
    return {name: getattr(addon, name) for name in hooks.all_hooks if hasattr(addon, name)}


_ADDON: Foxora | None = None


def the_addon() -> Foxora:
    """The process's one addon: a script that is loaded again must find the open exchanges."""
    global _ADDON  # noqa: PLW0603
    if _ADDON is None:
        _ADDON = Foxora()
    return _ADDON
