"""Tells the answers that are lists: models as a table, embeddings by their number and length."""

from collections.abc import Sequence
from typing import Any, Final

from foxora_addon.api.json_values import mapping_of
from foxora_addon.reading.records import count_of, number_of, text_of
from foxora_addon.reading.texts import count_text, one_line

_HEADERS: Final = ("model", "provider", "context", "in / 1k", "out / 1k", "supports")
_LONGEST: Final = 60
_FROM_THE_RIGHT: Final = range(2, 5)
_MOST: Final = 1_000


def models_text(models: Sequence[Any]) -> str:
    """A table of the models that a gateway lists (foxora-api.md, Routes); "-" for what it omits."""
    rows = [_HEADERS, *(_cells_of(mapping_of(model)) for model in models[:_MOST])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADERS))]
    lines = ["  ".join(_padded(row, widths)).rstrip() for row in rows]
    if len(models) > _MOST:
        lines.append(f"and {len(models) - _MOST} more")
    return "\n".join(lines)


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if column in _FROM_THE_RIGHT else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _cells_of(model: dict[str, Any]) -> tuple[str, ...]:
    supports = model.get("supports")
    named = [str(each) for each in supports] if isinstance(supports, list) else []
    return (
        one_line(text_of(model.get("id")), _LONGEST),
        one_line(text_of(model.get("provider")) or text_of(model.get("owned_by")), _LONGEST),
        count_text(count_of(model.get("context_window"))),
        _price_text(number_of(model.get("input_per_1k_usd"))),
        _price_text(number_of(model.get("output_per_1k_usd"))),
        one_line(", ".join(named), _LONGEST),
    )


def _price_text(usd: float | None) -> str:
    return "-" if usd is None else f"${usd:.6f}".rstrip("0").rstrip(".")


def embeddings_text(embeddings: Sequence[Any]) -> str:
    """How many embeddings there are, and of how many dimensions."""
    given = [mapping_of(each).get("embedding") for each in embeddings]
    lengths = sorted({len(each) for each in given if isinstance(each, list)})
    dimensions = ", ".join(count_text(length) for length in lengths[:3])
    many = "embedding" if len(embeddings) == 1 else "embeddings"
    told = f" of {dimensions} dimensions" if dimensions else ", in base64"
    return f"{count_text(len(embeddings))} {many}{told}"
