"""The commands of mitmweb and mitmproxy about our exchanges: limits, account, why, trail, replay.

They show what the command line shows too. What is read of the trail is bounded, since nothing else
goes on meanwhile; for older exchanges they name the command that has no such bound.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from mitmproxy import command, flow, http, types
from mitmproxy.exceptions import CommandError

from foxora_addon.policy.scopes import Scope
from foxora_addon.proxy import flows

if TYPE_CHECKING:
    from tornado.httpclient import HTTPRequest

_MOST_AT_ONCE: Final = 8
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

    def scopes_of(self, account: str, model: str | None, client: str | None) -> Sequence[Scope]:
        """What a call counts against, by the names that are on record."""

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
        from foxora_addon.proxy.command_pages import limits_lines  # noqa: PLC0415  # rarely asked for

        return limits_lines(self._accounts())

    @_command("foxora.account")
    @_argument("name", types.Choice("foxora.account.options"))
    def account(self, name: str) -> Sequence[str]:
        """How one account stands with its ceilings, a line for each."""
        found = next((a for a in self._accounts() if a["account"] == name), None)
        if found is None:
            raise CommandError(f"no account '{name}': there are {', '.join(self.names())}")
        from foxora_addon.proxy.command_pages import account_lines  # noqa: PLC0415  # as above

        return account_lines(found)

    @_command("foxora.account.options")
    def names(self) -> Sequence[str]:
        """The accounts that foxora.account knows."""
        return [str(account["account"]) for account in self._accounts()]

    @_command("foxora.why")
    def why(self, flow: flow.Flow) -> Sequence[str]:
        """Why a call was forwarded or refused: the balances of all that it was held to."""
        from foxora_addon.proxy.command_pages import why_lines  # noqa: PLC0415  # as above

        return why_lines(_exchange_of(flow), self._trail(), self._told.scopes_of)

    @_command("foxora.trail")
    def trail(self, flow: flow.Flow) -> Sequence[str]:
        """What the trail has of a call, as foxora-proxy audit show lays it out."""
        from foxora_addon.proxy.command_pages import trail_lines  # noqa: PLC0415  # as above

        return trail_lines(_exchange_of(flow), self._trail())

    @_command("foxora.replay")
    def replay(self, flows: Sequence[flow.Flow]) -> None:
        """Send calls again through this proxy, each as a new exchange of the default account."""
        from foxora_addon.proxy.replays import send  # noqa: PLC0415  # as above

        calls = [self._call_of(each) for each in flows]
        if not calls:
            raise CommandError("no call to replay: give some, such as @focus")
        if len(self._replays) + len(calls) > _MOST_AT_ONCE:
            raise CommandError(f"not more than {_MOST_AT_ONCE} calls are replayed at once")
        for call in calls:
            task = asyncio.get_running_loop().create_task(send(call))
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

    def _call_of(self, each: flow.Flow) -> "HTTPRequest":
        from foxora_addon.proxy.replays import call_of  # noqa: PLC0415  # as above

        _exchange_of(each)
        url = self._told.status()["url"]
        if url is None or not isinstance(each, http.HTTPFlow) or each.request.raw_content is None:
            raise CommandError("it can't be replayed: its body is not there, or nothing listens")
        path = each.request.path.removeprefix(self._told.base_path())
        return call_of(each.request, f"{url}/v1{path}")


def _exchange_of(each: flow.Flow) -> str:
    """The id of a flow's exchange; raises CommandError where it is none of ours."""
    exchange = each.metadata.get(flows.EXCHANGE)
    if not isinstance(exchange, str) or not _ID.fullmatch(exchange):
        raise CommandError("this flow is no exchange of Foxora's: choose one with a comment")
    return exchange
