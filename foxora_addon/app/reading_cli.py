"""The commands of `foxora-proxy audit` that read, one function each, listed in `COMMANDS`.

Whatever a command needs is imported as it runs, so that each starts at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from foxora_addon.app.reading_cli_options import (
    Command,
    Id,
    Json,
    RequestsPerMinute,
    TokensPerMinute,
    filtered,
    found,
    scopes_of_calls,
)

if TYPE_CHECKING:
    from foxora_addon.reading.filters import Filters


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

    (recorded,) = found(trail, [exchange], filters)
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
    from foxora_addon.app.export import EXPORTS, NEEDS_BODIES, begun
    from foxora_addon.app.printing import is_terminal
    from foxora_addon.app.trail_reading import TrailReading

    reading = TrailReading(trail, is_quiet=is_terminal())
    EXPORTS[form](begun(reading.exchanges(filters, is_light=form not in NEEDS_BODIES)))
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

    first, second = found(trail, [before, after], filters)
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

    The balances at that moment are rebuilt from the trail: of its account, and of its model and its
    client where they have ceilings below the account's. The ceilings are those that the
    configuration has now, and that the gateway last told where it leaves them open, unless the
    account's are given; no key is needed for that.

    \b
    Examples:
      foxora-proxy audit why ex_e8ce97
      foxora-proxy audit why ex_e8ce97 --requests-per-minute 30 --tokens-per-minute 40000
    """
    from foxora_addon.app.printing import json_text, print_facts, write
    from foxora_addon.app.trail_reading import TrailReading
    from foxora_addon.reading.decision import Rebuilding, json_of, lines_of

    (recorded,) = found(trail, [exchange], filters)
    scopes_of = scopes_of_calls(recorded, trail, requests_per_minute, tokens_per_minute)
    rebuilding = Rebuilding(recorded, scopes_of)
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
        str | None,
        typer.Option(
            metavar="URL",
            help="The proxy to send it through, or its port on this machine; by default the one "
            "that writes this folder's trail, or http://127.0.0.1:8080.",
        ),
    ] = None,
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
    from foxora_addon.app.nearby import port_or_nearby
    from foxora_addon.app.replay import parse_proxy
    from foxora_addon.app.replay import replay as sent_again

    try:
        address = parse_proxy(proxy or str(port_or_nearby(None)))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    (recorded,) = found(trail, [exchange], filters)
    return sent_again(recorded, address, as_json=json)


COMMANDS: Final[tuple[Command, ...]] = (
    *(tail, show, stats, query, export, diff, why, simulate, replay),
)
"""In the order of the help."""
