"""The commands of `foxora-proxy audit` that read: their grammar, and the filters that they share.

Whatever a command needs is imported as it runs, so that each starts at once.
"""

import functools
import inspect
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from foxora_addon.app.say import FINDING, say

if TYPE_CHECKING:
    from foxora_addon.policy.plans import Ceilings
    from foxora_addon.reading.exchanges import Recorded
    from foxora_addon.reading.filters import Filters

type Command = Callable[..., int]

Trail = Annotated[
    Path | None, typer.Argument(metavar="[TRAIL]", help="By default, the configured trail.")
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
    "account": (list[str] | None, "NAME", "Of this account; may be repeated, as may the next."),
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
        return _mannered(command, filters=_filters_of(wanted), **given)

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

    trail = given["trail"] = given["trail"] or _configured_trail()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = command(**given)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered goes nowhere
        return 0
    except KeyboardInterrupt:
        return 130
    except Unknown as error:
        say(str(error))
        return FINDING
    except OSError as error:
        say(f"{error.filename or trail}: can't be read: {error.strerror or error}")
        return FINDING
    return status


def _configured_trail() -> Path:
    from foxora_addon.app.audit_cli import configured_trail

    return configured_trail()


@filtered
def tail(
    *,
    trail: Path,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as the trail grows, through rotation.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", min=0, help="How many to begin with.")
    ] = 10,
    json: Json = False,
    filters: "Filters",
) -> int:
    """Show the last exchanges, a line each.

    Time (UTC), account, client, model, status, outcome, tokens (in+out), cost, time to the first
    byte, duration, how long it waited for its limits, and its id.

    \b
    Examples:
      foxora-proxy audit tail -f
      foxora-proxy audit tail -n 100 --outcome refused --since 1h
    """
    from foxora_addon.app.tail import show_tail

    return show_tail(trail, filters, count=lines, follows=follow, as_json=json)


@filtered
def show(*, exchange: Id, trail: Path, json: Json = False, filters: "Filters") -> int:
    """Show one exchange: the conversation, then timings, limits, cost and errors.

    \b
    Examples:
      foxora-proxy audit show ex_e8ce97
      foxora-proxy audit show ex_e8ce97 --json
    """
    from rich.text import Text

    from foxora_addon.app.printing import STYLES, json_text, paged, write
    from foxora_addon.reading.page import label_text, page_of

    (recorded,) = _found(trail, [exchange], filters)
    if json:
        write(json_text({"request": recorded.request, "response": recorded.response}))
        return 0
    with paged() as screen:
        for line in page_of(recorded):
            label = (label_text(line.label), STYLES["label"])
            screen.print(Text.assemble(label, (line.text, STYLES[line.style])))
    return 0


@filtered
def stats(
    *,
    trail: Path,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="KEYS", help="Group by account, model, client, tag, hour."),
    ] = None,
    json: Json = False,
    filters: "Filters",
) -> int:
    """Add exchanges up: counts, tokens, cost, latencies, errors, refusals.

    Latencies are those of the exchanges that were not refused, to within 1 %.

    \b
    Examples:
      foxora-proxy audit stats --by account,model --since 24h
      foxora-proxy audit stats --by hour --json
    """
    from foxora_addon.app.statistics_table import show_statistics
    from foxora_addon.app.trail_reading import TrailReading
    from foxora_addon.reading.statistics import Statistics, parse_by

    try:
        statistics = Statistics(parse_by(by or ()))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    reading = TrailReading(trail)
    for recorded in reading.exchanges(filters):
        statistics.add(recorded)
    reading.say_what_was_skipped()
    show_statistics(statistics, as_json=json)
    return 0


@filtered
def query(
    *,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT, in DuckDB's dialect.")],
    trail: Path,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV, for spreadsheets.")] = False,
    filters: "Filters",
) -> int:
    """Ask the trail in SQL; needs the `query` extra.

    The views: requests and responses (the records), exchanges (both as one row, flat). Nothing but
    the trail can be read, and nothing written. Times are UTC.

    \b
    Examples:
      foxora-proxy audit query 'SELECT model, sum(total_tokens) FROM exchanges GROUP BY 1'
      foxora-proxy audit query --csv "SELECT * FROM exchanges WHERE status = 429"
    """
    from foxora_addon.app.query import answer

    if json and csv:
        raise typer.BadParameter("give --json or --csv, not both")
    form: Literal["table", "json", "csv"] = "json" if json else "csv" if csv else "table"
    return answer(trail, sql, filters, form)


@filtered
def export(
    *,
    form: Annotated[
        Literal["har", "otlp", "csv", "openai-jsonl"],
        typer.Option("--format", help="What to write."),
    ],
    trail: Path,
    filters: "Filters",
) -> int:
    """Write exchanges in another program's format, to standard output.

    har: an HTTP Archive 1.2, for browsers' tools; without headers, which are not in the trail.
    otlp: traces, JSON a line, each a request that an OTLP/HTTP collector takes at /v1/traces.
    csv: a row an exchange. openai-jsonl: completed chats as lines for fine-tuning.

    \b
    Examples:
      foxora-proxy audit export --format har --since 1h > calls.har
      foxora-proxy audit export --format openai-jsonl --model 'gpt-4o*' > chats.jsonl
    """
    from foxora_addon.app.export import EXPORTS, NEEDS_BODIES
    from foxora_addon.app.printing import is_terminal
    from foxora_addon.app.trail_reading import TrailReading

    reading = TrailReading(trail, is_quiet=is_terminal())
    EXPORTS[form](reading.exchanges(filters, is_light=form not in NEEDS_BODIES))
    reading.say_what_was_skipped()
    return 0


@filtered
def diff(
    *,
    before: Id,
    after: Id,
    trail: Path,
    json: Json = False,
    filters: "Filters",
) -> int:
    """Show what changed between two calls: parameters, tools, turns, the answer, figures.

    \b
    Examples:
      foxora-proxy audit diff ex_e8ce97 ex_1b0a44
    """
    from foxora_addon.app.difference_view import show_difference

    first, second = _found(trail, [before, after], filters)
    return show_difference(first, second, as_json=json)


@filtered
def why(
    *,
    exchange: Id,
    trail: Path,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    json: Json = False,
    filters: "Filters",
) -> int:
    """Say why a call was forwarded or refused.

    Its account's balances at that moment are rebuilt from the trail. The ceilings are those that
    the configuration has for the account now, unless they are given.

    \b
    Examples:
      foxora-proxy audit why ex_e8ce97
      foxora-proxy audit why ex_e8ce97 --requests-per-minute 30 --tokens-per-minute 40000
    """
    from foxora_addon.app.printing import json_text, print_facts, write
    from foxora_addon.app.trail_reading import TrailReading
    from foxora_addon.reading.decision import Rebuilding, json_of, lines_of

    (recorded,) = _found(trail, [exchange], filters)
    ceilings = _ceilings_of(recorded.account, requests_per_minute, tokens_per_minute)
    rebuilding = Rebuilding(recorded, ceilings)
    for record in TrailReading(trail).records():
        rebuilding.take(record)
        if rebuilding.is_done:
            break
    rebuilding.finish()
    if json:
        write(json_text(json_of(rebuilding.decision)))
    else:
        print_facts(lines_of(rebuilding.decision))
    return 0


@filtered
def simulate(
    *,
    trail: Path,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    max_wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long a call may wait.")
    ] = 30.0,
    json: Json = False,
    filters: "Filters",
) -> int:
    """Play the trail against other ceilings: what would have been refused, or waited.

    Each account gets the ceilings for itself. Clients are taken to do what they did: none gives up
    or tries again.

    \b
    Examples:
      foxora-proxy audit simulate --requests-per-minute 30 --tokens-per-minute 40000
      foxora-proxy audit simulate --requests-per-minute 60 --account acme --since 7d
    """
    from foxora_addon.app.simulation_table import show_simulation

    if requests_per_minute is None and tokens_per_minute is None:
        raise typer.BadParameter("give --requests-per-minute, --tokens-per-minute, or both")
    from foxora_addon.policy.plans import Ceilings

    ceilings = Ceilings(requests_per_minute, tokens_per_minute)
    return show_simulation(trail, filters, ceilings, max_wait, as_json=json)


@filtered
def replay(
    *,
    exchange: Id,
    trail: Path,
    proxy: Annotated[
        str, typer.Option(metavar="URL", help="The proxy to send it through.")
    ] = "http://127.0.0.1:8080",
    json: Json = False,
    filters: "Filters",
) -> int:
    """Send a call again, through the proxy, and print the answer and its new exchange.

    It needs the whole body on record. The client's key is not: OPENAI_API_KEY is sent if it is
    set, else a placeholder, so the proxy's default account pays.

    \b
    Examples:
      foxora-proxy audit replay ex_e8ce97
      foxora-proxy audit replay ex_e8ce97 --proxy http://127.0.0.1:9000
    """
    from foxora_addon.app.replay import parse_proxy
    from foxora_addon.app.replay import replay as sent_again

    try:
        address = parse_proxy(proxy)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    (recorded,) = _found(trail, [exchange], filters)
    return sent_again(recorded, address, as_json=json)


def _found(trail: Path, prefixes: list[str], filters: "Filters") -> "list[Recorded]":
    from foxora_addon.app.trail_reading import TrailReading

    if not all(prefixes):
        raise typer.BadParameter("an id is not empty")
    return TrailReading(trail).find(prefixes, filters)


def _ceilings_of(account: str | None, requests: int | None, tokens: int | None) -> "Ceilings":
    """The ceilings that are given; where none is, those of the configuration."""
    from foxora_addon.config import ConfigError, load
    from foxora_addon.policy.plans import PLANS, UNLIMITED, Ceilings

    if requests is not None or tokens is not None:
        return Ceilings(requests, tokens)
    try:
        accounts = load({}, os.environ, Path.cwd()).accounts
    except ConfigError:
        return UNLIMITED
    for known in accounts:
        if known.name == account:
            usual, own = PLANS.get(known.plan, UNLIMITED), known.limits
            return Ceilings(
                own.requests_per_minute or usual.requests_per_minute,
                own.tokens_per_minute or usual.tokens_per_minute,
                own.concurrent_requests or usual.concurrent_requests,
            )
    return UNLIMITED


COMMANDS: Final[tuple[Command, ...]] = (
    *(tail, show, stats, query, export, diff, why, simulate, replay),
)
"""In the order of the help."""
