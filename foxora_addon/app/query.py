"""`audit query`: SQL over a trail, by DuckDB, which reads the segments as they lie.

The database is in memory and can reach nothing but the trail's files, which it can only read: other
files and the network are shut off before the query is looked at, and only a SELECT is let through.

DuckDB opens a file by its name, once for each view, and a trail is written and rotated meanwhile.
So the query is asked again where the names led elsewhere in the end, and what it gives over one and
the same trail is printed; of the file that is written, the records that were there at first.
"""

import csv
import errno
import importlib
import pickle
import sys
import tempfile
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from foxora_addon.app.printing import json_text, print_table, write
from foxora_addon.app.say import FINDING, say
from foxora_addon.app.trail_reading import TrailReading
from foxora_addon.audit.recent import recent_lines
from foxora_addon.audit.schema import RequestRecord, ResponseRecord
from foxora_addon.audit.segments import segments_of
from foxora_addon.reading.filters import Filters
from foxora_addon.reading.records import count_of, record_of
from foxora_addon.reading.rows import safe_cell

type Form = Literal["table", "json", "csv"]

_ROWS_AT_ONCE: Final = 1_000
_LONGEST_LINE_BYTES: Final = 64_000_000
_MEMORY: Final = "2GB"
_MOST_TRIES: Final = 8
_EXTRA: Final[Mapping[str, str]] = {"tags": "JSON", "tries": "JSON", "traceparent": "VARCHAR"}
"""Members that a record may have beside those of the schema that this version knows."""

_EXCHANGES: Final = """
SELECT coalesce(q.exchange, p.exchange) AS exchange,
  coalesce(q.time, p.time) AS time, p.time AS ended, coalesce(q.account, p.account) AS account,
  q.client.name AS client_name, q.client.address AS client_address, q.client.key AS client_key,
  q.client.user_agent AS user_agent,
  q.tags AS tags, q.operation AS operation, coalesce(q.model, p.model) AS model,
  p.model AS answered_by, q.stream AS stream, q.http.method AS method, q.http.url AS url,
  q.decision.verdict AS verdict, q.decision.reason AS reason,
  q.decision.estimated_tokens AS estimated_tokens, q.decision.waited_ms AS waited_ms,
  q.decision.shadow.code AS shadow_code, q.decision.shadow.message AS shadow_message,
  p.status AS status, coalesce(p.outcome, 'open') AS outcome, p.source AS source,
  p.usage.input_tokens AS input_tokens, p.usage.output_tokens AS output_tokens,
  p.usage.total_tokens AS total_tokens, p.cost_usd AS cost_usd,
  p.first_byte_ms AS first_byte_ms, p.duration_ms AS duration_ms,
  p.error.code AS error_code, p.error.message AS error_message, p.finish_reasons AS finish_reasons,
  q.body AS request_body, p.body AS response_body, p.message AS message
FROM every_request q FULL JOIN every_response p ON q.exchange = p.exchange
"""


class QueryError(Exception):
    """The query can't be answered; `str` says why in one line."""


def answer(path: Path, sql: str, filters: Filters, form: Form) -> int:
    """Print the rows that a SELECT gives; 1 and a line where it can't be run."""
    try:
        duckdb = importlib.import_module("duckdb")
    except ImportError:
        say("query needs DuckDB: pip install 'foxora-addon[query]'")
        return FINDING
    with tempfile.TemporaryDirectory(prefix="foxora-query-") as spill:
        try:
            rows = _asked(duckdb, path, sql, filters, spill)
            _print(rows, form)
            if rows.skipped:
                lines = "a line" if rows.skipped == 1 else f"{rows.skipped} lines"
                say(f"skipped what DuckDB reads as no record: {lines} (see audit verify)")
        except duckdb.Error as error:
            say(f"the query can't be answered: {_first_line(error)}")
            return FINDING
        except QueryError as error:
            say(str(error))
            return FINDING
    return 0


@dataclass(frozen=True, slots=True)
class _Rows:
    """All that a query gave, in a file. `skipped` lines of the trail are no records."""

    names: list[str]
    path: Path
    skipped: int

    def batches(self) -> Iterator[list[tuple[Any, ...]]]:
        """The rows, some at once."""
        with self.path.open("rb") as file:
            while file.peek(1):
                yield pickle.load(file)  # noqa: S301  # nobody else can write it

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for batch in self.batches():
            yield from batch


def _asked(duckdb: Any, path: Path, sql: str, filters: Filters, spill: str) -> _Rows:
    """What the query gives over the trail as it was at one moment."""
    for _ in range(_MOST_TRIES):
        before = _files_of(path)
        try:
            segments = [str(segment.resolve()) for segment, _ in before]
            connection = _connected(duckdb, segments, filters, _found(path, filters), spill)
            names = _kept(_run(duckdb, connection, sql), Path(spill, "rows"))
            rows = _Rows(names, Path(spill, "rows"), _skipped(connection, segments))
        except duckdb.Error:
            if before == _files_of(path):
                raise
        else:
            if before == _files_of(path):
                return rows
    raise QueryError("the trail was rotated each time before it was read: ask for less of it")


def _files_of(path: Path) -> list[tuple[Path, int]]:
    """The trail's files in their order, each with what tells it from another of that name."""
    for tries_left in reversed(range(_MOST_TRIES)):
        segments = segments_of(path)
        if not segments:
            break
        try:
            return [(segment, segment.stat().st_ino) for segment in segments]
        except FileNotFoundError:  # it was moved away since it was listed, or leads nowhere
            if not tries_left:
                raise
    raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))


def _kept(result: Any, path: Path) -> list[str]:
    """Write all rows to a file; the names of the columns."""
    try:
        with path.open("wb") as file:
            while batch := result.fetchmany(_ROWS_AT_ONCE):
                pickle.dump(batch, file)
    except OSError as error:
        where = path.parent.parent
        raise QueryError(
            f"no room for the rows in {where} ({error.strerror}): set TMPDIR, or ask for less"
        ) from error
    return [column[0] for column in result.description]


def _skipped(connection: Any, segments: Sequence[str]) -> int:
    """How many lines are no records, which DuckDB reads as nothing but nulls."""
    read = _read_json_sql(segments, {"event": "VARCHAR", "exchange": "VARCHAR"})
    count = f"SELECT count(*) FROM {read} WHERE event IS NULL OR exchange IS NULL"
    return int(connection.execute(count).fetchone()[0])


def _last_seq(path: Path) -> int:
    """The `seq` of the last record by now; of a packed file, which is not written, any."""
    if path.suffix in {".zst", ".gz"}:
        return sys.maxsize
    records = map(record_of, recent_lines(path, sys.maxsize))
    return next((count_of(record.get("seq")) or 0 for record in records if record is not None), 0)


def _found(path: Path, filters: Filters) -> list[str] | None:
    """The exchanges that `--grep` finds, which the other commands look for; None without it."""
    if filters.grep is None:
        return None
    return [recorded.id for recorded in TrailReading(path).exchanges(filters)]


def _connected(
    duckdb: Any, segments: Sequence[str], filters: Filters, found: list[str] | None, spill: str
) -> Any:
    settings = {
        "memory_limit": _MEMORY,
        "temp_directory": spill,
        "preserve_insertion_order": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    connection = duckdb.connect(":memory:", config=settings)
    connection.execute("SET enable_progress_bar = false")
    if found is not None:
        connection.execute(
            "CREATE TABLE found AS SELECT unnest($1::VARCHAR[]) AS exchange", [found]
        )
    connection.execute(f"SET allowed_paths = [{', '.join(map(_quoted, segments))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    for name, select in _views(segments, filters):
        connection.execute(f"CREATE VIEW {name} AS {select}")
    return connection


def _views(segments: Sequence[str], filters: Filters) -> Iterator[tuple[str, str]]:
    """Names and selects; every value in them is quoted."""
    last_seq = _last_seq(Path(segments[-1]))
    yield "every_request", _records_sql(segments, last_seq, "request", RequestRecord)
    yield "every_response", _records_sql(segments, last_seq, "response", ResponseRecord)
    yield "every_exchange", _EXCHANGES
    condition = _condition_of(filters)
    yield "exchanges", f"FROM every_exchange{condition}"
    wanted = " WHERE exchange IN (SELECT exchange FROM exchanges)" if condition else ""
    yield "requests", f"FROM every_request{wanted}"
    yield "responses", f"FROM every_response{wanted}"


def _records_sql(segments: Sequence[str], last_seq: int, event: str, model: type[BaseModel]) -> str:
    """The records of one kind; of the last file, which may be written, up to one."""
    columns = {name: _type_of(field.annotation) for name, field in model.model_fields.items()}
    columns = {**_EXTRA, **columns} | {"time": "TIMESTAMP"}
    return (
        f"FROM {_read_json_sql(segments, columns)} "
        f"SELECT {', '.join(columns)} WHERE event = {_quoted(event)} AND exchange IS NOT NULL "
        f"AND (filename = {_quoted(segments[-1])} AND seq > {last_seq}) IS NOT TRUE"
    )


def _read_json_sql(segments: Sequence[str], columns: Mapping[str, str]) -> str:
    listed = ", ".join(f"{name}: {_quoted(kind)}" for name, kind in columns.items())
    return (
        f"read_json([{', '.join(map(_quoted, segments))}], filename = true, "
        f"format = 'newline_delimited', ignore_errors = true, columns = {{{listed}}}, "
        f"maximum_object_size = {_LONGEST_LINE_BYTES})"
    )


def _type_of(annotation: Any) -> str:
    """DuckDB's type for what a field of the schema holds."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_of(arguments[0])
    if origin in {Union, types.UnionType}:
        return _type_of(next(part for part in arguments if part is not type(None)))
    if origin is list:
        return f"{_type_of(arguments[0])}[]"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        members = ", ".join(f'"{name}" {_type_of(field.annotation)}' for name, field in fields)
        return f"STRUCT({members})"
    plain = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}
    return "JSON" if origin is dict else plain.get(annotation, "VARCHAR")


def _condition_of(filters: Filters) -> str:
    """The shared filters as a WHERE; empty if there are none."""
    parts = []
    if filters.accounts:
        parts.append(f"account IN ({', '.join(map(_quoted, filters.accounts))})")
    if filters.outcomes:
        parts.append(f"outcome IN ({', '.join(map(_quoted, filters.outcomes))})")
    if filters.models:
        globs = (f"{n} GLOB {_quoted(m)}" for m in filters.models for n in ("model", "answered_by"))
        parts.append(f"({' OR '.join(globs)})")
    if filters.statuses:
        ranges = (
            "status IS NULL" if s is None else f"status BETWEEN {s.start} AND {s.stop - 1}"
            for s in filters.statuses
        )
        parts.append(f"({' OR '.join(ranges)})")
    if filters.since:
        parts.append(f"time >= TIMESTAMP {_quoted(filters.since.rstrip('Z'))}")
    if filters.until:
        parts.append(f"time < TIMESTAMP {_quoted(filters.until.rstrip('Z'))}")
    if filters.grep:
        parts.append("exchange IN (FROM found)")
    return f" WHERE {' AND '.join(parts)}" if parts else ""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _run(duckdb: Any, connection: Any, sql: str) -> Any:
    """Run one SELECT, and nothing else: COPY could write where the trail may be read."""
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryError(
            "query takes one SELECT (or WITH ... SELECT) over requests, responses and exchanges"
        )
    return connection.execute(statements[0])


def _print(rows: _Rows, form: Form) -> None:
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(rows.names)
        writer.writerows((safe_cell(_plain(value)) for value in row) for row in rows)
        return
    if form == "json":
        for row in rows:
            write(json_text(dict(zip(rows.names, row, strict=True))))
        return
    is_empty = True
    for batch in rows.batches():
        cells = [[_cell_of(value) for value in row] for row in batch]
        print_table(rows.names, cells, left=len(rows.names))
        is_empty = False
    if is_empty:
        say("no rows")


def _cell_of(value: Any) -> str:
    return "-" if value is None else str(_plain(value))


def _plain(value: Any) -> Any:
    """A value for a cell: of lists and structs their JSON."""
    return json_text(value) if isinstance(value, dict | list | tuple) else value


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split("\n\n", 1)[0].split())
