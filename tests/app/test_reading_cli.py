"""`foxora-proxy audit ...`: what each command that reads prints, and how it ends."""

import csv
import errno
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from rich.console import Console

from foxora_addon.app import cli, printing, query, tail
from foxora_addon.app.export import EXPORTS
from foxora_addon.app.reading_cli import COMMANDS
from foxora_addon.audit.disk import Disk
from foxora_addon.audit.head import Head, write_head
from foxora_addon.audit.state import State, path_beside, save
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.remembered import Told
from foxora_addon.reading.filters import Filters
from tests.builders import a_trail
from tests.reading.builders import CHAT, a_refusal, a_request, a_response, line_of, recorded

type Output = pytest.CaptureFixture[str]
type Run = Callable[..., str]

GROWN = CHAT | {"messages": [*CHAT["messages"], {"role": "user", "content": "And you?"}]}
SAID = {"sender": "client", "at_ms": 1.0, "text": "from a socket", "encoding": "utf-8"}
SOCKET = {"count": 1, "bytes": 13, "messages": [SAID]}
RECORDS = [
    a_request("ex_a1", at=0),
    a_response("ex_a1", at=1, cost_usd=0.001, websocket=SOCKET),
    a_request("ex_b2", at=2, body=GROWN, account="globex", model="gpt-4o"),
    a_response("ex_b2", at=3, account="globex", model="gpt-4o"),
    *a_refusal("ex_c3", at=4, body={"input": 'He said "no"\nand left.'}),
    a_request("ex_d4", at=5),
]
FOLDER = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def trail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("FOXORA_API_KEY", "FOXORA_AUDIT", "FOXORA_CONFIG", "PAGER"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "trail.jsonl"
    written(path, RECORDS)
    monkeypatch.setenv("FOXORA_AUDIT", str(path))
    return path


def written(path: Path, records: list[Any], first: int = 1) -> None:
    lines = [line_of({"v": 1, "seq": seq} | without(r)) for seq, r in enumerate(records, first)]
    path.write_bytes(b"".join(lines))


def without(record: Any) -> Any:
    return {name: value for name, value in record.items() if name not in {"v", "seq"}}


@pytest.fixture
def run(capsys: Output) -> Run:
    """Run a command that must end well and in silence; its output."""

    def output_of(*arguments: str, status: int = 0, err: str = "") -> str:
        assert cli.main(["audit", *arguments]) == status
        shown = capsys.readouterr()
        assert err in shown.err
        assert bool(err) == bool(shown.err)
        return shown.out

    return output_of


@pytest.mark.parametrize("command", [command.__name__ for command in COMMANDS])
def test_every_command_explains_itself_and_has_the_shared_filters(command: str, run: Run) -> None:
    shown = run(command, "--help")
    assert "Examples:\n" in shown
    for name in ("account", "model", "status", "outcome", "since", "until", "grep"):
        assert f"--{name} " in shown


def test_tail_is_a_line_an_exchange_with_the_open_ones_last(run: Run) -> None:
    lines = run("tail").splitlines()
    assert [line.split()[-1] for line in lines] == ["ex_a1", "ex_b2", "ex_c3", "ex_d4"]
    assert lines[0].split() == [
        *("2026-11-23", "12:00:00", "acme", "10.0.0.7", "gpt-4o-mini", "200", "completed", "5+7"),
        *("$0.001000", "400ms", "1.00s", "-", "ex_a1"),
    ]


def test_tail_shows_as_many_as_are_asked_for(run: Run) -> None:
    assert len(run("tail", "-n", "2").splitlines()) == 2
    assert run("tail", "-n", "0") == ""


@pytest.fixture
def glanced_at(trail: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write a trail whose last records are looked at first: all but a torn one, and `above`.

    Its head names what was open.
    """

    def write(records: list[Any], still_open: list[str], above: int) -> None:
        written(trail, records)
        lines = trail.read_bytes().splitlines(keepends=True)
        trail.write_bytes(b"".join([lines[0][:90] + b"\n", *lines]))
        last = json.loads(lines[-1])
        head = Head(last["seq"], last["hash"], 1, trail.stat().st_size, dict.fromkeys(still_open))
        write_head(trail, head, Disk())
        monkeypatch.setattr(tail, "_GLANCE_BYTES", sum(map(len, lines[above:])) + 1)

    return write


def test_tail_reads_no_more_than_it_must(
    trail: Path, run: Run, glanced_at: Callable[..., None]
) -> None:
    glanced_at(RECORDS, ["ex_d4"], 2)
    assert [line.split()[-1] for line in run("tail", "-n", "2").splitlines()] == ["ex_c3", "ex_d4"]
    globex = ["--account", "globex"]
    shown = run("tail", "-n", "2", *globex, err="skipped what is no record")
    assert shown.split()[-1] == "ex_b2"
    trail.with_name("trail.jsonl.head").unlink()
    run("tail", "-n", "2", err="skipped what is no record")


@pytest.mark.parametrize("filters", [[], ["--account", "acme"], ["--model", "o3"]])
def test_tail_has_what_began_further_up_whole(
    filters: list[str], run: Run, glanced_at: Callable[..., None]
) -> None:
    began = a_request("ex_long", at=-7200, model="o3")
    ended = [began, *RECORDS[:-1], a_response("ex_long", at=9, model=None)]
    for records, still_open in ((ended, []), ([began, *RECORDS[:-1]], ["ex_long"])):
        glanced_at(records, still_open, 1)
        shown = run("tail", "-n", "1", "--json", *filters, err="skipped what is no record")
        (found,) = map(json.loads, shown.splitlines())
        assert (found["exchange"], found["model"]) == ("ex_long", "o3")
        assert (found["time"], found["client"]) == (began["time"], "10.0.0.7")


def test_lines_fit_a_terminal_that_becomes_narrower_and_its_columns_are_named_anew() -> None:
    out = io.StringIO()
    console = Console(file=out, width=140)
    screen = tail.Screen(console)
    screen.show(recorded())
    console.width = 60
    screen.show(recorded())
    screen.show(recorded())
    names, line, *narrow = out.getvalue().splitlines()
    assert len(line) > 60
    assert [line.split()[0] for line in (names, *narrow)] == ["time", "time", "11-23", "11-23"]
    assert all(len(line.rstrip()) <= 60 for line in narrow)


def test_following_waits_for_a_trail_that_is_not_there_yet(tmp_path: Path, capsys: Output) -> None:
    assert len(tail._last(tmp_path / "later.jsonl", Filters(), 10, waits=True)) == 0
    assert "is not there yet: waiting for it" in capsys.readouterr().err


def test_tail_for_programs_is_json(run: Run) -> None:
    (refused,) = map(json.loads, run("tail", "--json", "--outcome", "refused").splitlines())
    assert (refused["exchange"], refused["status"], refused["duration_ms"]) == ("ex_c3", 429, 1000)


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (["--account", "globex"], {"ex_b2"}),
        (["--account", "globex", "--account", "acme", "--status", "2xx"], {"ex_a1", "ex_b2"}),
        (["--model", "gpt-4o"], {"ex_b2"}),
        (["--status", "429"], {"ex_c3"}),
        (["--status", "none"], {"ex_d4"}),
        (["--outcome", "open"], {"ex_d4"}),
        (["--since", "2026-11-23T12:00:04"], {"ex_c3", "ex_d4"}),
        (["--until", "2026-11-23T12:00:02"], {"ex_a1"}),
        (["--grep", "And you"], {"ex_b2"}),
        (["--grep", "at its limit"], {"ex_c3"}),
        (["--grep", r"said .no.\nand"], {"ex_c3"}),
        (["--grep", "from a socket", "--account", "acme"], {"ex_a1"}),
        (["--grep", "full|ex_"], set()),
    ],
)
def test_filters_are_the_same_for_tail_export_and_query(
    filters: list[str], ids: set[str], run: Run
) -> None:
    assert {line.split()[-1] for line in run("tail", *filters).splitlines()} == ids
    rows = list(csv.DictReader(io.StringIO(run("export", "--format", "csv", *filters))))
    assert {row["exchange"] for row in rows} == ids
    pytest.importorskip("duckdb")
    found = run("query", "SELECT exchange FROM exchanges", "--json", *filters)
    assert {json.loads(line)["exchange"] for line in found.splitlines()} == ids


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tail", "--status", "4x"], "give 429, 4xx"),
        (["tail", "--outcome", "refusd"], "did you mean refused?"),
        (["stats", "--since", "yesterday"], "is no moment"),
        (["stats", "--grep", "("], "no regular expression"),
        (["stats", "--by", "colour"], "give account, model"),
        (["export"], "--format"),
        (["export", "--format", "xml"], "openai-jsonl"),
        (["simulate"], "--requests-per-minute"),
        (["simulate", "--requests-per-minute", "0"], "greater than"),
        (["replay", "ex_a1", "--proxy", "ftp://x"], "is no proxy"),
        (["replay", "ex_a1", "--proxy", "http://x:99999"], "is no proxy"),
        (["query", "SELECT 1", "--json", "--csv"], "not both"),
        (["show", ""], "id"),
        (["show"], "ID"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: list[str], words: str, run: Run) -> None:
    assert run(*arguments, status=2, err=words) == ""


def test_a_trail_that_is_not_there_is_one_line_and_status_1(run: Run) -> None:
    exports = (["export", "--format", form] for form in EXPORTS)
    for command in (["tail"], ["stats"], *exports, ["show", "x"]):
        err = "nowhere.jsonl: can't be read: No such file"
        assert run(*command, "nowhere.jsonl", status=1, err=err) == ""


def test_an_id_that_is_unknown_or_not_unique_is_one_line_and_status_1(run: Run) -> None:
    run("show", "ex_z", status=1, err="no exchange of")
    run("diff", "ex_a1", "ex_", status=1, err="begins several ids: ex_a1, ex_b2, ex_c3, ...;")


def test_show_is_the_conversation_and_then_the_facts(run: Run) -> None:
    shown = run("show", "ex_b").splitlines()
    assert shown[:11] == [
        *(
            "ex_b2",
            "model           gpt-4o-mini",
            "",
            "user",
            "  Hello.",
            "",
            "user",
            "  And you?",
            "",
            "assistant",
            "  Good day.",
        ),
    ]
    assert "tokens          5 in, 7 out, 12 in all (reported)" in shown
    assert json.loads(run("show", "ex_b", "--json"))["request"]["exchange"] == "ex_b2"


def test_stats_has_a_row_for_each_group_and_the_whole(run: Run) -> None:
    lines = [line.split() for line in run("stats", "--by", "account").splitlines()]
    assert [line[:4] for line in lines[1:4]] == [
        ["acme", "3", "0", "1"],
        ["globex", "1", "0", "0"],
        ["all", "4", "0", "1"],
    ]
    found = json.loads(run("stats", "--by", "account,model", "--json"))
    assert found["groups"][0]["model"] == "gpt-4o-mini"
    assert found["total"]["cost_usd"] == 0.001


@pytest.mark.parametrize(
    "command", ["show ex_a1", "diff ex_a1 ex_b2", "why ex_c3", "tail", "stats"]
)
def test_a_pipe_has_plain_text_whatever_colours_other_programs_are_told_to_have(
    command: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in run(*command.split())


@pytest.mark.parametrize("columns", [250, 80, 40, 20])
@pytest.mark.parametrize(
    "command", ["stats --by account,model", "stats", "simulate --requests-per-minute 1"]
)
def test_no_figure_of_a_table_is_cut_however_narrow_the_terminal(
    command: str, columns: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(*command.split())
    monkeypatch.setattr(printing, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = run(*command.split())
    assert max(map(len, shown.splitlines())) <= columns
    assert set(whole.split()) <= set(shown.split())


def test_export_to_har_is_one_document(run: Run) -> None:
    shown = run("export", "--format", "har", err="headers are not in the trail")
    assert len(json.loads(shown)["log"]["entries"]) == 4


def test_export_to_otlp_is_a_request_a_line(run: Run) -> None:
    (line,) = run("export", "--format", "otlp").splitlines()
    assert len(json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 4


def test_export_to_fine_tuning_lines_tells_what_it_left_out(run: Run) -> None:
    shown = run("export", "--format", "openai-jsonl", err="left out 2 exchanges: 2 not completed")
    assert [len(json.loads(line)["messages"]) for line in shown.splitlines()] == [2, 3]


def test_diff_shows_what_was_added(run: Run) -> None:
    shown = run("diff", "ex_a", "ex_b").splitlines()
    assert "+   And you?" in shown
    assert "  1 turn the same" in shown
    found = json.loads(run("diff", "ex_a", "ex_b", "--json"))
    assert [step["change"] for step in found["asked"]] == ["same", "added"]


def test_why_and_simulate_take_ceilings(run: Run) -> None:
    assert "1 of 1 used" in run("why", "ex_c", "--requests-per-minute", "1")
    assert json.loads(run("why", "ex_c", "--json"))["used"]["requests"] == 1
    shown = json.loads(run("simulate", "--requests-per-minute", "1", "--json"))
    assert shown["accounts"]["acme"]["refusing"]["refused"] == 2
    assert "acme" in run("simulate", "--requests-per-minute", "1", "--account", "acme")
    assert "globex" not in run("simulate", "--requests-per-minute", "1", "--account", "acme")


@pytest.mark.parametrize("filters", [(), ("--account", "acme")])
def test_in_a_simulation_a_call_comes_when_it_came_though_it_had_waited(
    filters: tuple[str, ...], run: Run, trail: Path
) -> None:
    waited = {"waited_ms": 40_000.0}
    calls = [a_request("a", at=0), a_response("a", at=1)]
    calls += [a_request("b", at=61), a_response("b", at=61.5)]
    calls += [a_request("c", at=62, decision=waited), a_response("c", at=63)]
    written(trail, calls)
    ceilings = ("--requests-per-minute", "1", "--max-wait", "38.3")
    (told,) = json.loads(run("simulate", *ceilings, "--json", *filters))["accounts"].values()
    assert told["refusing"]["refused"] == 1
    assert told["waiting"]["wait_ms"]["max"] == pytest.approx(38_260)  # a was sent 10 ms after noon


def test_why_takes_the_ceilings_of_the_configuration(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOXORA_API_KEY", "foxora_sk_test_fake000000")
    Path("foxora.yaml").write_text(
        "accounts: [{name: acme, key: {env: FOXORA_API_KEY}, plan: free}]\n"
    )
    assert "of 30 used" in run("why", "ex_c", "trail.jsonl")


BELOW = """accounts:
  - name: acme
    key: {env: FOXORA_API_KEY}
    limits: {requests_per_minute: 100, models: {gpt-4o-mini: {tokens_per_minute: 7000}}}
    clients:
      - {key: {file: nowhere.key}, name: batch, limits: {requests_per_minute: 2}}
      - {key: {env: NOT_SET}, name: other, limits: {requests_per_minute: 3}}
"""


def test_why_rebuilds_the_balances_of_a_calls_client_and_model_and_needs_no_key(
    trail: Path, run: Run
) -> None:
    client = {
        "name": "batch",
        "address": "10.0.0.7",
        "key": None,
        "user_agent": None,
        "retry": None,
    }
    before = [a_request("ex_b2", at=-1, client=client), a_response("ex_b2", at=-0.5)]
    written(trail, [*before, *a_refusal("ex_c3", client=client)])
    Path("foxora.yaml").write_text(BELOW)
    shown = " ".join(run("why", "ex_c", "trail.jsonl").split())
    assert "1 of 100 used" in shown
    assert "client 'batch': requests 1 of 2 used, 1 more asked" in shown
    assert "model 'gpt-4o-mini': tokens 12 of 7,000 used, 20 more asked" in shown
    found = json.loads(run("why", "ex_c", "trail.jsonl", "--json"))["below"]
    assert [(each["kind"], each["name"]) for each in found] == [
        ("model", "gpt-4o-mini"),
        ("client", "batch"),
    ]
    given = " ".join(run("why", "ex_c", "trail.jsonl", "--requests-per-minute", "9").split())
    assert "1 of 9 used" in given
    assert "client 'batch': requests 1 of 2 used" in given


def test_why_says_where_it_could_not_read_the_ceilings(run: Run) -> None:
    Path("foxora.yaml").write_text("accounts: [{nme: acme}]\n")
    err = "foxora.yaml:1: accounts[0].name: is missing"
    assert "unknown without ceilings" in run("why", "ex_c", "trail.jsonl", err=err)


ASKING = """accounts:
  - {name: acme, key: {file: nowhere.key}, clients: [{address: 10.0.0.7}], default: true}
  - {name: globex, key: {env: NOT_SET}, plan: auto, limits: {requests_per_minute: 90}}
"""


def test_why_takes_the_ceilings_that_the_gateway_told_where_the_configuration_leaves_them_open(
    trail: Path, run: Run
) -> None:
    Path("foxora.yaml").write_text(ASKING)
    told = {"acme": Told(Ceilings(1, 500, 7), (), "usr_1", "469af249")}
    save(path_beside(trail), State(told=told))
    found = json.loads(run("why", "ex_c", "trail.jsonl", "--json"))
    assert found["limit"] == "requests"
    assert list(found["ceilings"].values()) == [1, 500, 7]
    given = json.loads(run("why", "ex_c", "trail.jsonl", "--json", "--requests-per-minute", "9"))
    assert list(given["ceilings"].values()) == [9, None, None]
    Path("foxora.yaml").write_text(ASKING.replace("default:", "plan: free, default:"))
    assert "1 of 30 used" in run("why", "ex_c", "trail.jsonl")


def test_why_counts_accounts_together_that_the_gateway_said_are_one(trail: Path, run: Run) -> None:
    Path("foxora.yaml").write_text(ASKING)
    told = {name: Told(Ceilings(2), (), "usr_1") for name in ("acme", "globex")}
    save(path_beside(trail), State(told=told))
    assert "2 of 2 used" in run("why", "ex_c", "trail.jsonl")
    assert "2 of 5 used" in run("why", "ex_c", "trail.jsonl", "--requests-per-minute", "5")
    told["globex"] = Told(Ceilings(2), (), "usr_2")
    save(path_beside(trail), State(told=told))
    assert "1 of 2 used" in run("why", "ex_c", "trail.jsonl")


def test_why_says_where_what_the_gateway_told_could_not_be_read(trail: Path, run: Run) -> None:
    Path("foxora.yaml").write_text(ASKING)
    path_beside(trail).write_text('{"v": 2}')
    err = "the state file trail.jsonl.state.json can't be read: "
    assert "unknown without ceilings" in run("why", "ex_c", "trail.jsonl", err=err)


def test_segments_are_read_as_one_whatever_their_compression(trail: Path, run: Run) -> None:
    trail.unlink()
    lines = [line_of({"v": 1, "seq": n} | without(r)) for n, r in enumerate(RECORDS, 1)]
    first, second = b"".join(lines[:3]), b"".join(lines[3:5])
    trail.with_name("trail.jsonl.000000000001.zst").write_bytes(zstandard.compress(first))
    trail.with_name("trail.jsonl-20261124.gz").write_bytes(gzip.compress(second))
    trail.write_bytes(b"".join(lines[5:]))
    assert len(run("tail").splitlines()) == 4
    assert "And you?" in run("show", "ex_b")
    pytest.importorskip("duckdb")
    assert run("query", "SELECT count(*) AS n FROM exchanges").split() == ["n", "4"]


def test_a_torn_line_is_skipped_with_a_word(trail: Path, run: Run) -> None:
    lines = trail.read_bytes().splitlines(keepends=True)
    trail.write_bytes(b"".join([*lines[:2], lines[2][:90] + b"\n", b"\n", *lines[2:]]))
    shown = run("stats", "--json", err=f"skipped what is no record: {trail} line 3 (see")
    assert json.loads(shown)["total"]["exchanges"] == 4
    pytest.importorskip("duckdb")
    counted = run("query", "SELECT count(*) FROM exchanges", "--csv", err="no record: a line (see")
    assert counted.split()[1] == "4"


def test_query_reads_and_does_nothing_else(trail: Path, run: Run) -> None:
    pytest.importorskip("duckdb")
    before = trail.read_bytes()
    shown = run(
        "query", "SELECT account, sum(total_tokens) AS t FROM exchanges GROUP BY 1 ORDER BY 1"
    )
    assert [line.split() for line in shown.splitlines()] == [
        ["account", "t"],
        ["acme", "12"],
        ["globex", "12"],
    ]
    assert (
        run("query", "SELECT client.address FROM requests LIMIT 1", "--csv")
        == "address\n10.0.0.7\n"
    )
    for sql, words in (
        (f"COPY (SELECT 1) TO '{trail}'", "one SELECT"),
        ("SELECT 1; SELECT 2", "one SELECT"),
        ("SELECT * FROM read_text('/etc/hostname')", "disabled by configuration"),
        ("SELECT * FROM 'http://127.0.0.1:9/x.csv'", "disabled by configuration"),
        ("SELECT nothing FROM exchanges", "nothing"),
    ):
        assert run("query", sql, status=1, err=words) == ""
    assert trail.read_bytes() == before


def test_query_writes_what_other_programs_can_read(run: Run) -> None:
    pytest.importorskip("duckdb")
    values = "1e308 * 10 AS i, [1.5, 'NaN'::DOUBLE] AS l, {'a': -1e308 * 10} AS s"
    shown = json.loads(run("query", f"SELECT {values}", "--json"))
    assert shown == {"i": None, "l": [1.5, None], "s": {"a": None}}
    lists = "SELECT ['a', NULL] AS l, {'b': true} AS s FROM requests LIMIT 1"
    for form in ((), ("--csv",)):
        assert '["a",null]' in run("query", lists, *form).replace('""', '"')
        assert '{"b":true}' in run("query", lists, *form).replace('""', '"')
    moments = "SELECT map {DATE '2026-11-23': 'NaN'::DOUBLE} AS m"
    assert json.loads(run("query", moments, "--json")) == {"m": {"2026-11-23": None}}
    assert '{"2026-11-23":null}' in run("query", moments, "--csv").replace('""', '"')


def test_query_says_where_its_rows_found_no_room(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("duckdb")

    def is_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("foxora_addon.app.query.pickle.dump", is_full)
    run("query", "SELECT 1", status=1, err="no room for the rows in ")


def test_query_says_which_of_the_trails_files_leads_nowhere(trail: Path, run: Run) -> None:
    pytest.importorskip("duckdb")
    written(trail, RECORDS, first=3)
    gone = trail.with_name(f"{trail.name}.000000000001")
    gone.symlink_to("nowhere")
    run("query", "FROM requests", status=1, err=f"{gone}: can't be read: No such file")


def rotated(trail: Path, times: int) -> None:
    """Go on in another file, as the proxy does, with one more exchange."""
    begins = json.loads(trail.read_bytes().splitlines()[0])["seq"]
    trail.rename(trail.with_name(f"{trail.name}.{begins:012d}"))
    exchange = f"ex_e{times}"
    written(trail, [a_request(exchange), a_response(exchange)], first=6 + 2 * times)


COUNTS = """SELECT (SELECT count(*) FROM requests) AS q, (SELECT count(*) FROM responses) AS p,
count(*) AS e FROM exchanges"""


@pytest.mark.parametrize(("times", "shown"), [(1, ["q,p,e", "5,4,5"]), (99, [])])
def test_query_is_asked_again_where_the_trail_is_rotated_as_it_is_read(
    times: int, shown: list[str], trail: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("duckdb")
    asked, tries = query._run, list[int]()

    def asked_as_it_is_rotated(*given: Any) -> Any:
        tries.append(len(tries) + 1)
        if len(tries) <= times:
            rotated(trail, len(tries))
        return asked(*given)

    monkeypatch.setattr(query, "_run", asked_as_it_is_rotated)
    status, err = (0, "") if shown else (1, "was rotated each time before it was read")
    assert run("query", COUNTS, "--csv", status=status, err=err).split() == shown


def test_query_has_what_was_there_at_first_in_all_its_views(
    trail: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("duckdb")
    asked = query._run

    def asked_as_it_grows(*given: Any) -> Any:
        with trail.open("ab") as file:
            later = a_request("ex_e5", at=6), a_response("ex_d4", at=7), a_response("ex_e5", at=8)
            file.writelines(line_of(record | {"seq": 8}) for record in later)
        return asked(*given)

    monkeypatch.setattr(query, "_run", asked_as_it_grows)
    assert run("query", COUNTS, "--csv").split() == ["q,p,e", "4,3,4"]


def test_query_knows_clients_by_their_names(trail: Path, run: Run) -> None:
    pytest.importorskip("duckdb")
    client = {"name": "batch-jobs", "address": "10.0.0.7", "key": None, "user_agent": None}
    written(trail, [a_request(client={**client, "retry": None}), a_response()])
    shown = run("query", "SELECT client_name, client_address FROM exchanges", "--csv")
    assert shown.split() == ["client_name,client_address", "batch-jobs,10.0.0.7"]


def test_without_duckdb_query_says_how_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert run("query", "SELECT 1", status=1, err="pip install 'foxora-addon[query]'") == ""


def test_no_cell_of_a_trail_commands_the_terminal(trail: Path, run: Run) -> None:
    written(trail, [a_request(model="\x1b]0;x\x07\x9b\u202e", account="a\nb"), a_response()])
    for arguments in (["tail"], ["stats", "--by", "model"], ["show", "ex_1"]):
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(run(*arguments))
    for json_of in (["show", "ex_1", "--json"], ["tail", "--json"], ["export", "--format", "otlp"]):
        shown = run(*json_of)
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)
        assert "\\u009b\\u202e" in shown
    assert len(run("tail").splitlines()) == 1


def a_process(*arguments: str, trail: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-c",
        "import sys; from foxora_addon.app.cli import main; sys.exit(main())",
    ]
    return subprocess.Popen(
        [*command, "audit", *arguments],
        cwd=FOLDER,
        env={**os.environ, "FOXORA_AUDIT": str(trail)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("form", ["csv", "har", "otlp"])
def test_a_reader_that_leaves_is_no_error(form: str, trail: Path) -> None:
    records = [r for n in range(3_000) for r in (a_request(f"x{n}"), a_response(f"x{n}"))]
    written(trail, records)
    with a_process("export", "--format", form, trail=trail) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == b""


@pytest.mark.parametrize("command", ["show ex_a1", "diff ex_a1 ex_b2", "why ex_c3"])
def test_a_reader_that_leaves_a_long_text_is_no_error(command: str, trail: Path) -> None:
    long = CHAT | {"messages": [{"role": "user", "content": "Hello.\n" * 50_000}]}
    written(trail, [a_request("ex_a1", body=long), *RECORDS[1:]])
    assert left_by_its_reader(*command.split(), trail=trail) == (0, b"")


@pytest.mark.parametrize(("status", "changed"), [(0, b"completed"), (1, b"Completed")])
def test_verify_ends_with_what_it_found_though_nobody_reads_it(
    status: int, changed: bytes, tmp_path: Path
) -> None:
    trail = a_trail(tmp_path / "whole.jsonl")
    trail.write_bytes(trail.read_bytes().replace(b"completed", changed))
    assert left_by_its_reader("verify", trail=trail) == (status, b"")


def left_by_its_reader(*arguments: str, trail: Path) -> tuple[int, bytes]:
    """The status of a command whose output nobody takes, and its words."""
    with a_process(*arguments, trail=trail) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        return process.wait(timeout=60), process.stderr.read()


@pytest.mark.parametrize("pager", ["less '", " ", "\\", "no-such-pager"])
def test_a_pager_that_is_no_command_is_as_none(
    pager: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "is_terminal", lambda: True)
    monkeypatch.setenv("PAGER", pager)
    monkeypatch.setenv("LINES", "2")
    assert "  And you?" in run("show", "ex_b").splitlines()
