"""What the commands of `foxora-proxy audit` that read have in common: options, filters, manners."""

import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from foxora_addon.app.say import FINDING, drop_output, is_of_output, say, say_no_output
from foxora_addon.audit.place import place_of
from foxora_addon.printable import ESCAPED, print_everything

if TYPE_CHECKING:
    from foxora_addon.policy.remembered import Told
    from foxora_addon.reading.decision import ScopesOf
    from foxora_addon.reading.exchanges import Recorded
    from foxora_addon.reading.filters import Filters

type Command = Callable[..., int]

Trail = Annotated[
    Path | None, typer.Argument(metavar="TRAIL", help="By default, the configured trail.")
]
Id = Annotated[str, typer.Argument(metavar="ID", help="An exchange's id, or its beginning.")]
Json = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]
RequestsPerMinute = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Ceiling of requests per minute.")
]
TokensPerMinute = Annotated[
    int | None, typer.Option(metavar="M", min=1, help="Ceiling of tokens per minute.")
]

_FILTERS: Final = {
    "account": (
        list[str] | None,
        "NAME",
        "Of this account; it and the next three may be given several times.",
    ),
    "model": (list[str] | None, "MODEL", "Of this model; * stands for anything."),
    "status": (list[str] | None, "STATUS", "429, 4xx, 400-499, or none."),
    "outcome": (list[str] | None, "OUTCOME", "completed, refused, gateway_error, ..., or open."),
    "since": (str | None, "TIME", "From then on: 15m, 2h, 7d (ago), or 2026-11-23T12:30 (UTC)."),
    "until": (str | None, "TIME", "Before then."),
    "grep": (str | None, "REGEX", "With a text that matches, in what was asked or answered."),
}


def filtered(command: Command) -> Command:
    """Give a command the shared options for its parameter `filters`, and the argument for `trail`.

    And the manners that all of them share: a trail that can't be read is one line and status 1,
    a reader that has left (`| head`) is no error, Ctrl-C ends in silence.
    """
    own = inspect.signature(command)

    @functools.wraps(command)
    def run(**given: Any) -> int:
        wanted = {name: given.pop(name) for name in _FILTERS}
        filters = _filters_of(wanted)
        given["trail"] = given["trail"] or _configured_trail()
        return FINDING if given["trail"] is None else _mannered(command, filters=filters, **given)

    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind, typer.Option(f"--{name}", metavar=metavar, help=words)],
        )
        for name, (kind, metavar, words) in _FILTERS.items()
    ]
    kept = [
        parameter.replace(annotation=Trail, default=None) if name == "trail" else parameter
        for name, parameter in own.parameters.items()
        if name != "filters"
    ]
    run.__signature__ = own.replace(parameters=[*kept, *options])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (*kept, *options)}
    return run


def _filters_of(given: dict[str, Any]) -> "Filters":
    import time

    from foxora_addon.reading.filters import Filters, parse_outcome, parse_status
    from foxora_addon.reading.grep import parse_grep
    from foxora_addon.reading.times import iso_of, parse_moment

    now = time.time()
    try:
        return Filters(
            accounts=tuple(given["account"] or ()),
            models=tuple(given["model"] or ()),
            statuses=tuple(map(parse_status, given["status"] or ())),
            outcomes=tuple(map(parse_outcome, given["outcome"] or ())),
            since=iso_of(parse_moment(given["since"], now)) if given["since"] else None,
            until=iso_of(parse_moment(given["until"], now)) if given["until"] else None,
            grep=parse_grep(given["grep"]) if given["grep"] else None,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _mannered(command: Command, **given: Any) -> int:
    from foxora_addon.reading.ids import Unknown

    trail = given["trail"] = place_of(given["trail"])
    print_everything(ESCAPED)
    try:
        status = command(**given)
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
        return 0
    except KeyboardInterrupt:
        return 130
    except Unknown as error:
        say(str(error))
        return FINDING
    except OSError as error:
        if is_of_output(error):
            return say_no_output(error)
        say(f"{error.filename or trail}: can't be read: {error.strerror or error}")
        return FINDING
    return status


def _configured_trail() -> Path | None:
    from foxora_addon.app.audit_cli import configured_trail

    return configured_trail()


def found(trail: Path, prefixes: list[str], filters: "Filters") -> "list[Recorded]":
    """The exchanges that ids, or their beginnings, name; raises `ids.Unknown`."""
    from foxora_addon.app.trail_reading import TrailReading

    if not all(prefixes):
        raise typer.BadParameter("an id is not empty")
    return TrailReading(trail).find(prefixes, filters)


def scopes_of_calls(
    recorded: "Recorded", trail: Path, requests: int | None, tokens: int | None
) -> "ScopesOf":
    """What calls count against by the configuration, and by what the gateway last told.

    That stands in the state file beside the trail. Ceilings that are given take the place of those
    of the account of a recorded call. What can't be read is said, and none is known of it.
    """
    from foxora_addon.config import ConfigError, load
    from foxora_addon.policy.accounting import Accounting
    from foxora_addon.policy.payers import AccountRules, LimitRules
    from foxora_addon.policy.plans import Ceilings
    from foxora_addon.rules import account_rules_of

    try:
        accounts = load({}, os.environ, Path.cwd(), opens_keys=False).accounts
    except ConfigError as error:
        say(f"{error}; so the ceilings of the configuration are not known")
        accounts = ()
    rules = {account.name: account_rules_of(account) for account in accounts}
    accounting = Accounting(LimitRules(rules))
    accounting.recollection.know(_told_beside(trail))
    if recorded.account is not None and (requests is not None or tokens is not None):
        given = Ceilings(requests, tokens)
        for name in {recorded.account, *accounting.payers.sharers(recorded.account)}:
            own = rules.get(name, AccountRules())
            rules[name] = replace(own, ceilings=given, asks=False)
        accounting.payers.take_rules(LimitRules(rules))
    return accounting.scopes_on_record


def _told_beside(trail: Path) -> "Mapping[str, Told]":
    from foxora_addon.audit import state

    path = state.path_beside(trail)
    try:
        return state.read(path).told
    except FileNotFoundError:
        return {}
    except state.StateNotRead as error:
        say(f"the state file {path} can't be read: {error}; so what the gateway told is not known")
        return {}
