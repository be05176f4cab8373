"""The one line that `tail` shows of an exchange, as cells."""

from typing import Final

from foxora_addon.reading.columns import Column
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.records import text_of
from foxora_addon.reading.texts import cost_text, count_text, duration_text, one_line

COLUMNS: Final = (
    Column("time", 14, 14, rank=2),
    Column("account", 8, 16, rank=3),
    Column("client", 12, 16, rank=7),
    Column("model", 14, 32, rank=1),
    Column("status", 6, 6),
    Column("outcome", 19, 19),
    Column("tokens", 9, 15, rank=4),
    Column("cost", 10, 12, rank=5),
    Column("first byte", 10, 10, rank=8),
    Column("duration", 8, 8, rank=4),
    Column("waited", 6, 8, rank=9),
    Column("exchange", 13, 13, rank=6),
)
_LONGEST: Final = 64


def cells_of(recorded: Recorded, *, is_short: bool) -> list[str]:
    """A cell for each of `COLUMNS`, "-" where there is nothing to say.

    Short, for a screen: without the year.
    """
    status = recorded.status
    time = recorded.time[:19].replace("T", " ")
    cells = [
        time[5:] if is_short else time,
        one_line(recorded.account, _LONGEST),
        one_line(recorded.client, _LONGEST),
        one_line(recorded.model, _LONGEST),
        "-" if status is None else str(status),
        one_line(recorded.outcome, _LONGEST),
        _tokens_text(recorded),
        cost_text(recorded.cost_usd),
        duration_text(recorded.first_byte_ms),
        duration_text(recorded.duration_ms),
        duration_text(recorded.waited_ms or None),
    ]
    return [*cells, one_line(recorded.id)]


def aligned(cells: list[str]) -> list[str]:
    """Cells as wide as their columns."""
    return [cell.ljust(column.width) for cell, column in zip(cells, COLUMNS, strict=True)]


def _tokens_text(recorded: Recorded) -> str:
    ins, outs = recorded.input_tokens, recorded.output_tokens
    if ins is None and outs is None:
        return count_text(recorded.total_tokens)
    return f"{'?' if ins is None else ins}+{'?' if outs is None else outs}"


def json_of(recorded: Recorded) -> dict[str, object]:
    """The same figures by name, for programs."""
    return {
        "exchange": recorded.id,
        "time": recorded.time,
        "account": recorded.account,
        "client": recorded.client,
        "operation": recorded.operation,
        "model": recorded.model,
        "tags": recorded.tags,
        "status": recorded.status,
        "outcome": recorded.outcome,
        "input_tokens": recorded.input_tokens,
        "output_tokens": recorded.output_tokens,
        "total_tokens": recorded.total_tokens,
        "estimated_tokens": recorded.estimated_tokens,
        "cost_usd": recorded.cost_usd,
        "first_byte_ms": recorded.first_byte_ms,
        "duration_ms": recorded.duration_ms,
        "waited_ms": recorded.waited_ms,
        "shadow_code": text_of(recorded.shadow.get("code")),
    }
