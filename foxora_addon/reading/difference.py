"""Says what changed between two calls: parameters, tools, messages, answer and figures.

A conversation grows: messages that both calls begin with are the same and only counted.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff
from typing import Any, Final, Literal

from foxora_addon.reading.bodies import body_json_of
from foxora_addon.reading.conversation import answered, asked, told_in_turns
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.items import Turn
from foxora_addon.reading.page import lines_of_turn
from foxora_addon.reading.records import mapping_of, text_of
from foxora_addon.reading.texts import cost_text, count_text, duration_text, one_line

type Change = Literal["same", "added", "removed", "changed"]

_LONGEST: Final = 60


@dataclass(frozen=True, slots=True)
class Step:
    """A run of turns that are the same, or turns of one or both sides that are not."""

    change: Change
    before: Sequence[Turn]
    after: Sequence[Turn]


@dataclass(frozen=True, slots=True)
class Difference:
    """All that changed. `fields` are parameters and figures: name, before, after."""

    fields: list[tuple[str, str, str]]
    steps: list[Step]
    answers: list[Step]

    @property
    def is_nothing(self) -> bool:
        """Whether the two calls said the same, whatever their figures."""
        return all(step.change == "same" for step in (*self.steps, *self.answers))


def difference_of(before: Recorded, after: Recorded) -> Difference:
    """What changed from one exchange to another."""
    fields = [*_parameters(before, after), *_figures(before, after)]
    return Difference(
        [(name, old, new) for name, old, new in fields if old != new],
        _steps(asked(before), asked(after)),
        _steps(answered(before), answered(after)),
    )


def _steps(before: list[Turn], after: list[Turn]) -> list[Step]:
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    names: dict[str, Change] = {
        "equal": "same",
        "insert": "added",
        "delete": "removed",
        "replace": "changed",
    }
    return [Step(names[tag], before[i:j], after[k:m]) for tag, i, j, k, m in matcher.get_opcodes()]


def _parameters(before: Recorded, after: Recorded) -> Iterator[tuple[str, str, str]]:
    old, new = (_parameters_of(recorded) for recorded in (before, after))
    for name in sorted(old.keys() | new.keys()):
        if name == "tools":
            yield name, _tool_names(old.get(name)), _tool_names(new.get(name))
        if old.get(name) != new.get(name) or (name in old) != (name in new):
            yield name, _short(old, name), _short(new, name)


def _parameters_of(recorded: Recorded) -> dict[str, Any]:
    body = mapping_of(body_json_of(recorded.request))
    told = told_in_turns(body)
    return {name: value for name, value in body.items() if name not in told}


def _tool_names(tools: Any) -> str:
    names = (
        text_of((mapping_of(mapping_of(tool).get("function")) or mapping_of(tool)).get("name"))
        for tool in (tools if isinstance(tools, list) else ())
    )
    return ", ".join(name or "?" for name in names) or "-"


def _short(body: dict[str, Any], name: str) -> str:
    return one_line(json.dumps(body[name], ensure_ascii=False), _LONGEST) if name in body else "-"


def _figures(before: Recorded, after: Recorded) -> Iterator[tuple[str, str, str]]:
    for (name, old), (_, new) in zip(_figures_of(before), _figures_of(after), strict=True):
        yield name, old, new


def _figures_of(recorded: Recorded) -> Iterator[tuple[str, str]]:
    yield "account", recorded.account or "-"
    yield "status", str(recorded.status or "-")
    yield "outcome", recorded.outcome
    yield "input tokens", count_text(recorded.input_tokens)
    yield "output tokens", count_text(recorded.output_tokens)
    yield "cost", cost_text(recorded.cost_usd)
    yield "first byte", duration_text(recorded.first_byte_ms)
    yield "duration", duration_text(recorded.duration_ms)


def lines_of_step(step: Step) -> Iterator[tuple[str, str]]:
    """A step as lines, each with its sign: " " as it was, "-" before, "+" after."""
    if step.change == "same":
        count = len(step.before)
        yield " ", f"{count} turn{'' if count == 1 else 's'} the same"
        return
    old, new = _plain(step.before), _plain(step.after)
    if step.change != "changed":
        yield from (("+" if step.change == "added" else "-", line) for line in (*old, *new))
        return
    for number, line in enumerate(list(unified_diff(old, new, lineterm="", n=2))[2:]):
        if not line.startswith("@@"):
            yield line[:1], line[1:]
        elif number:
            yield " ", "…"


def _plain(turns: Sequence[Turn]) -> list[str]:
    return [line.text for turn in turns for line in list(lines_of_turn(turn))[1:]]
