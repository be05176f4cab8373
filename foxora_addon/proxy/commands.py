"""The commands of mitmweb and mitmproxy about our exchanges: limits, account, why, trail, replay.

They show what the command line shows too. What is read of the trail is bounded, since nothing else
goes on meanwhile; for older exchanges they name the command that has no such bound.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from mitmproxy import command, flow, http, types
from mitmproxy.exceptions import CommandError
from mitmproxy.log import ALERT
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from foxora_addon.audit.recent import recent_lines, recent_records
from foxora_addon.policy.plans import UNLIMITED
from foxora_addon.proxy import flows
from foxora_addon.reading.decision import Rebuilding, lines_of
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.filters import Filters
from foxora_addon.reading.ids import Search, Unknown
from foxora_addon.reading.page import page_of, text_of_line
from foxora_addon.reading.standing import ceilings_of, standing_facts, standing_line
from foxora_addon.reading.times import unix_of

_log = logging.getLogger(__name__)

_MOST_BYTES: Final = 1 << 25
_WINDOW_SECONDS: Final = 120.0
"""What may still count at a moment: a minute, and what a call may have waited."""
_REPLAY_SECONDS: Final = 600.0
_MOST_AT_ONCE: Final = 8
_KEY: Final = "replayed-by-foxora-addon"
_ID: Final = re.compile(r"ex_[0-9a-f]{32}")


def _command[F: Callable[..., Any]](name: str) -> Callable[[F], F]:
    """Return mitmproxy's decorator, with the types that it lacks."""
    decorate: Callable[[F], F] = command.command(name)
    return decorate


def _argument[F: Callable[..., Any]](name: str, kind: object) -> Callable[[F], F]:
    decorate: Callable[[F], F] = command.argument(name, type=kind)
    return decorate


class Told(Protocol):
    """What the commands ask the addon for."""

    def limits(self) -> dict[str, Any]:
        """How each account stands."""

    def status(self) -> dict[str, Any]:
        """How this proxy is reached, and where its trail is."""

    def base_path(self) -> str:
        """What the paths of the gateway begin with."""


class Commands:
    """An addon of nothing but commands."""

    name = "foxora_commands"

    def __init__(self, told: Told) -> None:
        self._told = told
        self._replays: set[asyncio.Task[None]] = set()

    @_command("foxora.limits")
    def limits(self) -> Sequence[str]:
        """How each account stands with its ceilings."""
        return [standing_line(account) for account in self._accounts()] or ["no account"]

    @_command("foxora.account")
    @_argument("name", types.Choice("foxora.account.options"))
    def account(self, name: str) -> Sequence[str]:
        """How one account stands with its ceilings, a line for each."""
        found = next((a for a in self._accounts() if a["account"] == name), None)
        if found is None:
            raise CommandError(f"no account '{name}': there are {', '.join(self.names())}")
        return [f"{label}: {text}" for label, text in standing_facts(found)]

    @_command("foxora.account.options")
    def names(self) -> Sequence[str]:
        """The accounts that foxora.account knows."""
        return [str(account["account"]) for account in self._accounts()]

    @_command("foxora.why")
    def why(self, flow: flow.Flow) -> Sequence[str]:
        """Why a call was forwarded or refused: its account's balances at that moment."""
        exchange, path = _exchange_of(flow), self._trail()
        recorded = _found(path, exchange)
        ceilings = [a for a in self._accounts() if a["account"] == recorded.account]
        limits = ceilings_of(ceilings[0]) if ceilings else UNLIMITED
        begin = (unix_of(recorded.time) or 0.0) - _WINDOW_SECONDS
        rebuilding = Rebuilding(recorded, limits)
        for record in _read(recent_records, path, lambda r: _is_before(r, begin), _MOST_BYTES):
            rebuilding.take(record)
        rebuilding.finish()
        return [f"{label}: {text}" for label, text in lines_of(rebuilding.decision)]

    @_command("foxora.trail")
    def trail(self, flow: flow.Flow) -> Sequence[str]:
        """What the trail has of a call, as foxora-proxy audit show lays it out."""
        recorded = _found(self._trail(), _exchange_of(flow))
        return [text_of_line(line) for line in page_of(recorded)]

    @_command("foxora.replay")
    def replay(self, flows: Sequence[flow.Flow]) -> None:
        """Send calls again through this proxy, each as a new exchange of the default account."""
        calls = [self._call_of(each) for each in flows]
        if not calls:
            raise CommandError("no call to replay: give some, such as @focus")
        if len(self._replays) + len(calls) > _MOST_AT_ONCE:
            raise CommandError(f"not more than {_MOST_AT_ONCE} calls are replayed at once")
        for call in calls:
            task = asyncio.get_running_loop().create_task(_send(call))
            self._replays.add(task)
            task.add_done_callback(self._replays.discard)

    def _accounts(self) -> list[dict[str, Any]]:
        accounts: list[dict[str, Any]] = self._told.limits()["accounts"]
        return accounts

    def _trail(self) -> Path:
        path = self._told.status()["trail"]
        if path is None:
            raise CommandError("there is no trail yet: the proxy is starting")
        return Path(path)

    def _call_of(self, each: flow.Flow) -> HTTPRequest:
        """The call of a flow as its client sent it here, with another key: its own is gone."""
        _exchange_of(each)
        url = self._told.status()["url"]
        if url is None or not isinstance(each, http.HTTPFlow) or each.request.raw_content is None:
            raise CommandError("it can't be replayed: its body is not there, or nothing listens")
        path = each.request.path.removeprefix(self._told.base_path())
        headers = {"Authorization": f"Bearer {_KEY}"}
        for name in ("content-type", "content-encoding"):
            if name in each.request.headers:
                headers[name] = each.request.headers[name]
        return HTTPRequest(
            f"{url}/v1{path}",
            method=each.request.method,
            headers=headers,
            body=each.request.raw_content or None,
            allow_nonstandard_methods=True,
            request_timeout=_REPLAY_SECONDS,
            follow_redirects=False,
            streaming_callback=lambda _: None,  # the flow that it becomes has the answer
        )


async def _send(call: HTTPRequest) -> None:
    client: AsyncHTTPClient = SimpleAsyncHTTPClient(force_instance=True)
    try:
        answer = await client.fetch(call, raise_error=False)
    except (OSError, HTTPClientError) as error:
        _log.log(ALERT, "foxora: a replay got no answer: %s", error)
    else:
        exchange = answer.headers.get("x-foxora-exchange", "unknown")
        _log.log(ALERT, "foxora: replayed as exchange %s: status %d", exchange, answer.code)
    finally:
        client.close()


def _exchange_of(each: flow.Flow) -> str:
    """The id of a flow's exchange; raises CommandError where it is none of ours."""
    exchange = each.metadata.get(flows.EXCHANGE)
    if not isinstance(exchange, str) or not _ID.fullmatch(exchange):
        raise CommandError("this flow is no exchange of Foxora's: choose one with a comment")
    return exchange


def _found(path: Path, exchange: str) -> Recorded:
    """The records of an exchange, at the end of the trail."""
    search = Search(exchange, Filters())
    for line in reversed(list(_read(_lines_until, path, exchange))):
        search.take(line)
    try:
        return search.found(str(path))
    except Unknown:
        raise CommandError(
            f"{exchange} is not at the end of the trail: foxora-proxy audit show {exchange} "
            "looks through all of it"
        ) from None


def _lines_until(path: Path, exchange: str) -> Iterable[bytes]:
    """The lines that name an exchange, back to its request."""
    needle = f'"exchange":"{exchange}"'.encode()
    for line in recent_lines(path, _MOST_BYTES):
        if needle in line:
            yield line
            if b'"event":"request"' in line:
                return


def _is_before(record: Any, moment: float) -> bool:
    return (unix_of(str(record.get("time"))) or moment) < moment


def _read[T, **P](read: Callable[P, Iterable[T]], *args: P.args, **kwargs: P.kwargs) -> Sequence[T]:
    """What is read of the trail; raises CommandError where it can't be."""
    try:
        return list(read(*args, **kwargs))
    except OSError as error:
        raise CommandError(f"the trail can't be read: {error.strerror}") from error
