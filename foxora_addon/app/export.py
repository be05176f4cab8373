"""`audit export`: the wanted exchanges in another program's format, one at a time."""

import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, Final, Literal

from foxora_addon import __version__
from foxora_addon.app.printing import json_text, write
from foxora_addon.app.say import number_of, say
from foxora_addon.reading import finetuning, har, otlp, rows
from foxora_addon.reading.exchanges import Recorded

type Format = Literal["har", "otlp", "csv", "openai-jsonl"]

_SPANS_AT_ONCE: Final = 100


def _har(exchanges: Iterable[Recorded]) -> None:
    write(har.archive_head(__version__))
    separator = ""
    for recorded in exchanges:
        write(separator + json_text(har.entry_of(recorded)))
        separator = ","
    write(har.ARCHIVE_TAIL)
    say("HAR: headers are not in the trail, so the archive has none")


def _otlp(exchanges: Iterable[Recorded]) -> None:
    spans: list[dict[str, Any]] = []
    for recorded in exchanges:
        spans.append(otlp.span_of(recorded))
        if len(spans) == _SPANS_AT_ONCE:
            write(json_text(otlp.request_of(spans, __version__)))
            spans = []
    if spans:
        write(json_text(otlp.request_of(spans, __version__)))


def _csv(exchanges: Iterable[Recorded]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(rows.COLUMNS)
    writer.writerows(map(rows.row_of, exchanges))


def _openai_jsonl(exchanges: Iterable[Recorded]) -> None:
    left_out: Counter[str] = Counter()
    for recorded in exchanges:
        line = finetuning.line_of(recorded)
        if isinstance(line, str):
            left_out[line] += 1
        else:
            write(json_text(line))
    if left_out:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
        say(f"left out {number_of(left_out.total(), 'exchange')}: {reasons}")


def begun(exchanges: Iterator[Recorded]) -> Iterator[Recorded]:
    """The same, begun already: where they can't be read it raises before anything is written."""
    first = list(islice(exchanges, 1))
    return chain(first, exchanges)


EXPORTS: Final[Mapping[str, Callable[[Iterable[Recorded]], None]]] = {
    "har": _har,
    "otlp": _otlp,
    "csv": _csv,
    "openai-jsonl": _openai_jsonl,
}
NEEDS_BODIES: Final = frozenset({"har", "openai-jsonl"})
