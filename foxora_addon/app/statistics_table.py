"""Shows what `audit stats` added up: a table, a row for each group."""

from typing import Final

from foxora_addon.app.printing import json_text, print_table, write
from foxora_addon.reading.statistics import Histogram, Statistics, Totals
from foxora_addon.reading.texts import cost_text, count_text, duration_text

_FIGURES: Final = (
    *("exchanges", "failed", "refused", "waited", "tokens in", "out", "cost", "first byte p50"),
    *("p95", "duration p50", "p95", "p99"),
)


def show_statistics(statistics: Statistics, *, as_json: bool) -> None:
    """Print the groups, the largest first, and all of it together."""
    if as_json:
        groups = [
            dict(zip(statistics.by, key, strict=True)) | totals.as_json()
            for key, totals in statistics.sorted_groups()
        ]
        write(json_text({"total": statistics.total.as_json(), "groups": groups}))
        return
    rows = [[*key, *_figures_of(totals)] for key, totals in statistics.sorted_groups()]
    width = max(len(statistics.by), 1)
    names = ["all", *[""] * (width - 1)]
    total = [*names, *_figures_of(statistics.total)]
    print_table([*(statistics.by or ("",)), *_FIGURES], [*rows, total], left=width)
    endings = statistics.total.outcomes.most_common()
    print_table(
        ["outcome", "exchanges"], [[outcome, count_text(count)] for outcome, count in endings]
    )


def _figures_of(totals: Totals) -> list[str]:
    return [
        *map(count_text, (totals.exchanges, totals.failed, totals.refused, totals.waited)),
        *map(count_text, (totals.input_tokens, totals.output_tokens)),
        cost_text(totals.cost_usd if totals.priced else None),
        *_quantiles(totals.first_byte, 0.5, 0.95),
        *_quantiles(totals.duration, 0.5, 0.95, 0.99),
    ]


def _quantiles(histogram: Histogram, *shares: float) -> list[str]:
    return [duration_text(histogram.quantile(share)) for share in shares]
